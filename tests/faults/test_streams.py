"""Streams of server-sent events that break (row P18): never half of an answer as a success."""

from __future__ import annotations

import json

import pytest
from fault_runs import answered_by, ok, outgoing, serving
from fault_server import OK_HEAD, answer, replies

STREAMED = {
    "entity": "chat.completions",
    "payload": {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "&{text}"}]},
    "stream": "aggregate",
    "on_uncertain": "hold",
}
KEPT = {**STREAMED, "stream": "events"}
HEAD = OK_HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
QUICK = {"connect": 5, "idle": 0.3, "total": 20}


def frame(text, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


DONE = b"data: [DONE]\n\n"
TWO = chunk(frame("he")) + chunk(frame("llo", finish_reason="stop"))
WHOLE = HEAD + TWO + chunk(DONE) + b"0\r\n\r\n"
BROKEN = {
    "cut within a chunk": HEAD + TWO[:-20],
    "cut between events": HEAD + TWO,
    "ended in order without [DONE]": HEAD + TWO + b"0\r\n\r\n",
    "ended within an event": HEAD + chunk(frame("he")) + chunk(b'data: {"id": "c", "cho') + b"0\r\n\r\n",
    "nothing at all": HEAD + b"0\r\n\r\n",
    "a bad chunk": HEAD + TWO + b"zz\r\nrubbish\r\n",
    "an event that is no JSON": HEAD
    + chunk(frame("he"))
    + chunk(b"data: oops\n\n")
    + chunk(DONE)
    + b"0\r\n\r\n",
    "an event of another shape": HEAD
    + chunk(b'data: {"object": "chat.completion.chunk", "choices": 7}\n\n')
    + chunk(DONE)
    + b"0\r\n\r\n",
    "only [DONE]": HEAD + chunk(DONE) + b"0\r\n\r\n",
    "bytes that are no text": HEAD + chunk(b"data: \xff\xfe\n\n") + chunk(DONE) + b"0\r\n\r\n",
    "a page instead of a stream": answer(b"<html>", headers="Content-Type: text/html"),
}


def text_of(line):
    return line["response"]["choices"][0]["message"]["content"]


@pytest.mark.fault(
    "P18",
    "A stream that is cut, ends without its last event or holds rubbish is never a success: it leaves a doubt.",
)
@pytest.mark.parametrize("wanted", [STREAMED, KEPT], ids=["aggregate", "events"])
@pytest.mark.parametrize("name", BROKEN)
def test_half_a_stream_is_never_a_success(tmp_path, name, wanted):
    raw = BROKEN[name]
    framed = raw.endswith(
        (b"0\r\n\r\n", b"<html>")
    )  # a connection that is kept must not close as it is used again
    with serving(replies(raw, WHOLE) if framed else answered_by(raw), replies(WHOLE)) as server:
        ran = outgoing(tmp_path, server.url("/v1"), wanted)
        ran.lines = [line for line in ran.lines if "status" in line]
        ran.settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.in_doubt) == ("outcome_unknown", [True, False, False])
    assert [text_of(line) for line in ran.lines[1:]] == ["hello"] * 2


OLD = {"entity": "completions", "payload": {"model": "m", "prompt": "&{text}"}, "stream": "aggregate"}


def old_frame(text):
    choice = {"index": 0, "text": text, "finish_reason": None, "logprobs": None}
    value = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    return chunk(b"data: " + json.dumps(value).encode() + b"\n\n")


@pytest.mark.fault(
    "P18", "Where twice does no harm the stream is asked for again, and only the whole one counts."
)
def test_a_stream_of_what_computes_is_asked_for_again(tmp_path):
    half = HEAD + old_frame("he")
    whole = half + old_frame("llo") + chunk(DONE) + b"0\r\n\r\n"
    with serving(answered_by(half), replies(whole)) as server:
        ran = outgoing(tmp_path, server.url("/v1"), OLD).settle(server)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [True, False, False])
    assert [line["response"]["choices"][0]["text"] for line in ran.lines] == ["hello"] * 3


@pytest.mark.fault("P18", "The record is then set aside; no event of it is in the output.")
@pytest.mark.parametrize("wanted", [STREAMED, KEPT], ids=["aggregate", "events"])
def test_a_stream_that_is_always_cut_is_an_error(tmp_path, wanted):
    with serving(answered_by(BROKEN["ended in order without [DONE]"])) as server:
        ran = outgoing(tmp_path, server.url("/v1"), wanted, records=1).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error"], [1])
    assert "the stream ended after 2 events, before its last" in ran.errors[0]["message"]


@pytest.mark.fault("P18", "A stream that stalls is given up after timeout.idle.")
def test_a_stream_that_stalls_is_given_up(tmp_path):
    async def stall(peer):
        await peer.request()
        await peer.send(HEAD + TWO)
        await peer.silence()

    with serving(stall, replies(WHOLE)) as server:
        ran = outgoing(tmp_path, server.url("/v1"), STREAMED, timeout=QUICK).settle(server)
    assert (ran.code, ran.statuses, ran.in_doubt) == (1, ["error", "ok", "ok"], [True, False, False])


@pytest.mark.fault("P18", "An error within the stream is that record's error, with the server's code.")
def test_an_error_within_a_stream_is_an_error(tmp_path):
    failed = chunk(b'data: {"error": {"message": "made up", "code": "content_filter"}}\n\n')
    with serving(replies(HEAD + TWO + failed + b"0\r\n\r\n", WHOLE), replies(WHOLE)) as server:
        ran = outgoing(tmp_path, server.url("/v1"), STREAMED).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.errors[0]["code"]) == ("api", "content_filter")


@pytest.mark.fault("P18", "A server that answers a stream's request with plain JSON is understood.")
def test_json_instead_of_a_stream_is_an_answer(tmp_path):
    whole = {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"content": "hello"}}],
    }
    with serving(replies(ok(whole))) as server:
        ran = outgoing(tmp_path, server.url("/v1"), STREAMED).settle(server)
    assert (ran.code, [text_of(line) for line in ran.lines]) == (0, ["hello"] * 3)
