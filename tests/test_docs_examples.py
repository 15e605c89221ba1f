"""Every example runs, whole, against the sandbox."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import connectory
from killing import ended_at

from connectory import Connector
from connectory.config import load_config
from connectory.sandbox import EmbeddedSandbox

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
examples = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "run.py")))
COMMAND = re.compile(r"^#   connectory (.+)$", re.MULTILINE)
COMMANDS = {
    path.parent.name: [tuple(shlex.split(words)) for words in COMMAND.findall(path.read_text())]
    for path in sorted(EXAMPLES.glob("*/connectory.yaml"))
}
"""What the head of an example says how to run it."""


def connections():
    for path in sorted(EXAMPLES.glob("*/connectory.yaml")):
        if COMMANDS[path.parent.name]:
            continue  # run as its head says
        config = load_config(path, environ={})
        for kind, names in (
            ("incoming", config.incoming),
            ("outgoing", config.outgoing),
            ("route", config.routes),
        ):
            for name in names:
                yield pytest.param(path.parent.name, kind, name, id=f"{path.parent.name}-{kind}-{name}")


def lay_out(example, folder):
    """Copy an example, and make the databases that it has scripts for."""
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".connectory"))
    for script in folder.glob("*.sql"):
        with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
            connection.executescript(script.read_text())
    return load_config(folder / "connectory.yaml", environ={})


def input_of(folder, config, kind, name):
    """Give the records of an outgoing that names no input file: the example's own words decide what it reads."""
    if kind != "outgoing" or config.outgoing[name].input is not None:
        return ""
    return '{"id": "file-1", "created_at": 1, "filename": "a.jsonl", "question": "Why?"}\n'


@pytest.mark.parametrize(("example", "kind", "name"), list(connections()))
def test_every_connection_of_the_example_runs(example, kind, name, tmp_path):
    folder = tmp_path / example
    config = lay_out(example, folder)
    yes = () if kind == "incoming" else ("--yes",)

    done = connectory(
        "run", kind, name, "--sandbox", *yes, folder=folder, stdin=input_of(folder, config, kind, name)
    )

    assert done.code == 0, done.said
    assert "0 failed" in done.said


def copied(example, tmp_path, server=None):
    """Copy an example; its client speaks to a sandbox where one is given."""
    folder = tmp_path / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".connectory"))
    if server is not None:
        file = folder / "connectory.yaml"
        token = 'token: "${OPENAI_API_KEY}"'
        assert token in file.read_text()
        file.write_text(
            file.read_text().replace(token, f"token: {server.token}\n    base_uri: {server.base_uri}")
        )
    return folder


@contextmanager
def sandbox():
    with (
        EmbeddedSandbox() as server,
        Connector.openai(token=server.token, base_uri=server.base_uri) as connector,
    ):
        yield server, connector


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("example", examples.examples())
def test_an_example_leaves_what_it_says(example, tmp_path):
    assert examples.left_by(example, tmp_path / example) == examples.expected(example)


@pytest.mark.skipif(sys.platform != "linux", reason="the places to die at are found in /proc")
@pytest.mark.parametrize(
    ("example", "place"),
    [
        ("nightly-files", "after_commit:3"),
        ("fine-tuning-events", "after_commit:3"),
        ("moderate-table", "after_record:2"),
        ("purge-old-files", "after_read:2"),
        ("purge-old-files", "after_send:1"),
        ("purge-old-files", "after_record:2"),
    ],
)
def test_an_example_that_was_killed_leaves_the_same(example, place, tmp_path, monkeypatch):
    known = examples.left_by.__globals__
    run, last, printed = known["run"], examples.commands(example)[-1], []

    def kept(*words, **options):
        done = ended(*words, **options)
        printed.extend(
            done.stdout.splitlines()
        )  # what left the process before it was killed is not printed again
        return done

    def killed_first(words, sandbox, folder):
        if words != last:
            return run(words, sandbox, folder)
        monkeypatch.setitem(known, "PROGRAM", ["kill.crashing", place])
        monkeypatch.setattr(subprocess, "run", kept)
        with pytest.raises(SystemExit, match="ended with -9"):
            run(words, sandbox, folder)
        monkeypatch.undo()
        return list(dict.fromkeys([*printed, *run(words, sandbox, folder)]))

    ended = subprocess.run

    monkeypatch.setitem(known, "run", killed_first)
    assert examples.left_by(example, tmp_path / example) == examples.expected(example)


def test_every_job_of_the_page_is_an_example_with_its_command():
    page = (EXAMPLES / "README.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    jobs = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in jobs] == list(range(1, 16))
    named = {re.search(r"\((\S+)/connectory.yaml\)", row[1])[1]: row for row in jobs}
    assert set(named) == set(examples.examples())
    for name, row in named.items():
        written = (EXAMPLES / name / "connectory.yaml").read_text().splitlines()
        assert int(row[2]) == sum(bool(line) and not line.startswith("#") for line in written)


def test_the_training_example_begins_each_job_once_also_when_it_is_killed(tmp_path):
    with sandbox() as (server, connector):
        folder = copied("fine-tune-and-wait", tmp_path, server)
        upload, train = COMMANDS["fine-tune-and-wait"]
        assert connectory(*upload, folder=folder).code == 0
        code, said = ended_at(folder, train, "is validating_files", signal.SIGKILL, times=2)
        assert code == -signal.SIGKILL, said
        done = connectory(*train, folder=folder)
        assert done.code == 0, done.said
        assert [job["status"] for job in connector.read("fine_tuning.jobs")] == ["succeeded"] * 2
        models = lines_of(folder / "models.jsonl")
        assert [line["id"] for line in models] == ["greetings", "colours"]
        again = connectory(*upload, folder=folder)  # a run that was finished begins anew
        assert (again.code, len(list(connector.read("files", query={"purpose": "fine-tune"})))) == (0, 4)


def test_the_example_of_conversations_keeps_their_order(tmp_path):
    with sandbox() as (server, connector):
        folder = copied("conversations", tmp_path, server)
        for words in COMMANDS["conversations"]:
            assert connectory(*words, folder=folder).code == 0
        for line in lines_of(folder / "threads.jsonl"):
            path = {"thread_id": line["thread"]}
            read = connector.read("thread.messages", path=path, query={"order": "asc"})
            said = [(one["role"], one["content"][0]["text"]["value"]) for one in read]
            assert said == [(one["role"], one["text"]) for one in line["messages"]]


def test_the_example_of_translations_keeps_id_and_text_alone(tmp_path):
    with sandbox() as (server, _):
        folder = copied("translate-descriptions", tmp_path, server)
        done = connectory(*COMMANDS["translate-descriptions"][0], folder=folder)
        assert "2 ok, 0 failed, 1 skipped" in done.said
        answers = [line for line in lines_of(folder / "translated.jsonl") if "status" not in line]
        assert [sorted(line) for line in answers] == [["id", "text"]] * 2


def ran(example, name, tmp_path):
    folder = tmp_path / example
    lay_out(example, folder)
    done = connectory("run", "outgoing", name, "--sandbox", folder=folder)
    assert done.code == 0, done.said
    return folder


def test_the_flags_are_in_the_rows_of_the_posts(tmp_path):
    folder = ran("moderate-table", "moderate", tmp_path)
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        assert connection.execute("SELECT id, flagged FROM posts").fetchall() == [(1, 0), (2, 1), (3, 0)]


def test_every_vector_has_the_id_of_its_product(tmp_path):
    lines = lines_of(ran("embed-products", "embed", tmp_path) / "vectors.jsonl")
    assert [(line["product"], line["chunk"]) for line in lines] == [("p-1", 0), ("p-1", 1), ("p-2", 0)]
    assert all(len(line["text"]) <= 60 and line["vector"] for line in lines)


def test_every_file_of_the_folder_has_a_transcript(tmp_path):
    lines = lines_of(ran("transcribe-folder", "transcribe", tmp_path) / "transcripts.jsonl")
    assert [line["file"] for line in lines] == ["audio/calls/first.wav", "audio/greeting.wav"]
    assert ["first.wav" in lines[0]["text"], "greeting.wav" in lines[1]["text"]] == [True, True]


def test_every_line_is_a_sound_file(tmp_path):
    folder = ran("speak-lines", "speak", tmp_path)
    assert {one.name for one in (folder / "speech").iterdir()} == {"welcome.mp3", "closing.mp3"}
    assert [line["bytes"] for line in lines_of(folder / "spoken.jsonl")] == [
        (folder / "speech" / f"{name}.mp3").stat().st_size for name in ("welcome", "closing")
    ]
