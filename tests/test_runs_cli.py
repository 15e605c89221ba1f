"""`runs remove`: what is kept of old runs goes, and nothing that is still wanted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS, connectory

CONFIG = """\
version: 1
clients: {openai: {token: "${OPENAI_API_KEY:-none}"}}
incoming:
  models: {entity: models}
outgoing:
  moderate: {entity: moderations, payload: {input: "&{text}"}}
"""
A_DAY = 86_400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with two runs that are finished, and one of which a record is a dead letter."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "connectory.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "good.jsonl").write_text('{"text": "hi"}\n', encoding="utf-8")
    (folder / "bad.jsonl").write_text('{"text": "hi"}\n{"id": 1}\n', encoding="utf-8")
    for name, code in (("good", 0), ("bad", 1)):
        words = ("run", "outgoing", "moderate", "--input", f"{name}.jsonl", "--output", f"{name}.out")
        assert connectory(*words, "--sandbox", folder=folder).code == code
    words = ("run", "incoming", "models", "--output", "models.out", "--sandbox")
    assert connectory(*words, folder=folder).code == 0
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "project")


def kept(folder):
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in runs_of(folder)}


def runs_of(folder):
    return sorted((folder / ".connectory" / "runs").glob("*/run.json"))


def grow_older(folder, seconds):
    for path in runs_of(folder):
        facts = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(facts | {"started_at": facts["started_at"] - seconds}), encoding="utf-8")


def test_old_runs_that_are_at_their_end_go_and_dead_letters_stay(folder):
    young = connectory("runs", "remove", "--older-than", "1d", folder=folder)
    assert (young.code, len(kept(folder))) == (0, 3)
    assert young.last == "no run is that old, at its end and without dead letters"

    grow_older(folder, 2 * A_DAY)
    done = connectory("runs", "remove", "--older-than", "1d", folder=folder)

    assert done.code == 0
    ((left, facts),) = kept(folder).items()
    assert facts["input"].endswith("bad.jsonl")
    again = f"connectory replay {left} --sandbox"
    assert f"kept run {left}: it has dead letters (1), which this sends again: {again}" in done.said
    assert done.said.count("removed run") == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_run_that_is_not_at_its_end_stays_however_old_it_is(folder):
    (folder / "many.jsonl").write_text('{"text": "hi"}\n' * 30, encoding="utf-8")
    words = ("run", "outgoing", "moderate", "--input", "many.jsonl", "--output", "/dev/full", "--sandbox")
    assert connectory(*words, folder=folder).code != 0
    again = connectory(*words, "--limit", "40", folder=folder)
    typed = f"connectory {' '.join(words[:-1])} --limit 40 --sandbox"
    assert f"the same command goes on: {typed}" in again.said, "it is the one that was typed last"
    assert f"goes on     {typed}" in connectory("runs", "show", max(kept(folder)), folder=folder).out
    grow_older(folder, 2 * A_DAY)

    connectory("runs", "remove", "--older-than", "12h", folder=folder)

    assert {one["input"].rpartition("/")[2] for one in kept(folder).values()} == {"bad.jsonl", "many.jsonl"}


def test_what_is_advised_about_a_run_leads_to_the_same_configuration_client_and_sandbox(tmp_path):
    two = CONFIG.replace("{openai:", "{default: {token: x}, other:").replace("{input:", "{input: 'a', more:")
    (tmp_path / "two.yaml").write_text(two, encoding="utf-8")
    (tmp_path / "in.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    same = "--config two.yaml --client other --sandbox"
    words = ("run", "outgoing", "moderate", "--input", "in.jsonl", "--query", "x=1", *same.split())
    done = connectory(*words, folder=tmp_path)
    ((run, _),) = kept(tmp_path).items()
    shown = connectory("runs", "show", run, "--config", "two.yaml", folder=tmp_path)

    assert (done.code, done.last) == (1, f"connectory replay {run} {same}")
    assert (
        f"`connectory preview outgoing moderate --input in.jsonl --query x=1 {same} --steps` shows it"
        in done.said
    )
    assert f"dead        connectory replay {run} {same}\n" in shown.out


def test_a_replay_is_made_where_its_run_was(folder):
    (run,) = (name for name, one in kept(folder).items() if one["input"] and "bad" in one["input"])
    astray = connectory("replay", run, "--class", "expression", folder=folder)
    (folder / ".connectory" / "runs" / run / "run.json").write_text(
        json.dumps({**kept(folder)[run], "command": ["connectory", "run", "outgoing", "moderate"]})
    )
    invented = connectory("replay", run, "--sandbox", "--yes", folder=folder)

    assert (astray.code, astray.last) == (2, f"connectory replay {run} --class expression --sandbox")
    assert (invented.code, invented.last) == (2, f"connectory replay {run} --yes")


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one", "processes"])
def test_the_causes_of_a_resumed_run_are_those_of_all_its_lives(tmp_path, more):
    config = CONFIG.replace("{entity: moderations", "{entity: moderations, concurrency: 2, max_dead: 5")
    (tmp_path / "connectory.yaml").write_text(config, encoding="utf-8")
    records = '{"text": "hi"}\n{"id": "a"}\n' * 40
    (tmp_path / "in.jsonl").write_text(records, encoding="utf-8")
    words = ("run", "outgoing", "moderate", "--input", "in.jsonl", *more, "--sandbox")
    broken = connectory(*words, folder=tmp_path)
    (tmp_path / "connectory.yaml").write_text(config.replace("dead: 5", "dead: 50"), encoding="utf-8")
    done = connectory(*words, folder=tmp_path)

    assert (broken.code, done.code) == (5, 1)
    assert "resuming run" in done.said
    assert "  40 x expression: " in done.said


@pytest.mark.parametrize(
    "words", [("route", "clear"), ("outgoing", "purge", "--input", "none.jsonl")], ids=["route", "outgoing"]
)
def test_nothing_to_delete_needs_no_consent_and_is_done(tmp_path, words):
    purge = '  purge: {entity: file, path: {file_id: "&{id}"}}\nroutes: {clear: [files, purge]}\n'
    config = CONFIG.replace("models: {entity: models}", "files: {entity: files}") + purge
    (tmp_path / "connectory.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "none.jsonl").touch()
    done = connectory("run", *words, "--sandbox", folder=tmp_path)
    listed = connectory("runs", "list", folder=tmp_path)

    assert (done.code, "nothing is to be deleted" in done.said) == (0, True)
    assert "unfinished" not in listed.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_standard_output_is_called_by_its_name(folder):
    words = (sys.executable, "-m", "connectory", "run", "incoming", "models", "--sandbox")
    path = os.pathsep.join(ROOTS)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words,
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    assert (
        done.returncode,
        b"error: cannot write to standard output: no space left on device" in done.stderr,
    ) == (5, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give the id of a run, or --older-than TIME"),
        (
            ("--older-than", "ten"),
            "'ten' is no length of time: a number and one of s, m, h, d, w, such as 30d",
        ),
    ],
)
def test_what_is_to_go_must_be_said(folder, words, told):
    done = connectory("runs", "remove", *words, folder=folder)

    assert (done.code, len(kept(folder))) == (2, 3)
    assert told in done.said
    assert done.last == "connectory runs remove --help"
