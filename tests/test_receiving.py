from __future__ import annotations

import asyncio
import gzip
import json
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.answers import receiving, unpacking
from connectory.answers.meaning import Expected
from connectory.answers.receiving import receive
from connectory.errors import ApiError, OutcomeUnknownError, TooLargeError
from connectory.files.saving import Target

STREAM = {"content-type": "text/event-stream; charset=utf-8"}
BINARY = {"content-type": "audio/mpeg"}
GZIP = BINARY | {"content-encoding": "gzip"}


class Chunks:
    def __init__(self, *chunks, error=None):
        self.chunks, self.error, self.closed = chunks, error, False

    async def __aiter__(self):
        for one in self.chunks:
            yield one
        if self.error is not None:
            raise self.error

    async def aclose(self):
        self.closed = True


def received(*chunks, headers, kind="json", status=200, error=None, **options):
    stream = Chunks(*chunks, error=error)
    try:
        return asyncio.run(
            receive(Expected("POST /x", kind), status, httpx.Headers(headers), stream, **options)
        )
    finally:
        assert stream.closed


def lines(*events):
    return [
        (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"
        for name, data in events
    ]


FRAME = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
DONE = b"data: [DONE]\n\n"


def test_a_stream_is_put_together():
    answer = received(*lines(("", FRAME), ("", FRAME)), DONE, headers=STREAM)
    assert answer.value["choices"][0]["message"]["content"] == "hihi"
    assert answer.events is None


def test_the_events_are_kept_where_they_are_asked_for():
    answer = received(*lines(("", FRAME)), DONE, headers=STREAM, events=True)
    assert answer.events == [{"event": None, "data": FRAME}, {"event": None, "data": "[DONE]"}]
    assert answer.value["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize("chunks", [[], lines(("", FRAME)), [b": only a comment\n\n"], [DONE[:-1]]])
def test_a_stream_that_ends_before_its_last_event_has_an_unknown_outcome(chunks):
    with pytest.raises(
        OutcomeUnknownError, match=r"POST /x: the stream ended after \d events, before its last"
    ):
        received(*chunks, headers=STREAM)


def test_an_error_within_a_stream_is_the_servers_with_its_code():
    error = {"error": {"message": "too much", "code": "rate_limit_exceeded", "type": "t"}}
    with pytest.raises(ApiError, match="too much") as caught:
        received(*lines(("", FRAME), ("", error)), DONE, headers=STREAM)
    assert (caught.value.code, caught.value.type, caught.value.status) == ("rate_limit_exceeded", "t", 200)
    with pytest.raises(ApiError, match="too much"):
        received(*lines(("error", {"type": "error", "message": "too much"})), headers=STREAM)


@pytest.mark.parametrize(
    "chunk", [b"data: {\n\n", b'data: {"object": "chat.completion.chunk", "choices": 7}\n\n']
)
def test_events_that_cannot_be_understood_have_an_unknown_outcome(chunk):
    with pytest.raises(OutcomeUnknownError, match="not JSON|another shape"):  # noqa: RUF043 - two messages
        received(chunk, DONE, headers=STREAM)


def test_a_stream_is_bounded(monkeypatch):
    monkeypatch.setattr(receiving, "LARGEST_BODY", 100)
    with pytest.raises(TooLargeError, match="larger than 100 bytes"):
        received(*lines(("", FRAME)) * 10, headers=STREAM)


def test_an_answer_that_announces_too_much_is_not_taken_at_all(monkeypatch):
    monkeypatch.setattr(receiving, "LARGEST_BODY", 100)
    with pytest.raises(TooLargeError, match=r"larger than 100 bytes; save_to takes files of any size"):
        received(b"{}", headers={"content-length": "101"}, kind="binary", error=AssertionError("it was read"))


def test_a_bomb_that_is_saved_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "HARMLESS", 100_000)
    with pytest.raises(TooLargeError, match="unpacks to more than 200 times its size"):
        received(gzip.compress(bytes(1_000_000)), headers=GZIP, kind="binary", save=Target.at(tmp_path / "x"))
    assert not list(tmp_path.iterdir())


def test_a_refusal_of_a_stream_is_one():
    with pytest.raises(ApiError, match="answered 429"):
        received(b"data: x\n\n", headers=STREAM, status=429)


def test_an_answer_is_saved_as_it_came(tmp_path):
    answer = received(b"ab", b"c", headers=BINARY, kind="binary", save=Target.at(tmp_path / "x.mp3"))
    assert (tmp_path / "x.mp3").read_bytes() == b"abc"
    assert (answer.value["bytes"], answer.value["mime_type"]) == (3, "audio/mpeg")


def test_an_empty_answer_is_saved_as_an_empty_file(tmp_path):
    assert received(headers=BINARY, kind="binary", save=Target.at(tmp_path / "x")).value["bytes"] == 0


def test_json_that_is_saved_is_understood_first(tmp_path):
    save = Target.at(tmp_path / "x.json")
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert received(gzip.compress(b'{"a": 1}'), headers=headers, save=save).value["bytes"] == 8
    assert (tmp_path / "x.json").read_bytes() == b'{"a": 1}'
    with pytest.raises(OutcomeUnknownError, match="not JSON"):
        received(b"<html>", headers={"content-type": "text/html"}, save=Target.at(tmp_path / "y"))
    assert not (tmp_path / "y").exists()


def test_a_refusal_is_not_saved(tmp_path):
    with pytest.raises(ApiError):
        received(b"no", headers=BINARY, kind="binary", status=404, save=Target.at(tmp_path / "x"))
    assert [*tmp_path.iterdir()] == []


def test_an_answer_that_breaks_off_leaves_no_file(tmp_path):
    broken = httpx.RemoteProtocolError("gone")
    with pytest.raises(httpx.RemoteProtocolError):
        received(b"ab", headers=BINARY, kind="binary", error=broken, save=Target.at(tmp_path / "x"))
    assert [*tmp_path.iterdir()] == []


@given(st.lists(st.integers(0, 400), max_size=6))
def test_gzip_is_unpacked_wherever_it_is_split(cuts):
    plain = bytes(range(256)) * 40
    packed = gzip.compress(plain[:5000]) + gzip.compress(plain[5000:])
    places = sorted({0, len(packed), *(cut % len(packed) for cut in cuts)})

    async def main():
        stream = Chunks(*(packed[start:end] for start, end in pairwise(places)))
        pieces = receiving._plain(Expected("GET /x", "binary"), httpx.Headers(GZIP), stream)
        return b"".join([piece async for piece in pieces])

    assert asyncio.run(main()) == plain


def test_what_a_little_gzip_unpacks_to_comes_in_bounded_pieces(tmp_path):
    packed = gzip.compress(bytes(30_000_000))

    async def main():
        pieces = receiving._plain(Expected("GET /x", "binary"), httpx.Headers(GZIP), Chunks(packed))
        return [len(piece) async for piece in pieces]

    sizes = asyncio.run(main())
    assert (sum(sizes), max(sizes)) == (30_000_000, unpacking.PIECE)


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", "ends too early"),
        (b"\x1f\x8bxxxxxxxxxxxx", "gzip", "broken gzip"),
        (b"x", "br", "which was not asked for"),
    ],
)
def test_an_encoding_that_cannot_be_undone_leaves_no_file(tmp_path, body, encoding, says):
    headers = BINARY | {"content-encoding": encoding}
    with pytest.raises(OutcomeUnknownError, match=says):
        received(body, headers=headers, kind="binary", save=Target.at(tmp_path / "x"))
    assert [*tmp_path.iterdir()] == []


def test_a_saved_answer_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("connectory.files.saving.LARGEST_FILE", 10)
    with pytest.raises(Exception, match="larger than 10 bytes"):
        received(b"x" * 11, headers=BINARY, kind="binary", save=Target.at(tmp_path / "x"))
    assert [*tmp_path.iterdir()] == []
