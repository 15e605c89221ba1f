"""The outgoing flow: what is sent, in which order, what becomes of failures, and what stops a run."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from connected import (
    CLIENT,
    OWN_TASKS,
    POSTS,
    Kept,
    Listed,
    Server,
    body_of,
    connected,
    extend,
    refusal,
    router,
    run,
)

from connectory.concurrency.workers import WINDOW
from connectory.connector import AsyncConnector
from connectory.errors import (
    ApiError,
    CredentialsError,
    RunInterruptedError,
    RunStoppedError,
    UnavailableError,
)
from connectory.events import RecordFinished, RunFinished, RunStarted
from connectory.journal import MemoryJournal
from connectory.record import Delivery

ECHO = {**POSTS, "payload": "&{@}"}
DELETES = {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}


def send(network: Any, records: Any, outgoing: Any = None, *, listen: Any = None, journal: Any = None):
    """Run an outgoing to its end; give what was written where, and what was raised."""

    async def main():
        async with connected(network, outgoing={"out": outgoing or ECHO}, listen=listen) as made:
            publisher = made.publisher("out", journal=journal)
            source = records if hasattr(records, "acknowledge") else Listed(records)
            sink, dead = Kept(), Kept()
            error = None
            try:
                await publisher.run(source, sink, dead)
            except RunStoppedError as stopped:
                error = stopped
            return sink.lines, dead.lines, publisher, error

    return run(main)


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": number, **more} for number in range(count)]


# -- the good case


def test_each_record_is_one_request_and_one_line():
    server = Server()
    lines, dead, publisher, error = send(server, [{"id": "a", "x": 1}, {"id": "b", "x": 2}])
    assert sorted(server.bodies, key=str) == [{"id": "a", "x": 1}, {"id": "b", "x": 2}]
    assert [(line["index"], line["id"], line["status"], line["http_status"]) for line in lines] == [
        (0, "a", "ok", 200),
        (1, "b", "ok", 200),
    ]
    assert lines[0]["response"] == {"got": {"id": "a", "x": 1}}
    assert (dead, error) == ([], None)
    assert publisher.counts == {"ok": 2, "error": 0, "skipped": 0}


def test_a_line_has_every_documented_key_in_its_order():
    def answer(_request: httpx.Request) -> httpx.Response:
        usage = {"total_tokens": 3}
        return httpx.Response(200, json={"usage": usage}, headers={"x-request-id": "req-1"})

    (line,), _, _, _ = send(answer, [{"id": "a"}])
    assert list(line.items()) == [
        ("index", 0),
        ("id", "a"),
        ("status", "ok"),
        ("http_status", 200),
        ("request_id", "req-1"),
        ("attempts", 1),
        ("in_doubt", False),
        ("usage", {"total_tokens": 3}),
        ("response", {"usage": {"total_tokens": 3}}),
    ]


class Reversed(Server):
    """Answers in the opposite order of the requests, once `count` of them are there."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left, self._gates = count, [asyncio.Event() for _ in range(count)]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        number = body_of(request)["id"]
        self._left -= 1
        if not self._left:
            self._gates[-1].set()
        await self._gates[number].wait()
        if number:
            self._gates[number - 1].set()
        return await super().answer(request)


@pytest.mark.parametrize(("order", "expected"), [("input", [0, 1, 2, 3]), ("completion", [3, 2, 1, 0])])
def test_results_come_in_input_order_or_in_that_of_completion(order: str, expected: list[int]):
    lines, _, _, _ = send(Reversed(4), numbered(4), {**ECHO, "order": order})
    assert [line["index"] for line in lines] == expected


def test_concurrency_bounds_what_is_under_way():
    class Watching(Server):
        now = most = 0

        async def answer(self, request: httpx.Request) -> httpx.Response:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return await super().answer(request)

    server = Watching()
    send(server, numbered(50), {**ECHO, "concurrency": 3})
    assert server.most == 3


def test_a_stuck_record_does_not_let_the_source_run_away():
    async def main():
        stuck = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if body_of(request)["id"] == 0:
                await stuck.wait()
            return httpx.Response(200, json={})

        source = Listed(numbered(5000))
        made = connected(answer, outgoing={"out": {**ECHO, "concurrency": 2}})
        async with made, aclosing(made.publisher("out").deliver(source)) as groups:
            first = asyncio.ensure_future(anext(groups))
            for _ in range(2000):
                await asyncio.sleep(0)
            assert source.taken == 2 * WINDOW
            stuck.set()
            part, result = (await first)[0]
            assert (part.index, result.index) == (0, 0)

    run(main)


def test_what_a_delivery_is_called_on_the_wire_hashes_its_run_position_and_part():
    server = Server()
    journal = MemoryJournal("run-1")
    outgoing = {**ECHO, "transformers": [{"split": {"field": "items"}}]}
    send(server, [{"items": [{"x": 1}, {"x": 2}]}], outgoing, journal=journal)
    sent = {body_of(request)["x"]: request.headers["idempotency-key"] for request in server.requests}
    assert sent == {1: Delivery("run-1", "1", 0).key, 2: Delivery("run-1", "1", 1).key}


def test_a_record_that_becomes_many_gives_numbered_results():
    outgoing = {**ECHO, "transformers": [{"split": {"field": "items"}}]}
    lines, _, _, _ = send(
        Server(), [{"id": "a", "items": [{"x": 1}, {"x": 2}]}, {"id": "b", "items": []}], outgoing
    )
    assert [(line["index"], line["id"], line["status"]) for line in lines] == [
        (0, "a#0", "ok"),
        (0, "a#1", "ok"),
        (1, "b", "skipped"),
    ]


def test_a_record_that_the_chain_drops_is_skipped_and_nothing_is_sent():
    server = Server()
    lines, dead, publisher, _ = send(
        server, [{"id": "a", "ok": False}], {**ECHO, "transformers": [{"keep_if": "ok"}]}
    )
    assert [(line["status"], line["attempts"], line["response"]) for line in lines] == [("skipped", 0, None)]
    assert (server.requests, dead, publisher.counts["skipped"]) == ([], [], 1)


# -- failures of one record


def test_one_bad_record_never_stops_the_others():
    def answer(request: httpx.Request) -> httpx.Response:
        bad = body_of(request)["x"] == "refused"
        return refusal(400, "bad_value", "x is bad") if bad else httpx.Response(200, json={})

    records = [{"x": "good"}, {"y": 1}, {"x": "refused"}, "no record", {"x": float("nan")}, {"x": "good"}]
    source = Listed(records)
    lines, dead, publisher, error = send(answer, source, {**POSTS, "payload": {"x": "&{x}"}})
    assert [line["status"] for line in lines] == ["ok", "error", "error", "error", "error", "ok"]
    assert [line["error"]["class"] for line in lines[1:5]] == ["expression", "api", "record", "request"]
    assert error is None
    assert publisher.counts == {"ok": 2, "error": 4, "skipped": 0}
    assert [letter["record"] for letter in dead][:3] == records[1:4]


def test_a_dead_letter_is_the_result_and_the_record():
    journal = MemoryJournal("run-1")
    bad = refusal(400, "bad_value", "x is bad")
    letters = send(lambda _request: bad, [{"id": "a", "x": 1}], journal=journal)[1]
    assert letters == [
        {
            "index": 0,
            "id": "a",
            "status": "error",
            "http_status": 400,
            "request_id": None,
            "attempts": 1,
            "in_doubt": False,
            "usage": None,
            "error": {
                "class": "api",
                "code": "bad_value",
                "message": "POST /things: the server answered 400: x is bad",
                "retryable": False,
            },
            "run": "run-1",
            "connection": "out",
            "position": "1",
            "part": 0,
            "key": Delivery("run-1", "1").key,
            "record": {"id": "a", "x": 1},
        }
    ]


def test_a_dead_letter_of_a_record_that_never_became_parts_stands_for_all_of_it():
    (letter,) = send(Server(), ["no record"])[1]
    assert (letter["part"], letter["record"], "response" in letter) == (None, "no record", False)


def test_a_dead_letter_has_the_record_as_it_was_read():
    outgoing = {**POSTS, "transformers": [{"set": {"x": 2}}], "payload": {"x": "&{x}", "y": "&{y}"}}
    (letter,) = send(Server(), [{"x": 1}], outgoing)[1]
    assert letter["record"] == {"x": 1}


def test_without_the_payload_that_the_entity_wants_the_message_says_how_to_send_the_record():
    server = Server()
    (line,), _, _, _ = send(server, [{"input": "hi"}], {"entity": "moderations"})
    assert 'payload: "&{@}"' in line["error"]["message"]
    assert (line["status"], line["attempts"], server.requests) == ("error", 0, [])


def test_a_doubtful_outcome_of_a_creation_is_set_aside_and_never_sent_again():
    class Broken(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ReadError("connection lost")

    server = Broken()
    (line,), _, _, _ = send(server, [{"id": "a"}])
    assert (line["status"], line["in_doubt"], line["attempts"]) == ("error", True, 1)
    assert line["error"]["class"] == "outcome_unknown"
    assert len(server.requests) == 1


def test_a_failure_that_passes_is_tried_again_under_the_same_key():
    class Paced(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(429) if len(self.requests) < 3 else httpx.Response(200, json={})

    server = Paced()
    (line,), _, _, _ = send(server, [{"id": "a"}])
    assert (line["status"], line["attempts"], line["in_doubt"]) == ("ok", 3, False)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_a_form_with_bytes_in_it_can_be_sent():
    class Uploads(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            assert b"\x00\xff" in await request.aread()
            return httpx.Response(200, json={})

    outgoing = {"entity": "files", "action": "create"}
    record = {"payload": {"file": b"\x00\xff", "purpose": "batch"}}
    (line,), _, _, _ = send(Uploads(), [record], outgoing)
    assert line["status"] == "ok"


# -- deletions


def envelope(status: int, code: str | None = None) -> httpx.Response:
    return refusal(status, code, "No such File object")


@pytest.mark.parametrize("status", [404, 410])
def test_deleting_what_is_not_there_is_ok_and_says_so(status: int):
    (line,), dead, _, _ = send(lambda _request: envelope(status), [{"id": "f"}], DELETES)
    assert (line["status"], line["http_status"], line["response"]) == ("ok", status, {"already_gone": True})
    assert dead == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, html="<h1>Not Found</h1>"),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(404, json=["error"]),
        httpx.Response(404),
        envelope(404, "unknown_url"),
        envelope(400),
    ],
    ids=["html", "another server's JSON", "a list", "nothing", "the API does not know the path", "400"],
)
def test_a_404_that_is_not_the_apis_word_about_the_object_is_an_error(answer: httpx.Response):
    (line,), (letter,), _, _ = send(lambda _request: answer, [{"id": "f"}], DELETES)
    assert line["status"] == letter["status"] == "error"


def test_creating_where_nothing_is_found_is_an_error():
    (line,), _, _, _ = send(lambda _request: envelope(404), [{"id": "f"}])
    assert line["status"] == "error"


# -- shaping


def test_a_result_template_replaces_the_line_of_an_ok_result():
    def answer(request: httpx.Request) -> httpx.Response:
        return refusal(400) if body_of(request)["id"] == "b" else httpx.Response(200, json={"x": 1})

    outgoing = {**ECHO, "result": {"id": "&{input.id}", "x": "&{response.x}"}}
    lines, _, _, _ = send(answer, [{"id": "a"}, {"id": "b"}], outgoing)
    assert lines[0] == {"id": "a", "x": 1}
    assert (lines[1]["id"], lines[1]["status"]) == ("b", "error")


@pytest.mark.parametrize(
    "outgoing",
    [
        {"result": {"x": "&{response.absent}"}},
        {"response_transformers": [{"keep": ["absent"]}, {"map": "absent"}]},
    ],
)
def test_shaping_that_fails_keeps_the_response_that_was_paid_for_and_sends_nothing_again(outgoing: Any):
    server = Server()
    (line,), (letter,), publisher, _ = send(server, [{"id": "a"}], {**ECHO, **outgoing})
    assert (line["status"], line["error"]["class"], line["http_status"]) == ("error", "result", 200)
    assert letter["response"] == {"got": {"id": "a"}}
    assert letter["record"] == {"id": "a"}
    assert len(server.requests) == 1
    assert publisher.journal.counts == {"ok": 1, "dead": 1}


def test_a_response_transformer_that_gives_no_json_fails_only_its_record(tmp_path):
    (tmp_path / "odd.py").write_text(
        "def odd(record: dict) -> dict:\n"
        "    return {'x': {1, 2}} if record['input']['id'] == 'a' else {'x': 1}\n"
    )
    (tmp_path / "connectory.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "clients": {"api": CLIENT},
                "outgoing": {"out": {**ECHO, "response_transformers": [{"use": "odd:odd"}]}},
            }
        )
    )

    async def main():
        transport = httpx.MockTransport(Server())
        async with AsyncConnector.from_file(tmp_path / "connectory.yaml", transport=transport) as made:
            sink, dead = Kept(), Kept()
            publisher = made.publisher("out")
            await publisher.run(Listed([{"id": "a"}, {"id": "b"}]), sink, dead)
            return sink.lines

    bad, good = run(main)
    assert (bad["error"]["class"], good) == ("result", {"x": 1})
    assert "not representable as JSON" in bad["error"]["message"]


def test_response_transformers_may_give_no_line_at_all():
    lines, dead, publisher, _ = send(
        Server(), [{"id": "a"}], {**ECHO, "response_transformers": [{"keep_if": "`false`"}]}
    )
    assert (lines, dead, publisher.counts["ok"]) == ([], [], 1)


def test_the_error_behind_a_result_can_be_raised():
    async def main():
        outgoing = {**ECHO, "result": "&{response.absent}"}
        async with connected(Server(), outgoing={"out": outgoing}) as made:
            (result,) = [one async for one in made.outgoing("out", [{"id": "a"}])]
            with pytest.raises(Exception, match="absent"):
                result.unwrap()

    run(main)


# -- what stops a run


class Refusing(Server):
    """Answers everything with one refusal, after `good` good answers."""

    def __init__(self, status: int, code: str | None = None, *, good: int = 0) -> None:
        super().__init__()
        self._refusal, self._good = (status, code), good

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if len(self.requests) <= self._good:
            return await super().answer(request)
        return refusal(*self._refusal)


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(401, None, CredentialsError), (429, "insufficient_quota", UnavailableError)]
)
def test_a_cause_that_concerns_every_record_stops_the_run_and_leaves_the_rest_pending(status, code, kind):
    server, source = Refusing(status, code, good=3), Listed(numbered(100))
    lines, dead, publisher, error = send(server, source, {**ECHO, "concurrency": 1})
    assert type(error) is kind
    assert isinstance(error.__cause__, ApiError)
    assert [line["status"] for line in lines] == ["ok"] * 3
    assert dead == []
    assert len(server.requests) == 4
    assert source.acknowledged == ["1", "2", "3"]
    assert publisher.journal.in_flight == 0


def test_an_intent_whose_request_may_have_been_done_stays_when_the_run_stops():
    class Broken(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) == 1:
                raise httpx.ReadError("lost")
            return refusal(401)

    outgoing = {**ECHO, "on_uncertain": "resend"}
    _, _, publisher, error = send(Broken(), numbered(1), outgoing)
    assert isinstance(error, CredentialsError)
    assert publisher.journal.in_flight == 1


def test_what_is_under_way_when_a_run_stops_is_finished_and_written():
    async def answer(request: httpx.Request) -> httpx.Response:
        if body_of(request)["id"] == 0:
            return refusal(401)
        for _ in range(10):
            await asyncio.sleep(0)
        return httpx.Response(200, json={})

    lines, _, publisher, error = send(answer, numbered(100), {**ECHO, "concurrency": 4})
    assert isinstance(error, CredentialsError)
    assert [line["id"] for line in lines] == ["1", "2", "3"]
    assert publisher.counts["ok"] == 3


def test_a_missing_token_stops_the_run_before_anything_is_sent():
    server = Server()

    async def main():
        client = {name: value for name, value in CLIENT.items() if name != "token"}
        data = {"version": 1, "clients": {"api": client}, "outgoing": {"out": ECHO}}
        async with AsyncConnector.from_dict(data, transport=httpx.MockTransport(server)) as made:
            with pytest.raises(CredentialsError, match="no token"):
                await made.publisher("out").run(Listed(numbered(3)), Kept(), Kept())

    run(main)
    assert server.requests == []


def test_the_first_twenty_records_that_fail_alike_stop_the_run():
    server, source = Refusing(400, "bad"), Listed(numbered(100))
    lines, dead, publisher, error = send(server, source, {**ECHO, "concurrency": 1})
    assert type(error) is UnavailableError
    assert "the first 20 records all failed alike" in str(error)
    assert len(server.requests) == len(lines) == len(dead) == 20
    assert publisher.counts == {"ok": 0, "error": 20, "skipped": 0}


def test_records_that_fail_alike_after_a_good_one_do_not_stop_the_run():
    lines, _, publisher, error = send(Refusing(400, "bad", good=1), numbered(50), {**ECHO, "concurrency": 1})
    assert (len(lines), error) == (50, None)
    assert publisher.counts == {"ok": 1, "error": 49, "skipped": 0}


@pytest.mark.parametrize(
    ("network", "outgoing", "kind"),
    [
        (Refusing(403), ECHO, CredentialsError),
        (Server(), {**POSTS, "payload": "&{absent}"}, RunStoppedError),
        (Server(), {**ECHO, "result": "&{response.absent}"}, RunStoppedError),
    ],
    ids=["permission", "a wrong template", "a wrong result"],
)
def test_the_reason_of_a_stopped_run_is_told_by_what_the_records_failed_with(network, outgoing, kind):
    _, dead, _, error = send(network, numbered(60), {**outgoing, "concurrency": 1})
    assert type(error) is kind
    assert len(dead) == 20


def test_stopping_gently_takes_no_further_record_and_writes_what_is_under_way():
    async def main():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def answer(_request: httpx.Request) -> httpx.Response:
            arrived.set()
            await go_on.wait()
            return httpx.Response(200, json={})

        async with connected(answer, outgoing={"out": {**ECHO, "concurrency": 1}}) as made:
            publisher, sink = made.publisher("out"), Kept()
            assert publisher.stop(RunInterruptedError("early")) is False
            running = asyncio.ensure_future(publisher.run(Listed(numbered(10)), sink, Kept()))
            await arrived.wait()
            assert publisher.stop(RunInterruptedError("interrupted")) is True
            go_on.set()
            with pytest.raises(RunInterruptedError):
                await running
            assert [line["id"] for line in sink.lines] == ["0"]

    run(main)


def test_a_source_that_breaks_gives_the_results_so_far():
    async def broken():
        yield {"id": "a"}
        raise OSError("disk gone")

    async def main():
        results: list[Any] = []
        async with connected(Server(), outgoing={"out": ECHO}) as made:
            with pytest.raises(OSError, match="disk gone"):
                await extend(results, made.outgoing("out", broken()))
        assert [result.id for result in results] == ["a"]

    run(main)


# -- order of things


def test_dead_letters_and_results_are_written_before_a_record_is_acknowledged():
    story: list[Any] = []

    class Told(Listed):
        async def acknowledge(self, item: Any) -> None:
            story.append(("acknowledge", item.position))

    async def main():
        async with connected(Refusing(400), outgoing={"out": ECHO}) as made:
            await made.publisher("out").run(Told([{"id": "a"}]), Kept(story), Kept(story))

    run(main)
    kinds = [one if isinstance(one, str) else one[0] for one in story]
    assert kinds == ["write", "write", "flush", "flush", "acknowledge"]
    assert "record" in story[0][1]
    assert "record" not in story[1][1]


def test_a_record_is_acknowledged_when_all_its_parts_are_settled():
    source = Listed([{"items": [{"x": 1}, {"x": 2}]}, {"items": []}, "no record"])
    _, _, publisher, _ = send(Server(), source, {**ECHO, "transformers": [{"split": {"field": "items"}}]})
    assert sorted(source.acknowledged) == ["1", "2", "3"]
    assert publisher._open == {}


def test_reading_results_directly_acknowledges_too_and_keeps_nothing():
    async def main():
        source = Listed(numbered(500))
        async with connected(Server(), outgoing={"out": ECHO}) as made:
            publisher = made.publisher("out")
            async with aclosing(publisher.deliver(source)) as groups:
                async for _ in groups:
                    assert len(publisher._open) <= 2 * 32 * WINDOW
            assert (len(source.acknowledged), publisher._open) == (500, {})
            assert publisher.journal.in_flight == 0

    run(main)


def test_deliveries_that_an_earlier_attempt_settled_are_not_sent_and_their_records_are_acknowledged():
    class Resumed(MemoryJournal):
        def shown_parts(self, seq: int) -> set[int]:
            return {0: {0}, 1: {0, 1}}[seq]

    server, source = Server(), Listed([{"items": [{"x": n}, {"x": n + 1}]} for n in (1, 3)])
    lines, _, _, _ = send(
        server, source, {**ECHO, "transformers": [{"split": {"field": "items"}}]}, journal=Resumed()
    )
    assert server.bodies == [{"x": 2}]
    assert [line["id"] for line in lines] == ["1#1"]
    assert sorted(source.acknowledged) == ["1", "2"]


class Telling(MemoryJournal):
    """Tells when a delivery is about to be sent, and when it has an outcome."""

    def __init__(self, story: list[Any]) -> None:
        super().__init__()
        self._story = story

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        self._story.append("intend")
        await super().intend(delivery, body_hash)

    async def record(self, delivery: Delivery, result: Any) -> None:
        self._story.append("record")
        await super().record(delivery, result)


def story_of(count: int, *, at_once: int) -> list[Any]:
    """Send so many records, and give what happened in its order."""
    story: list[Any] = []

    async def answer(_request: httpx.Request) -> httpx.Response:
        story.append("send")
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={})

    async def main():
        async with connected(answer, outgoing={"out": {**ECHO, "concurrency": at_once}}) as made:
            journal = Telling(story)
            await made.publisher("out", journal=journal).run(Listed([{}] * count), Kept(story), Kept())

    run(main)
    return story


def test_the_intent_is_noted_before_the_request_leaves_and_the_outcome_before_the_line_is_written():
    story = story_of(1, at_once=1)
    assert story[:3] == ["intend", "send", "record"]
    assert story[3][0] == "write"


def test_records_that_are_under_way_together_are_noted_together_and_leave_together():
    at_once, stages = 3, ("intend", "send", "record")
    story = [one for one in story_of(2 * at_once, at_once=at_once) if one in stages]
    assert story == [name for name in stages for _ in range(at_once)] * 2


def test_the_hash_of_an_intent_tells_different_requests_apart():
    hashes: list[str] = []

    class Noting(MemoryJournal):
        async def intend(self, delivery: Delivery, body_hash: str) -> None:
            hashes.append(body_hash)

    outgoing = {"request": {"method": "POST", "path": "/things/{id}"}}
    requests = [("1", {"x": 1}), ("1", {"x": 2}), ("2", {"x": 1}), ("1", {"x": 1})]
    records = [{"path": {"id": thing}, "payload": payload} for thing, payload in requests]
    send(Server(), records, {**outgoing, "concurrency": 1}, journal=Noting())
    assert len(set(hashes[:3])) == 3
    assert hashes[3] == hashes[0]


def test_listeners_hear_the_run_and_every_record():
    events: list[Any] = []
    send(Server(), [{"id": "a"}], listen=events.append, journal=MemoryJournal("run-1"))
    assert events == [
        RunStarted("run-1", "out", 1, "outgoing", "/things"),
        RecordFinished("out", 0, "ok", "run-1", "/things", "a", 200, None, 1),
        RunFinished("run-1", "out", {"ok": 1, "error": 0, "skipped": 0}),
    ]


def test_leaving_early_cancels_the_requests_under_way():
    async def main():
        cancelled: list[int] = []

        async def answer(request: httpx.Request) -> httpx.Response:
            number = body_of(request)["id"]
            if number == 0:
                return httpx.Response(200, json={})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
            raise AssertionError

        async with connected(answer, outgoing={"out": {**ECHO, "concurrency": 3}}) as made:
            async for result in made.outgoing("out", numbered(100)):
                assert result.id == "0"
                break
            for _ in range(20):
                await asyncio.sleep(0)
        assert sorted(cancelled)[:2] == [1, 2]
        assert len(asyncio.all_tasks()) == OWN_TASKS

    run(main)


def test_a_respx_router_is_a_network():
    routes = router()
    routes.post("/moderations", json__input="hi").respond(json={"results": [{"flagged": False}]})
    outgoing = {
        "entity": "moderations",
        "payload": {"input": "&{text}"},
        "result": {"flagged": "&{response.results[0].flagged}"},
    }
    lines, _, _, _ = send(routes, [{"text": "hi"}], outgoing)
    assert lines == [{"flagged": False}]


def test_dead_letters_of_unsent_records_have_no_response():
    (letter,) = send(Server(), [{"id": "a"}], {**POSTS, "payload": "&{absent}"})[1]
    assert "response" not in letter
