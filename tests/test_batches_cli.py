"""The command line and the Python API with deliveries by batches."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from batched import hurry, texts
from command import connectory
from killing import ended_at

from connectory import Connector
from connectory.assembly import Endpoint
from connectory.config import config_from_dict
from connectory.sandbox import EmbeddedSandbox

OUT: dict[str, Any] = {
    "entity": "moderations",
    "delivery": "batch",
    "payload": {"model": "m", "input": "&{text}"},
    "result": {"id": "&{input.id}"},
}
COMMAND = ("run", "outgoing", "out", "--input", "in.jsonl", "--output", "o.jsonl")


@pytest.fixture
def sandbox():
    with EmbeddedSandbox() as server:
        yield server


def project(folder: Path, sandbox: Any, count: int = 3, **connections: Any) -> None:
    """Lay out a configuration and an input."""
    limits = {"requests_per_minute": 1_000_000, "concurrency": 8}
    client = {"base_uri": sandbox.base_uri, "token": sandbox.token, "limits": limits}
    config = {"version": 1, "clients": {"api": client}, **(connections or {"outgoing": {"out": OUT}})}
    (folder / "connectory.yaml").write_text(json.dumps(config))
    (folder / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts(count)))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ask(sandbox: Any, path: str) -> Any:
    headers = {"authorization": f"Bearer {sandbox.token}"}
    return httpx.get(f"{sandbox.base_uri}{path}", headers=headers).json()


def test_preview_shows_the_lines_and_the_parts(tmp_path, sandbox):
    models = {**OUT, "payload": {"model": "&{id}", "input": "&{text}"}, "validate": "off"}
    project(tmp_path, sandbox, outgoing={"out": models})
    done = connectory("preview", "outgoing", "out", "--input", "in.jsonl", folder=tmp_path)
    assert done.code == 0
    (line,) = done.lines[0]["requests"]
    assert line["line"]["url"] == "/v1/moderations"
    assert line["line"]["body"] == {"model": 0, "input": "text 0"}
    (part,) = done.lines[3:]
    assert (part["part"], part["requests"], part["model"]) == (1, 3, None)
    assert part["create"]["payload"]["endpoint"] == "/v1/moderations"
    assert part["create"]["payload"]["metadata"]["connectory_part"] == "1"
    assert re.fullmatch(r"<file connectory-RUN-1\.jsonl, \d+ bytes>", part["upload"]["payload"]["file"])
    assert ask(sandbox, "/batches")["data"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"entity": "files"},
            "the Batch API does not take create of entity 'files'; it takes responses, chat",
        ),
        ({"entity": "beta.responses"}, "does not take create of entity 'beta.responses'"),
        ({"entity": "file", "action": "delete"}, "does not take delete of entity 'file'"),
        ({"entity": "responses", "sequence": "a"}, "'sequence' does not go with `delivery: batch`"),
        ({"entity": "responses", "until": True}, "'until' does not go with `delivery: batch`"),
        ({"entity": "responses", "stream": "events"}, "'stream' does not go with `delivery: batch`"),
        ({"entity": "responses", "save_to": "x"}, "'save_to' does not go with `delivery: batch`"),
        ({"request": {"method": "POST", "path": "/x"}}, "the Batch API does not take a raw request"),
    ],
)
def test_lint_refuses_what_a_batch_does_not_take(tmp_path, sandbox, settings, message):
    project(tmp_path, sandbox, outgoing={"out": {"delivery": "batch", **settings}})
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert message in done.said


def test_every_endpoint_of_the_catalogue_passes_lint(tmp_path, sandbox):
    names = ["responses", "chat.completions", "embeddings", "completions", "moderations"]
    names += ["images.generations", "images.edits", "videos"]
    project(tmp_path, sandbox, outgoing={name: {"entity": name, "delivery": "batch"} for name in names})
    assert connectory("lint", folder=tmp_path).code == 0


def test_the_run_tells_how_far_its_batches_are(tmp_path, sandbox):
    project(tmp_path, sandbox)
    done = connectory(*COMMAND, folder=tmp_path)
    assert done.code == 0
    assert re.search(r"out: part 1 \(batch_\w+\) is completed: 3 of 3 done, 0 failed", done.said)
    assert lines(tmp_path / "o.jsonl") == [{"id": 0}, {"id": 1}, {"id": 2}]


def test_who_does_not_want_to_wait_detaches_and_looks_later(tmp_path, sandbox):
    project(tmp_path, sandbox)
    done = connectory(*COMMAND, "--detach", folder=tmp_path)
    assert done.code == 0
    assert "detached: 3 records wait for what was created" in done.said
    assert "the same command goes on: connectory run outgoing out" in done.said
    assert not (tmp_path / "o.jsonl").exists()
    seen = 1
    while not (tmp_path / "o.jsonl").exists():
        assert connectory(*COMMAND, "--detach", folder=tmp_path).code == 0
        seen += 1
        assert seen < 10
    assert len(lines(tmp_path / "o.jsonl")) == 3
    assert len(ask(sandbox, "/batches")["data"]) == 1


def test_a_signal_leaves_the_batches_and_says_how_to_go_on_and_how_to_end_them(tmp_path, sandbox):
    project(tmp_path, sandbox, 2500)
    code, said = ended_at(tmp_path, COMMAND, "is in_progress", signal.SIGINT)
    assert code == 130
    assert "1 batches go on at the server, and are paid for" in said
    assert "the same command goes on: connectory run outgoing out" in said
    (batch,) = ask(sandbox, "/batches")["data"]
    assert batch["status"] == "in_progress"
    (run,) = [path.name for path in (tmp_path / ".connectory" / "runs").iterdir()]
    assert "batches     1 under way" in connectory("runs", "show", run, folder=tmp_path).out
    assert connectory(*COMMAND, folder=tmp_path).code == 0
    assert "batches     1 done" in connectory("runs", "show", run, folder=tmp_path).out
    assert len(lines(tmp_path / "o.jsonl")) == 2500
    assert len(ask(sandbox, "/batches")["data"]) == 1


def test_cancelling_ends_the_batches_and_the_same_command_takes_what_is_done(tmp_path, sandbox):
    project(tmp_path, sandbox, 2500)
    ended_at(tmp_path, COMMAND, "1000 of 2500", signal.SIGINT)
    (run,) = [path.name for path in (tmp_path / ".connectory" / "runs").iterdir()]
    done = connectory("runs", "cancel", run, folder=tmp_path)
    assert done.code == 0
    assert f"run {run}: 1 batches are being cancelled; the same command takes what is done:" in done.said
    assert done.last.startswith("connectory run outgoing out")
    (batch,) = ask(sandbox, "/batches")["data"]
    assert batch["status"] == "cancelling"
    taken = connectory(*COMMAND, folder=tmp_path)
    assert taken.code == 1
    dead = lines(tmp_path / ".connectory" / "runs" / run / "dead_letters.jsonl")
    assert len(dead) == 1500
    assert {(one["error"]["code"], one["error"]["retryable"]) for one in dead} == {("cancelled", True)}
    assert len(lines(tmp_path / "o.jsonl")) == 2500
    again = connectory("replay", run, folder=tmp_path)
    assert again.code == 0
    assert "1500 ok" in again.said
    assert len(ask(sandbox, "/batches")["data"]) == 2


def test_only_a_run_with_batches_under_way_can_be_cancelled(tmp_path, sandbox):
    direct = {name: value for name, value in OUT.items() if name != "delivery"}
    project(tmp_path, sandbox, outgoing={"out": OUT, "direct": direct})
    connectory(*COMMAND, folder=tmp_path)
    (run,) = [path.name for path in (tmp_path / ".connectory" / "runs").iterdir()]
    done = connectory("runs", "cancel", run, folder=tmp_path)
    assert done.code == 3
    assert f"run {run} has no batches under way" in done.said
    connectory("run", "outgoing", "direct", "--input", "in.jsonl", "--output", "d.jsonl", folder=tmp_path)
    (other,) = {path.name for path in (tmp_path / ".connectory" / "runs").iterdir()} - {run}
    assert "has no `delivery: batch`" in connectory("runs", "cancel", other, folder=tmp_path).said


def test_a_route_goes_through_batches_and_on(tmp_path, sandbox):
    second = {**OUT, "delivery": "direct", "payload": {"model": "m", "input": "&{said}"}}
    first = {**OUT, "result": {"id": "&{input.id}", "said": "&{response.id}"}}
    first["payload"] = {"model": "m", "input": "&{id}"}
    incoming = {"models": {"entity": "models"}}
    routes = {"both": ["models", "one", "two"]}
    project(tmp_path, sandbox, incoming=incoming, outgoing={"one": first, "two": second}, routes=routes)
    done = connectory("run", "route", "both", "--output", "o.jsonl", folder=tmp_path)
    assert done.code == 0
    assert lines(tmp_path / "o.jsonl")
    assert len(ask(sandbox, "/batches")["data"]) == 1


def test_records_come_through_a_pipe_too(tmp_path, sandbox):
    project(tmp_path, sandbox)
    text = (tmp_path / "in.jsonl").read_text()
    command = ("run", "outgoing", "out", "--output", "o.jsonl")
    assert connectory(*command, "--detach", folder=tmp_path, stdin=text).code == 0
    assert connectory(*command, folder=tmp_path, stdin=text).code == 0
    assert len(lines(tmp_path / "o.jsonl")) == 3
    assert len(ask(sandbox, "/batches")["data"]) == 1


def connected(sandbox: Any, folder: Path, **settings: Any) -> Connector:
    config = {
        "version": 1,
        "clients": {"api": {"token": "x"}},
        "outgoing": {"out": {**OUT, **settings}},
        "journal": str(folder / ".connectory"),
    }
    endpoint = Endpoint(sandbox.token, sandbox.base_uri.removesuffix("/v1"))
    return Connector(config_from_dict(config), endpoint=endpoint, listen=lambda _event: None)


def test_in_python_results_come_without_a_job_and_leave_nothing_behind(tmp_path, sandbox, monkeypatch):
    hurry(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    records = [*texts(2), {"id": 2}]
    with connected(sandbox, tmp_path) as made:
        results = list(made.outgoing("out", records))
    assert [one.status for one in results] == ["ok", "ok", "error"]
    assert results[0].output == [{"id": 0}]
    with pytest.raises(Exception, match="has no 'text'"):
        results[2].unwrap()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_in_python_a_job_goes_on_with_what_was_begun(tmp_path, sandbox, monkeypatch):
    hurry(monkeypatch)
    with connected(sandbox, tmp_path) as made:
        for _ in made.outgoing("out", texts(250), job="nightly"):
            break
    with connected(sandbox, tmp_path) as made:
        again = [one.index for one in made.outgoing("out", texts(250), job="nightly")]
    assert again[-1] == 249
    assert len(again) >= 150
    assert len(ask(sandbox, "/batches")["data"]) == 1


def test_batches_are_the_work_of_one_process(tmp_path, sandbox):
    project(tmp_path, sandbox)
    done = connectory(*COMMAND, "--processes", "2", folder=tmp_path)
    assert done.code == 2
    assert "'delivery: batch' sends files, which one process does" in done.said
