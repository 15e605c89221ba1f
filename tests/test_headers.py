"""The headers of an answer are what httpx would make of them, looked up in any case."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.text.headers import AnswerHeaders

NAMES = st.text("abcXYZ-", min_size=1, max_size=8).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10).map(str.encode)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_they_are_what_httpx_makes_of_them(raw):
    stripped = [(name, value.strip()) for name, value in raw]
    headers = AnswerHeaders.of(raw)
    assert dict(headers) == dict(httpx.Headers(stripped).items())
    assert {name: headers.get(name.upper()) for name in headers} == dict(headers)
    assert headers.pairs() == stripped


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-Id", "X-REQUEST-ID"])
def test_a_name_is_found_in_any_case(name):
    headers = AnswerHeaders.of([(b"X-Request-ID", b"req-1")])
    assert (headers[name], headers.get(name), headers.get(name, "other")) == ("req-1",) * 3


def test_a_name_that_is_not_there_is_missed():
    headers = AnswerHeaders.of([])
    assert (headers.get("X-A"), headers.get("x-a", "other")) == (None, "other")
    for name in ("X-A", "x-a"):
        with pytest.raises(KeyError):
            headers[name]


def test_each_value_beyond_ascii_is_read_for_itself():
    headers = AnswerHeaders.of([(b"a", "é".encode()), (b"b", b"\xe9"), (b"A", b"1")])
    assert dict(headers) == {"a": "é, 1", "b": "é"}


def test_a_line_that_begins_with_a_space_goes_on_with_the_header_before_it():
    headers = AnswerHeaders(b"\nA: 1,\n  2\nB: 3\na:4")
    assert dict(headers) == {"a": "1, 2, 4", "b": "3"}
    assert headers.pairs() == [(b"A", b"1, 2"), (b"B", b"3"), (b"a", b"4")]


def test_a_name_is_not_found_in_a_value_or_in_another_name():
    headers = AnswerHeaders(b"\nx-a: b: 1\nab: 2")
    assert (headers.get("b"), headers.get("a"), headers.get("ab")) == (None, None, "2")


def test_cookies_are_not_written_down():
    headers = AnswerHeaders(b"\nSet-Cookie: a=secret\nX: 1\nset-cookie: b=secret")
    assert headers.lasting() == "X: 1"
    assert AnswerHeaders(b"\nX: 1").lasting() == "X: 1"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (b"\nA: 1\nSet-Cookie: s=1\nB: 2", "A: 1\nB: 2"),
        (b"\nset-cookie: s=1\nSET-COOKIE: t=2;\n path=/\nA: 1\nset-cookie: u=3", "A: 1"),
        (b"\nA: 1\nX-Set-Cookie: no\nB: set-cookie: 2", "A: 1\nX-Set-Cookie: no\nB: set-cookie: 2"),
        (b"\nSet-Cookie: s=1", ""),
        (b"", ""),
    ],
)
def test_what_lasts_has_no_cookie(lines, kept):
    assert AnswerHeaders(lines).lasting() == kept
