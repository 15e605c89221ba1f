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


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("ab &?{}", max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_a_placeholder_alone_gives_any_value_back(value):
    assert Template({"k": ["&{v}"]}).render({"v": value}) == {"k": [value]}


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
