"""Routes: an incoming and the outgoings that follow it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from connected import OWN_TASKS, POSTS, Kept, Server, body_of, connected, refusal, run

from connectory.errors import CredentialsError, RunInterruptedError, RunStoppedError, UnknownNameError

READS = {"request": {"path": "/things"}}
ECHO = {**POSTS, "payload": "&{@}"}
PURGE = {"request": {"method": "DELETE", "path": "/things/{thing}"}, "path": {"thing": "&{id}"}}


class Things(Server):
    """Three pages of two things, which can be deleted; other requests are echoed."""

    def __init__(self) -> None:
        super().__init__()
        self.things = [f"t{number}" for number in range(6)]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            self.things.remove(request.url.path.rpartition("/")[2])
            return httpx.Response(200, json={"deleted": True})
        if request.method == "POST":
            return await super().answer(request)
        after = request.url.params.get("after", "")
        left = [thing for thing in self.things if thing > after]
        page = {"data": [{"id": one} for one in left[:2]], "has_more": len(left) > 2}
        return httpx.Response(200, json=page)


def travel(network: Any, route: list[str], *, limit: int | None = None, **outgoing: Any):
    """Run a route; give the lines, the dead letters, the counts and the error."""

    async def main():
        connections = {"incoming": {"read": READS}, "outgoing": outgoing, "routes": {"way": route}}
        async with connected(network, **connections) as made:
            parts, sink, dead = made.route("way", limit=limit), Kept(), Kept()
            try:
                return sink.lines, dead.lines, await parts.run(sink, dead), None
            except RunStoppedError as error:
                return sink.lines, dead.lines, None, error

    return run(main)


def test_what_the_incoming_reads_is_sent_by_the_outgoing():
    lines, dead, counts, _ = travel(Things(), ["read", "send"], send={**ECHO, "result": "&{response.got.id}"})
    assert lines == [f"t{number}" for number in range(6)]
    assert dead == []
    assert counts == {"ok": 6, "error": 0, "skipped": 0}


def test_reading_and_sending_overlap_where_nothing_is_deleted():
    server = Things()
    travel(server, ["read", "send"], send={**ECHO, "concurrency": 1})
    methods = [request.method for request in server.requests]
    assert methods.index("POST") < len(methods) - 1 - methods[::-1].index("GET")


def test_a_deleting_route_reads_its_whole_list_before_the_first_deletion():
    server = Things()
    _, _, counts, _ = travel(server, ["read", "purge"], purge=PURGE)
    assert [request.method for request in server.requests] == ["GET"] * 3 + ["DELETE"] * 6
    assert (server.things, counts["ok"]) == ([], 6)


def test_a_route_that_deletes_in_a_later_step_reads_its_whole_list_first_too():
    server = Things()
    purge = {**PURGE, "path": {"thing": "&{response.got.id}"}}
    travel(server, ["read", "send", "purge"], send=ECHO, purge=purge)
    assert [request.method for request in server.requests][:3] == ["GET"] * 3
    assert server.things == []


def test_a_list_that_cannot_be_read_to_its_end_deletes_nothing():
    class Broken(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(401) if "after" in request.url.params else await super().answer(request)

    server = Broken()
    lines, _, _, error = travel(server, ["read", "purge"], purge=PURGE)
    assert isinstance(error, CredentialsError)
    assert (lines, [request.method for request in server.requests]) == ([], ["GET", "GET"])


def test_the_next_step_gets_input_and_response():
    class One(Things):
        def __init__(self) -> None:
            super().__init__()
            self.things = ["t0"]

    server = One()
    travel(server, ["read", "first", "second"], first={**POSTS, "payload": {"a": "&{id}"}}, second=ECHO)
    posts = [body_of(request) for request in server.requests if request.method == "POST"]
    assert posts == [{"a": "t0"}, {"input": {"id": "t0"}, "response": {"got": {"a": "t0"}}}]


def test_the_next_step_gets_the_shaped_result_where_there_is_one():
    server = Things()
    first = {**ECHO, "result": {"was": "&{input.id}"}}
    lines, _, counts, _ = travel(
        server, ["read", "first", "second"], first=first, second={**ECHO, "result": "&{response}"}
    )
    assert lines == [{"got": {"was": f"t{number}"}} for number in range(6)]
    assert counts == {"ok": 6, "error": 0, "skipped": 0}


def test_response_transformers_may_hand_on_none_or_many():
    first = {
        **ECHO,
        "response_transformers": [
            {"keep_if": "input.id != 't0'"},
            {"build": {"twice": [{"n": "&{input.id}"}, {"n": "&{input.id}"}]}},
            {"split": {"field": "twice"}},
        ],
    }
    lines, _, _, _ = travel(
        Things(), ["read", "first", "second"], first=first, second={**ECHO, "result": "&{response.got.n}"}
    )
    assert sorted(lines) == sorted([f"t{number}" for number in range(1, 6)] * 2)


def test_a_failure_in_a_step_leaves_the_route_there_and_is_counted():
    class Picky(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and body_of(request) == {"id": "t1"}:
                return refusal(400)
            return await super().answer(request)

    first = {**ECHO, "result": {"n": "&{input.id}"}}
    lines, dead, counts, _ = travel(
        Picky(), ["read", "first", "second"], first=first, second={**ECHO, "result": "&{input.n}"}
    )
    (failed,) = [line for line in lines if isinstance(line, dict)]
    assert (failed["id"], failed["status"]) == ("t1", "error")
    assert sorted(line for line in lines if isinstance(line, str)) == ["t0", "t2", "t3", "t4", "t5"]
    assert [letter["record"] for letter in dead] == [{"id": "t1"}]
    assert counts == {"ok": 5, "error": 1, "skipped": 0}


@pytest.mark.parametrize("guilty", ["first", "second"])
def test_a_cause_that_concerns_every_record_stops_the_whole_route(guilty: str):
    class Refusing(Things):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(guilty):
                return refusal(401)
            return await super().answer(request)

    steps = {
        name: {"request": {"method": "POST", "path": f"/{name}"}, "payload": "&{@}", "concurrency": 1}
        for name in ("first", "second")
    }
    server = Refusing()
    lines, dead, _, error = travel(server, ["read", "first", "second"], **steps)
    assert isinstance(error, CredentialsError)
    assert (lines, dead) == ([], [])
    assert len([line for line in server.lines if line.endswith(guilty)]) == 1


def test_a_record_limit_bounds_what_is_read():
    server = Things()
    travel(server, ["read", "purge"], limit=3, purge=PURGE)
    assert server.things == ["t3", "t4", "t5"]


def test_a_route_can_be_stopped_gently_in_every_step():
    async def main():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Things):
            async def answer(self, request: httpx.Request) -> httpx.Response:
                if request.url.path.endswith("second"):
                    arrived.set()
                    await go_on.wait()
                return await super().answer(request)

        steps = {
            name: {"request": {"method": "POST", "path": f"/{name}"}, "payload": "&{@}", "concurrency": 1}
            for name in ("first", "second")
        }
        routes = {"way": ["read", "first", "second"]}
        async with connected(Slow(), incoming={"read": READS}, outgoing=steps, routes=routes) as made:
            route, sink = made.route("way"), Kept()
            running = asyncio.ensure_future(route.run(sink, Kept()))
            await arrived.wait()
            route.stop(RunInterruptedError("interrupted"))
            go_on.set()
            with pytest.raises(RunInterruptedError):
                await running
            assert [line["id"] for line in sink.lines] == ["1"]
            assert len(asyncio.all_tasks()) == OWN_TASKS

    run(main)


def test_the_spooled_list_lives_as_long_as_its_stack():
    async def main():
        connections = {
            "incoming": {"read": READS},
            "outgoing": {"purge": PURGE},
            "routes": {"way": ["read", "purge"]},
        }
        async with connected(Things(), **connections) as made:
            with ExitStack() as stack:
                source = await made.route("way").spooled(stack)
                assert source.count() == 6
                assert source.path.exists()
            assert not source.path.parent.exists()

    run(main)


def test_an_unknown_route_is_told_with_the_nearest_name():
    made = connected(
        Things(), incoming={"read": READS}, outgoing={"send": ECHO}, routes={"way": ["read", "send"]}
    )
    with pytest.raises(UnknownNameError, match="did you mean 'way'"):
        made.route("wax")
