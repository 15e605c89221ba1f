"""Order where it matters: deliveries with the same key go one at a time, in the order of the input."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import httpx
import pytest
from connected import POSTS, Kept, Listed, Server, body_of, connected, refusal, run
from hypothesis import given, settings
from hypothesis import strategies as st

from connectory.concurrency.sequence import Sequence
from connectory.errors import ConfigError, CredentialsError, RunInterruptedError, RunStoppedError

SAY: dict[str, Any] = {**POSTS, "payload": "&{@}", "sequence": "thread"}


class Threads(Server):
    """Answers after a while of its own choosing, and knows what came in which order and what was there at once."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.order: dict[Any, list[Any]] = defaultdict(list)
        self.now: dict[Any, int] = defaultdict(int)
        self.together = self.most = 0
        self._luck = random.Random(seed)  # noqa: S311 - the same luck each time, no secret

    async def answer(self, request: httpx.Request) -> httpx.Response:
        body = body_of(request)
        thread = body["thread"]
        self.now[thread] += 1
        self.together += 1
        self.most = max(self.most, self.together)
        assert thread is None or self.now[thread] == 1
        for _ in range(self._luck.randrange(20)):
            await asyncio.sleep(0)
        self.order[thread].append(body["id"])
        self.now[thread] -= 1
        self.together -= 1
        return await super().answer(request)


def send(network: Any, records: list[Any], **more: Any):
    async def main():
        async with connected(network, outgoing={"out": {**SAY, **more}}) as made:
            publisher, sink, dead = made.publisher("out"), Kept(), Kept()
            try:
                await publisher.run(Listed(records), sink, dead)
            except RunStoppedError as error:
                return sink.lines, dead.lines, error
            assert publisher._sequence is None or publisher._sequence._turns == {}
            assert publisher._sequence is None or publisher._sequence._last == {}
            return sink.lines, dead.lines, None

    return run(main)


@settings(max_examples=40, deadline=None)
@given(
    threads=st.lists(st.sampled_from(["a", "b", "c", None, 7, {"x": 1}]), max_size=120),
    concurrency=st.integers(1, 9),
    order=st.sampled_from(["input", "completion"]),
    seed=st.integers(0, 1000),
)
def test_each_key_arrives_in_the_order_of_the_input_one_at_a_time(threads, concurrency, order, seed):
    class Named(Threads):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            body = body_of(request)
            body["thread"] = str(body["thread"]) if body["thread"] is not None else None
            return await super().answer(httpx.Request("POST", request.url, json=body))

    server = Named(seed)
    records = [{"id": number, "thread": thread} for number, thread in enumerate(threads)]
    lines, dead, error = send(server, records, concurrency=concurrency, order=order)
    assert (len(lines), dead, error) == (len(records), [], None)
    assert server.most <= concurrency
    for thread in {str(one) for one in threads if one is not None}:
        wanted = [record["id"] for record in records if str(record["thread"]) == thread]
        assert server.order[thread] == wanted
    if order == "input":
        assert [line["index"] for line in lines] == list(range(len(records)))


def test_a_slow_key_keeps_no_other_waiting():
    async def main():
        others = asyncio.Event()

        class Stuck(Server):
            count = 0

            async def answer(self, request: httpx.Request) -> httpx.Response:
                if body_of(request)["thread"] == "slow":
                    await others.wait()
                else:
                    self.count += 1
                    if self.count == 100:
                        others.set()
                return await super().answer(request)

        records = [{"id": one, "thread": "slow"} for one in range(300)]
        records += [{"id": one, "thread": f"t{one}"} for one in range(300, 400)]
        async with connected(Stuck(), outgoing={"out": {**SAY, "concurrency": 2}}) as made:
            sink = Kept()
            await made.publisher("out").run(Listed(records), sink, Kept())
            assert [line["index"] for line in sink.lines] == list(range(400))

    run(main)


def test_a_failure_holds_back_nothing():
    class Picky(Threads):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            answer = await super().answer(request)
            return refusal(400) if body_of(request)["id"] == 1 else answer

    server = Picky()
    lines, dead, _ = send(server, [{"id": one, "thread": "a"} for one in range(4)])
    assert server.order["a"] == [0, 1, 2, 3]
    assert ([line["status"] for line in lines], len(dead)) == (["ok", "error", "ok", "ok"], 1)


def test_what_the_transformers_make_of_one_record_goes_in_order_too():
    server = Threads()
    records = [
        {"id": name, "thread": name, "messages": [{"n": number} for number in range(5)]}
        for name in ("a", "b")
    ]
    payload = {"thread": "&{input.thread}", "id": "&{n}"}
    _, dead, _ = send(server, records, transformers=[{"split": "messages"}], payload=payload)
    assert dead == []
    assert server.order == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}


def test_a_record_without_the_key_is_an_error_and_the_others_go_on():
    server = Threads()
    lines, dead, _ = send(server, [{"id": 0, "thread": "a"}, {"id": 1}, {"id": 2, "thread": "a"}])
    assert [line["status"] for line in lines] == ["ok", "error", "ok"]
    assert dead[0]["error"]["class"] == "expression"


def test_what_comes_behind_a_stopped_delivery_is_not_sent():
    class Refusing(Threads):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            answer = await super().answer(request)
            return refusal(401) if body_of(request)["id"] == 1 else answer

    server = Refusing()
    _, dead, error = send(server, [{"id": one, "thread": "a"} for one in range(50)])
    assert isinstance(error, CredentialsError)
    assert (server.order["a"], dead) == ([0, 1], [])


def test_a_gentle_end_leaves_those_that_wait_for_their_turn():
    async def main():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Threads):
            async def answer(self, request: httpx.Request) -> httpx.Response:
                arrived.set()
                await go_on.wait()
                return await super().answer(request)

        server = Slow()
        async with connected(server, outgoing={"out": SAY}) as made:
            publisher, sink = made.publisher("out"), Kept()
            records = [{"id": one, "thread": "a"} for one in range(50)]
            running = asyncio.ensure_future(publisher.run(Listed(records), sink, Kept()))
            await arrived.wait()
            publisher.stop(RunInterruptedError("interrupted"))
            go_on.set()
            with pytest.raises(RunInterruptedError):
                await running
            assert ([line["id"] for line in sink.lines], server.order) == (["0"], {"a": [0]})
            assert publisher._open == {}

    run(main)


def test_detached_nothing_is_created_behind_what_is_not_at_its_end():
    class Runs(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            thread = request.url.path.split("/")[3]
            return httpx.Response(
                200, json={"id": f"run-{len(self.requests)}", "thread_id": thread, "status": "queued"}
            )

    async def main():
        server = Runs()
        outgoing = {
            "entity": "thread.runs",
            "path": {"thread_id": "&{thread}"},
            "payload": {"assistant_id": "asst_1"},
            "until": True,
            "sequence": "thread",
        }
        async with connected(server, outgoing={"out": outgoing}) as made:
            publisher = made.publisher("out")
            publisher.detached = True
            records = [{"thread": thread} for thread in ("a", "a", "b", "a", "b")]
            await publisher.run(Listed(records), Kept(), Kept())
            assert publisher.left == 5
            assert sorted(server.lines) == ["POST /v1/threads/a/runs", "POST /v1/threads/b/runs"]

    run(main)


def test_a_bad_key_expression_is_a_configuration_error():
    made = connected(Server(), outgoing={"out": {**SAY, "sequence": "a ["}})
    with pytest.raises(ConfigError):
        made.assembly.publication("out", run={})


# -- turns by themselves


def test_keys_are_forgotten_when_nobody_waits_for_them():
    async def main():
        sequence = Sequence()
        for number in range(10):
            sequence.join((number, 0), "a")
        for number in range(10):
            async with sequence.turn((number, 0)) as ticket:
                assert not ticket.left
        assert (sequence._last, sequence._turns) == ({}, {})

    run(main)


def test_who_comes_after_one_that_was_left_is_left_too_however_late():
    async def main():
        sequence = Sequence()
        sequence.join((0, 0), "a")
        async with sequence.turn((0, 0)) as ticket:
            ticket.left = True
        sequence.join((1, 0), "a")
        async with sequence.turn((1, 0)) as ticket:
            assert ticket.left
        sequence.join((2, 0), "b")
        async with sequence.turn((2, 0)) as ticket:
            assert not ticket.left

    run(main)


def test_a_turn_that_ends_in_an_error_leaves_those_behind_it():
    async def main():
        sequence = Sequence()
        sequence.join((0, 0), "a")
        sequence.join((1, 0), "a")
        with pytest.raises(ZeroDivisionError):
            async with sequence.turn((0, 0)):
                raise ZeroDivisionError
        async with sequence.turn((1, 0)) as ticket:
            assert ticket.left

    run(main)


def test_who_has_no_key_waits_for_nobody():
    async def main():
        async with Sequence().turn((0, 0)) as ticket:
            assert not ticket.left

    run(main)
