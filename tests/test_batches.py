"""Delivery by batches: the same lines as with direct delivery, whatever becomes of the batches."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from batched import batches, faults_of, hurry, texts

from connectory.assembly import connections
from connectory.client import Client
from connectory.delivery.batches.asking import Asking
from connectory.errors import (
    ApiError,
    GuardError,
    OutcomeUnknownError,
    RunDetachedError,
    RunInterruptedError,
    UnavailableError,
)
from connectory.events import BatchChanged, Noticed
from connectory.requests.attempts import Outcome
from connectory.sandbox import batching
from connectory.sandbox.refusal import RefusedError


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    hurry(monkeypatch)


def said(life: Any) -> list[str]:
    return [event.message for event in life.events if isinstance(event, Noticed)]


def ids(lines: list[Any]) -> list[Any]:
    return [line["id"] for line in lines]


def test_the_lines_are_those_of_direct_delivery(tmp_path):
    records = texts(40)
    records[7] = {"id": 7}
    records[11]["text"] = 5
    found = []
    for delivery in ("batch", "direct"):
        with batches(
            tmp_path, delivery=delivery, result={"id": "&{input.id}", "r": "&{response.results}"}
        ) as one:
            one.give(records)
            assert one.live().error is None
            found.append((one.lines, [{**line, "key": None, "run": None} for line in one.dead]))
            one.folder.rename(tmp_path / delivery)
    assert found[0] == found[1]
    assert [line.get("id") for line in found[0][0]][:9] == [0, 1, 2, 3, 4, 5, 6, "7", 8]


def test_a_plain_result_says_what_the_line_of_the_batch_said(tmp_path):
    with batches(tmp_path) as project:
        project.give(texts(2))
        life = project.live()
        first = project.lines[0]
    assert (first["status"], first["http_status"], first["attempts"], first["in_doubt"]) == (
        "ok",
        200,
        1,
        False,
    )
    assert first["request_id"].startswith("req_")
    assert first["response"]["results"][0]["flagged"] is False
    seen = [
        (event.state, event.completed, event.total)
        for event in life.events
        if isinstance(event, BatchChanged)
    ]
    assert seen[-1] == ("completed", 2, 2)
    assert Counter(event.part for event in life.events if isinstance(event, BatchChanged)).keys() == {1}


def test_what_is_done_leaves_no_input_file_here_or_there(tmp_path):
    with batches(tmp_path) as project:
        project.give(texts(3))
        project.live()
        assert project.files == []
        assert not (project.path / "batches").exists()
        (batch,) = project.batches
        assert batch["metadata"]["connectory_run"] == project.path.name
        assert project.ask(f"/files/{batch['output_file_id']}")["bytes"] > 0


def test_each_model_has_its_own_batch_and_the_order_is_that_of_the_input(tmp_path):
    payload = {"model": "&{model}", "input": "&{text}"}
    with batches(tmp_path, payload=payload) as project:
        records = [{**one, "model": f"model-{one['id'] % 3}"} for one in texts(30)]
        project.give(records)
        project.live()
        assert ids(project.lines) == [str(number) for number in range(30)]
        assert sorted(one["request_counts"]["total"] for one in project.batches) == [10, 10, 10]
        assert {one["model"] for one in project.batches} == {"model-0", "model-1", "model-2"}


def limits(project, monkeypatch, **known):
    """Make the limits of a batch small."""

    original = connections.batch

    def smaller(*given):
        found = original(*given)
        return found and replace(found, **known)

    monkeypatch.setattr(connections, "batch", smaller)


@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_part_holds_no_more_requests_than_the_api_takes(tmp_path, monkeypatch, order):
    with batches(tmp_path, order=order) as project:
        limits(project, monkeypatch, requests=10)
        project.give(texts(35))
        project.live()
        assert sorted(one["request_counts"]["total"] for one in project.batches) == [5, 10, 10, 10]
        assert sorted(ids(project.lines), key=int) == [str(number) for number in range(35)]
        assert order == "completion" or ids(project.lines) == [str(number) for number in range(35)]


def test_a_part_holds_no_more_bytes_than_the_api_takes_and_a_larger_request_is_set_aside(
    tmp_path, monkeypatch
):
    with batches(tmp_path) as project:
        limits(project, monkeypatch, size=1000)
        records = texts(12)
        records[5]["text"] = "x" * 1000
        project.give(records)
        project.live()
        assert sum(one["request_counts"]["total"] for one in project.batches) == 11
        assert len(project.batches) > 1
        (dead,) = project.dead
    assert (dead["index"], dead["error"]["class"]) == (5, "request")
    assert "a batch takes 1000" in dead["error"]["message"]


def test_the_inputs_of_embeddings_count_across_a_part(tmp_path, monkeypatch):
    payload = {"model": "m", "input": "&{texts}"}
    with batches(
        tmp_path, entity="embeddings", payload=payload, result={"n": "&{length(response.data)}"}
    ) as project:
        limits(project, monkeypatch, inputs=6)
        project.give([{"id": number, "texts": ["a", "b", "c"]} for number in range(5)])
        project.live()
        assert sorted(one["request_counts"]["total"] for one in project.batches) == [1, 2, 2]
        assert project.lines == [{"n": 3}] * 5


@pytest.mark.fault(
    "B1", "Only what the expired batch left is sent again, in a new one; nothing is bought twice."
)
def test_of_an_expired_batch_only_what_is_missing_is_sent_again(tmp_path):
    with batches(tmp_path) as project:
        faults_of(project, "batch-expired")
        project.give(texts(20))
        life = project.live()
        assert [one["status"] for one in project.batches] == ["expired", "completed"]
        assert [one["request_counts"]["total"] for one in project.batches] == [20, 10]
        assert [line["attempts"] for line in project.lines] == [1] * 10 + [2] * 10
        assert {line["status"] for line in project.lines} == {"ok"}
    assert any("10 of 20 requests have no answer (expired); they are sent again" in one for one in said(life))


def test_what_expires_again_and_again_is_set_aside(tmp_path):
    with batches(tmp_path) as project:
        project.retry["attempts"] = 2
        faults_of(project, "batch-expired", "batch-expired", "batch-expired")
        project.give(texts(8))
        project.live()
        assert len(project.batches) == 2
        assert [line["status"] for line in project.lines] == ["ok"] * 6 + ["error"] * 2
        assert {one["error"]["code"] for one in project.dead} == {"expired"}
        assert all(one["error"]["retryable"] for one in project.dead)


def test_a_batch_that_is_refused_for_tokens_is_begun_later_with_the_same_file(tmp_path):
    with batches(tmp_path) as project:
        faults_of(project, "batch-tokens", "batch-tokens")
        project.give(texts(6))
        project.live()
        assert [one["status"] for one in project.batches] == ["failed", "failed", "completed"]
        assert len({one["input_file_id"] for one in project.batches}) == 1
        assert {line["attempts"] for line in project.lines} == {1}
        assert len(project.lines) == 6


def test_a_batch_that_is_alone_and_too_large_is_halved(tmp_path):
    with batches(tmp_path) as project:
        faults_of(project, *["batch-tokens"] * 3)
        project.give(texts(7))
        life = project.live()
        assert sorted(one["request_counts"]["total"] for one in project.batches[-2:]) == [3, 4]
        assert ids(project.lines) == [str(number) for number in range(7)]
    assert any("it is halved" in one for one in said(life))


def test_a_line_that_the_api_refuses_is_set_aside_and_the_others_are_sent_again(tmp_path):
    with batches(tmp_path) as project:
        faults_of(project, "batch-refused")
        project.give(texts(6))
        project.live()
        assert [one["status"] for one in project.batches] == ["failed", "completed"]
        assert [line["status"] for line in project.lines] == ["error"] + ["ok"] * 5
        (dead,) = project.dead
    assert dead["error"]["code"] == "invalid_request"
    assert "This line is wrong." in dead["error"]["message"]
    assert not dead["error"]["retryable"]


def test_requests_that_met_a_failing_server_are_sent_again_so_often_as_retry_says(tmp_path):
    with batches(tmp_path) as project:
        project.retry["attempts"] = 3
        faults_of(project, "batch-errors", "batch-errors", "batch-errors", "batch-errors")
        project.give(texts(18))
        project.live()
        assert [one["request_counts"]["total"] for one in project.batches] == [18, 6, 2]
        assert Counter(line["attempts"] for line in project.lines) == {1: 12, 2: 4, 3: 2}
        (dead,) = project.dead
    assert (dead["http_status"], dead["error"]["class"], dead["error"]["retryable"]) == (500, "api", True)


def test_a_request_that_the_api_refuses_is_an_error_like_the_direct_one(tmp_path):
    with batches(tmp_path, validate="off") as project:
        records = texts(3)
        records[1]["text"] = 5
        project.give(records)
        project.live()
        assert len(project.batches) == 1
        (dead,) = project.dead
    assert (dead["http_status"], dead["error"]["class"], dead["attempts"]) == (400, "api", 1)
    assert dead["error"]["message"].startswith("POST /moderations: the server answered 400: ")
    assert dead["record"] == records[1]


def test_what_is_in_neither_file_is_sent_again(tmp_path):
    with batches(tmp_path) as project:
        faults_of(project, "batch-lost")
        project.give(texts(9))
        project.live()
        assert [one["request_counts"]["total"] for one in project.batches] == [9, 3]
        assert ids(project.lines) == [str(number) for number in range(9)]


def test_nobody_waits_with_detach_and_the_same_command_takes_the_answers(tmp_path):
    with batches(tmp_path) as project:
        project.give(texts(5))
        first = project.live(detached=True)
        assert isinstance(first.error, RunDetachedError)
        assert first.left == 5
        assert "5 records wait" in str(first.error)
        second = project.live()
        assert second.resumed
        assert second.error is None
        assert len(project.batches) == 1
        assert ids(project.lines) == ["0", "1", "2", "3", "4"]


def test_a_run_that_is_interrupted_leaves_its_batches_and_says_so(tmp_path):
    with batches(tmp_path) as project:
        project.give(texts(5))

        def stop_when_created(publisher, _work):
            original = publisher.listen

            def hear(event):
                original(event)
                if isinstance(event, BatchChanged):
                    publisher.stop(RunInterruptedError("interrupted"))

            publisher._batched._listen = publisher.listen = hear

        life = project.live(meanwhile=stop_when_created)
        assert isinstance(life.error, RunInterruptedError)
        assert any("1 batches go on at the server" in one and "runs cancel" in one for one in said(life))
        assert project.summary.pending == 5
        assert project.live().error is None
        assert len(project.batches) == 1
        assert len(project.lines) == 5


@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_budget_bounds_what_is_sent(tmp_path, order):
    with batches(tmp_path, budget={"requests": 4}, order=order) as project:
        project.give(texts(10))
        life = project.live()
        assert isinstance(life.error, GuardError)
        assert [one["request_counts"]["total"] for one in project.batches] == [4]
        assert project.summary.done == 4
        project.settings["budget"] = {"requests": 20}
        assert project.live().error is None
        assert sorted(ids(project.lines), key=int) == [str(number) for number in range(10)]


def test_max_dead_ends_the_run(tmp_path):
    with batches(tmp_path, validate="off", max_dead=2) as project:
        project.give([{"id": number, "text": 5} for number in range(6)])
        assert isinstance(project.live().error, GuardError)


def test_no_money_stops_the_run_and_the_records_stay_pending(tmp_path, monkeypatch):

    with batches(tmp_path) as project:
        original = batching._refuse_stream

        def poor(body):
            if body["input"] in {"text 1", "text 3"}:
                raise RefusedError(429, "no money", code="insufficient_quota")
            original(body)

        monkeypatch.setattr(batching, "_refuse_stream", poor)
        project.give(texts(5))
        life = project.live()
        assert isinstance(life.error, UnavailableError)
        assert project.summary.dead == 0
        monkeypatch.undo()
        assert project.live().error is None
        assert ids(project.lines) == ["0", "1", "2", "3", "4"]
        assert [line["attempts"] for line in project.lines] == [1] * 5
        assert [one["request_counts"]["total"] for one in project.batches] == [5, 2]


def test_only_new_sends_what_no_earlier_run_had_answered(tmp_path):
    with batches(tmp_path, only="new", identifier="id") as project:
        project.give(texts(3))
        project.live()
        project.give(texts(5))
        project.live(new=True)
        assert [line["status"] for line in project.lines] == ["skipped"] * 3 + ["ok"] * 2
        assert [one["request_counts"]["total"] for one in project.batches] == [3, 2]


def test_several_records_of_one_input_go_to_different_parts_and_close_it_once(tmp_path):
    transformers = [{"split": {"field": "models", "into": "model"}}]
    payload = {"model": "&{model}", "input": "&{text}"}
    with batches(tmp_path, payload=payload, transformers=transformers) as project:
        project.give([{**one, "models": ["a", "b"]} for one in texts(4)])
        life = project.live()
        assert life.error is None
        assert len(project.batches) == 2
        assert ids(project.lines) == [f"{number}#{part}" for number in range(4) for part in range(2)]
        assert (project.summary.done, project.summary.pending) == (4, 0)


def test_many_records_do_not_lie_in_memory(tmp_path, monkeypatch):

    def peak(count):
        (tmp_path / str(count)).mkdir()
        with batches(tmp_path / str(count), result={"id": "&{input.id}"}) as project:
            limits(project, monkeypatch, requests=500)
            project.give(texts(count, more="x" * 2000))
            highest = [0]

            def watch(publisher, _work):
                original = publisher._let_go

                def let_go(seq):
                    original(seq)
                    if seq == count - 1:
                        highest[0] = tracemalloc.get_traced_memory()[0]

                publisher._batched._let_go = let_go

            tracemalloc.start()
            try:
                project.live(meanwhile=watch)
            finally:
                tracemalloc.stop()
            assert len(project.lines) == count
        return highest[0]

    small, large = peak(500), peak(4000)
    assert large - small < 3500 * 1000, (small, large)


@pytest.mark.parametrize("order", ["input", "completion"])
def test_an_output_that_is_gone_is_made_again_and_nothing_is_sent(tmp_path, order):
    with batches(tmp_path, order=order, budget={"requests": 6}) as project:
        records = texts(10)
        records[2] = {"id": 2}
        project.give(records)
        assert isinstance(project.live().error, GuardError)
        project.output.with_name("out.jsonl.part").unlink()
        project.settings.pop("budget")
        assert project.live().error is None
        assert sorted(one["request_counts"]["total"] for one in project.batches) == [3, 6]
        assert sorted(ids(project.lines), key=int) == [str(number) for number in range(10)]
        assert [one["index"] for one in project.dead] == [2]


def test_the_files_of_an_unfinished_run_that_are_gone_are_told(tmp_path):
    with batches(tmp_path) as project:
        project.give(texts(3))
        project.live(detached=True)
        (project.path / "batches" / "items.jsonl").unlink()
        assert "start anew with --new" in str(project.live().error)


def test_a_batch_that_cannot_be_made_leaves_its_records_pending(tmp_path):
    with batches(tmp_path, payload={"model": "m", "input": "&{text}"}) as project:
        project.give(texts(3))

        def refuse(_publisher, _work):
            option = _publisher._batched._option
            _publisher._batched._option = replace(option, window="25h")

        life = project.live(meanwhile=refuse)
        assert isinstance(life.error, UnavailableError)
        assert "the batch of 3 requests was not made" in str(life.error)
        assert project.summary.pending == 3
        assert project.live().error is None
        assert len(project.lines) == 3
        assert len(project.batches) == 1


def test_an_answer_that_is_not_accepted_is_a_dead_letter_with_what_was_paid_for(tmp_path):
    with batches(tmp_path, accept="response.results[0].flagged == `false`") as project:
        records = texts(3)
        records[1]["text"] = "I will kill you"
        project.give(records)
        project.live()
        (dead,) = project.dead
    assert (dead["index"], dead["error"]["class"]) == (1, "accept")
    assert dead["response"]["results"][0]["flagged"] is True


def test_with_order_completion_what_cannot_be_sent_is_set_aside_at_once(tmp_path):
    with batches(tmp_path, order="completion") as project:
        records = texts(4)
        records[1] = {"id": 1}
        project.give(records)
        assert isinstance(project.live(detached=True).error, RunDetachedError)
        assert [one["index"] for one in project.dead] == [1]
        project.live()
        assert sorted(ids(project.lines), key=int) == ["0", "1", "2", "3"]
        assert len(project.dead) == 1


def test_with_the_order_of_the_input_what_cannot_be_sent_is_told_at_once(tmp_path):
    with batches(tmp_path) as project:
        project.give([*texts(2), {"id": 2}])
        life = project.live(detached=True)
    assert any("1 records cannot be sent" in one for one in said(life))


def test_a_file_that_is_not_known_everywhere_yet_is_waited_for(tmp_path, monkeypatch):
    refused = []
    original = Client.send

    async def send(self, call, *given, **named):
        if call.entity.name == "batches" and call.action.name == "create" and len(refused) < 2:
            refused.append(call)
            error = ApiError("no such file", status=400, param="input_file_id")
            return Outcome(None, error, 1)
        return await original(self, call, *given, **named)

    monkeypatch.setattr(Client, "send", send)
    with batches(tmp_path) as project:
        project.give(texts(2))
        assert project.live().error is None
        assert len(project.batches) == 1
    assert len(refused) == 2


@pytest.mark.parametrize("entity", ["files", "batches"])
def test_what_was_made_although_no_answer_came_is_found_and_not_made_again(tmp_path, monkeypatch, entity):
    lost = []
    original = Client.send

    async def send(self, call, *given, **named):
        outcome = await original(self, call, *given, **named)
        if call.entity.name == entity and call.action.name == "create" and not lost:
            lost.append(call)
            return Outcome(None, OutcomeUnknownError("no answer"), 1, in_doubt=True, retryable=True)
        return outcome

    monkeypatch.setattr(Client, "send", send)
    with batches(tmp_path) as project:
        project.give(texts(2))
        assert project.live().error is None
        assert len(project.batches) == 1
        assert len(project.ask("/files")["data"]) == 1  # that of the answers
        assert {line["in_doubt"] for line in project.lines} == {False}
    assert lost


def test_what_a_batch_takes_is_what_the_catalogue_says(tmp_path):
    known = {}
    for entity in ("embeddings", "responses"):
        with batches(tmp_path, entity=entity, payload={"model": "m", "input": "x"}) as project:
            known[entity] = project.made([]).assembly.publication("out", run={}).batch
            project.folder.rename(tmp_path / entity)
    assert {one.requests for one in known.values()} == {50_000}
    assert {one.size for one in known.values()} == {200_000_000}
    assert [one.inputs for one in known.values()] == [50_000, None]
    assert known["responses"].endpoint == "/v1/responses"
    assert known["responses"].window == "24h"


def test_with_durability_power_everything_is_on_the_disk_first(tmp_path):
    with batches(tmp_path, durability="power") as project:
        project.give(texts(5))
        assert isinstance(project.live(detached=True).error, RunDetachedError)
        assert project.live().error is None
        assert ids(project.lines) == ["0", "1", "2", "3", "4"]


def test_records_of_more_models_than_files_may_be_open_make_smaller_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("connectory.delivery.batches.taking.MOST_MODELS", 2)
    payload = {"model": "&{model}", "input": "&{text}"}
    with batches(tmp_path, payload=payload) as project:
        project.give([{**one, "model": f"m{one['id'] % 3}"} for one in texts(9)])
        project.live()
        assert len(project.batches) > 3
        assert ids(project.lines) == [str(number) for number in range(9)]


def test_a_batch_that_nobody_can_read_stops_the_run_and_is_left(tmp_path, monkeypatch):
    async def look(_self, _name):
        return Outcome(None, ApiError("gone", status=404), 1)

    with batches(tmp_path) as project:
        project.give(texts(2))
        with monkeypatch.context() as patched:
            patched.setattr(Asking, "look", look)
            assert "cannot be read: gone" in str(project.live().error)
        assert project.live().error is None
        assert len(project.batches) == 1
