"""Refusals for pace and servers that are away: who waits, for how long, and that no record is lost to it."""

from __future__ import annotations

import asyncio
import socket
import time

import httpx
import pytest
import virtual
from connected import CLIENT, POSTS, extend, run
from fault_server import FaultServer, answer, replies
from virtual_client import Network, ok, refused

from connectory.connector import AsyncConnector
from connectory.errors import UnavailableError
from connectory.pace.lanes import Limits
from connectory.retry import Policy

MANY = [{"model": "m", "input": "x"}] * 700
FAST = Limits(requests_per_minute=6_000, concurrency=8)
DATE = "Tue, 01 Jul 2025 10:00:00 GMT"
JSON_TYPE = "Content-Type: application/json"


def work(reply, *, payloads=MANY, **given):
    """Send records to a server and give its network, the outcomes and the seconds."""
    given.setdefault("limits", FAST)

    async def main():
        network = Network(reply, **given)
        outcomes, took = await network.work(payloads, workers=8)
        return network, outcomes, took

    return virtual.run(main())


def stays_refused(**headers):
    async def reply(_request):
        await asyncio.sleep(0.02)
        return refused(**headers)

    return reply


def refuses_for(seconds, **headers):
    """A server that refuses everything for so long after its fifth second, and tells so."""

    async def reply(_request):
        await asyncio.sleep(0.02)
        return refused(**headers) if 5 <= virtual.now() < 5 + seconds else ok()

    return reply


def gap(network):
    """The seconds between the first refusal's request and the next request after those under way."""
    first = next(time for time in network.times if time >= 4.98)
    return next(time for time in network.times if time > first + 0.1) - first


def in_order(outcomes):
    return all(one.answer is not None and one.attempts >= 1 for one in outcomes)


async def listen_on(port, replying):
    """Serve on a given port of this machine."""

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        await reader.readexactly(length)
        writer.write(replying)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", port)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def connector(base_uri, **retry):
    client = {**CLIENT, "base_uri": base_uri, "retry": {"max_wait": 0.2, **retry}}
    config = {"version": 1, "clients": {"api": client}, "outgoing": {"out": POSTS}}
    return AsyncConnector.from_dict(config, listen=lambda _event: None)


async def deliver(made, count):
    return [
        one async for one in made.outgoing("out", [{"payload": {"n": number}} for number in range(count)])
    ]


# 429


@pytest.mark.fault(
    "P5", "refusals without a hint are met by at most four requests in three seconds, all workers together"
)
def test_refusals_without_a_hint_are_not_stormed():
    network, outcomes, took = work(stays_refused(), limits=Limits())
    assert sum(time < 3 for time in network.times) <= 4
    assert {type(one.error) for one in outcomes} == {UnavailableError}
    assert "nothing but refusals for" in str(outcomes[0].error)
    assert 300 <= took < 400
    assert len(network.times) < 40


@pytest.mark.fault(
    "P5", "refusals that never end stop the run after five minutes; no record is set aside for them"
)
def test_lasting_refusals_use_up_no_attempt():
    network, outcomes, took = work(refuses_for(200), policy=Policy(attempts=2), total_timeout=30)
    assert in_order(outcomes)
    assert took < 5 + 200 + 60 + 20
    assert network.client._gate.crowd.busy == 0


@pytest.mark.fault("P5", "over a real connection, a server that only refuses ends the run as unavailable")
def test_a_server_that_only_refuses_is_given_up_over_a_socket():
    async def main():
        body = b'{"error": {"message": "slower", "code": "rate_limit_exceeded"}}'
        script = replies(answer(body, status="429 Slow", headers=JSON_TYPE))
        async with FaultServer(script) as server, connector(server.url("/v1"), outage=0.5) as made:
            with pytest.raises(UnavailableError, match="nothing but refusals"):
                await deliver(made, 20)

    run(main)


@pytest.mark.fault(
    "P6", "every worker waits at least as long as one of them was asked to, and the wait is met once"
)
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "2"}, 2),
        ({"retry_after_ms": "2500"}, 2.5),
        ({"retry_after": "9", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Tue, 01 Jul 2025 10:00:04 GMT", "date": DATE}, 4),
    ],
)
def test_the_servers_wish_holds_for_everybody(headers, wait):
    network, outcomes, _ = work(refuses_for(0.1, **headers))
    assert in_order(outcomes)
    assert wait <= gap(network) < wait + 0.5


@pytest.mark.fault("P6", "an unreadable, negative or absurd wish is none: the pause is a short one")
@pytest.mark.parametrize("text", ["soon", "-1", "NaN", "1000000000", "", "Tue, 01 Jul 2025 09:00:00 GMT"])
def test_a_wish_that_is_none_makes_a_short_pause(text):
    network, outcomes, _ = work(refuses_for(0.1, retry_after=text, date=DATE))
    assert in_order(outcomes)
    assert 0.1 < gap(network) < 3  # a second refusal may follow the first


@pytest.mark.fault(
    "P7", "a date is held against the answer's own date, and waits are of a clock that cannot be set"
)
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_changes_no_wait(hours, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    headers = {"retry_after": "Tue, 01 Jul 2025 10:00:04 GMT", "date": DATE}
    network, outcomes, _ = work(refuses_for(0.1, **headers))
    assert in_order(outcomes)
    assert 4 <= gap(network) < 4.5


@pytest.mark.fault("P7", "a clock that is set while everybody waits ends no wait")
def test_a_clock_that_jumps_while_waiting_changes_no_wait(monkeypatch):
    real = time.time

    async def reply(_request):
        if 5 <= virtual.now() < 5.1:
            monkeypatch.setattr(time, "time", lambda: real() + 3600)
            return refused(retry_after="7")
        return ok()

    network, outcomes, _ = work(reply)
    assert in_order(outcomes)
    assert 7 <= gap(network) < 7.5


@pytest.mark.fault(
    "P8", "without a wish of its own a refusal is waited out until what is used up is full again"
)
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("3s", 3, 3.6),
        ("1m0s", 60, 61),
        ("6m0s", 60, 61),
        ("1ms", 0.2, 3),
        ("-1", 0.2, 3),
        ("soon", 0.2, 3),
        (None, 0.2, 3),
    ],
)
def test_the_time_of_the_reset_is_waited_for(text, least, most):
    headers = {"x_ratelimit_remaining_requests": "0"}
    if text is not None:
        headers["x_ratelimit_reset_requests"] = text
    network, outcomes, _ = work(refuses_for(0.1, **headers))
    assert in_order(outcomes)
    assert least <= gap(network) < most


# Away


def away(*stretches):
    """A server that refuses connections in stretches of time."""

    async def reply(_request):
        if any(start <= virtual.now() < end for start, end in stretches):
            raise httpx.ConnectError("connection refused")
        await asyncio.sleep(0.02)
        return ok()

    return reply


@pytest.mark.fault("N1", "a server that is never reached stops the run with everything pending")
def test_nobody_there_means_that_everything_stays_pending():
    network, outcomes, took = work(away((0, 1e9)))
    assert {(type(one.error), one.in_doubt) for one in outcomes} == {(UnavailableError, False)}
    assert 30 <= took < 40
    assert len(network.times) < 30  # one at a time, not each worker by itself


@pytest.mark.fault("N1", "a server that goes away for good is waited for, then the run stops")
def test_a_server_that_goes_away_for_good_stops_the_run_later():
    network, outcomes, took = work(away((2, 1e9)))
    lost = [one for one in outcomes if one.answer is None]
    assert {(type(one.error), one.in_doubt) for one in lost} == {(UnavailableError, False)}
    assert 302 <= took < 320
    assert sum(time > 2.1 for time in network.times) < 120


@pytest.mark.fault(
    "N1", "over a real connection, a refused one ends the run as unavailable, without results or dead letters"
)
def test_a_refused_connection_stops_a_run():
    async def main():
        results = []
        async with connector(f"http://127.0.0.1:{free_port()}/v1", outage=0.5) as made:
            with pytest.raises(UnavailableError, match="refused"):
                await extend(results, made.outgoing("out", [{"payload": {}}] * 20))
        assert results == []

    run(main)


@pytest.mark.fault("N2", "a server that comes back after twenty seconds gets every record; none is set aside")
@pytest.mark.parametrize("begin", [0, 3])
def test_a_server_that_comes_back_gets_everything(begin):
    network, outcomes, took = work(away((begin, begin + 20)), policy=Policy(attempts=2), total_timeout=5)
    assert in_order(outcomes)
    assert took < 4 + 20 + 5.5 + 1
    assert sum(begin + 0.5 < time < begin + 20 for time in network.times) <= 12


@pytest.mark.fault("N2", "over a real connection, a server that starts late gets every record")
def test_a_server_that_starts_late_gets_everything_over_a_socket():
    async def main():
        port = free_port()
        async with connector(f"http://127.0.0.1:{port}/v1", attempts=1, outage=60) as made:
            delivering = asyncio.create_task(deliver(made, 30))
            await asyncio.sleep(0.5)
            server = await listen_on(port, answer(b'{"id": "x"}', headers=JSON_TYPE))
            try:
                return await delivering
            finally:
                server.close()
                await server.wait_closed()

    assert [one.status for one in run(main)] == ["ok"] * 30


@pytest.mark.fault(
    "N14", "a server that flaps for a minute is tried one request at a time, and is back at work soon after"
)
def test_a_flapping_server_is_tried_by_one_at_a_time():
    stretches = [(start, start + 4) for start in range(2, 62, 6)]
    under_way = []

    async def reply(_request):
        if any(start + 0.1 <= virtual.now() < end for start, end in stretches):
            under_way.append(network.busy)
        return await away(*stretches)(_request)

    network = Network(reply, limits=FAST, policy=Policy(attempts=2))
    outcomes, took = virtual.run(network.work(MANY * 6, workers=8))
    assert in_order(outcomes)
    assert set(under_way) == {1}
    assert took < 62 + 30 + 40
    assert any(62 <= time < 62 + 6 for time in network.times)


@pytest.mark.fault("N14", "errors of a server that flaps set no record aside either")
def test_a_server_that_flaps_with_errors_loses_no_record():
    async def reply(_request):
        await asyncio.sleep(0.02)
        down = 2 <= virtual.now() < 62 and virtual.now() % 10 < 7
        return httpx.Response(502, html="<h1>Bad Gateway</h1>") if down else ok()

    limits = Limits(requests_per_minute=6_000, concurrency=32)
    network = Network(reply, limits=limits)
    outcomes, took = virtual.run(network.work(MANY * 6))
    assert in_order(outcomes)
    assert took < 62 + 30 + 40
