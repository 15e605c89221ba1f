"""Expressions: the cases, what cannot be read, and agreement with JMESPath where nothing is absent."""

from __future__ import annotations

import json
from pathlib import Path

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import ConfigError, ExpressionError
from connectory.expressions import Expression, compile_expression

CASES = json.loads((Path(__file__).parent / "cases" / "expressions.json").read_text("utf-8"))


UNREADABLE = [case for case in CASES if "problem" in case]
READABLE = [case for case in CASES if "problem" not in case]


@pytest.mark.parametrize("case", UNREADABLE, ids=[case["name"] for case in UNREADABLE])
def test_a_likely_mistake_is_explained_before_anything_runs(case):
    with pytest.raises(ConfigError) as caught:
        compile_expression(case["expression"])
    first, *shown = str(caught.value).splitlines()
    assert case["problem"] in first
    if "caret" in case:
        assert shown[-1] == " " * (4 + case["caret"]) + "^"


@pytest.mark.parametrize("case", READABLE, ids=[case["name"] for case in READABLE])
def test_an_expression_gives_what_its_case_says(case):
    expression = compile_expression(case["expression"], clock=lambda: 1_700_000_000.7)
    scope = case.get("scope", {})
    if "error" not in case:
        result = expression(case["given"], scope)
        assert (result, type(result)) == (case["result"], type(case["result"]))
        return
    with pytest.raises(ExpressionError) as caught:
        expression(case["given"], scope)
    assert str(caught.value).startswith(f"expression {case['expression']!r}: ")
    assert case["error"] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words", "caret"),
    [
        ("", "the expression is empty", None),
        ("  \n", "the expression is empty", None),
        ("a = b", "'=' compares nothing; write ==", 2),
        ("a.b-c", """a name with '-' stands in double quotes: a."b-c\"""", 3),
        ("a-1", """a name with '-' stands in double quotes: "a-1\"""", 1),
        ('status == "done"', "in double quotes it is a field's name; write 'done' for a text", 10),
        ('"done" == status', "in double quotes it is a field's name", 0),
        ('contains(a, "x")', "in double quotes it is a field's name", 12),
        ("a == true", "it is read as a field's name; write `true`, in backticks", 5),
        ("a and b", "'and' is written &&", 2),
        ("not a", "'not' is written !", None),
        ("a > 5", "a number stands in backticks: `5`", 4),
        ("a == 'x", "the ' that opens here is not closed", 5),
        ("a == ", "it ends too early", 5),
        ("a.b[0", "it ends too early", 5),
        ("a.0.b ? c", "unexpected '?'", 6),
        ("a.0.1 c", "unexpected 'c'", 6),
        ("`x`", "what stands in backticks is JSON", 0),
        ("a |\n  b = c", "'=' compares nothing", 4),
        ("nope(a)", "no function 'nope'", None),
        ("lenght(a)", "did you mean 'length'?", None),
        ("length(a, b)", "length() takes 1 argument, not 2", None),
        ("date(a)", "date() takes 2 arguments, not 1", None),
        ("merge()", "merge() takes at least 1 argument, not 0", None),
        ("ago('30x')", "ago() takes a number and one of", None),
        ("a[::0]", "the step of a slice cannot be 0", None),
    ],
)
def test_what_cannot_be_read_is_shown_with_a_caret_and_a_hint(text, words, caret):
    with pytest.raises(ConfigError) as caught:
        compile_expression(text)
    first, *shown = str(caught.value).splitlines()
    assert words in first
    if caret is not None:
        assert shown[-1] == " " * (4 + caret) + "^"


def test_a_quoted_name_that_needs_quotes_may_be_compared():
    assert Expression('a == "b-c"')({"a": 1, "b-c": 1}) is True


def test_two_expressions_of_one_text_are_equal_and_hash_alike():
    assert len({Expression("a"), Expression("a"), Expression("b")}) == 2
    assert Expression("a") != "a"
    assert repr(Expression("a.b")) == "Expression('a.b')"


def test_search_gives_what_stands_for_missing_and_keeps_other_errors():
    assert Expression("a.b").search({}) is None
    assert Expression("a").search({}, missing=0) == 0
    assert Expression("a").search({"a": 3}) == 3
    with pytest.raises(ExpressionError, match="types differ"):
        Expression("a == 'x'").search({"a": 1})


def test_holds_is_the_truth_of_jmespath():
    truth = [Expression("a").holds({"a": value}) for value in (0, "x", True, [0], None, False, "", [], {})]
    assert truth == [True] * 4 + [False] * 5


def test_a_literal_object_is_new_for_every_record():
    expression = Expression('`{"a": [1]}`')
    expression({})["a"].append(2)
    assert expression({}) == {"a": [1]}


def test_the_clock_is_read_for_every_record():
    times = iter([10, 20])
    expression = Expression("now()", clock=lambda: next(times))
    assert [expression({}), expression({})] == [10, 20]


DOCUMENTS = st.fixed_dictionaries(
    {
        "n": st.integers(-5, 5),
        "f": st.floats(-5, 5),
        "s": st.text("ab'\\", max_size=3),
        "flag": st.booleans(),
        "none": st.none(),
        "o": st.fixed_dictionaries({"n": st.integers(-5, 5), "deep": st.just({"s": "x"})}),
        "list": st.lists(
            st.fixed_dictionaries({"n": st.integers(-5, 5), "s": st.text("ab", max_size=2)}), min_size=1
        ),
        "nested": st.lists(st.lists(st.integers(-5, 5), max_size=3), max_size=3),
    }
)
NUMBERS = st.sampled_from(
    ["n", "f", "o.n", "list[0].n", "list.0.n", "list[-1].n", "length(list)", "`2`", "sum(list[].n)", "abs(n)"]
)
TEXTS = st.sampled_from(
    [
        "s",
        "o.deep.s",
        "'a'",
        "list[0].s",
        "join('-', list[*].s)",
        "to_string(n)",
        "type(o)",
        "(list[].s | [0])",
    ]
)
CONDITIONS = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS),
        st.builds("{} {} {}".format, TEXTS, st.sampled_from(["==", "!="]), TEXTS),
        st.builds("{} == none".format, NUMBERS),
        st.sampled_from(["flag", "none", "s", "starts_with(s, 'a')", "contains(nested[], `1`)"]),
    ),
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=6,
)
LISTS = st.sampled_from(
    [
        "list[].n",
        "list[*].{n: n, t: s}",
        "list[?n > `0`].s",
        "list[?s == 'a' || n < `2`]",
        "list[1:]",
        "list[::-1].n",
        "nested[]",
        "nested[*][0]",
        "nested[][]",
        "o.*",
        "sort_by(list, &n)[*].n",
        "map(&n, list)",
        "[n, s, none]",
        "reverse(list)[?n != `1`] | [*].n",
        "*",
    ]
)
OBJECTS = st.builds("{{a: {}, b: {}, c: {}}}".format, NUMBERS, CONDITIONS, LISTS)


@given(DOCUMENTS, st.one_of(NUMBERS, TEXTS, CONDITIONS, LISTS, OBJECTS))
def test_where_nothing_is_absent_it_agrees_with_jmespath(document, text):
    assert Expression(text)(document) == jmespath.search(text.replace(".0.", "[0]."), document)


@given(st.text("ab.0-[]{}()*?|&!=<>'\"`@, :\n1", max_size=12))
def test_no_text_gives_another_error_than_its_own(text):
    try:
        expression = Expression(text)
    except ConfigError:
        return
    for document in ({"a": {"b": [1, {"a": None}]}, "b": "x"}, [], None, "ab"):
        try:
            expression(document)
        except ExpressionError:
            continue
