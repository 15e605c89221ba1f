"""Fan-out and incremental reading from the command line: killed, resumed, and run again."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from archive import Archive, serving
from command import ROOTS, connectory

from connectory import Connector
from connectory.sandbox import EmbeddedSandbox

CONFIG = """
version: 1
clients:
  api: {{base_uri: "{base}", token: made-up-token, limits: {{concurrency: 32}}}}
incoming:
  jobs:
    entity: fine_tuning.jobs
    incremental: {{field: created_at}}
  events:
    entity: fine_tuning.job.events
    each: fine_tuning.jobs
    incremental: {{field: created_at}}
    keep_parent: {{job: id}}
    output: events.jsonl
    output_mode: append
  files:
    entity: vector_store.files
    each: vector_stores
    keep_parent: [id]
    only: new
  messages:
    entity: chat.completion.messages
    each: chat.completions
    keep_parent: {{completion: id}}
  models:
    entity: model
    input: names.jsonl
    request_parameters: {{path: {{model: "&{{name}}"}}}}
    keep_parent: {{asked: name}}
"""


def project(folder: Path, base: str) -> Path:
    (folder / "connectory.yaml").write_text(CONFIG.format(base=base))
    return folder


def jobs(*sizes: int) -> dict[str, list[Any]]:
    """Jobs with so many events each."""
    ids = [f"ftjob-{n}" for n in range(len(sizes))]
    lists: dict[str, list[Any]] = {"/fine_tuning/jobs": [{"id": one, "created_at": 5} for one in ids]}
    for one, size in zip(ids, sizes, strict=True):
        lists[f"/fine_tuning/jobs/{one}/events"] = [
            {"id": f"{one}-{n}", "created_at": 1000 - n} for n in range(size)
        ]
    return lists


def events(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "events.jsonl").read_text().splitlines()]


def all_of(archive: Archive) -> list[str]:
    lists = archive.lists.items()
    return sorted(one["id"] for path, items in lists if path.endswith("/events") for one in items)


def run_until_killed(
    folder: Path, archive: Archive, at: int, *, name: str = "events", **variables: str
) -> int:
    """Run the events, or another incoming, and kill -9 the process at its so many-th request; give its exit code."""
    begun, environ = (
        len(archive.asked),
        {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(ROOTS),
            **variables,
        },
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "connectory", "run", "incoming", name],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def kill(number: int) -> None:
        if number - begun == at:
            process.send_signal(signal.SIGKILL)

    archive.on_request = kill
    _, said = process.communicate(timeout=60)
    archive.on_request = lambda _number: None
    assert b"Traceback" not in said, said
    return process.returncode


@pytest.mark.parametrize("at", [1, 2, 4, 6, 8, 10, 12])
def test_a_run_that_was_killed_reads_at_most_one_page_of_a_child_again(at: int, tmp_path: Path):
    archive = Archive(jobs(5, 0, 3, 1, 4))
    with serving(archive) as base:
        project(tmp_path, base)
        assert run_until_killed(tmp_path, archive, at) == -signal.SIGKILL
        assert not (tmp_path / "events.jsonl").exists()
        done = connectory("run", "incoming", "events", folder=tmp_path)
    assert done.code == 0, done.said
    assert sorted(events(tmp_path)) == all_of(archive)
    assert max(archive.repeated.values(), default=0) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_again_and_again_loses_nothing_and_gives_nothing_twice(
    seed: int, tmp_path: Path
):
    luck = random.Random(seed)  # noqa: S311 - luck that can be had again
    archive = Archive(jobs(*(luck.randint(0, 7) for _ in range(luck.randint(1, 9)))), luck.randint(1, 3))
    kills = 0
    with serving(archive) as base:
        project(tmp_path, base)
        while run_until_killed(tmp_path, archive, luck.randint(4, 20)) != 0:
            kills += 1
            assert kills < 40
    assert sorted(events(tmp_path)) == all_of(archive)
    assert max(archive.repeated.values(), default=0) <= kills


def test_the_second_run_reads_what_is_new_and_nothing_else(tmp_path: Path):
    archive = Archive(jobs(6, 6), size=3)
    with serving(archive) as base:
        project(tmp_path, base)
        assert connectory("run", "incoming", "events", folder=tmp_path).code == 0
        archive.asked.clear()
        archive.lists["/fine_tuning/jobs/ftjob-1/events"].insert(0, {"id": "new", "created_at": 1001})
        done = connectory("run", "incoming", "events", folder=tmp_path)
    assert "1 records of" in done.said
    assert len(events(tmp_path)) == 13
    assert len(archive.asked) == 3  # the jobs, and the newest page of each


def test_what_an_unfinished_run_has_read_counts_for_itself_alone(tmp_path: Path):
    archive = Archive(jobs(3, 3))
    with serving(archive) as base:
        project(tmp_path, base)
        assert run_until_killed(tmp_path, archive, 4) == -signal.SIGKILL
        done = connectory("run", "incoming", "events", "--new", folder=tmp_path)
    assert done.code == 0, done.said
    assert sorted(events(tmp_path)) == all_of(archive)


def test_what_has_changed_is_given_once_in_a_run_that_meets_it_twice(tmp_path: Path):
    archive = Archive({"/files": [{"id": "a", "n": 1}]})
    sets = [{"path": {}, "query": {"purpose": one}} for one in ("batch", "vision")]
    steps = [{"build": {"sets": sets}}, {"split": {"field": "sets"}}]
    wanted = {"entity": "files", "only": "changed", "input_transformers": steps}
    with serving(archive) as base:
        config = project(tmp_path, base) / "connectory.yaml"
        config.write_text(config.read_text() + f"  twice: {json.dumps(wanted)}\n")
        first = connectory("run", "incoming", "twice", folder=tmp_path)
        archive.lists["/files"] = [{"id": "a", "n": 2}]
        second = connectory("run", "incoming", "twice", folder=tmp_path)
    assert (first.lines, second.lines) == ([{"id": "a", "n": 1}], [{"id": "a", "n": 2}]), second.said


def with_one_bad(folder: Path, base: str, archive: Archive) -> None:
    """Make an incoming `some` that cannot shape its first item."""
    items = [{"id": f"file-{n}", "created_at": 100 - n} for n in range(6)]
    archive.lists["/files"] = [{"id": "file-bad"}, *items]
    wanted = {
        "entity": "files",
        "transformers": [{"set": {"at": "&{created_at}"}}],
        "output": "some.jsonl",
    }
    config = project(folder, base) / "connectory.yaml"
    config.write_text(config.read_text() + f"  some: {json.dumps(wanted)}\n")


def test_a_resumed_reading_still_knows_what_failed_before(tmp_path: Path):
    archive = Archive({})
    with serving(archive) as base:
        with_one_bad(tmp_path, base, archive)
        assert run_until_killed(tmp_path, archive, 3, name="some") == -signal.SIGKILL
        done = connectory("run", "incoming", "some", folder=tmp_path)
    assert "6 records of 7 items" in done.said
    assert "1 failed" in done.said
    assert done.code == 1


def test_a_limit_that_cut_a_page_holds_in_the_next_life_too(tmp_path: Path):
    """The rest of that page would be missing: the run goes on behind it."""
    archive = Archive({"/files": [{"id": f"file-{n}", "kept": n % 2 == 0} for n in range(12)]}, size=6)
    wanted = {"entity": "files", "transformers": [{"keep_if": "kept"}], "output": "some.jsonl"}
    kill = "import os; from connectory.adapters.linesink import LineSink\nLineSink.seal = lambda _: os.kill(os.getpid(), 9)\n"
    words = ["run", "incoming", "some", "--limit", "2"]
    code = f"{kill}from connectory.cli import main\nmain({words})"
    with serving(archive) as base:
        config = project(tmp_path, base) / "connectory.yaml"
        config.write_text(config.read_text() + f"  some: {json.dumps(wanted)}\n")
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            timeout=60,
            check=False,
        )
        more = connectory("run", "incoming", "some", folder=tmp_path)
        same = connectory(*words, folder=tmp_path)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert more.code == 3
    assert "finish it with the same --limit" in more.said
    assert same.code == 0
    lines = (tmp_path / "some.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["file-0", "file-2"]


def test_a_resumed_route_still_knows_what_could_not_be_read(tmp_path: Path):
    archive = Archive({})
    with serving(archive) as base:
        with_one_bad(tmp_path, base, archive)
        config = tmp_path / "connectory.yaml"
        purge = {"client": "closed", "entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}
        more = f"outgoing: {json.dumps({'purge': purge})}\nroutes: {{way: [some, purge]}}\n"
        text = config.read_text().replace("  api:", "  default:") + more
        for token in ({}, {"token": "made-up-token"}):  # without one the run stops
            closed = f"  closed: {json.dumps({'base_uri': base, **token})}\n"
            config.write_text(text.replace("incoming:", f"{closed}incoming:", 1))
            done = connectory("run", "route", "way", "--yes", folder=tmp_path)
            assert done.code == (1 if token else 4), done.said
    assert "6 ok, 0 failed" in done.said
    assert "incoming some: 1 failed" in done.said


def test_another_query_or_client_has_a_memory_of_its_own(tmp_path: Path):
    archive = Archive(jobs(1))
    with serving(archive) as base:
        project(tmp_path, base)
        for words in ((), ("--query", "limit=5"), ("--client", "api")):
            assert len(connectory("run", "incoming", "jobs", *words, folder=tmp_path).lines) == 1
        assert connectory("run", "incoming", "jobs", folder=tmp_path).lines == []


def test_the_output_that_was_lost_is_made_again_without_what_was_seen(tmp_path: Path):
    archive = Archive(jobs(5, 2))
    with serving(archive) as base:
        project(tmp_path, base)
        assert run_until_killed(tmp_path, archive, 5) == -signal.SIGKILL
        (tmp_path / "events.jsonl.part").unlink()
        done = connectory("run", "incoming", "events", folder=tmp_path)
    assert done.code == 0, done.said
    assert sorted(events(tmp_path)) == all_of(archive)


def test_records_on_stdin_are_sets_of_request_parameters(tmp_path: Path):
    archive = Archive({"/models/a": [{"id": "a"}], "/models/b": [{"id": "b"}]})
    with serving(archive) as base:
        project(tmp_path, base)
        words = ("run", "incoming", "models", "--input", "-")
        done = connectory(*words, folder=tmp_path, stdin='{"name": "a"}\n{"name": "b"}\n{"name": "c"}\n')
    assert sorted(one["asked"] for one in done.lines) == ["a", "b"]
    assert done.code == 1
    assert "404" in done.said


@pytest.mark.parametrize(
    ("name", "content", "written"),
    [
        ("names.csv", b"name;size\na;1\nb;2\n", {"csv": "names.csv", "delimiter": ";"}),
        ("names.tsv", b"name\tsize\na\t1\nb\t2\n", "names.tsv"),
        ("names.jsonl.gz", gzip.compress(b'{"name": "a"}\n{"name": "b"}\n', mtime=0), "names.jsonl.gz"),
    ],
)
def test_an_incoming_reads_every_form_of_input(tmp_path: Path, name: str, content: bytes, written: Any):
    archive = Archive({"/models/a": [{"id": "a"}], "/models/b": [{"id": "b"}]})
    with serving(archive) as base:
        config = project(tmp_path, base) / "connectory.yaml"
        config.write_text(config.read_text().replace("names.jsonl", json.dumps(written)))
        (tmp_path / name).write_bytes(content)
        preview = connectory("preview", "incoming", "models", folder=tmp_path)
        done = connectory("run", "incoming", "models", folder=tmp_path)
    assert sorted(one["asked"] for one in done.lines) == ["a", "b"]
    assert [one["request"]["url"][-2:] for one in preview.lines if "request" in one] == ["/a", "/b"]


def test_an_incoming_is_read_for_rows_and_for_files(tmp_path: Path):
    archive = Archive({"/models/a": [{"id": "a"}], "/models/b": [{"id": "b"}]})
    archive.single = True
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript(
            "CREATE TABLE wanted (n INTEGER, name TEXT); INSERT INTO wanted VALUES (1, 'b')"
        )
    (tmp_path / "wanted").mkdir()
    (tmp_path / "wanted" / "a").touch()
    forms = {"rows": {"sql": "SELECT n, name FROM wanted", "database": "shop.db", "key": "n"}}
    forms["files"] = {"files": "*", "folder": "wanted"}
    names = {"rows": "&{name}", "files": "&{file.name}"}
    with serving(archive) as base:
        config = project(tmp_path, base) / "connectory.yaml"
        written = {
            kind: {"entity": "model", "input": form, "request_parameters": {"path": {"model": names[kind]}}}
            for kind, form in forms.items()
        }
        config.write_text(config.read_text() + f"  rows: {json.dumps(written['rows'])}\n")
        config.write_text(config.read_text() + f"  files-of: {json.dumps(written['files'])}\n")
        rows = connectory("run", "incoming", "rows", folder=tmp_path)
        files = connectory("run", "incoming", "files-of", folder=tmp_path)
    assert ([one["id"] for one in rows.lines], [one["id"] for one in files.lines]) == (["b"], ["a"])


def test_a_route_whose_input_was_changed_is_not_taken_up(tmp_path: Path):
    archive = Archive({"/models/a": [{"id": "a"}], "/models/b": [{"id": "b"}]})
    with serving(archive) as base:
        config = project(tmp_path, base) / "connectory.yaml"
        closed = f"  closed: {json.dumps({'base_uri': base})}\n"  # without a token: the run stops
        note = {"client": "closed", "request": {"method": "POST", "path": "/notes"}, "payload": "&{asked}"}
        more = f"outgoing: {json.dumps({'note': note})}\nroutes: {{way: [models, note]}}\n"
        text = config.read_text().replace("incoming:", f"{closed}incoming:").replace("  api:", "  default:")
        config.write_text(text + more)
        (tmp_path / "names.jsonl").write_text('{"name": "a"}\n')
        broken = connectory("run", "route", "way", folder=tmp_path)
        (tmp_path / "names.jsonl").write_text('{"name": "b"}\n')
        changed = connectory("run", "route", "way", folder=tmp_path)
    assert broken.code == 4
    assert changed.code == 3
    assert "is not the file that the unfinished run" in changed.said


def test_what_each_parent_fills_in_cannot_be_given(tmp_path: Path):
    with serving(Archive(jobs(1))) as base:
        words = ("run", "incoming", "events", "--path", "fine_tuning_job_id=ftjob-0")
        done = connectory(*words, folder=project(tmp_path, base))
    assert done.code == 3
    assert "'fine_tuning_job_id' of incoming 'events' is filled in from each parent" in done.said


# -- the examples

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def example(name: str, folder: Path) -> Path:
    """Copy an example's configuration."""
    (folder / "connectory.yaml").write_bytes((EXAMPLES / name / "connectory.yaml").read_bytes())
    return folder


def test_the_example_of_fine_tuning_holds_what_it_says_of_a_kill_and_a_second_run(tmp_path: Path):
    archive = Archive(jobs(5, 3, 4))
    for job in archive.lists["/fine_tuning/jobs"]:
        job["model"] = "gpt-4o-mini"
    config = example("fine-tuning-events", tmp_path) / "connectory.yaml"
    with serving(archive) as base:
        config.write_text(config.read_text().replace("  openai:\n", f"  openai:\n    base_uri: {base}\n"))
        environ = {"OPENAI_API_KEY": "sk-made-up-1234"}
        assert run_until_killed(tmp_path, archive, 6, **environ) == -signal.SIGKILL
        done = connectory("run", "incoming", "events", folder=tmp_path, **environ)
        assert done.code == 0, done.said
        assert sorted(events(tmp_path)) == all_of(archive)
        assert max(archive.repeated.values(), default=0) <= 1
        archive.asked.clear()
        archive.lists["/fine_tuning/jobs"].insert(0, {"id": "ftjob-new", "created_at": 9, "model": "m"})
        archive.lists["/fine_tuning/jobs/ftjob-new/events"] = [{"id": "e-new", "created_at": 2000}]
        assert connectory("run", "incoming", "events", folder=tmp_path, **environ).code == 0
        assert events(tmp_path)[-1] == "e-new"
        assert sorted(events(tmp_path)) == all_of(archive)
        assert max(archive.repeated.values(), default=0) == 0
        assert [one for one in archive.asked if "after=" in one and "events" in one] == []


def test_the_example_of_the_engine_reads_it_from_a_compatible_server(tmp_path: Path):
    archive = Archive({"/engines/babbage": [{"id": "babbage", "object": "engine", "ready": True}]})
    archive.single = True
    example("retrieve-engine", tmp_path)
    with serving(archive) as base:
        done = connectory("run", "incoming", "engine", folder=tmp_path, COMPATIBLE_BASE_URI=base)
    assert done.lines == [{"id": "babbage", "object": "engine", "ready": True}]
    assert archive.asked == ["/v1/engines/babbage"]


def test_the_example_of_the_nightly_export_saves_each_file_once(sandbox: Connector, tmp_path: Path):
    text = (EXAMPLES / "nightly-files" / "connectory.yaml").read_text()
    base, token = (line.split(": ", 1)[1] for line in (tmp_path / "server").read_text().splitlines())
    text = text.replace('"${OPENAI_API_KEY}"', f'"{token}"\n    base_uri: "{base}"')
    (tmp_path / "connectory.yaml").write_text(text.replace("batch_output", "user_data"))
    made = sandbox.create("files", payload={"purpose": "user_data", "file": upload(tmp_path)}).response["id"]
    for _night in range(2):
        assert connectory("run", "incoming", "files", folder=tmp_path).code == 0
        assert connectory("run", "incoming", "contents", folder=tmp_path).code == 0
    assert (tmp_path / "contents" / made).read_text() == "a text"
    (line,) = (tmp_path / "contents.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == made
    assert len((tmp_path / "files.jsonl").read_text().splitlines()) == 1


# -- against the sandbox


@pytest.fixture
def sandbox(tmp_path: Path):
    with EmbeddedSandbox() as running:
        text = CONFIG.format(base=running.base_uri).replace("made-up-token", running.token)
        (tmp_path / "connectory.yaml").write_text(text)
        (tmp_path / "server").write_text(f"base: {running.base_uri}\ntoken: {running.token}\n")
        with Connector.from_file(tmp_path / "connectory.yaml") as made:
            yield made


def test_the_events_of_every_fine_tuning_job(sandbox: Connector, tmp_path: Path):
    file = tmp_path / "examples.jsonl"
    line = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    file.write_text(f"{json.dumps(line)}\n" * 10)
    training = sandbox.create("files", payload={"purpose": "fine-tune", "file": file}).response["id"]
    payload = {"model": "gpt-4o-mini", "training_file": training}
    made = [sandbox.create("fine_tuning.jobs", payload=payload).response["id"] for _ in range(3)]
    assert connectory("run", "incoming", "events", folder=tmp_path).code == 0
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {line["job"] for line in lines} == set(made)
    assert len({line["id"] for line in lines}) == len(lines)


def test_the_files_of_every_vector_store_once(sandbox: Connector, tmp_path: Path):
    stores = [sandbox.create("vector_stores", payload={"name": f"s{n}"}).response["id"] for n in range(2)]
    file = sandbox.create("files", payload={"purpose": "assistants", "file": upload(tmp_path)}).response["id"]
    for store in stores:
        sandbox.create("vector_store.files", path={"vector_store_id": store}, payload={"file_id": file})
    first = connectory("run", "incoming", "files", folder=tmp_path)
    # the same file is in both: its id is the same, and it is known by its parent too
    assert sorted(one["parent"]["id"] for one in first.lines) == sorted(stores)
    assert connectory("run", "incoming", "files", folder=tmp_path).lines == []


def upload(folder: Path) -> Path:
    file = folder / "a.txt"
    file.write_text("a text")
    return file


def test_the_messages_of_every_stored_completion(sandbox: Connector, tmp_path: Path):
    payload = {"model": "gpt-5-mini", "store": True, "messages": [{"role": "user", "content": "hi"}]}
    made = [sandbox.create("chat.completions", payload=payload).response["id"] for _ in range(2)]
    done = connectory("run", "incoming", "messages", folder=tmp_path)
    assert {one["completion"] for one in done.lines} == set(made)


# -- lint and preview


@pytest.mark.parametrize(
    ("incremental", "message"),
    [
        (
            "{field: start_time, query: start_tim}",
            "no query parameter 'start_tim'; did you mean 'start_time'?",
        ),
        ("{field: start_time, start: agoo('7d')}", "no function 'agoo'"),
        ("{field: 'start_time ==='}", "cannot read the expression"),
        ("{field: start_time, start: nothing}", "something like ago('7d')"),
    ],
)
def test_lint_holds_incremental_against_the_entity(incremental: str, message: str, tmp_path: Path):
    text = "clients:\n  api: {token: made-up-token}\nincoming:\n  costs:\n    entity: organization.costs\n"
    (tmp_path / "connectory.yaml").write_text(f"{text}    incremental: {incremental}\n")
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert "connectory.yaml:6:" in done.said
    assert message in done.said


def test_lint_refuses_a_lookback_where_the_server_goes_on_behind_an_item(tmp_path: Path):
    text = "clients:\n  api: {token: made-up-token}\nincoming:\n  files:\n    entity: files\n"
    (tmp_path / "connectory.yaml").write_text(
        f"{text}    incremental: {{field: id, query: after, lookback: 1d}}\n"
    )
    done = connectory("lint", folder=tmp_path)
    assert "'after' goes on behind an item" in done.said


def test_preview_shows_the_parents_request_and_that_of_a_child(tmp_path: Path):
    archive = Archive(jobs(3, 3))
    with serving(archive) as base:
        done = connectory("preview", "incoming", "events", folder=project(tmp_path, base))
    first, parent, child, *items = done.lines
    assert first["request"]["url"].endswith("/v1/fine_tuning/jobs")
    assert parent == {"parent": {"id": "ftjob-0", "created_at": 5}}
    assert child["request"]["url"].endswith("/v1/fine_tuning/jobs/ftjob-0/events")
    assert [one["record"]["job"] for one in items] == ["ftjob-0"] * 2


def test_preview_shows_an_example_where_there_is_no_parent(tmp_path: Path):
    with serving(Archive(jobs())) as base:
        done = connectory("preview", "incoming", "events", folder=project(tmp_path, base))
    assert done.lines[1]["example"] is True
    assert done.lines[1]["request"]["url"].endswith("/v1/fine_tuning/jobs/EXAMPLE/events")


def test_a_route_sends_what_is_new_since_its_own_last_run(sandbox: Connector, tmp_path: Path):
    text = (
        (tmp_path / "connectory.yaml")
        .read_text()
        .replace("incoming:", "incoming:\n  new: {entity: files, only: new}")
    )
    text += (
        "outgoing:\n  note: {entity: moderations, payload: {model: omni-moderation-latest, input: '&{id}'}}\n"
    )
    (tmp_path / "connectory.yaml").write_text(f"{text}routes:\n  way: [new, note]\n")
    sandbox.create("files", payload={"purpose": "user_data", "file": upload(tmp_path)})
    alone = connectory("run", "incoming", "new", folder=tmp_path)
    sent = [len(connectory("run", "route", "way", folder=tmp_path).lines) for _ in range(2)]
    assert (len(alone.lines), sent) == (1, [1, 0])
