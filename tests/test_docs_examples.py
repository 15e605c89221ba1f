"""Every example runs, whole, against the sandbox."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command import connectory

from connectory.config import load_config

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def connections():
    for path in sorted(EXAMPLES.glob("*/connectory.yaml")):
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


def ran(example, name, tmp_path):
    folder = tmp_path / example
    lay_out(example, folder)
    done = connectory("run", "outgoing", name, "--sandbox", folder=folder)
    assert done.code == 0, done.said
    return folder


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


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
