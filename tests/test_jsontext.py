from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.text import json as jsontext
from connectory.text.json import JsonTextError, dumps, loads, loads_unique

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),  # lone surrogates among them
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@pytest.fixture(params=["with orjson", "without orjson"])
def _either(request, monkeypatch):
    """Every fact holds in both installs."""
    if request.param == "without orjson":
        monkeypatch.setattr(jsontext, "orjson", None)
    else:
        pytest.importorskip("orjson")


pytestmark = pytest.mark.usefixtures("_either")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b"\xef\xbb\xbf[1]", [1]),
        ("[1]", [1]),
        ("\ufeff[1]", [1]),
        (b"18446744073709551617", 2**64 + 1),
        (b"-123456789012345678901234567890", -123456789012345678901234567890),
        (b"1234567890123456789", 1234567890123456789),
        (b'"a number 1234567890123456789012 in a text"', "a number 1234567890123456789012 in a text"),
        (b"1e-400", 0.0),
        (b"1e100", 1e100),
        (b'"\\ud800"', "\ud800"),
    ],
)
def test_a_text_keeps_its_value(text, value):
    assert loads(text) == value
    assert type(loads(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "expecting value at line 1 column 1"),
        (b'{"a": 1,\n "b" 2}', "at line 2 column 6"),
        (b"[1] 2", "extra data at line 1 column 5"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"1e999", "a number is too large"),
        (b"[1E+400]", "a number is too large"),
        (b"1" + b"0" * 400 + b".5", "a number is too large"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b"1" * 5000, "limit"),
        (b"[" * 200_000, "nested too deeply"),
        ('"\ud800"', "not UTF-8"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_json_is_refused(text, says):
    with pytest.raises(JsonTextError) as caught:
        loads(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"a":1,"a":2}', "'a'"),
        (b'{"a": 1, "a": 1}', "'a'"),
        (b'{"b":[1,{"c":{"a":1,"b":2,"a":3}}]}', "'a'"),
        (b'{"a":1,"\\u0061":2}', "'a'"),
        (b'{"":1,"x":[],"":2}', "''"),
        (b'{"a":1e999,"a":1}', "too large"),
        (b'{"n":12345678901234567890,"n":1}', "'n'"),
        (b'{"' + b"k" * 100 + b'":1,"' + b"k" * 100 + b'":1}', "'" + "k" * 60 + "…'"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_key_that_stands_twice_is_refused_where_a_record_is_read(text, key):
    with pytest.raises(JsonTextError) as caught:
        loads_unique(text)
    assert key in str(caught.value)


@given(value=JSON, spaced=st.booleans())
def test_reading_with_every_key_once_gives_the_same_value(value, spaced):
    text = json.dumps(value).encode() if spaced else dumps(value)
    assert loads_unique(text) == loads(text) == value


@given(
    keys=st.lists(st.sampled_from(["a", "b", '"', "\\", '":', "\u00e9"]), max_size=4),
    deep=st.integers(0, 3),
    compact=st.booleans(),
)
def test_a_key_is_seen_twice_exactly_where_it_stands_twice(keys, deep, compact):
    colon, comma = (":", ",") if compact else (": ", ", ")
    text = "{" + comma.join(f"{json.dumps(key, ensure_ascii=False)}{colon}1" for key in keys) + "}"
    for _ in range(deep):
        text = f'{{"in"{colon}[{text}]}}'
    if len(set(keys)) == len(keys):
        assert loads_unique(text) == json.loads(text)
    else:
        with pytest.raises(JsonTextError, match="twice"):
            loads_unique(text)


@pytest.mark.parametrize("read", [loads, loads_unique])
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("beside", ["", "," + "[]," * 300 + "[]"])
def test_nesting_is_bounded_in_both_installs(read, opening, beside):
    def text(levels: int) -> str:
        closing = opening.replace('"a":', "").translate(str.maketrans("[{", "]}"))[::-1]
        times = levels // len(closing)
        return f"[{opening * times}1{closing * times}{beside}]"

    deepest = jsontext.DEEPEST - 2  # an even number of levels, in one list
    assert read(text(deepest)) is not None
    with pytest.raises(JsonTextError, match="nested too deeply: more than 200 levels"):
        read(text(deepest + 2))


def test_the_numbers_of_many_vectors_are_not_looked_at(monkeypatch):
    looked_at, containers = [], jsontext._containers
    monkeypatch.setattr(jsontext, "_containers", lambda outer: looked_at.append(outer) or containers(outer))
    vectors = [[1.5, 2.5]] * 300
    assert loads(dumps({"data": vectors})) == {"data": vectors}
    assert [1.5, 2.5] not in looked_at
    assert vectors in looked_at


def test_a_refusal_never_quotes_the_text():
    with pytest.raises(JsonTextError) as caught:
        loads(b'{"token": sk-secret}')
    assert "secret" not in str(caught.value)


@given(value=JSON)
def test_whatever_is_written_is_read_back(value):
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True, "é"]}, '{"a":[1,2.5,null,true,"é"]}'.encode()),
        (2**70, b"1180591620717411303424"),
        ("\ud800", b'"\\ud800"'),
        ({1: "a"}, b'{"1":"a"}'),
        ((1, 2), b"[1,2]"),
        ([None], b"[null]"),
    ],
)
def test_a_value_is_written_compactly(value, text):
    assert dumps(value) == text


@dataclasses.dataclass
class Thing:
    name: str = "x"


CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [1, {"a": math.inf}],
        [None, (1, -math.inf)],
        {"a": b"bytes"},
        {1, 2},
        datetime(2025, 7, 1, tzinfo=UTC),
        Thing(),
        CIRCLE,
    ],
    ids=lambda value: repr(value)[:25],
)
def test_what_json_cannot_hold_is_refused_in_both_installs(value):
    with pytest.raises(JsonTextError, match="not representable as JSON"):
        dumps(value)


def test_a_deep_value_is_written():
    value: list[object] = []
    for _ in range(500):
        value = [value]
    assert json.loads(dumps(value)) == value
