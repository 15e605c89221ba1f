"""Waiting: what is created is read until it is at its end, and what becomes of it then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from connected import Kept, Listed, Server, connected, refusal, run

from connectory.catalogue import Catalogue
from connectory.cost.usage import Tally
from connectory.delivery.states import LONGEST, POLL_AFTER, SHORTEST, Until, id_of, state_of, why
from connectory.delivery.waiting import AT_ONCE
from connectory.errors import ConfigError, RunInterruptedError, RunStoppedError, WorkError
from connectory.events import StateChanged
from connectory.journal import Job, Runs, new_facts
from connectory.runs.running import run_outgoing

ORDER = {"input_file_id": "file-1", "endpoint": "/v1/moderations", "completion_window": "24h"}
BATCHES: dict[str, Any] = {"entity": "batches", "payload": ORDER, "until": {"every": 0.001}}
STATES = ("validating", "in_progress", "completed")


class Works(Server):
    """Creates batches; each reading of one moves it one state on."""

    def __init__(self, states: tuple[str, ...] = STATES, **last: Any) -> None:
        super().__init__()
        self.states, self.last = states, last
        self.read: Counter[str] = Counter()
        self.created = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.created += 1
            return httpx.Response(200, json={"id": f"batch-{self.created}", "status": self.states[0]})
        return self.reading(request.url.path.rpartition("/")[2])

    def reading(self, name: str) -> httpx.Response:
        self.read[name] += 1
        state = self.states[min(self.read[name], len(self.states) - 1)]
        more = self.last if state == self.states[-1] else {}
        return httpx.Response(200, json={"id": name, "status": state, **more})


def send(network: Any, count: int = 1, *, listen: Any = None, detached: bool = False, **more: Any):
    """Run an outgoing of batches; give its lines, its dead letters, and the error that stopped it."""

    async def main():
        async with connected(network, outgoing={"out": {**BATCHES, **more}}, listen=listen) as made:
            publisher, sink, dead = made.publisher("out"), Kept(), Kept()
            publisher.detached = detached
            try:
                await publisher.run(Listed([{"id": str(one)} for one in range(count)]), sink, dead)
            except RunStoppedError as error:
                return sink.lines, dead.lines, publisher, error
            return sink.lines, dead.lines, publisher, None

    return run(main)


# -- the end of the work


def test_the_response_is_the_last_state_of_what_was_created():
    server = Works(output_file_id="file-2")
    (line,), dead, _, _ = send(server)
    assert server.lines == ["POST /v1/batches", "GET /v1/batches/batch-1", "GET /v1/batches/batch-1"]
    assert (line["status"], line["attempts"]) == ("ok", 1)
    assert line["response"] == {"id": "batch-1", "status": "completed", "output_file_id": "file-2"}
    assert dead == []


def test_what_is_at_its_end_at_once_is_not_read():
    server = Works(("completed",))
    (line,), _, _, _ = send(server)
    assert (server.lines, line["status"]) == (["POST /v1/batches"], "ok")


def test_result_and_accept_see_the_last_state():
    lines, dead, _, _ = send(
        Works(request_counts={"failed": 1}),
        result={"state": "&{response.status}"},
        accept="response.request_counts.failed == `0`",
    )
    assert [letter["error"]["class"] for letter in dead] == ["accept"]
    assert dead[0]["response"]["request_counts"] == {"failed": 1}
    assert lines[0]["status"] == "error"


def test_work_that_failed_is_an_error_with_what_was_paid_for():
    failure = {"data": [{"message": "the file is empty"}]}
    (line,), (letter,), _, _ = send(Works(("validating", "failed"), errors=failure))
    assert line["error"] == {
        "class": "work",
        "code": "failed",
        "message": "'batch-1' ended as 'failed': the file is empty",
        "retryable": False,
    }
    assert letter["response"]["status"] == "failed"


def test_work_that_waits_for_somebody_is_an_error_that_says_so():
    run_of_thread = {
        "entity": "thread.runs",
        "payload": {"assistant_id": "asst_1"},
        "path": {"thread_id": "thread_1"},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        status = "queued" if request.method == "POST" else "requires_action"
        assert request.method == "POST" or request.url.path == "/v1/threads/thread_1/runs/run_1"
        return httpx.Response(200, json={"id": "run_1", "thread_id": "thread_1", "status": status})

    (line,), _, _, _ = send(answer, **run_of_thread)
    assert (line["error"]["class"], line["error"]["code"], line["error"]["retryable"]) == (
        "work",
        "requires_action",
        True,
    )


def test_work_that_is_not_at_its_end_in_time_is_an_error_that_still_points_to_it():
    (line,), (letter,), _, _ = send(Works(("validating",)), until={"every": 0.01, "timeout": 0.05})
    assert (line["error"]["class"], line["error"]["code"]) == ("work", "timeout")
    assert line["error"]["retryable"]
    assert "'batch-1' is 'validating'" in line["error"]["message"]
    assert letter["response"] == {"id": "batch-1", "status": "validating"}


def test_an_answer_without_an_id_cannot_be_waited_for():
    (line,), (letter,), _, _ = send(lambda _request: httpx.Response(200, json={"status": "validating"}))
    assert (line["error"]["class"], letter["response"]) == ("work", {"status": "validating"})


def test_many_failures_of_works_stop_nothing_because_each_was_paid_for():
    lines, dead, _, error = send(Works(("validating", "failed")), 30)
    assert (len(lines), len(dead), error) == (30, 30, None)


# -- readings that fail


def test_a_reading_that_may_go_better_is_done_again():
    class Shaky(Works):
        def reading(self, name: str) -> httpx.Response:
            answer = super().reading(name)
            return refusal(500) if self.read[name] in {1, 2, 3, 4, 5, 6} else answer

    server = Shaky()
    (line,), _, _, _ = send(server)
    assert (line["status"], server.created) == ("ok", 1)


def test_a_new_item_that_is_not_known_everywhere_yet_is_asked_for_again():
    class Late(Works):
        def reading(self, name: str) -> httpx.Response:
            answer = super().reading(name)
            return refusal(404) if self.read[name] == 1 else answer

    (line,), _, _, _ = send(Late())
    assert line["status"] == "ok"


def test_an_item_that_is_gone_is_an_error_with_what_was_created():
    class Gone(Works):
        def reading(self, name: str) -> httpx.Response:
            super().reading(name)
            return refusal(404, message="no such batch")

    server = Gone()
    (line,), (letter,), _, _ = send(server)
    assert server.read == {"batch-1": 3}
    assert "'batch-1' was created, and its state cannot be read" in line["error"]["message"]
    assert letter["response"]["id"] == "batch-1"


def test_a_cause_that_concerns_every_record_ends_all_waiting():
    class Expired(Works):
        def reading(self, name: str) -> httpx.Response:
            super().reading(name)
            return refusal(401) if name == "batch-3" and self.read[name] > 2 else self.pending(name)

        def pending(self, name: str) -> httpx.Response:
            return httpx.Response(200, json={"id": name, "status": "validating"})

    lines, dead, _, error = send(Expired(), 5, until={"every": 0.01, "timeout": 3000})
    assert type(error).__name__ == "CredentialsError"
    assert (lines, dead) == ([], [])


# -- many at once


def test_waiting_holds_no_place_of_a_request():
    class Together(Works):
        """Nothing is at its end before everything is created."""

        def reading(self, name: str) -> httpx.Response:
            self.states = ("validating", "completed" if self.created == 100 else "validating")
            return super().reading(name)

    lines, _, _, _ = send(Together(), 100, concurrency=2)
    assert [line["index"] for line in lines] == list(range(100))
    assert {line["status"] for line in lines} == {"ok"}


def test_so_many_are_waited_for_at_once_and_no_more():
    class Slow(Works):
        most = 0
        open = False

        async def answer(self, request: httpx.Request) -> httpx.Response:
            self.states = ("validating", "completed" if self.open else "validating")
            return await super().answer(request)

    server = Slow()
    source = Listed([{"id": str(one)} for one in range(2 * AT_ONCE)])

    async def main():
        outgoing = {**BATCHES, "until": {"every": 0.05}, "concurrency": 8}
        async with (
            connected(server, outgoing={"out": outgoing}) as made,
            aclosing(made.publisher("out").deliver(source)) as groups,
        ):
            first = asyncio.ensure_future(anext(groups))
            before = -1
            while before != server.created or not server.created:
                before = server.created
                await asyncio.sleep(0.5)
            assert AT_ONCE <= server.created <= source.taken <= AT_ONCE + 8 + 1
            server.open = True
            seen = len(await first)
            async for group in groups:
                seen += len(group)
            assert seen == 2 * AT_ONCE

    run(main)


def test_requests_under_way_are_bounded_those_that_look_too():
    class Watching(Works):
        now = most = 0

        async def answer(self, request: httpx.Request) -> httpx.Response:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return await super().answer(request)

    server = Watching()
    send(server, 50, concurrency=3)
    assert server.most == 3


# -- what is told, and how it ends early


def test_each_change_of_a_state_is_told_once():
    heard: list[Any] = []
    send(Works(("validating", "validating", "in_progress", "completed")), listen=heard.append)
    changes = [event for event in heard if isinstance(event, StateChanged)]
    assert [(one.item, one.id, one.state) for one in changes] == [
        ("batch-1", "0", "validating"),
        ("batch-1", "0", "in_progress"),
        ("batch-1", "0", "completed"),
    ]


def test_a_gentle_end_wakes_everybody_who_waits():
    async def main():
        server, publisher = Works(("validating",)), None

        def hear(event: Any) -> None:
            if isinstance(event, StateChanged):
                publisher.stop(RunInterruptedError("interrupted"))

        outgoing = {**BATCHES, "until": {"every": 3000}}
        async with connected(server, outgoing={"out": outgoing}, listen=hear) as made:
            publisher, sink, dead = made.publisher("out"), Kept(), Kept()
            with pytest.raises(RunInterruptedError):
                await publisher.run(Listed([{"id": "a"}, {"id": "b"}]), sink, dead)
            assert (sink.lines, dead.lines) == ([], [])
            assert publisher._open == {}

    run(main)


def test_detached_creates_all_and_waits_for_none():
    server = Works(("validating",))
    lines, dead, publisher, error = send(server, 200, detached=True, concurrency=4)
    assert (lines, dead, error) == ([], [], None)
    assert (server.created, server.read, publisher.left) == (200, {}, 200)
    assert publisher._open == {}


# -- lives of a run


class Life:
    """Runs an outgoing with a journal on disk, life after life, and is what is left of it."""

    def __init__(self, folder: Any, server: Any, **more: Any) -> None:
        self.folder, self.server, self.more = folder, server, more
        self.sink, self.dead = Kept(), Kept()
        self.count = 1

    def live(self, *, detached: bool = False, listen: Any = None, **more: Any) -> Any:
        """Live once; give the publisher and the error that ended the life."""

        async def main():
            outgoing = {**BATCHES, **self.more, **more}
            async with connected(self.server, outgoing={"out": outgoing}, listen=listen) as made:
                job = Job("outgoing", "out")
                begun = Runs(self.folder).begin(job, new_facts(job, target="x"))
                publisher = made.publisher("out", journal=begun.journal)
                self.publisher = publisher
                publisher.detached = detached
                source = Listed([{"id": str(one)} for one in range(self.count)])
                source.resume = lambda mark, given: None
                try:
                    await run_outgoing(begun, publisher, Whole(source, begun), self.sink, self.dead)
                except RunStoppedError as error:
                    return publisher, error
                return publisher, None

        return run(main)

    @property
    def log(self) -> list[Any]:
        (path,) = self.folder.glob("runs/*/results.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def summary(self) -> Any:
        runs = Runs(self.folder)
        return runs.summary(runs.ids()[-1])


class Whole:
    """A source that is read from where a life of the run goes on."""

    def __init__(self, source: Listed, begun: Any) -> None:
        self.source, self.begun, self.total = source, begun, source.total

    async def __aiter__(self):
        skipped = self.begun.journal.start
        async for item in self.source:
            if skipped:
                skipped -= 1
                continue
            yield item

    def resume(self, mark: Any, given: int) -> None: ...

    async def acknowledge(self, item: Any) -> None: ...


def test_what_was_begun_is_in_the_log_before_it_is_read_and_never_created_again(tmp_path):
    server = Works(("validating",))
    life = Life(tmp_path, server, until={"every": 3000})

    def interrupt(event: Any) -> None:
        if isinstance(event, StateChanged):
            life.publisher.stop(RunInterruptedError("interrupted"))

    _, error = life.live(listen=interrupt)
    assert isinstance(error, RunInterruptedError)
    assert [(line["status"], line["response"]["id"]) for line in life.log] == [("begun", "batch-1")]
    summary = life.summary()
    assert (summary.state, summary.begun, summary.answered, summary.in_doubt) == ("unfinished", 1, 0, 0)

    server.states = STATES
    server.read.clear()
    _, error = life.live(until={"every": 0.001})
    assert error is None
    assert (server.created, [line["status"] for line in life.log]) == (1, ["begun", "ok"])
    assert [(line["status"], line["response"]["status"]) for line in life.sink.lines] == [("ok", "completed")]
    assert (life.summary().done, life.summary().begun) == (1, 0)


def test_detached_runs_finish_what_is_done_by_then(tmp_path):
    class Uneven(Works):
        ready = 0

        def reading(self, name: str) -> httpx.Response:
            self.read[name] += 1
            state = "completed" if int(name.partition("-")[2]) <= self.ready else "validating"
            return httpx.Response(200, json={"id": name, "status": state})

    server = Uneven(("validating",))
    life = Life(tmp_path, server)
    life.count = 6
    for ready, left, done in ((0, 6, 0), (2, 4, 2), (5, 1, 5)):
        server.ready = ready
        publisher, error = life.live(detached=True)
        assert (type(error).__name__, publisher.left) == ("RunDetachedError", left)
        assert (life.summary().done, life.summary().begun) == (done, left)
    server.ready = 6
    publisher, error = life.live(detached=True)
    assert (error, publisher.left, server.created) == (None, 0, 6)
    assert life.summary().state == "finished"
    assert sorted(line["id"] for line in life.sink.lines) == [str(one) for one in range(6)]


def test_begun_work_of_a_run_that_waits_no_more_is_as_it_was_created(tmp_path):
    server = Works(("validating",))
    life = Life(tmp_path, server)
    life.live(detached=True)
    _, error = life.live(until=None)
    assert (error, server.created, server.read) == (None, 1, {})
    assert [line["response"]["status"] for line in life.sink.lines] == ["validating"]


def test_what_was_begun_is_not_lost_when_the_configuration_no_longer_makes_its_request(tmp_path):
    server = Works(("validating",))
    life = Life(tmp_path, server)
    life.live(detached=True)
    _, error = life.live(transformers=[{"keep_if": "id == 'other'"}])
    assert (error, server.created) == (None, 1)
    (letter,) = life.dead.lines
    assert (letter["error"]["class"], letter["response"]["id"]) == ("result", "batch-1")


def test_a_budget_counts_what_was_created_once_in_all_lives_and_repairs(tmp_path):
    server = Works(("validating",), usage={"total_tokens": 7})
    life = Life(tmp_path, server, budget={"requests": 100, "tokens": 1000})
    life.count = 3
    life.live(detached=True)
    server.states = ("validating", "completed")
    server.read.clear()
    assert life.live()[1] is None
    runs = Runs(tmp_path)
    for _ in range(2):
        summary = runs.summary(runs.ids()[-1], usage=True)
        assert (summary.counts["requests"], Tally(summary.usage).tokens) == (3, 21)
        runs.repair(runs.ids()[-1])


# -- rules


def test_the_catalogue_tells_where_every_kind_of_work_is_read():
    catalogue, found = Catalogue.load(), {}
    for name in catalogue:
        create = catalogue[name].actions.get("create")
        states = create and create.extra.get("states")
        if states and "entity" in states:
            entity = catalogue.find(states["entity"], "read")
            assert set(states["done"]), name
            assert entity.actions["read"].extra["states"]["done"] == states["done"], name
            found[name] = entity.name
    assert found.items() >= {
        ("fine_tuning.jobs", "fine_tuning.job"),
        ("batches", "batch"),
        ("thread.runs", "thread.run"),
        ("threads.runs", "thread.run"),
        ("videos", "video"),
        ("responses", "response"),
        ("vector_store.files", "vector_store.file"),
        ("vector_store.file_batches", "vector_store.file_batch"),
        ("eval.runs", "eval.run"),
    }


def until_of(name: str, **more: Any) -> Until:
    return Until(Catalogue.load()[name], frozenset({"completed"}), **more)


@pytest.mark.parametrize(
    ("entity", "given", "item", "path"),
    [
        ("batch", {}, {"id": "b"}, {"batch_id": "b"}),
        ("thread.run", {"thread_id": "t"}, {"id": "r"}, {"thread_id": "t", "run_id": "r"}),
        ("thread.run", {}, {"id": "r", "thread_id": "t"}, {"thread_id": "t", "run_id": "r"}),
        ("video", {"video_id": "the one before"}, {"id": "v"}, {"video_id": "v"}),
        ("thread.run", {}, {"id": "r"}, None),
        ("batch", {}, {"id": 7}, None),
        ("batch", {}, "text", None),
    ],
)
def test_the_path_of_an_item_is_that_of_its_creation_and_its_id(entity, given, item, path):
    assert until_of(entity).path(given, item) == path


@pytest.mark.parametrize(
    ("every", "age", "headers", "pause"),
    [
        (None, 0, {}, SHORTEST),
        (None, 100, {}, 10),
        (None, 100_000, {}, LONGEST),
        (None, 100, {POLL_AFTER: "250"}, 0.25),
        (None, 100, {POLL_AFTER: "0"}, 0.001),
        (None, 100, {POLL_AFTER: "9" * 30}, LONGEST),
        (None, 100, {POLL_AFTER: "soon"}, 10),
        (5.0, 100, {POLL_AFTER: "250"}, 5.0),
    ],
)
def test_the_pause_grows_with_age_unless_somebody_says_how_long(every, age, headers, pause):
    assert until_of("batch", every=every).pause(age, headers) == pause


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"last_error": {"message": "b"}}, "b"),
        ({"error": None, "incomplete_details": {"reason": "c"}}, "c"),
        ({"errors": {"data": [{"message": "d"}]}}, "d"),
        ({"errors": {"data": []}}, ""),
        ({"errors": {"data": [3]}}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_what_an_item_says_about_its_failure_is_found(item, said):
    assert why(item) == said


@pytest.mark.parametrize("item", [None, [], 3, {}, {"status": 5}])
def test_what_is_no_item_has_no_state(item):
    assert (state_of(item), id_of(item)) == ("", "")


@pytest.mark.parametrize(
    ("outgoing", "said"),
    [
        ({"entity": "moderations", "until": True}, "no work that entity 'moderations' begins"),
        ({"entity": "uploads", "until": True}, "no work that entity 'uploads' begins"),
        ({"request": {"method": "POST", "path": "/x"}, "until": {}}, "no work that a raw request begins"),
        ({"entity": "batches", "until": True, "save_to": "x"}, "does not go with 'save_to'"),
        ({"entity": "responses", "until": True, "stream": "events"}, "does not go with 'stream'"),
    ],
)
def test_until_where_nothing_goes_on_is_a_configuration_error(outgoing, said):
    made = connected(Server(), outgoing={"out": outgoing})
    with pytest.raises(ConfigError, match=said):
        made.assembly.publication("out", run={})


@pytest.mark.parametrize("written", [True, {}, [], {"every": 1}])
def test_until_may_be_written_short(written):
    made = connected(Server(), outgoing={"out": {**BATCHES, "until": written}})
    assert made.assembly.publication("out", run={}).until is not None


@pytest.mark.parametrize("written", [False, None])
def test_until_may_be_switched_off(written):
    made = connected(Server(), outgoing={"out": {**BATCHES, "until": written}})
    assert made.assembly.publication("out", run={}).until is None


@pytest.mark.parametrize("written", [{"every": 0}, {"timeout": -1}, {"often": 1}, 5, "yes"])
def test_what_is_no_waiting_is_a_configuration_error(written):
    with pytest.raises(ConfigError):
        connected(Server(), outgoing={"out": {**BATCHES, "until": written}})


def test_a_failure_of_work_is_raised_as_such():
    async def main():
        async with connected(Works(("validating", "expired")), outgoing={"out": BATCHES}) as made:
            (result,) = [one async for one in made.outgoing("out", [{"id": "a"}])]
            with pytest.raises(WorkError) as raised:
                result.unwrap()
            assert (raised.value.kind, raised.value.code) == ("work", "expired")

    run(main)
