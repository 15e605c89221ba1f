"""Routes: an incoming and the outgoings that follow it, each with a journal."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from connected import OWN_TASKS, body_of, connected, refusal, run
from journaled import refusing
from routed import ECHO, PURGE, READS, Routed, Things

from connectory.errors import CredentialsError, RunInterruptedError, UnknownNameError

NAMES = [f"t{number}" for number in range(6)]


@pytest.fixture
def way(tmp_path):
    """Make a route of these steps."""
    return lambda **outgoing: Routed(tmp_path, **outgoing)


def step(name: str, **more: Any) -> dict[str, Any]:
    """A step that posts what it gets to a path of its own, one at a time."""
    return {**ECHO, "request": {"method": "POST", "path": f"/{name}"}, "concurrency": 1, **more}


def test_what_the_incoming_reads_is_sent_by_the_outgoing(way):
    route = way(send={**ECHO, "result": "&{response.got.id}"})
    life = route.travel(Things())

    assert (life.error, route.lines, route.letters(1)) == (None, NAMES, [])
    assert (life.counts["ok"], life.counts["done"]) == (6, 6)


def test_reading_and_sending_overlap_where_nothing_is_deleted(way):
    class Patient(Things):
        """Gives the second page when the first one's things have begun to come back."""

        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and "after" in request.url.params:
                await came.wait()
            if request.method == "POST":
                came.set()
            return await super().answer(request)

    came = asyncio.Event()
    life = way(send=ECHO).travel(Patient())

    assert (life.error, life.counts["ok"]) == (None, 6)


def test_a_deleting_route_reads_its_whole_list_before_the_first_deletion(way):
    server = Things()
    life = way(purge=PURGE).travel(server)

    assert server.methods == ["GET"] * 3 + ["DELETE"] * 6
    assert (server.things, life.counts["ok"]) == ([], 6)


def test_a_route_that_deletes_in_a_later_step_reads_its_whole_list_first_too(way):
    server = Things()
    way(send=ECHO, purge={**PURGE, "path": {"thing": "&{response.got.id}"}}).travel(server)

    assert server.methods[:3] == ["GET"] * 3
    assert server.things == []


def test_the_list_of_a_deleting_route_is_counted_before_anything_is_deleted(tmp_path):
    route, server = Routed(tmp_path, purge=PURGE), Things()

    async def main():
        async with route.made(server) as made, route.built(made) as (built, _sink):
            assert built.deletes
            assert await built.read() == 6

    run(main)
    assert server.methods == ["GET"] * 3


def test_a_list_that_cannot_be_read_to_its_end_deletes_nothing(way):
    class Broken(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(401) if "after" in request.url.params else await super().answer(request)

    route, server = way(purge=PURGE), Broken()
    life = route.travel(server)

    assert isinstance(life.error, CredentialsError)
    assert (route.lines, server.methods) == ([], ["GET", "GET"])


def test_the_next_step_gets_input_and_response(way):
    class One(Things):
        def __init__(self) -> None:
            super().__init__()
            self.things = ["t0"]

    server = One()
    way(first={**ECHO, "payload": {"a": "&{id}"}}, second=ECHO).travel(server)

    posts = [body_of(request) for request in server.requests if request.method == "POST"]
    assert posts == [{"a": "t0"}, {"input": {"id": "t0"}, "response": {"got": {"a": "t0"}}}]


def test_the_next_step_gets_the_shaped_result_where_there_is_one(way):
    route = way(first={**ECHO, "result": {"was": "&{input.id}"}}, second={**ECHO, "result": "&{response}"})
    life = route.travel(Things())

    assert route.lines == [{"got": {"was": name}} for name in NAMES]
    assert life.counts["ok"] == 6


def test_response_transformers_may_hand_on_none_or_many(way):
    first = {
        **ECHO,
        "response_transformers": [
            {"keep_if": "input.id != 't0'"},
            {"build": {"twice": [{"n": "&{input.id}"}, {"n": "&{input.id}"}]}},
            {"split": {"field": "twice"}},
        ],
    }
    route = way(first=first, second={**ECHO, "result": "&{response.got.n}"})
    route.travel(Things())

    assert sorted(route.lines) == sorted(NAMES[1:] * 2)


def test_a_failure_in_a_step_leaves_the_route_there_and_goes_to_that_step_s_dead_letters(way):
    class Picky(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and body_of(request) == {"id": "t1"}:
                return refusal(400)
            return await super().answer(request)

    route = way(first={**ECHO, "result": {"n": "&{input.id}"}}, second={**ECHO, "result": "&{input.n}"})
    life = route.travel(Picky())
    summaries = [route.runs.summary(f"{life.run}.{number}") for number in (1, 2)]

    assert route.lines == ["t0", "t2", "t3", "t4", "t5"]
    assert [letter["record"] for letter in route.letters(1)] == [{"id": "t1"}]
    assert [letter["connection"] for letter in route.letters(1)] == ["first"]
    assert route.letters(2) == []
    assert [(one.state, one.done, one.dead, one.pending) for one in summaries] == [
        ("finished", 5, 1, 0),
        ("finished", 5, 0, 0),
    ]


@pytest.mark.parametrize("guilty", ["first", "second"])
def test_a_cause_that_concerns_every_record_stops_the_whole_route(way, guilty: str):
    class Refusing(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(401) if request.url.path.endswith(guilty) else await super().answer(request)

    route, server = way(first=step("first"), second=step("second")), Refusing()
    life = route.travel(server)

    assert isinstance(life.error, CredentialsError)
    assert (route.lines, route.letters(1), route.letters(2)) == ([], [], [])
    assert len([line for line in server.lines if line.endswith(guilty)]) == 1


@pytest.mark.parametrize("guilty", ["first", "second"])
def test_a_route_that_was_stopped_by_a_refusal_goes_on_where_each_step_was(way, guilty: str):
    class Refusing(Things):
        refused = True

        async def answer(self, request: httpx.Request) -> httpx.Response:
            seen = len([line for line in self.lines if line.endswith(guilty)])
            if self.refused and request.url.path.endswith(guilty) and seen > 2:
                return refusal(401)
            return await super().answer(request)

    route, server = way(first=step("first"), second=step("second")), Refusing()
    route.travel(server)
    server.refused = False
    again = route.travel(server)

    assert (again.resumed, again.error) == (True, None)
    for name in ("first", "second"):
        assert len([line for line in server.lines if line.endswith(name)]) == 6 + (name == guilty)
    assert len(route.lines) == 6
    assert not any(line["in_doubt"] for line in route.lines)


def test_a_record_limit_bounds_what_is_read(way):
    server = Things()
    way(purge=PURGE).travel(server, limit=3)

    assert server.things == ["t3", "t4", "t5"]


@pytest.mark.parametrize("held_in", ["first", "second"])
def test_a_route_can_be_stopped_gently_in_every_step(way, held_in: str):
    async def main():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Things):
            async def answer(self, request: httpx.Request) -> httpx.Response:
                if request.url.path.endswith(held_in):
                    arrived.set()
                    await go_on.wait()
                return await super().answer(request)

        route, server = way(first=step("first"), second=step("second")), Slow()
        async with route.made(server) as made, route.built(made) as (built, sink):
            running = asyncio.ensure_future(route.travelled(built, sink))
            await arrived.wait()
            assert built.stop(RunInterruptedError("interrupted"))
            go_on.set()
            with pytest.raises(RunInterruptedError):
                await running
            expected = 1 if held_in == "second" else 0
            assert [line["id"] for line in route.lines_so_far] == ["1"][:expected]
        assert len(asyncio.all_tasks()) == OWN_TASKS
        return route, server

    route, server = run(main)
    again = route.travel(server)
    assert (again.error, [line["id"] for line in route.lines]) == (None, [str(one) for one in range(1, 7)])
    assert len([line for line in server.lines if line.endswith("second")]) == 6


def test_a_gentle_stop_does_not_read_an_endless_list_to_its_end(way):
    async def main():
        arrived = asyncio.Event()

        class Endless(Things):
            async def answer(self, request: httpx.Request) -> httpx.Response:
                if request.method == "POST":
                    arrived.set()
                    return await super().answer(request)
                await asyncio.sleep(0.001)
                last = f"t{len(self.requests):09}"
                return httpx.Response(200, json={"data": [{"id": last}], "has_more": True})

        route = way(first=step("first"))
        async with route.made(Endless()) as made, route.built(made) as (built, sink):
            running = asyncio.ensure_future(route.travelled(built, sink))
            await arrived.wait()
            built.stop(RunInterruptedError("interrupted"))
            with pytest.raises(RunInterruptedError):
                await asyncio.wait_for(running, 30)

    run(main)


def test_an_unknown_route_is_told_with_the_nearest_name():
    made = connected(
        Things(), incoming={"read": READS}, outgoing={"send": ECHO}, routes={"way": ["read", "send"]}
    )
    with pytest.raises(UnknownNameError, match="did you mean 'way'"):
        made.assembly.route("wax")


def test_records_that_fail_alike_in_a_later_step_stay_pending_there(way):
    class Many(Things):
        def __init__(self) -> None:
            super().__init__()
            self.things = [f"t{number:02}" for number in range(30)]
            self.bad: Any = refusing(*self.things, status=403)

        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("second") and self.bad:
                return self.bad(request)
            return await super().answer(request)

    route, server = way(first=step("first", result={"id": "&{input.id}"}), second=step("second")), Many()
    life = route.travel(server)
    assert isinstance(life.error, CredentialsError)
    assert (route.letters(2), route.runs.summary(f"{life.run}.2").dead) == ([], 0)
    server.bad = None
    again = route.travel(server)

    assert (again.error, len(route.lines)) == (None, 30)
    assert len([line for line in server.lines if line.endswith("first")]) == 30
