"""Batches of the sandbox: what is in the input file comes out in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from sandbox_caller import CATALOGUE, Caller, read_to_the_end, violations

from connectory.sandbox import EmbeddedSandbox, batching

CASES = json.loads((Path(__file__).parent / "cases" / "sandbox_batches.json").read_text(encoding="utf-8"))
MODERATIONS = "/v1/moderations"


@pytest.fixture
def call():
    with Caller() as caller:
        yield caller


def line(custom_id: str, text: Any = "hello", **other: Any) -> dict[str, Any]:
    made = {"custom_id": custom_id, "method": "POST", "url": MODERATIONS, "body": {"input": text}}
    return made | other


def uploaded(call: Caller, lines: list[Any], purpose: str = "batch") -> str:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    parts = [("file", ("in.jsonl", text.encode())), ("purpose", (None, purpose))]
    return str(call.ok("POST", "/files", files=parts)["id"])


def started(call: Caller, lines: list[Any], endpoint: str = MODERATIONS, **other: Any) -> str:
    body = {"input_file_id": uploaded(call, lines), "endpoint": endpoint, "completion_window": "24h", **other}
    made = call.ok("POST", "/batches", json=body)
    assert made["status"] == "validating"
    assert not {"output_file_id", "error_file_id", "model", "errors"} & made.keys()
    return f"/batches/{made['id']}"


def written(call: Caller, name: str | None) -> list[dict[str, Any]]:
    if name is None:
        return []
    return [json.loads(one) for one in call("GET", f"/files/{name}/content").text.splitlines()]


def test_a_batch_goes_through_its_states_and_ends_with_files(call):
    path = started(call, [line("a"), line("b", 7), line("c", "murder")])
    assert read_to_the_end(call, path) == ["in_progress", "finalizing", "completed"]
    done = call.ok("GET", path)
    assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert {"in_progress_at", "finalizing_at", "completed_at", "expires_at"} <= done.keys()
    good, bad = written(call, done["output_file_id"]), written(call, done["error_file_id"])
    assert [one["custom_id"] for one in good] == ["a", "c"]
    assert [one["response"]["body"]["results"][0]["flagged"] for one in good] == [False, True]
    assert good[0].keys() == {"id", "custom_id", "response", "error"}
    assert good[0]["response"].keys() == {"status_code", "request_id", "body"}
    assert [(one["custom_id"], one["response"]["status_code"]) for one in bad] == [("b", 400)]
    assert bad[0]["response"]["body"]["error"]["param"] == "input"
    file = call.ok("GET", f"/files/{done['output_file_id']}")
    assert file["purpose"] == "batch_output"
    assert file["bytes"] == len(call("GET", f"/files/{file['id']}/content").content)


def test_a_line_is_answered_as_a_request_of_its_own(call):
    path = started(call, [line("a", "I will kill you")])
    read_to_the_end(call, path)
    (one,) = written(call, call.ok("GET", path)["output_file_id"])
    assert one["response"]["body"] == call.ok("POST", MODERATIONS, json={"input": "I will kill you"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["fact"])
def test_an_input_file_that_is_wrong_fails_the_batch(call, case):
    lines = [one if isinstance(one, str) else line("a") | one for one in case["lines"]]
    lines = [
        json.dumps({key: value for key, value in one.items() if value is not None})
        if isinstance(one, dict)
        else one
        for one in lines
    ]
    name = uploaded(call, lines, case.get("purpose", "batch"))
    body = {"input_file_id": name, "endpoint": MODERATIONS, "completion_window": "24h"}
    path = f"/batches/{call.ok('POST', '/batches', json=body)['id']}"
    assert read_to_the_end(call, path) == ["failed"]
    failed = call.ok("GET", path)
    (error,) = failed["errors"]["data"]
    assert (error["code"], error["param"], error["line"]) == (case["code"], case.get("param"), case["line"])
    assert "output_file_id" not in failed
    assert violations(CATALOGUE["batch"].actions["read"].response.schema, failed) == []


def test_a_batch_of_a_file_that_is_not_there_fails(call):
    body = {"input_file_id": "file-none", "endpoint": MODERATIONS, "completion_window": "24h"}
    made = call.ok("POST", "/batches", json=body)
    failed = call.ok("GET", f"/batches/{made['id']}")
    assert failed["status"] == "failed"
    assert failed["errors"]["data"][0]["code"] == "invalid_input_file"


def test_an_unknown_endpoint_is_refused(call):
    body = {"input_file_id": "file-none", "endpoint": "/v1/files", "completion_window": "24h"}
    answer = call("POST", "/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "endpoint")


def test_a_line_that_wants_a_stream_is_refused(call):
    path = started(
        call,
        [line("a", url="/v1/responses", body={"model": "gpt-5", "input": "x", "stream": True})],
        "/v1/responses",
    )
    read_to_the_end(call, path)
    (bad,) = written(call, call.ok("GET", path)["error_file_id"])
    assert bad["response"]["body"]["error"]["param"] == "stream"


def test_a_long_batch_takes_a_reading_for_every_thousand_lines(call):
    path = started(call, [line(str(number)) for number in range(2500)])
    seen = [call.ok("GET", path) for _ in range(5)]
    told = [(one["status"], one["request_counts"]["completed"]) for one in seen]
    assert told == [
        ("in_progress", 0),
        ("in_progress", 1000),
        ("in_progress", 2000),
        ("finalizing", 2500),
        ("completed", 2500),
    ]
    assert len(written(call, seen[-1]["output_file_id"])) == 2500


def test_a_cancelled_batch_keeps_what_was_done(call):
    path = started(call, [line(str(number)) for number in range(1200)])
    call.ok("GET", path)
    call.ok("GET", path)
    assert call.ok("POST", f"{path}/cancel")["status"] == "cancelling"
    assert call.ok("POST", f"{path}/cancel")["status"] == "cancelling"
    assert read_to_the_end(call, path) == ["cancelled"]
    done = call.ok("GET", path)
    assert len(written(call, done["output_file_id"])) == 1000
    left = written(call, done["error_file_id"])
    assert {(one["response"], one["error"]["code"]) for one in left} == {(None, "batch_cancelled")}
    names = {one["custom_id"] for one in [*left, *written(call, done["output_file_id"])]}
    assert names == {str(number) for number in range(1200)}
    refused = call("POST", f"{path}/cancel")
    assert refused.status_code == 400
    assert "cancelled" in refused.json()["error"]["message"]


def test_a_batch_whose_results_are_too_many_expires_with_what_was_done(call, monkeypatch):
    monkeypatch.setattr(batching, "MOST_RESULTS", 5000)
    path = started(call, [line(str(number)) for number in range(50)])
    assert read_to_the_end(call, path) == ["in_progress", "expired"]
    done = call.ok("GET", path)
    good, left = written(call, done["output_file_id"]), written(call, done["error_file_id"])
    assert len(good) + len(left) == 50
    assert good
    assert {one["error"]["code"] for one in left} == {"batch_expired"}


def test_more_lines_than_allowed_fail_the_batch(call, monkeypatch):
    monkeypatch.setattr(batching, "MOST_LINES", 3)
    path = started(call, [line(str(number)) for number in range(4)])
    assert call.ok("GET", path)["errors"]["data"][0]["code"] == "too_many_requests"


def test_what_a_batch_works_on_is_within_the_bound_on_memory(call):
    path = started(call, [line(str(number)) for number in range(1500)])
    store = call.app.routes[0].app.answerer.store
    before = store.bytes
    call.ok("GET", path)
    call.ok("GET", path)
    assert store.bytes > before + 1000 * 100
    read_to_the_end(call, path)
    done = call.ok("GET", path)
    assert store.bytes == before + call.ok("GET", f"/files/{done['output_file_id']}")["bytes"]


def test_the_official_client_runs_a_batch():
    lines = [
        line(
            str(number), url="/v1/embeddings", body={"model": "m", "input": f"text {number}", "dimensions": 4}
        )
        for number in range(5)
    ]
    text = "\n".join(map(json.dumps, lines)).encode()
    with (
        EmbeddedSandbox() as sandbox,
        openai.OpenAI(api_key=sandbox.token, base_url=sandbox.base_uri, max_retries=0) as client,
    ):
        file = client.files.create(file=("in.jsonl", text), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/embeddings",
            completion_window="24h",
            output_expires_after={"anchor": "created_at", "seconds": 3600},
        )
        while batch.status != "completed":
            batch = client.batches.retrieve(batch.id)
        found = [json.loads(one) for one in client.files.content(batch.output_file_id).text.splitlines()]
        assert [one["custom_id"] for one in found] == [one["custom_id"] for one in lines]
        assert batch.error_file_id is None
        assert (batch.model, batch.request_counts.completed) == ("m", 5)
        assert batch.usage.total_tokens == sum(
            one["response"]["body"]["usage"]["total_tokens"] for one in found
        )
        output = client.files.retrieve(batch.output_file_id)
        assert output.expires_at == output.created_at + 3600


FAULTS = {
    "batch-expired": ("expired", 10, 10, {"batch_expired"}),
    "batch-errors": ("completed", 13, 7, {500}),
    "batch-lost": ("completed", 13, 0, set()),
    "batch-tokens": ("failed", 0, 0, set()),
    "batch-refused": ("failed", 0, 0, set()),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_batch_meets_the_fault_that_was_ordered(kind):
    state, good, bad, why = FAULTS[kind]
    with Caller(faults={kind: 1.0}) as call:
        path = started(call, [line(str(number)) for number in range(20)])
        assert read_to_the_end(call, path)[-1] == state
        done = call.ok("GET", path)
        assert len(written(call, done.get("output_file_id"))) == good
        refused = written(call, done.get("error_file_id"))
        assert len(refused) == bad
        codes = {one["error"]["code"] if one["error"] else one["response"]["status_code"] for one in refused}
        assert codes == why
        assert violations(CATALOGUE["batch"].actions["read"].response.schema, done) == []
        if state == "failed":
            (error,) = done["errors"]["data"]
            assert (error["code"] == "token_limit_exceeded") == (kind == "batch-tokens")
            assert (error["line"] == 1) == (kind == "batch-refused")


def test_faults_of_batches_are_a_share_of_batches_and_of_no_requests():
    with Caller(faults={"batch-tokens": 0.5, "429": 0.0}, seed=3) as call:
        ends = [read_to_the_end(call, started(call, [line("a")]))[-1] for _ in range(20)]
    assert set(ends) == {"failed", "completed"}
