"""Chains: how they are built, what runs when, and whose fault an error is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.chain import build_chain
from connectory.errors import (
    ConfigError,
    ExpressionError,
    Problem,
    RecordError,
    TransformerError,
    UnavailableError,
)

Record = dict[str, Any]


@dataclass
class Step:
    """A step as the configuration hands it over."""

    name: str | None = None
    options: Any = None
    use: str | None = None
    path: tuple[str | int, ...] = ()

    @property
    def options_path(self):
        return (*self.path, "options")


@pytest.fixture
def code(monkeypatch):
    """Make functions importable as `chain_plugins:name`; the fixture gives the step that uses one."""
    module = ModuleType("chain_plugins")
    monkeypatch.setitem(sys.modules, "chain_plugins", module)

    def register(function, options=None):
        setattr(module, function.__name__, function)
        return Step(use=f"chain_plugins:{function.__name__}", options=options)

    return register


def apply(record, *steps, scope=None, **settings):
    return list(build_chain(steps, **settings).apply(record, scope or {}))


def test_an_empty_chain_gives_the_record_itself():
    record = {"a": 1}
    [given] = build_chain([]).apply(record, {})
    assert given is record


def test_the_record_as_read_stays_as_it_was_whatever_steps_do(code):
    def spoil(record: Record) -> Record:
        record["a"]["b"].append(2)
        return record

    record = {"a": {"b": [1]}}
    steps = [code(spoil), Step("set", {"was": "&{input.a.b}"})]
    assert apply(record, *steps) == [{"a": {"b": [1, 2]}, "was": [1]}]
    assert record == {"a": {"b": [1]}}


def test_what_is_taken_from_the_input_is_a_copy(code):
    def spoil(record: Record) -> Record:
        record["copy"].append(2)
        return record

    steps = [Step("set", {"copy": "&{input.a}"}), code(spoil), Step("set", {"again": "&{input.a}"})]
    assert apply({"a": [1]}, *steps) == [{"a": [1], "copy": [1, 2], "again": [1]}]


def test_a_scope_that_has_an_input_keeps_it():
    assert apply({"a": 1}, Step("set", {"b": "&{input.x}"}), scope={"input": {"x": 2}}) == [{"a": 1, "b": 2}]


def test_record_is_the_record_as_the_chain_left_it():
    steps = [Step("set", {"a": 2}), Step("set", {"b": "&{record.a}&{input.a}"})]
    assert apply({"a": 1}, *steps) == [{"a": 2, "b": "21"}]


def test_a_record_goes_all_the_way_before_the_next_is_made(code):
    seen = []

    def note(record: Record) -> Record:
        seen.append(record["n"])
        return record

    chain = build_chain([Step("split", "items"), code(note)])
    records = chain.apply({"items": [{"n": 1}, {"n": 2}]}, {})
    assert next(records) == {"n": 1}
    assert seen == [1]
    assert list(records) == [{"n": 2}]


def test_steps_after_a_split_run_for_each_record():
    steps = [Step("split", "a"), Step("split", "b"), Step("keep_if", "n > `1`")]
    record = {"a": [{"b": [{"n": 1}, {"n": 2}]}, {"b": []}, {"b": [{"n": 3}]}]}
    assert apply(record, *steps) == [{"n": 2}, {"n": 3}]


def test_options_and_context_reach_the_function(code):
    from connectory.interfaces import Context  # noqa: PLC0415 - its name must be in this function's reach

    def tag(record: Record, *, field: str, times: int = 2, context: Context) -> Record:
        return {**record, field: context.scope["run"]["id"] * times}

    tag.__annotations__["context"] = Context
    step = code(tag, {"field": "t", "times": "3"})
    assert apply({"a": 1}, step, scope={"run": {"id": "x"}}) == [{"a": 1, "t": "xxx"}]


def test_none_drops_a_record_only_where_the_annotation_says_so(code):
    def forgetful(record: Record) -> Record:
        record["a"] = 1

    def dropping(record: Record) -> Record | None:
        return None

    def unannotated(record):
        return None

    assert apply({}, code(dropping)) == []
    for function in (forgetful, unannotated):
        with pytest.raises(TransformerError) as caught:
            apply({}, code(function))
        assert str(caught.value) == (
            f"transformer {function.__name__!r} returned nothing; return the record, or annotate '| None' to drop"
        )


@pytest.mark.parametrize("made", [1, "text", b"x", True, SimpleNamespace()])
def test_what_is_neither_a_record_nor_records_is_an_error(code, made):
    def odd(record: Record) -> Any:
        return made

    with pytest.raises(
        TransformerError, match=f"transformer 'odd' returned a value of type '{type(made).__name__}'"
    ):
        apply({}, code(odd))


def test_an_element_that_is_no_record_is_an_error(code):
    def odd(record: Record) -> list[Any]:
        return [{}, 1]

    with pytest.raises(
        TransformerError, match="transformer 'odd' gave a value of type 'int' where a record was due"
    ):
        apply({}, code(odd))


def test_an_exception_becomes_an_error_of_the_record_and_is_chained(code):
    def broken(record: Record) -> Record:
        return record["x"]

    with pytest.raises(TransformerError, match="transformer 'broken': KeyError: 'x'") as caught:
        apply({}, code(broken))
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_exception_in_a_generator_comes_after_its_first_records(code):
    def halfway(record: Record):
        yield {"n": 1}
        raise ValueError("no more")

    records = build_chain([code(halfway)]).apply({}, {})
    assert next(records) == {"n": 1}
    with pytest.raises(TransformerError, match="transformer 'halfway': ValueError: no more"):
        next(records)


def test_errors_of_this_project_keep_their_class(code):
    def stop(record: Record) -> Record:
        raise UnavailableError("no credit")

    def refuse(record: Record) -> Record:
        raise RecordError("not this one")

    with pytest.raises(UnavailableError, match="no credit"):
        apply({}, code(stop))
    with pytest.raises(RecordError, match="not this one"):
        apply({}, code(refuse))
    with pytest.raises(ExpressionError, match=r"^transformer 'set': expression 'x'"):
        apply({}, Step("set", {"a": "&{x}"}))


def test_all_problems_of_all_steps_come_at_once_and_in_their_places():
    steps = [
        Step("sett", {}, path=("t", 0)),
        Step("keep_if", "a = b", path=("t", 1)),
        Step("split", {"fild": "a", "into": 3}, path=("t", 2)),
        Step("set", {"a": "&{x", "b": ["&{ok}", {"c": "&{}"}]}, path=("t", 3)),
        Step(use="no_such_module:f", path=("t", 4)),
    ]
    with pytest.raises(ConfigError) as caught:
        build_chain(steps, locate=lambda place, message: Problem(message, path="/".join(map(str, place))))
    found = [(problem.path, problem.message.splitlines()[0]) for problem in caught.value.problems]
    assert found == [
        ("t/0", "no transformer 'sett'; did you mean 'set'? ('connectory transformers list' shows all)"),
        (
            "t/1/options",
            "transformer 'keep_if', option 'condition': cannot read the expression 'a = b': '=' compares nothing; write ==",
        ),
        ("t/2/options/fild", "transformer 'split' has no option 'fild'; did you mean 'field'?"),
        (
            "t/2/options/into",
            "transformer 'split', option 'into': input should be a valid string, not a number",
        ),
        (
            "t/3/options/a",
            "transformer 'set', option 'fields.a': the placeholder '&{x' has no closing brace: add '}'",
        ),
        (
            "t/3/options/b/1/c",
            "transformer 'set', option 'fields.b': the expression is empty; '@' stands for the whole record",
        ),
        ("t/4", "transformer 'no_such_module:f': no module 'no_such_module' in the installed packages"),
    ]


def test_a_name_of_a_chain_runs_the_chain():
    named = {"clean": [Step("remove", ["a"]), Step("tidy")], "tidy": [Step("rename", {"b": "c"})]}
    chain = build_chain([Step("clean"), Step("set", {"d": 1})], named=named)
    assert list(chain.apply({"a": 1, "b": 2}, {})) == [{"c": 2, "d": 1}]
    assert [step.name for step in chain.steps] == ["clean/remove", "clean/tidy/rename", "set"]


@pytest.mark.parametrize(
    ("named", "step", "words"),
    [
        ({"a": [Step("b")], "b": [Step("a")]}, Step("a"), "the chain 'a' runs itself, by way of a → b → a"),
        ({"a": []}, Step("a", {"x": 1}), "'a' is a chain and takes no options"),
        (
            {"set": []},
            Step("set"),
            "'set' is a chain here and a transformer too; give the chain another name",
        ),
        ({"cleaning": []}, Step("cleening"), "no transformer 'cleening'; did you mean 'cleaning'?"),
    ],
)
def test_a_chain_that_cannot_run_is_refused(named, step, words):
    with pytest.raises(ConfigError) as caught:
        build_chain([step], named=named)
    assert words in str(caught.value)


def test_a_trace_shows_what_each_step_gave(code):
    def spoil(record: Record) -> Record:
        record["n"] = 0
        return record

    chain = build_chain([Step("split", "items"), Step("keep_if", "n > `1`"), code(spoil)])
    traced = chain.trace({"items": [{"n": 1}, {"n": 2}]}, {})
    assert [(one.step, one.records) for one in traced] == [
        ("split", [{"n": 1}, {"n": 2}]),
        ("keep_if", [{"n": 2}]),
        ("spoil", [{"n": 0}]),
    ]


def test_a_trace_ends_at_the_first_error():
    chain = build_chain([Step("set", {"a": 1}), Step("keep_if", "zzz"), Step("set", {"b": 1})])
    *_, last = chain.trace({}, {})
    assert (last.step, last.records) == ("keep_if", [])
    assert isinstance(last.error, ExpressionError)


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=4))
def test_a_trace_ends_where_the_chain_does(lists):
    chain = build_chain([Step("map", "lists[].{l: @}"), Step("split", {"field": "l", "into": "n"})])
    record = {"lists": [[one] for one in lists]}
    assert chain.trace(record, {})[-1].records == list(chain.apply(record, {}))


def test_code_comes_from_the_folder_of_the_configuration(tmp_path):
    (tmp_path / "chain_masks.py").write_text(
        "def mask(record: dict, *, field: str) -> dict:\n    return {field: '*'}\n"
    )
    step = Step(use="chain_masks:mask", options={"field": "email"})
    assert apply({}, step, folder=Path(tmp_path)) == [{"email": "*"}]
