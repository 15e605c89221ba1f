"""The headers of an answer are what httpx would make of them, looked up in any case."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.headers import AnswerHeaders

NAMES = st.text("abcXYZ-", min_size=1, max_size=8).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10).map(str.encode)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_they_are_what_httpx_makes_of_them(raw):
    assert dict(AnswerHeaders(raw)) == dict(httpx.Headers(raw).items())


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-Id", "X-REQUEST-ID"])
def test_a_name_is_found_in_any_case(name):
    headers = AnswerHeaders([(b"X-Request-ID", b"req-1")])
    assert (headers[name], headers.get(name), headers.get(name, "other")) == ("req-1",) * 3


def test_a_name_that_is_not_there_is_missed():
    headers = AnswerHeaders([])
    assert (headers.get("X-A"), headers.get("x-a", "other")) == (None, "other")
    for name in ("X-A", "x-a"):
        with pytest.raises(KeyError):
            headers[name]


def test_each_value_beyond_ascii_is_read_for_itself():
    headers = AnswerHeaders([(b"a", "é".encode()), (b"b", b"\xe9"), (b"A", b"1")])
    assert dict(headers) == {"a": "é, 1", "b": "é"}
