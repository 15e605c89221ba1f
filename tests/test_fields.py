"""Fields named in options: what a dotted name reaches, and what it refuses."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory import ConfigError, Field, TransformerError

RECORD = {"a": {"b": [{"c": 1}, None]}, "x.y": 2, "x": {"y": 3}, "n": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.b.0.c", 1),
        ("a.b.1", None),
        ("x.y", 2),
        ("n", None),
        ("a.b.2", "-"),
        ("a.z", "-"),
        ("n.m", "-"),
        ("a.b.x", "-"),
        ("a.b.-1", "-"),
    ],
)
def test_a_dotted_name_reaches_into_objects_and_lists(name, value):
    assert Field(name).get(RECORD, "-") == value
    assert Field(name).has(RECORD) is (value != "-")


def test_what_is_needed_and_absent_names_the_nearest():
    with pytest.raises(TransformerError, match=r"^the record has no 'nn'; did you mean 'n'\?$"):
        Field("nn").need(RECORD)
    with pytest.raises(TransformerError, match="'n' is None, not a text"):
        Field("n").text(RECORD)
    assert Field("a").text({"a": "x"}) == "x"


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b"])
def test_a_name_has_no_empty_part(name):
    with pytest.raises(ConfigError, match="names no field"):
        Field(name)


def test_nothing_is_added_where_something_is():
    record = deepcopy(RECORD)
    Field("new.deep").add(record, 1)
    assert record["new"] == {"deep": 1}
    for name in ("x", "x.y", "a.b.0"):
        with pytest.raises(TransformerError, match=f"two fields would be called '{name}'"):
            Field(name).add(record, 1)


def test_what_is_taken_is_gone_and_makes_nothing():
    record = deepcopy(RECORD)
    for name in ("a.b.0", "x.y", "zz.q", "n"):
        Field(name).take(record)
    assert record == {"a": {"b": [None]}, "x": {"y": 3}}


def test_two_fields_of_one_name_are_equal():
    assert {Field("a"), Field("a")} == {Field("a")}
    assert (Field("a") == "a", repr(Field("a"))) == (False, "Field('a')")


NAMES = st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=3).map(".".join)
VALUES = st.recursive(
    st.integers(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "a.b"]), VALUES), NAMES, VALUES)
def test_what_is_put_is_found_there(record, name, value):
    field = Field(name)
    try:
        field.put(record, value)
    except TransformerError:
        return
    assert field.need(record) == value
    field.take(record)
