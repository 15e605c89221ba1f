"""Whole jobs in processes of their own, against a sandbox: killed in the middle, and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import ROOTS, connectory
from killing import ended_at

from connectory import Connector
from connectory.sandbox import EmbeddedSandbox

SLOW, FAST = 0.3, 0.01
"""Seconds between two readings: enough for a signal in between, and as good as none."""


@contextmanager
def sandbox():
    with (
        EmbeddedSandbox() as server,
        Connector.openai(token=server.token, base_uri=server.base_uri) as connector,
    ):
        yield server, connector


def write(folder: Path, server: Any, every: float = SLOW, **connections: Any) -> None:
    """Write a configuration for a sandbox; `every` goes to each connection that waits."""
    for outgoing in connections["outgoing"].values():
        if "until" in outgoing:
            outgoing["until"] = {"every": every}
    client = {
        "base_uri": server.base_uri,
        "token": server.token,
        "limits": {"requests_per_minute": 1_000_000},
    }
    config = {"version": 1, "clients": {"openai": client}, **connections}
    (folder / "connectory.yaml").write_text(json.dumps(config))


def write_lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- one job: a training file, its fine-tuning job, and the wait for its end

EXAMPLE = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
TRAIN = {
    "entity": "fine_tuning.jobs",
    "input": "files.jsonl",
    "output": "jobs.jsonl",
    "payload": {"model": "gpt-4o-mini", "training_file": "&{id}"},
    "until": {},
    "result": {"file": "&{input.id}", "job": "&{response.id}", "model": "&{response.fine_tuned_model}"},
}


def training_files(connector: Connector, count: int) -> list[dict[str, Any]]:
    content = "".join(json.dumps(EXAMPLE) + "\n" for _ in range(10))
    payload = {"purpose": "fine-tune", "file": {"filename": "train.jsonl", "content": content}}
    return [{"id": connector.create("files", payload=payload).response["id"]} for _ in range(count)]


def test_a_run_that_is_killed_while_it_waits_goes_on_waiting_and_creates_nothing_twice(tmp_path):
    with sandbox() as (server, connector):
        files = training_files(connector, 3)
        write_lines(tmp_path / "files.jsonl", files)
        words = ("run", "outgoing", "train")
        write(tmp_path, server, outgoing={"train": dict(TRAIN)})
        code, said = ended_at(tmp_path, words, "is queued", signal.SIGKILL)
        assert code == -signal.SIGKILL, said
        assert not (tmp_path / "jobs.jsonl").exists()

        write(tmp_path, server, FAST, outgoing={"train": dict(TRAIN)})
        done = connectory(*words, folder=tmp_path)
        assert done.code == 0, done.said
        assert "resuming run" in done.said
        jobs = list(connector.read("fine_tuning.jobs"))
        assert sorted(job["training_file"] for job in jobs) == sorted(one["id"] for one in files)
        assert {job["status"] for job in jobs} == {"succeeded"}
        lines = lines_of(tmp_path / "jobs.jsonl")
        assert [line["file"] for line in lines] == [one["id"] for one in files]
        assert {line["job"] for line in lines} == {job["id"] for job in jobs}
        assert all(line["model"].startswith("ft:") for line in lines)


def test_killed_again_and_again_it_still_creates_each_job_once(tmp_path):
    with sandbox() as (server, connector):
        write_lines(tmp_path / "files.jsonl", training_files(connector, 2))
        words = ("run", "outgoing", "train")
        write(tmp_path, server, outgoing={"train": dict(TRAIN)})
        for state, times in (("validating_files", 2), ("queued", 1), ("running", 1)):
            code, said = ended_at(tmp_path, words, f"is {state}", signal.SIGKILL, times=times)
            assert code == -signal.SIGKILL, said
        write(tmp_path, server, FAST, outgoing={"train": dict(TRAIN)})
        assert connectory(*words, folder=tmp_path).code == 0
        assert len(list(connector.read("fine_tuning.jobs"))) == 2


def test_a_signal_ends_the_waiting_at_once_and_loses_nothing(tmp_path):
    with sandbox() as (server, connector):
        write_lines(tmp_path / "files.jsonl", training_files(connector, 2))
        write(tmp_path, server, 3000, outgoing={"train": dict(TRAIN)})
        code, said = ended_at(
            tmp_path, ("run", "outgoing", "train"), "is validating_files", signal.SIGTERM, times=2
        )
        assert code == 143, said
        assert "2 records = 0 done + 0 dead + 2 pending" in said

        (run,) = connectory("runs", "list", "--json", folder=tmp_path).lines
        assert (run["begun"], run["answered"], run["in_doubt"]) == (2, 0, 0)
        shown = connectory("runs", "show", run["run"], folder=tmp_path)
        assert "2 of the pending ones are created and not at their end" in shown.out

        write(tmp_path, server, FAST, outgoing={"train": dict(TRAIN)})
        assert connectory("run", "outgoing", "train", folder=tmp_path).code == 0
        assert len(list(connector.read("fine_tuning.jobs"))) == 2


def test_a_detached_run_ends_when_all_is_created_and_the_same_command_looks_again(tmp_path):
    with sandbox() as (server, connector):
        files = training_files(connector, 3)
        write_lines(tmp_path / "files.jsonl", files)
        write(tmp_path, server, outgoing={"train": dict(TRAIN)})
        detached = ("run", "outgoing", "train", "--detach")
        first = connectory(*detached, folder=tmp_path)
        assert first.code == 0, first.said
        assert "detached: 3 records wait for what was created" in first.said
        assert "3 records = 0 done + 0 dead + 3 pending" in first.said
        assert not (tmp_path / "jobs.jsonl").exists()

        ends = []
        while not (tmp_path / "jobs.jsonl").exists():
            ends.append(connectory(*detached, folder=tmp_path).code)
            assert len(ends) < 9, "each run reads each job once, which moves it on"
        assert set(ends) == {0}
        assert len(ends) == 3  # queued, running, succeeded
        assert [line["file"] for line in lines_of(tmp_path / "jobs.jsonl")] == [one["id"] for one in files]
        assert len(list(connector.read("fine_tuning.jobs"))) == 3


def test_a_detached_run_can_be_finished_by_waiting(tmp_path):
    with sandbox() as (server, connector):
        write_lines(tmp_path / "files.jsonl", training_files(connector, 1))
        write(tmp_path, server, FAST, outgoing={"train": dict(TRAIN)})
        connectory("run", "outgoing", "train", "--detach", folder=tmp_path)
        assert connectory("run", "outgoing", "train", folder=tmp_path).code == 0
        assert len(lines_of(tmp_path / "jobs.jsonl")) == 1


def test_detach_where_nothing_is_waited_for_is_a_wrong_command_line(tmp_path):
    with sandbox() as (server, _):
        outgoing = {"train": {name: value for name, value in TRAIN.items() if name != "until"}}
        write(tmp_path, server, outgoing=outgoing)
        write_lines(tmp_path / "files.jsonl", [])
        done = connectory("run", "outgoing", "train", "--detach", folder=tmp_path)
        assert (done.code, "--detach goes with `until`" in done.said) == (2, True)


def test_failed_work_is_kept_as_it_was_paid_for_and_its_result_can_be_replayed(tmp_path):
    with sandbox() as (server, connector):
        (file,) = training_files(connector, 1)
        write_lines(tmp_path / "files.jsonl", [file])
        settings = {"train": {**TRAIN, "until": {"every": 0.01, "timeout": 0.001}}}
        client = {"base_uri": server.base_uri, "token": server.token}
        config = {"version": 1, "clients": {"openai": client}, "outgoing": settings}
        (tmp_path / "connectory.yaml").write_text(json.dumps(config))
        late = connectory("run", "outgoing", "train", folder=tmp_path)
        assert late.code == 1, late.said
        (line,) = lines_of(tmp_path / "jobs.jsonl")
        assert (line["error"]["class"], line["error"]["code"]) == ("work", "timeout")

        (run,) = connectory("runs", "list", "--json", folder=tmp_path).lines
        plain = connectory("replay", run["run"], folder=tmp_path)
        assert "nothing to send again" in plain.said
        write(tmp_path, server, FAST, outgoing={"train": dict(TRAIN)})
        again = connectory("replay", run["run"], "--results", folder=tmp_path)
        assert again.code == 0, again.said
        assert len(list(connector.read("fine_tuning.jobs"))) == 1
        assert lines_of(tmp_path / "jobs.jsonl")[-1]["file"] == file["id"]


# -- other kinds of work


def test_batches_videos_runs_and_responses_are_waited_for(tmp_path):
    with sandbox() as (server, connector):
        request = {"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"input": "hi"}}
        upload = {"file": {"content": json.dumps(request), "filename": "in.jsonl"}, "purpose": "batch"}
        file = connector.create("files", payload=upload).response["id"]
        thread = connector.create("threads", payload={}).response["id"]
        assistant = connector.create("assistants", payload={"model": "gpt-4o"}).response["id"]
        store = connector.create("vector_stores", payload={}).response["id"]
        works = {
            "batches": {
                "payload": {"input_file_id": file, "endpoint": "/v1/moderations", "completion_window": "24h"}
            },
            "videos": {"payload": {"prompt": "a cat"}},
            "thread.runs": {"path": {"thread_id": thread}, "payload": {"assistant_id": assistant}},
            "threads.runs": {"payload": {"assistant_id": assistant}},
            "responses": {"payload": {"model": "gpt-5-mini", "input": "hi", "background": True}},
            "vector_store.files": {"path": {"vector_store_id": store}, "payload": {"file_id": file}},
            "vector_store.file_batches": {
                "path": {"vector_store_id": store},
                "payload": {"file_ids": [file]},
            },
        }
        outgoing = {
            name.replace(".", "-"): {"entity": name, **more, "until": {}} for name, more in works.items()
        }
        write(tmp_path, server, FAST, outgoing=outgoing)
        for name in outgoing:
            done = connectory("run", "outgoing", name, folder=tmp_path, stdin='{"id": "a"}\n')
            assert done.code == 0, (name, done.said)
            assert done.lines[0]["response"]["status"] == "completed", name


# -- a route of three steps

CHAIN: dict[str, Any] = {
    "incoming": {"files": {"entity": "files", "transformers": [{"build": {"id": "&{id}"}}]}},
    "outgoing": {
        "train": {
            "entity": "fine_tuning.jobs",
            "payload": {"model": "gpt-4o-mini", "training_file": "&{id}"},
            "until": {},
            "result": {"file": "&{input.id}", "model": "&{response.fine_tuned_model}"},
        },
        "ask": {
            "entity": "chat.completions",
            "transformers": [{"set": {"question": "Who are you, &{model}?"}}],
            "payload": {"model": "&{model}", "messages": [{"role": "user", "content": "&{question}"}]},
            "validate": "off",
            "result": {"file": "&{input.file}", "answer": "&{derived.text}"},
        },
        "moderate": {
            "entity": "moderations",
            "payload": {"input": "&{answer}"},
            "output": "answers.jsonl",
            "result": {"file": "&{input.file}", "flagged": "&{derived.flagged}"},
        },
    },
    "routes": {"all": ["files", "train", "ask", "moderate"]},
}


@pytest.mark.parametrize(("state", "times"), [("validating_files", 3), ("running", 1), ("succeeded", 1)])
def test_a_chain_of_three_steps_that_was_killed_goes_on_where_each_step_was(tmp_path, state, times):
    with sandbox() as (server, connector):
        files = training_files(connector, 3)
        write(tmp_path, server, **CHAIN)
        words = ("run", "route", "all")
        code, said = ended_at(tmp_path, words, f"is {state}", signal.SIGKILL, times=times)
        assert code == -signal.SIGKILL, said
        write(tmp_path, server, FAST, **CHAIN)
        done = connectory(*words, folder=tmp_path)
        assert done.code == 0, done.said
        lines = lines_of(tmp_path / "answers.jsonl")
        # the jobs write result files of their own, which may be in the list that the route reads
        assert {one["id"] for one in files} <= {line["file"] for line in lines}
        trained = [job["training_file"] for job in connector.read("fine_tuning.jobs")]
        assert len(trained) == len(set(trained)), "a job was created twice"


def test_a_detached_route_is_finished_by_later_runs(tmp_path):
    with sandbox() as (server, connector):
        files = training_files(connector, 2)
        write(tmp_path, server, **CHAIN)
        words = ("run", "route", "all", "--detach")
        first = connectory(*words, folder=tmp_path)
        assert (first.code, "detached: 2 records wait" in first.said) == (0, True), first.said
        runs = 0
        while not (tmp_path / "answers.jsonl").exists():
            done = connectory(*words, folder=tmp_path)
            assert done.code == 0, done.said
            runs += 1
            assert runs < 9
        assert sorted(line["file"] for line in lines_of(tmp_path / "answers.jsonl")) == sorted(
            one["id"] for one in files
        )
        assert len(list(connector.read("fine_tuning.jobs"))) == 2


# -- a conversation, in its order

TALK: dict[str, Any] = {
    "say": {
        "entity": "thread.messages",
        "input": "threads.jsonl",
        "output": "said.jsonl",
        "sequence": "thread",
        "transformers": [{"split": "messages"}],
        "path": {"thread_id": "&{input.thread}"},
        "payload": {"role": "user", "content": "&{text}"},
    }
}


def test_messages_arrive_in_order_and_once_also_when_the_run_was_killed(tmp_path):
    with sandbox() as (server, connector):
        threads = [connector.create("threads", payload={}).response["id"] for _ in range(4)]
        messages = [{"text": f"message {number}"} for number in range(60)]
        write_lines(tmp_path / "threads.jsonl", [{"thread": one, "messages": messages} for one in threads])
        write(tmp_path, server, outgoing=TALK)
        with subprocess.Popen(
            [sys.executable, "-m", "connectory", "run", "outgoing", "say"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
            stderr=subprocess.DEVNULL,
        ) as process:
            while len(texts(connector, threads[0])) < 5:
                assert process.poll() is None
            process.kill()
        assert len(texts(connector, threads[0])) < len(messages)

        done = connectory("run", "outgoing", "say", folder=tmp_path)
        results = lines_of(tmp_path / "said.jsonl")
        assert len(results) == len(threads) * len(messages)
        doubtful = [line for line in results if line["in_doubt"]]
        assert len(doubtful) <= len(threads), "one message of a thread is under way at most"
        assert done.code == (1 if doubtful else 0)
        wanted = [one["text"] for one in messages]
        for thread in threads:
            arrived = texts(connector, thread)
            assert len(arrived) == len(set(arrived)), "a message was sent twice"
            assert arrived == [text for text in wanted if text in arrived], "messages are out of order"
        missing = sum(len(wanted) - len(texts(connector, thread)) for thread in threads)
        assert missing <= len(doubtful)


def texts(connector: Connector, thread: str) -> list[str]:
    read = connector.read("thread.messages", path={"thread_id": thread}, query={"order": "asc", "limit": 100})
    return [message["content"][0]["text"]["value"] for message in read]
