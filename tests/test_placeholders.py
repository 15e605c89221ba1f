"""Placeholders: the cases, what cannot be read, and that nothing is shared between records."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import ConfigError, ExpressionError
from connectory.placeholders import Template, compile_template, fresh

CASES = json.loads((Path(__file__).parent / "cases" / "placeholders.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_template_gives_what_its_case_says(case):
    if "problem" in case:
        with pytest.raises(ConfigError) as refused:
            compile_template(case["template"])
        assert case["problem"] in str(refused.value)
        return
    template = compile_template(case["template"])
    if "error" not in case:
        result = template.render(case["given"], case.get("scope", {}))
        assert (result, type(result)) == (case["result"], type(case["result"]))
        return
    with pytest.raises(ExpressionError) as caught:
        template.render(case["given"])
    assert case["error"] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a &{b", "the placeholder '&{b' has no closing brace: add '}'"),
        ("?{ {a: b}", "has no closing brace"),
        ("&{a == 'x} y", "the ' that opens here is not closed"),
        ("&{a.b-c} y", "a name with '-' stands in double quotes: a.\"b-c\""),
        ("&{}", "the expression is empty"),
        ("&{a = b}", "write =="),
    ],
)
def test_what_cannot_be_read_is_explained(text, words):
    with pytest.raises(ConfigError) as caught:
        compile_template(text)
    assert words in str(caught.value)


def test_every_problem_is_listed_with_its_place():
    with pytest.raises(ConfigError) as caught:
        compile_template({"a": ["&{x", "fine"], "b": {"c": "&{=}"}})
    assert [problem.path for problem in caught.value.problems] == ["a.0", "b.c"]


def test_a_template_without_placeholders_is_constant_and_copied_each_time():
    template = compile_template({"a": [1, {"b": "&&{c}"}]})
    assert template.is_constant
    template.render({})["a"].append(2)
    assert template.render({}) == {"a": [1, {"b": "&{c}"}]}


def test_the_constant_part_of_a_template_is_copied_each_time():
    template = compile_template({"a": [1], "b": "&{x}"})
    assert not template.is_constant
    template.render({"x": 1})["a"].append(2)
    assert template.render({"x": 1}) == {"a": [1], "b": 1}


def test_what_is_inserted_is_a_copy():
    record = {"a": {"b": [1]}}
    compile_template("&{a}").render(record)["b"].append(2)
    assert record == {"a": {"b": [1]}}


def test_the_expressions_of_a_template_are_listed_in_order():
    template = compile_template({"a": "&{x} ?{y.z}", "b": ["&{x || y}"]})
    assert [expression.text for expression in template.expressions] == ["x", "y.z", "x || y"]
    assert repr(compile_template("&{x}")) == "Template('&{x}')"


def test_a_template_of_frozen_data_gives_plain_data():
    template = Template(MappingProxyType({"a": ("&{x}", 1)}))
    assert template.render({"x": 2}) == {"a": [2, 1]}


def test_the_clock_reaches_the_expressions():
    assert Template("&{now()}", clock=lambda: 5).render({}) == 5


SIGILS = st.sampled_from(["&{v}", "?{v}", "${HOME}", "&{", "}", "{id}", "&&{", "`1`", "'", "now()", "@", "v"])
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=8),
        st.lists(SIGILS, max_size=4).map("".join),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text("ab", max_size=2), SIGILS), inner, max_size=3),
    ),
    max_leaves=8,
)
PRESENT = JSON.filter(lambda value: value is not None)


@given(JSON)
def test_a_placeholder_alone_gives_any_value_back(value):
    made = Template({"k": ["&{v}", "?{v}"]}).render({"v": value})
    assert made == {"k": [value, value]}
    assert repr(made) == repr({"k": [value, value]})


@given(PRESENT, PRESENT)
def test_a_value_comes_out_unchanged_whatever_it_looks_like(value, other):
    record = {"v": value, "w": {"x": [other]}}
    made = Template({"a": "&{v}", "b": "&{w.x[0]}", "c": "&{@}", "d": "&{w.x.0 || v}"}).render(record)
    assert repr(made["a"]) == repr(value)
    assert repr(made["b"]) == repr(other)
    assert repr(made["c"]) == repr({"v": value, "w": {"x": [other]}})
    assert repr(made["d"]) in {repr(other), repr(value)}


class _Witness(dict[str, object]):
    """A record that notes which of its fields are looked at."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []

    def __getitem__(self, key):
        self.seen.append(key)
        return super().__getitem__(key)


@given(
    st.lists(SIGILS, min_size=1, max_size=4).map("".join),
    st.sampled_from(["&{a}", "<&{a}>", "?{a}", "&{a} &{a}"]),
)
def test_no_content_of_a_record_is_ever_evaluated(text, written):
    record = _Witness({"a": text, "v": "never", "id": "never"})
    template = Template({"k": written})
    made = template.render(record, {"v": "never"})["k"]
    assert made == written.replace("&{a}", "\0").replace("?{a}", "\0").replace("\0", text)
    assert set(record.seen) == {"a"}
    assert [one.text for one in template.expressions] == ["a"] * len(template.expressions)


@given(PRESENT)
def test_what_one_template_inserts_the_next_does_not_scan(value):
    once = Template({"v": "&{v}"}).render({"v": value})
    assert repr(Template({"v": "&{v}"}).render(once)) == repr({"v": value})


@given(JSON)
def test_a_fresh_value_is_equal_and_shares_nothing(value):
    copied = fresh(value)
    assert copied == value
    assert copied is not value or not isinstance(value, (dict, list))


@given(st.text("ab'\"`&?${} .", max_size=15))
def test_no_text_gives_another_error_than_its_own(text):
    try:
        template = Template(text)
    except ConfigError:
        return
    with suppress(ExpressionError):
        template.render({"a": 1, "b": "x"})


def test_what_a_placeholder_inserts_is_a_copy_unless_it_is_only_written():
    record = {"vector": [1.0, 2.0], "deep": {"list": []}}
    template = compile_template({"a": "&{vector}", "b": "&{deep}"})

    filled, written = template.render(record), template.for_writing().render(record)

    assert filled == written
    assert filled["a"] is not record["vector"]
    assert filled["b"]["list"] is not record["deep"]["list"]
    assert written["a"] is record["vector"]
    assert written["b"] is record["deep"]
