from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.answers import sse
from connectory.answers.sse import Event, EventStreamError, Parser


def parse(*chunks: bytes) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", "a")]),
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("", "a"), ("", "b"), ("", "c")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", "a"), ("", "b")]),
        (b"data: a\ndata: b\ndata\n\n", [("", "a\nb\n")]),
        (b": comment\n\ndata: a\n: comment\n\n", [("", "a")]),
        (b"id: 1\nretry: 10\nunknown: x\ndata: a\n\n", [("", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"data: \xef\xbb\xbfa\n\n", [("", "\ufeffa")]),
        (b"event: only a name\n\ndata: a\n\n", [("", "a")]),
        (b'data: {"a": "b: c"}\n\n', [("", '{"a": "b: c"}')]),
        (b"data: cut off\n", []),
        (b"data: cut off", []),
        (b"data\n\n", [("", "")]),
        ("data: é😀\u2028x\n\n".encode(), [("", "é😀\u2028x")]),
        (b"data: a\xff\n\n", [("", "a\ufffd")]),
        (b"", []),
    ],
)
def test_bytes_become_events(stream, events):
    assert parse(stream) == [Event(*one) for one in events]
    assert parse(*(stream[place : place + 1] for place in range(len(stream)))) == [
        Event(*one) for one in events
    ]


LINES = st.lists(
    st.sampled_from(["data: é", "data: {}", "event: n", ": c", "", "id: 1", "data"]), max_size=12
)


@given(LINES, st.sampled_from(["\n", "\r", "\r\n"]), st.lists(st.integers(1, 9), max_size=40))
def test_where_the_bytes_are_split_makes_no_difference(lines, end, sizes):
    stream = "".join(line + end for line in lines).encode()
    chunks, place = [], 0
    for size in sizes:
        chunks.append(stream[place : place + size])
        place += size
    assert parse(*chunks, stream[place:]) == parse(stream)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_bytes_break_the_parser(chunks):
    assert all(isinstance(event, Event) for event in parse(*chunks))


def test_the_ends_of_lines_make_no_difference():
    lines = ["event: a", "data: 1", "data: 2", "", "data: 3", ""]
    made = [parse("".join(line + end for line in lines).encode()) for end in ("\n", "\r", "\r\n")]
    assert made[0] == made[1] == made[2] == [Event("a", "1\n2"), Event("", "3")]


@pytest.mark.parametrize("line", [b"x" * 30, b"data: 12345\n"])
def test_an_event_without_end_is_an_error(monkeypatch, line):
    monkeypatch.setattr(sse, "LONGEST_EVENT", 1000)
    with pytest.raises(EventStreamError, match="longer than 1000"):
        parse(*[line] * 1000)
