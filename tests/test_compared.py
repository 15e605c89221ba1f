"""The page that compares: our configurations run, and the counts of all of them are as the page says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command import connectory
from ruamel.yaml import YAML

from connectory.config import load_config

FOLDER = Path(__file__).parent.parent / "docs" / "compared"
ROWS = re.findall(
    r"^\| \[([^]]+)\]\(([^)]+)\) \| (\d+) \| (\d+) \|",
    (FOLDER / "README.md").read_text("utf-8"),
    re.MULTILINE,
)


def counted(file: Path) -> tuple[int, int]:
    """Count the lines that say something, and their characters without the indentation."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    return len(said), sum(map(len, said))


@pytest.mark.parametrize(("name", "file", "lines", "characters"), ROWS)
def test_the_counts_are_as_the_page_says(name: str, file: str, lines: str, characters: str):
    assert counted(FOLDER / file) == (int(lines), int(characters))


def test_every_file_is_in_a_table_and_ours_is_the_shortest_that_does_the_whole_job():
    assert {file for _, file, _, _ in ROWS} == {
        path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*") if path.suffix in {".yaml", ".py"}
    }
    for job in ("events", "embeddings"):
        sizes = {file: counted(FOLDER / file) for _, file, _, _ in ROWS if file.startswith(job)}
        ours = sizes.pop(f"{job}/connectory.yaml")
        assert all(ours[0] < lines and ours[1] < characters for lines, characters in sizes.values())


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_every_file_can_be_read(file: Path):
    if file.suffix == ".py":
        compile(file.read_text(encoding="utf-8"), str(file), "exec")
    elif file.name == "connectory.yaml":
        load_config(file)
    else:
        assert isinstance(YAML(typ="safe").load(file), dict)


def test_our_jobs_run(tmp_path: Path):
    for job in ("events", "embeddings"):
        shutil.copytree(FOLDER / job, tmp_path / job)
    (tmp_path / "embeddings" / "texts.jsonl").write_text(
        '{"id": "a", "text": "Good morning"}\n{"id": "b", "text": "Good night"}\n'
    )
    read = connectory("run", "incoming", "events", "--sandbox", folder=tmp_path / "events")
    listed = connectory("run", "incoming", "files", "--sandbox", folder=tmp_path / "events")
    sent = connectory("run", "outgoing", "embed", "--sandbox", folder=tmp_path / "embeddings")
    lines = [
        json.loads(line) for line in (tmp_path / "embeddings" / "embedded.jsonl").read_text().splitlines()
    ]

    assert (read.code, listed.code, sent.code) == (0, 0, 0)
    assert (tmp_path / "events" / "events.jsonl").exists()
    assert [line["id"] for line in lines] == ["a", "b"]
    assert all(line.keys() == {"id", "embedding"} and len(line["embedding"]) > 100 for line in lines)
