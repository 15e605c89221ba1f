"""YAML and JSON text as plain data with places: YAML 1.2 scalars, and nothing that a file can hurt with."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectory.config.document import MAX_DEPTH, MAX_VALUES, parse, scalar
from connectory.errors import ConfigError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


def problems_of(text: str) -> list[str]:
    try:
        document = parse(text, file="c.yaml")
        _ = document.data
    except ConfigError as error:
        return [f"{one.line}:{one.column}: {one.message}" for one in error.problems]
    return [f"{one.line}:{one.column}: {one.message}" for one in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1", -1), ("+1", 1), ("012", 12), ("0o17", 15), ("0x1F", 31), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("1_000", "1_000"), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"), ("1.2.3", "1.2.3"), ("nullish", "nullish"), ("9" * 5000, math.inf), (".inf", math.inf), ("-.INF", -math.inf),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_yaml_1_2_says(text, value):
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


def test_quoted_scalars_are_text():
    assert parse("a: '1'\nb: \"true\"\nc: |\n  1\nd: !!str 5\n").data == {
        "a": "1",
        "b": "true",
        "c": "1\n",
        "d": "5",
    }


def test_keys_are_text_as_they_are_written():
    assert parse("1: a\ntrue: b\nnull: c\n01: d\n").data == {"1": "a", "true": "b", "null": "c", "01": "d"}


def test_an_alias_is_a_copy():
    data = parse("a: &x [1]\nb: *x\n").data
    data["a"].append(2)
    assert data["b"] == [1]


def test_merged_keys_yield_to_those_beside_them_and_to_earlier_ones():
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\n"
    assert parse(text).data["c"] == {"y": 3, "x": 1, "z": 2}
    assert problems_of("a: {<<: 5}") == ["1:9: '<<' takes a mapping, or a list of mappings"]


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!x", "!!int", "!!binary", "!!set"])
def test_tags_are_refused(tag):
    assert "a tag" in problems_of(f"a: {tag} '5'")[0]


def test_duplicate_keys_are_all_found_and_the_first_stays():
    document = parse("a: 1\nb: {c: 1, c: 2}\na: 2\n")
    assert [(one.line, one.column) for one in document.problems] == [(2, 11), (3, 1)]
    assert document.data == {"a": 1, "b": {"c": 1}}


def test_an_alias_cannot_contain_itself():
    assert "no '&a' above" in problems_of("a: &a [*a]")[0]


def test_aliases_cannot_multiply_without_bound():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert problems_of("\n".join(lines)) == [
        f"0:0: more than {MAX_VALUES} values, with every alias written out"
    ]


def test_merging_cannot_multiply_without_bound():
    keys = ", ".join(f"k{n}: 1" for n in range(2000))
    assert problems_of("\n".join([f"a: &a {{{keys}}}", *(f"b{n}: {{<<: *a}}" for n in range(200))]))[
        0
    ].endswith(f"more than {MAX_VALUES} values")


def test_nesting_is_bounded_also_through_aliases():
    assert f"more than {MAX_DEPTH} levels" in problems_of("[" * 100_000)[0]
    chain = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300))]
    assert f"more than {MAX_DEPTH} levels" in problems_of("\n".join(chain))[0]


@pytest.mark.parametrize(
    ("path", "options", "place"),
    [
        (("a",), {}, (1, 4, 2)),
        (("a",), {"key": True}, (1, 1, 1)),
        (("b",), {}, (2, 1, 1)),
        (("b", "c"), {}, (3, 6, 10)),
        (("b", "c", 0), {}, (3, 7, 3)),
        (("b", "c", 1), {}, (3, 12, 3)),
        (("b", "c", 7), {}, (3, 3, 1)),
        (("b", "d"), {}, (4, 3, 1)),
        (("b", "no", "such"), {}, (2, 1, 1)),
        (("e",), {"offset": 4, "width": 2}, (5, 9, 2)),
        (("f",), {"offset": 4, "width": 2}, (6, 4, 9)),
    ],
)
def test_every_key_and_value_has_its_place(path, options, place):
    document = parse("a: 12\nb:\n  c: [one, two]\n  d:\ne: 'abc def'\nf: \"a\\tbc d\"\n", file="c.yaml")
    found = document.place(path, **options)
    assert (found.line, found.column, found.width) == place


def test_a_long_line_is_not_shown_beyond_its_problem():
    document = parse("a: [" + ", ".join(["word"] * 200) + "]", file="c.yaml")
    assert len(document.place(("a", 0)).excerpt) == 160
    assert document.place(("a", 199)).excerpt == ""


@settings(max_examples=60, deadline=None)
@given(json_values)
def test_json_means_the_same_as_to_a_json_reader(value):
    text = json.dumps({"value": value}, ensure_ascii=True)
    assert parse(text, file="c.json").data == {"value": value}


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:- \n\t{}[]&*!?|>'\"#,$%@\\é\x85\u2028\U0001f600<0.", max_size=60))
def test_any_text_is_data_or_a_problem_with_a_place(text):
    try:
        document = parse(text, file="c.yaml")
        _ = document.data
        found = document.problems
    except ConfigError as error:
        found = list(error.problems)
    for problem in found:
        assert problem.line <= len(text) + 1
        assert str(problem)
