"""Steps inside the options of a step: how they are built, named and checked, and what transformers may be handed."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from types import ModuleType
from typing import Annotated, Any

import pytest
from command import connectory
from pydantic import TypeAdapter, ValidationError

from connectory import Chain, ConfigError, Context, InFile, Memory, TransformerError, read_file
from connectory.chain import build_chain
from connectory.config import parse_step
from connectory.plugins import A_STEP, load_code, load_transformer
from connectory.steps import nearby

Record = dict[str, Any]

CONFIG = """\
version: 1
clients: {a: {token: x}}
transformers:
  clean:
    - remove: [secret]
    - when:
        condition: "kind == 'old'"
        do: [CLEAN]
incoming:
  models:
    entity: models
    transformers:
      - clean
      - for_each:
          field: tags
          do:
            - sett: {a: 1}
            - when:
                condition: "a = b"
                otherwise:
                  - set:
                      a.b: "&{x"
                  - {set: {}, keep: []}
      - lookup: {field: a, file: missing.csv}
"""


def chain(*steps, named=None, folder=None):
    parsed = {name: [parse_step(one) for one in written] for name, written in (named or {}).items()}
    return build_chain([parse_step(one) for one in steps], named=parsed, folder=folder)


def test_lint_reports_every_problem_of_steps_inside_steps_in_its_place(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG.replace("CLEAN", "clean"))
    done = connectory("lint", folder=tmp_path)
    places = [line.partition(": error")[0] for line in done.said.splitlines() if "connectory.yaml:" in line]

    assert done.code == 3
    assert "connectory.yaml:17:15: no transformer 'sett'; did you mean 'set'?" in done.said
    assert "connectory.yaml:19:28: transformer 'when', option 'condition': cannot read" in done.said
    assert "connectory.yaml:22:28: transformer 'set', option 'fields.a.b': the placeholder '&{x'" in done.said
    assert "connectory.yaml:23:21: step 2 has the keys 'set', 'keep'" in done.said
    assert "connectory.yaml:24:34: transformer 'lookup', option 'file': file 'missing.csv'" in done.said
    assert "the chain 'clean' runs itself, by way of clean → when → clean" in done.said
    assert len(places) >= 6


def test_a_named_chain_runs_inside_steps_and_by_its_name_alone():
    named = {
        "clean": [{"remove": ["secret"]}, "tidy"],
        "tidy": [{"when": {"condition": "a", "do": ["compact"]}}],
    }
    made = chain("clean", {"for_each": {"field": "l", "do": ["clean"]}}, named=named)
    record = {
        "a": 1,
        "n": None,
        "secret": 2,
        "l": [{"a": 1, "secret": 3, "n": None}, {"a": False, "n": None}],
    }
    assert list(made.apply(record, {})) == [{"a": 1, "l": [{"a": 1}, {"a": False, "n": None}]}]
    assert [step.name for step in made.steps] == ["clean/remove", "clean/tidy/when", "for_each"]


def test_steps_of_ones_own_transformer_are_built_as_well(monkeypatch):
    def twice(record: Record, *, do: Chain, context: Context):
        for one in do.run(record, context):
            yield from do.run(one, context)

    module = ModuleType("nested_plugins")
    module.twice = twice
    twice.__annotations__ = {"do": Chain, "context": Context}
    monkeypatch.setitem(sys.modules, "nested_plugins", module)
    made = chain({"use": "nested_plugins:twice", "options": {"do": [{"set": {"n": "&{[n, n]}"}}]}})
    assert list(made.apply({"n": 1}, {})) == [{"n": [[1, 1], [1, 1]]}]
    _, complaints = load_code("nested_plugins:twice").check({"do": []})
    assert complaints == [
        (
            ("do",),
            "transformer 'twice', option 'do': steps can stand only in a step of a chain",
        )
    ]
    assert load_code("nested_plugins:twice").schema()["properties"]["do"] == {
        "type": "array",
        "items": A_STEP,
    }


def test_every_problem_of_a_step_is_told_at_once():
    written = {"set": {"a": "&{b-c} and &{d = e}", "f..g": 1}}
    missing = {"lookup": {"table": 3, "missing": "odd"}}
    with pytest.raises(ConfigError) as caught:
        chain(written, missing)

    told = [problem.message for problem in caught.value.problems]
    assert len(told) == 6
    for part in (
        "with '-' stands",
        "'=' compares nothing",
        "'f..g' names no field",
        "'table'",
        "'missing'",
        "'field'",
    ):
        assert sum(part in one for one in told) == 1, part


def test_a_preview_shows_a_step_with_its_inner_steps_as_one():
    made = chain({"when": {"condition": "a", "do": [{"set": {"b": 1}}, {"fail": "no"}]}})
    [traced] = made.trace({"a": 1}, {})
    assert (traced.step, str(traced.error)) == ("when", "transformer 'when/fail': no")


def test_duplicates_are_dropped_within_a_run_and_not_between_runs():
    made = chain({"deduplicate": "id"})
    one, other = {"run": {"id": "1"}}, {"run": {"id": "2"}}
    kept = [list(made.apply({"id": n % 3}, scope)) for n in range(5) for scope in (one, other)]
    assert [len(records) for records in kept] == [1] * 6 + [0] * 4


def test_whole_records_are_compared_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr("connectory.interfaces._VALUES", 2)
    made = chain("deduplicate")

    def passes(record):
        return bool(list(made.apply(record, {})))

    assert [passes({"a": 1, "b": n}) for n in (1, 1, 2, 3, 1)] == [True, False, True, True, True]
    assert not passes({"b": 1, "a": 1})


def test_a_memory_forgets_the_oldest_of_many_runs():
    memory = Memory()
    contexts = [Context({"run": {"id": str(n)}}) for n in range(9)]
    for number, context in enumerate(contexts):
        memory.of(context)["n"] = number
    assert [memory.of(context).get("n") for context in contexts[1:]] == list(range(1, 9))
    assert memory.of(contexts[0]) == {}


def test_each_step_has_a_memory_of_its_own():
    step = {"deduplicate": "id"}
    made = chain({"when": {"condition": "a", "do": [step], "otherwise": [step]}})
    assert [len(list(made.apply({"id": 1, "a": a}, {}))) for a in (True, False, True, False)] == [1, 1, 0, 0]
    assert load_transformer("deduplicate").memory == "memory"
    assert list(load_transformer("deduplicate").options) == ["by"]


def test_a_line_of_the_log_has_its_level_and_no_secret(caplog):
    from connectory.text.redaction import Redactor  # noqa: PLC0415 - alive for this test alone

    redactor = Redactor(["made-up-secret"])
    made = chain({"log": {"message": "&{id} has made-up-secret", "level": "info"}})
    with caplog.at_level(logging.DEBUG, logger="connectory"):
        assert list(made.apply({"id": 7}, {})) == [{"id": 7}]
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("INFO", "7 has ****")]
    assert redactor.text("made-up-secret") == "****"


def test_this_moment_is_written(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1738324800.0)
    made = chain({"date": {"into": "at", "shift": "1h"}})
    assert list(made.apply({}, {})) == [{"at": "2025-01-31T13:00:00Z"}]


def test_a_file_is_read_once_and_below_the_folder_alone(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "t.txt").write_text("\ufefffirst")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    made = chain({"template": {"into": "a", "file": "t.txt"}}, folder=folder)
    (folder / "t.txt").write_text("second")
    assert list(made.apply({}, {})) == [{"a": "first"}]
    for name in ("link.txt", "../secret.txt", str(tmp_path / "secret.txt"), "."):
        with pytest.raises(TransformerError, match="file "):
            read_file(name, folder)


def test_a_file_needs_a_folder_and_a_bound(tmp_path, monkeypatch):
    with pytest.raises(TransformerError, match="can be read only where the configuration is a file"):
        read_file("a", None)
    (tmp_path / "a").write_bytes(b"123")
    monkeypatch.setattr(nearby, "LARGEST", 2)
    with pytest.raises(TransformerError, match="has 3 bytes; 2 are read at most"):
        read_file("a", tmp_path)
    with pytest.raises(ValidationError, match="can be read only where"):
        TypeAdapter(Annotated[str, InFile()]).validate_python("a")
    assert repr(InFile()) == "InFile"


def test_the_folder_is_handed_to_transformers(tmp_path):
    context = Context({}, tmp_path)
    assert replace(context, scope={"a": 1}).folder == tmp_path
    assert chain(folder=tmp_path).folder == tmp_path
