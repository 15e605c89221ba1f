"""The blocking door: lazy, in bounded memory, without deadlocks, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from connected import BASE, POSTS, Server, body_of, configuration, refusal, router, transport

from connectory import Connector
from connectory.concurrency.exchange import MOST_AHEAD
from connectory.concurrency.workers import WINDOW
from connectory.errors import ApiError, CredentialsError, RequestError, UnknownNameError
from connectory.sandbox import EmbeddedSandbox

ECHO = {**POSTS, "payload": "&{@}"}
READS = {"request": {"path": "/things"}}


def connector(network: Any, **connections: Any) -> Connector:
    return Connector.from_dict(
        configuration(**connections), transport=transport(network), listen=lambda _event: None
    )


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No test leaves a thread of an event loop behind."""
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if "portal" in thread.name] == []


class Things(Server):
    """Pages without end of two things each; posts are echoed."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return await super().answer(request)
        first = int(request.url.params.get("after", -1)) + 1
        data = [{"id": str(first)}, {"id": str(first + 1)}]
        return httpx.Response(200, json={"data": data, "has_more": True})


# -- the same words


def test_every_word_works_without_await(tmp_path):
    routes = router()
    routes.get("/files").respond(json={"data": [{"id": "a"}], "has_more": False})
    routes.post("/moderations").respond(json={"results": []})
    routes.delete("/files/a").respond(json={"deleted": True})
    routes.post("/things").respond(json={"x": 1})
    path = tmp_path / "connectory.yaml"
    path.write_text(
        f"version: 1\nclients: {{api: {{base_uri: {BASE}, token: made-up}}}}\nincoming: {{files: {{entity: files}}}}\n"
    )
    with Connector.from_file(path, transport=transport(routes)) as made:
        assert list(made.incoming("files")) == [{"id": "a"}]
        assert list(made.read("files")) == [{"id": "a"}]
        assert made.create("moderations", payload={"input": "hi"}).response == {"results": []}
        assert made.delete("file", path={"file_id": "a"}).response == {"deleted": True}
        assert made.request("POST", "/things", payload={}).value == {"x": 1}
        assert str(made.prepare("read", "files").url) == f"{BASE}/files"
        assert "files" in made.catalogue


def test_one_client_needs_no_file():
    with Connector.openai(token="made-up", base_uri=BASE, transport=transport(Server())) as made:
        assert made.prepare("read", "files").headers["authorization"] == "Bearer made-up"


def test_results_come_in_input_order():
    with connector(Server(), outgoing={"out": ECHO}) as made:
        results = list(made.outgoing("out", ({"id": str(number)} for number in range(1000))))
    assert [result.id for result in results] == [str(number) for number in range(1000)]
    assert {result.status for result in results} == {"ok"}


@pytest.mark.parametrize("records", [[], iter([]), ()])
def test_no_records_give_no_results(records: Any):
    with connector(Server(), outgoing={"out": ECHO}) as made:
        assert list(made.outgoing("out", records)) == []


# -- errors


def test_single_calls_raise_and_outgoing_yields_errors():
    with connector(lambda _request: refusal(400), outgoing={"out": ECHO}) as made:
        with pytest.raises(ApiError):
            made.create("moderations", payload={"input": "hi"})
        with pytest.raises(ApiError):
            list(made.read("files"))
        assert [result.status for result in made.outgoing("out", [{}, {}])] == ["error", "error"]


def test_what_does_not_fit_raises():
    with connector(Server(), outgoing={"out": ECHO}) as made:
        with pytest.raises(RequestError):
            made.prepare("delete", "file")
        with pytest.raises(UnknownNameError):
            list(made.outgoing("nothing", []))
        with pytest.raises(UnknownNameError):
            list(made.incoming("nothing"))


def test_what_stops_a_run_is_raised_after_the_results_that_were_ready():
    class Late(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(401) if request.content == b'{"id":3}' else await super().answer(request)

    seen, server, taken = [], Late(), []

    def records():
        for number in count():
            taken.append(number)
            yield {"id": number}

    with connector(server, outgoing={"out": {**ECHO, "concurrency": 1}}) as made:
        with pytest.raises(CredentialsError):
            seen.extend(made.outgoing("out", records()))
        assert made.request("GET", "/things").value == {"got": None}
    assert [result.id for result in seen] == ["0", "1", "2"]
    assert len([request for request in server.requests if request.method == "POST"]) == 4
    assert len(taken) <= 4 + MOST_AHEAD + 1


def test_what_the_iterable_raises_comes_after_the_results_of_the_records_before_it():
    def broken():
        yield {"id": "a"}
        yield {"id": "b"}
        raise ValueError("my own")

    seen = []
    with connector(Server(), outgoing={"out": ECHO}) as made:
        with pytest.raises(ValueError, match="my own"):
            seen.extend(made.outgoing("out", broken()))
        assert made.create("moderations", payload={"input": "hi"}).ok
    assert [result.id for result in seen] == ["a", "b"]


def test_what_is_no_iterable_raises():
    with connector(Server(), outgoing={"out": ECHO}) as made:
        nothing: Any = None
        with pytest.raises(TypeError, match="not iterable"):
            list(made.outgoing("out", nothing))


# -- lazy


def test_nothing_is_read_or_sent_before_it_is_asked_for():
    taken: list[int] = []

    def records():
        for number in count():
            taken.append(number)
            yield {"id": str(number)}

    server = Things()
    with connector(server, incoming={"in": READS}, outgoing={"out": ECHO}) as made:
        incoming, outgoing = made.incoming("in"), made.outgoing("out", records())
        assert (taken, server.requests) == ([], [])
        assert next(incoming) == {"id": "0"}
        assert len(server.requests) == 1
        assert next(outgoing).id == "0"
        incoming.close()
        outgoing.close()


def test_an_endless_iterable_gives_results_in_bounded_memory():
    taken = [0]

    def records():
        for number in count():
            taken[0] = number + 1
            yield {"id": str(number)}

    with connector(Server(), outgoing={"out": {**ECHO, "concurrency": 4}}) as made:
        for number, result in enumerate(islice(made.outgoing("out", records()), 3000)):
            assert result.id == str(number)
            assert taken[0] - number <= 2 * (MOST_AHEAD + 4 * WINDOW + 4)


def test_a_record_is_sent_before_the_next_one_is_made():
    arrived = threading.Semaphore(0)

    class Telling(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            arrived.release()
            return await super().answer(request)

    def records():
        for number in range(5):
            yield {"id": str(number)}
            assert arrived.acquire(timeout=30), "the record waits for others"

    with connector(Telling(), outgoing={"out": ECHO}) as made:
        assert [result.id for result in made.outgoing("out", records())] == ["0", "1", "2", "3", "4"]


def test_results_of_a_slow_iterable_come_while_it_goes_on():
    finished = threading.Semaphore(0)
    got: list[str] = []
    late: list[int] = []

    def records():
        for number in range(50):
            late.append(number - len(got))
            yield {"id": str(number)}
            assert finished.acquire(timeout=30)

    def hear(event: Any) -> None:
        if type(event).__name__ == "RecordFinished":
            finished.release()

    made = Connector.from_dict(
        configuration(outgoing={"out": ECHO}), transport=transport(Server()), listen=hear
    )
    with made:
        for result in made.outgoing("out", records()):
            got.append(result.id)  # noqa: PERF401 - the generator looks at it meanwhile
    assert len(got) == 50
    assert max(late) < 20  # not 50, and not a chunk's worth


def test_a_stuck_request_does_not_let_the_iterable_run_away():
    taken = [0]

    class Stuck(Server):
        def __init__(self) -> None:
            super().__init__()
            self.go_on = asyncio.Event()

        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) == 2 * WINDOW:  # no other request can follow
                self.go_on.set()
            if body_of(request)["id"] == 0:
                await self.go_on.wait()
            return await super().answer(request)

    def records():
        for number in range(5000):
            taken[0] = number + 1
            yield {"id": number}

    with connector(Stuck(), outgoing={"out": {**ECHO, "concurrency": 2}}) as made:
        results = made.outgoing("out", records())
        assert next(results).index == 0
        assert taken[0] <= 2 * (MOST_AHEAD + 2 * WINDOW + 2)
        assert len(list(results)) == 4999


# -- connectors in connectors


def test_an_outgoing_may_read_from_an_incoming_of_the_same_connector():
    with connector(Things(), incoming={"in": READS}, outgoing={"out": ECHO}) as made:
        results = made.outgoing("out", made.incoming("in"))
        assert [result.id for result in islice(results, 1000)] == [str(number) for number in range(1000)]


def test_an_outgoing_may_read_from_an_outgoing_of_the_same_connector():
    with connector(Server(), outgoing={"out": ECHO}) as made:
        inner = made.outgoing("out", ({"id": str(number)} for number in range(600)))
        outer = made.outgoing("out", (result.response["got"] for result in inner))
        assert [result.id for result in outer] == [str(number) for number in range(600)]


def test_two_connectors_may_feed_each_other():
    with (
        connector(Things(), incoming={"in": READS}, outgoing={"out": ECHO}) as first,
        connector(Server(), outgoing={"out": ECHO}) as second,
    ):
        once = second.outgoing("out", first.incoming("in"))
        twice = first.outgoing("out", (result.response["got"] for result in once))
        assert [result.id for result in islice(twice, 700)] == [str(number) for number in range(700)]


def test_a_call_within_the_iterable_does_not_deadlock():
    def records():
        for _ in range(5):
            yield made.create("moderations", payload={"input": "hi"}).response["got"]

    with connector(Server(), outgoing={"out": ECHO}) as made:
        assert len(list(made.outgoing("out", records()))) == 5


# -- threads


def test_threads_share_a_connector():
    server = Things()
    made = connector(server, incoming={"in": READS}, outgoing={"out": ECHO})
    together = threading.Barrier(6)

    def work(number: int) -> list[str]:
        together.wait(30)
        if number % 2:
            return [record["id"] for record in islice(made.incoming("in"), 100)]
        return [result.id for result in made.outgoing("out", ({"id": str(one)} for one in range(100)))]

    with made, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [[str(number) for number in range(100)]] * 6
        assert len(made._connector._clients) == 1


def test_a_connector_can_be_used_while_another_loop_runs_in_this_thread():
    async def main():
        with connector(Server()) as made:
            return made.create("moderations", payload={"input": "hi"}).status

    assert asyncio.run(main()) == "ok"


# -- leaving


class Hanging(Server):
    """Answers the record 0 and leaves the others without an answer; knows which were cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[int] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        number = body_of(request)["id"]
        if number:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(number)
                raise
        return await super().answer(request)


def test_closing_a_half_read_iterator_cancels_what_is_under_way():
    server = Hanging()
    with connector(server, outgoing={"out": {**ECHO, "concurrency": 3}}) as made:
        results = made.outgoing("out", ({"id": number} for number in range(100)))
        assert next(results).index == 0
        results.close()
        begun = [body["id"] for body in server.bodies if body["id"]]
        assert sorted(server.cancelled) == sorted(begun)
        assert made._exchanges == set()


def test_closing_the_connector_ends_what_half_read_iterators_hold():
    server = Hanging()
    made = connector(server, incoming={"in": READS}, outgoing={"out": {**ECHO, "concurrency": 3}})
    with made:
        results = made.outgoing("out", ({"id": number} for number in range(100)))
        assert next(results).index == 0
    assert len(server.cancelled) == len(server.requests) - 1
    results.close()


def test_a_half_read_incoming_may_outlive_its_connector():
    with connector(Things(), incoming={"in": READS}) as made:
        items = made.incoming("in")
        assert next(items) == {"id": "0"}
    items.close()


def test_a_connector_can_be_used_again_after_closing():
    made = connector(Server())
    for _ in range(2):
        assert made.create("moderations", payload={"input": "hi"}).ok
        made.close()
        made.close()


def test_a_connector_that_was_never_used_closes_quietly():
    with connector(Server()):
        pass


def test_an_exception_in_the_block_closes_the_connector():
    def fail(made: Connector) -> None:
        next(made.outgoing("out", [{"id": 0}, {"id": 1}]))
        raise ValueError("mine")

    made = connector(Hanging(), outgoing={"out": ECHO})
    with pytest.raises(ValueError, match="mine"), made:
        fail(made)
    assert made._portal is None


@pytest.mark.skipif(sys.platform == "win32", reason="the signal reaches no waiting thread there")
def test_an_interrupted_call_ends_what_it_waits_for():
    cancelled = threading.Event()

    class Interrupting(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            try:
                while True:  # one that comes while Python clears something away is lost: people press again
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(3)
            finally:
                cancelled.set()

    for attempt in (
        lambda made: made.create("moderations", payload={"input": "hi"}),
        lambda made: list(made.outgoing("out", [{"id": 1}])),
        lambda made: list(made.read("files")),
    ):
        cancelled.clear()
        with connector(Interrupting(), outgoing={"out": ECHO}) as made, pytest.raises(KeyboardInterrupt):
            attempt(made)
        assert cancelled.is_set()


WITHOUT_WITH = """
import httpx
from connectory import Connector

def answer(request):
    return httpx.Response(200, json={})

data = {"version": 1, "clients": {"api": {"base_uri": "https://api.test/v1", "token": "x"}},
        "outgoing": {"out": {"request": {"method": "POST", "path": "/things"}, "payload": "&{@}"}}}
connector = Connector.from_dict(data, transport=httpx.MockTransport(answer))
print(connector.create("moderations", payload={"input": "hi"}).status)
half_read = connector.outgoing("out", ({"id": n} for n in range(1000)))
print(next(half_read).status)
"""


def test_a_program_that_never_closes_its_connector_ends():
    root = Path(__file__).resolve().parent.parent
    paths = os.pathsep.join(str(root / name) for name in ("connector", "schemas", "transformers"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_WITH],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["ok", "ok"], "")


def test_it_works_against_a_real_server():
    with EmbeddedSandbox() as server:
        data = configuration(outgoing={"out": {"entity": "moderations", "payload": {"input": "&{text}"}}})
        data["clients"] = {"api": {"base_uri": server.base_uri, "token": server.token}}
        with Connector.from_dict(data) as made:
            results = made.outgoing("out", ({"text": str(number)} for number in range(300)))
            assert [result.index for result in results] == list(range(300))
            assert list(made.read("files")) == []
