"""The network's faults (rows N): connections that break, stall, drip, or were dead before they were used."""

from __future__ import annotations

import asyncio
import socket

import pytest
from fault_runs import (
    JSON_TYPE,
    MAKE,
    MODERATE,
    PURGE,
    healthy,
    incoming,
    listed,
    ok,
    outgoing,
    serving,
)
from fault_server import OK_HEAD, answer, chunked, replies
from transport_helpers import close_after_receipt, cut, reset_after_receipt, silent

QUICK = {"connect": 5, "idle": 0.3, "total": 20}
WHOLE = ok()


# -- the connection ends too early


@pytest.mark.fault(
    "N3", "The server may have acted: what computes, reads or deletes is sent again with the same key."
)
@pytest.mark.parametrize("wanted", [MODERATE, PURGE], ids=["compute", "delete"])
@pytest.mark.parametrize("script", [reset_after_receipt, close_after_receipt])
def test_a_request_that_got_no_answer_is_sent_again_where_twice_does_no_harm(tmp_path, wanted, script):
    with serving(script, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1"), wanted).settle(server)
    assert (ran.code, ran.statuses) == (0, ["ok"] * 3)
    assert (ran.attempts, ran.in_doubt) == ([2, 1, 1], [True, False, False])
    keys = [
        line
        for data in server.received
        for line in bytes(data).split(b"\r\n")
        if b"idempotency-key" in line.lower()
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.fault(
    "N3", "What creates is not sent again: the record is set aside, marked in doubt, and the run goes on."
)
@pytest.mark.parametrize("script", [reset_after_receipt, close_after_receipt])
def test_a_creation_that_got_no_answer_is_set_aside(tmp_path, script):
    with serving(script, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.statuses) == (1, ["error", "ok", "ok"])
    assert (ran.attempts, ran.in_doubt) == ([1, 1, 1], [True, False, False])
    assert (ran.errors[0]["class"], ran.errors[0]["retryable"]) == ("outcome_unknown", True)


CUT = {
    "length": WHOLE[:-3],
    "chunk": chunked(b'{"id": ', headers=JSON_TYPE, end=False),
    "within a chunk": chunked(WHOLE.partition(b"\r\n\r\n")[2], headers=JSON_TYPE)[:-9],
    "last chunk missing": chunked(b'{"id": "m", "results": []}', headers=JSON_TYPE, end=False),
    "head": WHOLE[:40],
}


@pytest.mark.fault("N4", "A body that is cut is never a success, whatever is in it; it is asked for again.")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("name", CUT)
def test_a_body_that_is_cut_is_never_a_success(tmp_path, name, reset):
    with serving(cut(CUT[name], reset=reset), healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (0, ["ok"] * 3, [2, 1, 1])
    assert ran.lines[0]["response"] == {"id": "modr-1", "results": []}


@pytest.mark.fault("N4", "When every attempt is cut the record is set aside, and the run goes on.")
def test_a_body_that_is_always_cut_ends_as_an_error(tmp_path):
    scripts = [cut(CUT["length"])] * 4
    with serving(*scripts, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [4, 1, 1])
    assert "closed in the middle of the answer" in ran.errors[0]["message"]


@pytest.mark.fault("N5", "Only JSON that is whole counts: half of it is a doubt and is asked for again.")
def test_an_answer_without_a_length_that_ends_in_the_middle_is_no_answer(tmp_path):
    head = OK_HEAD + f"{JSON_TYPE}\r\n\r\n".encode()
    scripts = [cut(head + b'{"id": "half", "resu'), cut(head + b'{"id": "whole", "results": []}'), healthy]
    with serving(*scripts) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.attempts) == (0, [2, 1, 1])
    assert ran.lines[0]["response"]["id"] == "whole"


# -- the connection stalls


@pytest.mark.fault("N6", "The attempt ends when no byte has come for timeout.idle, and the next one is made.")
def test_a_server_that_never_answers_costs_one_idle_time(tmp_path):
    with serving(silent, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1"), timeout=QUICK).settle(server)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [True, False, False])


@pytest.mark.fault("N6", "All attempts together end with timeout.total.")
def test_a_server_that_never_answers_costs_one_total_time_in_all(tmp_path):
    timeout = {"connect": 5, "idle": 5, "total": 0.8}
    with serving(silent, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1"), timeout=timeout).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert "no whole answer within timeout.total (0.8 s)" in ran.errors[0]["message"]


@pytest.mark.fault("N7", "Bytes that keep coming slowly do not prolong a request beyond timeout.total.")
@pytest.mark.parametrize("raw", [WHOLE, ok({"id": "x" * 5000})], ids=["head", "body"])
def test_an_answer_that_drips_is_given_up_at_the_total_time(tmp_path, raw):
    async def drip(peer):
        await peer.request()
        await peer.send(raw[: 10 if raw is WHOLE else 200])
        await peer.drip(raw[10 if raw is WHOLE else 200 :], every=0.02)

    with serving(drip, healthy) as server:
        timeout = {"connect": 5, "idle": 0.6, "total": 0.8}
        ran = outgoing(tmp_path, server.url("/v1"), timeout=timeout).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.in_doubt[0]) == ("outcome_unknown", True)


@pytest.mark.fault(
    "N8", "A server that stops taking the request is given up after timeout.idle; part of it was sent."
)
def test_a_server_that_stops_reading_is_given_up(tmp_path):
    async def deaf(peer):
        await peer.head()
        peer.pause()
        await peer.silence()

    with serving(deaf, healthy) as server:
        large, timeout = "x" * 8_000_000, {**QUICK, "idle": 1}
        ran = outgoing(tmp_path, server.url("/v1"), records=2, text=large, timeout=timeout).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (0, ["ok", "ok"], [2, 1])
    assert ran.in_doubt == [True, False]
    assert len(server.received) == 2


# -- the connection was dead before it was used


@pytest.mark.fault(
    "N12", "A kept connection that was closed meanwhile is noticed before anything is sent: one attempt."
)
def test_a_kept_connection_that_was_closed_costs_no_attempt(tmp_path):
    async def once(peer):
        await peer.request()
        await peer.send(ok({"id": "once"}))
        peer.close()

    with serving(once, once) as server:
        limits = {"concurrency": 1, "requests_per_minute": 60}  # a second passes, and the hang-up has come
        ran = outgoing(tmp_path, server.url("/v1"), records=2, limits=limits).settle(server)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [1, 1], [False] * 2)
    assert len(server.received) == 2


@pytest.mark.fault("N12", "One that is closed while the request leaves is a doubt like any other.")
def test_a_kept_connection_that_is_closed_as_it_is_used_leaves_a_doubt(tmp_path):
    async def twice(peer):
        await peer.request()
        await peer.send(ok())
        await peer.request()
        peer.reset()

    with serving(twice, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.statuses, ran.in_doubt) == (1, ["ok", "error", "ok"], [False, True, False])


# -- names


def forgetful(monkeypatch, *answers):
    """Make the name api.test known or unknown, look-up by look-up; the last answer stays."""
    real, left = socket.getaddrinfo, list(answers)

    def look_up(host, port, *others, **options):
        if host not in {"api.test", b"api.test"}:
            return real(host, port, *others, **options)
        known = left.pop(0) if len(left) > 1 else left[0]
        if known is not None:
            raise socket.gaierror(known, "made up: no such name")
        return real("127.0.0.1", port, *others, **options)

    async def look_up_in_time(_loop, host, port, **options):
        await asyncio.sleep(0)
        return look_up(host, port, **options)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", look_up_in_time)
    monkeypatch.setattr("connectory.cli.setup.find_spec", lambda _: None)  # uvloop asks the system by itself


@pytest.mark.fault(
    "N10", "A name that nobody knows at the start of a run stops it: exit code 3, one attempt, nothing sent."
)
def test_an_unknown_name_at_the_start_stops_the_run(tmp_path, monkeypatch):
    forgetful(monkeypatch, socket.EAI_NONAME)
    ran = outgoing(tmp_path, "http://api.test:1/v1").settle()
    assert (ran.code, ran.lines, ran.unsent) == (3, [], 3)
    assert "the name is not known" in ran.said
    assert "http://api.test:1/v1/moderations" in ran.said
    assert "attempt" not in ran.said


@pytest.mark.fault("N10", "A look-up that fails for the moment is repeated; the requests were never sent.")
def test_a_name_that_cannot_be_looked_up_for_the_moment_is_tried_again(tmp_path, monkeypatch):
    forgetful(monkeypatch, socket.EAI_AGAIN, socket.EAI_AGAIN, None)
    with serving() as server:
        ran = outgoing(tmp_path, f"http://api.test:{server.port}/v1", MAKE).settle(server, on_the_wire=3)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [3, 1, 1], [False] * 3)


@pytest.mark.fault(
    "N10", "A name that vanishes in the middle of a run is tried again like any other failed connection."
)
def test_a_name_that_vanishes_in_the_middle_of_a_run_is_tried_again(tmp_path, monkeypatch):
    async def once(peer):
        await peer.request()
        await peer.send(answer(b"{}", headers=JSON_TYPE, close=True))

    forgetful(monkeypatch, None, socket.EAI_NONAME, None)
    with serving(once) as server:
        ran = outgoing(tmp_path, f"http://api.test:{server.port}/v1", MAKE).settle(server, on_the_wire=3)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [1, 2, 1], [False] * 3)


# -- other protocols

GOAWAY = (
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)


@pytest.mark.fault(
    "N11", "HTTP/2 is neither offered nor understood: its frames are no answer, and a doubt like any other."
)
def test_frames_of_http_2_are_no_answer(tmp_path):
    with serving(cut(GOAWAY), replies(listed("a"))) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ran.lines) == (0, [{"id": "a"}])
    assert "the answer is not valid HTTP/1.1" in ran.said
    assert b"h2c" not in b"".join(server.received).lower()
