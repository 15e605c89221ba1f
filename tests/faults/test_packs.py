"""Packed requests against servers that fail: many records share one fault, and each keeps its own result."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fault_runs import JSON_TYPE, MODERATE, Ran, ok, outgoing, refused, requests, serving
from fault_server import FaultServer, Peer, Script, answer, html

COUNT, SIZE = 6, 4
PACKED = {**MODERATE, "pack": {"size": SIZE, "wait": 1}}
KEY = re.compile(rb"(?i)\r\nidempotency-key: (\S+)")


def inputs(request: bytes) -> list[str]:
    given = json.loads(request.partition(b"\r\n\r\n")[2])["input"]
    return given if isinstance(given, list) else [given]


def judged(request: bytes) -> bytes:
    """Answer every text with itself; refuse what has `bad` in it."""
    texts = inputs(request)
    if any("bad" in text for text in texts):
        return refused("400 Bad Request", "made_up")
    return ok({"id": "modr-1", "results": [{"flagged": False, "text": text} for text in texts]})


async def healthy(peer: Peer) -> None:
    while True:
        await peer.send(judged(await peer.request()))


def first(*answers: bytes) -> Script:
    """Give these answers to the first requests of a connection."""

    async def script(peer: Peer) -> None:
        for raw in answers:
            await peer.request()
            await peer.send(raw)
        await healthy(peer)

    return script


def keys(server: FaultServer) -> list[bytes]:
    return [key for data in server.received for key in KEY.findall(bytes(data))]


def settled(ran: Ran, server: FaultServer, wire: int) -> Ran:
    """Check what holds after every fault, and that each answer is that of its record."""
    ran.settle(server, on_the_wire=wire)
    for line in ran.lines:
        if line["status"] == "ok":
            (result,) = line["response"]["results"]
            assert result["text"].endswith(line["id"].removeprefix("r"))
    return ran


def run(folder: Any, server: FaultServer, **options: Any) -> Ran:
    return outgoing(folder, server.url("/v1"), PACKED, **{"records": COUNT, **options})


@pytest.mark.fault(
    "N3", "With `pack` the same request goes again under the same key, and all its records are flagged."
)
def test_a_pack_whose_connection_breaks_is_sent_again_as_it_was(tmp_path):
    async def broken(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    with serving(broken, healthy) as server:
        ran = settled(run(tmp_path, server), server, 3)
    assert (ran.code, ran.attempts) == (0, [2] * SIZE + [1] * 2)
    assert ran.in_doubt == [True] * SIZE + [False] * 2
    assert keys(server)[0] == keys(server)[1] != keys(server)[2]


@pytest.mark.fault("N4", "The answer to a pack that is cut counts for none of its records.")
def test_a_pack_whose_answer_is_cut_has_no_answer(tmp_path):
    async def cut(peer: Peer) -> None:
        await peer.send(judged(await peer.request())[:-20])
        peer.close()

    with serving(cut, healthy) as server:
        ran = settled(run(tmp_path, server), server, 3)
    assert (ran.code, ran.attempts) == (0, [2] * SIZE + [1] * 2)


@pytest.mark.fault(
    "P1", "A pack that is never answered with JSON sets its records aside, and the next one goes on."
)
def test_a_pack_that_is_answered_with_a_page_is_set_aside(tmp_path):
    with serving(first(judged_pack(0), html(), html(), html())) as server:
        ran = run(tmp_path, server, records=3 * SIZE)
    settled(ran, server, 5)
    assert ran.code == 1
    assert ran.statuses == ["ok"] * SIZE + ["error"] * SIZE + ["ok"] * SIZE
    assert {one["class"] for one in ran.errors} == {"outcome_unknown"}


def judged_pack(start: int) -> bytes:
    results = [{"flagged": False, "text": f"text {start + number + 1}"} for number in range(SIZE)]
    return ok({"id": "modr-1", "results": results})


@pytest.mark.fault(
    "B15", "A record that the server refuses in a pack is found by halves; the others are answered."
)
def test_a_record_that_is_refused_does_not_take_its_pack_with_it(tmp_path):
    async def refusing(peer: Peer) -> None:
        while True:
            request = await peer.request()
            raw = judged(request)
            await peer.send(refused("400 Bad Request", "made_up") if "text 3" in inputs(request) else raw)

    with serving(refusing) as server:
        ran = settled(run(tmp_path, server), server, 6)  # 4, 2 + 2, 1 + 1, and the other 2
    assert (ran.code, [one["id"] for one in ran.dead]) == (1, ["r3"])
    assert ran.attempts == [2, 2, 3, 3, 1, 1]
    assert ran.in_doubt == [False] * COUNT


@pytest.mark.fault(
    "P16", "A pack whose key was used with another body is not divided: that would make new keys."
)
def test_a_pack_whose_key_is_known_with_another_body_is_set_aside(tmp_path):
    said = {"error": {"message": "same key, other body", "type": "idempotency_error", "code": None}}
    with serving(first(judged_pack(0), ok(said, status="422 Unprocessable Entity"))) as server:
        ran = settled(run(tmp_path, server, records=3 * SIZE), server, 3)
    assert ran.statuses == ["ok"] * SIZE + ["error"] * SIZE + ["ok"] * SIZE
    assert ran.in_doubt == [False] * SIZE + [True] * SIZE + [False] * SIZE


@pytest.mark.fault(
    "P16", "409 on a pack: the same key is being worked on, so that the pack waits and goes again with it."
)
def test_a_pack_that_is_being_worked_on_is_asked_for_again(tmp_path):
    with serving(first(refused("409 Conflict", "conflict"))) as server:
        ran = settled(run(tmp_path, server), server, 3)
    assert (ran.code, ran.attempts) == (0, [2] * SIZE + [1] * 2)
    assert keys(server)[0] == keys(server)[1]


@pytest.mark.fault(
    "P15", "A server that answers a pack with fewer results than records has answered none of them."
)
def test_a_pack_with_too_few_answers_is_set_aside(tmp_path):
    few = answer(json.dumps({"id": "m", "results": [{"flagged": True}]}).encode(), headers=JSON_TYPE)
    with serving(first(judged_pack(0), few)) as server:
        ran = settled(run(tmp_path, server, records=3 * SIZE), server, 3)
    assert ran.statuses == ["ok"] * SIZE + ["error"] * SIZE + ["ok"] * SIZE
    assert "1 items in 'results' for 4 records" in ran.errors[0]["message"]


@pytest.mark.fault(
    "P5", "Refusals for pace concern requests: a pack waits as one, and none of its records is set aside."
)
def test_a_pack_that_is_refused_for_pace_waits(tmp_path):
    with serving(
        first(refused("429 Too Many Requests", "rate_limit_exceeded", headers="retry-after-ms: 5"))
    ) as server:
        ran = settled(run(tmp_path, server), server, 3)
    assert (ran.code, ran.attempts) == (0, [2] * SIZE + [1] * 2)
    assert requests(server) == 3
