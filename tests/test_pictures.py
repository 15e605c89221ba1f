"""The pictures are what the code says, and what they show is the import contract and the kill test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
ENGINE = Path(__file__).parent.parent / "connector" / "connectory"
sys.path.insert(0, str(FOLDER))  # the drawers import one another as files of one folder
import crash  # noqa: E402 - after the path is set
import draw  # noqa: E402 - after the path is set
import modules  # noqa: E402 - after the path is set

sys.path.remove(str(FOLDER))


def test_the_pictures_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, FOLDER / "draw.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", draw.PICTURES)
def test_a_picture_says_what_it_shows_and_fetches_nothing(name):
    text = (FOLDER / name).read_text("utf-8")
    root = ET.fromstring(text)  # noqa: S314 - the project's own file
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert re.findall(r"href|url\(|@import|<script", text) == []


def test_the_drawn_modules_are_those_of_the_engine_in_the_rows_of_the_contract():
    shown = [name for row in modules.rows() for name in row]
    there = {
        path.stem
        for path in ENGINE.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert sorted(shown) == sorted(there)
    drawn = re.findall(r">(\w+)</text>", (FOLDER / "modules.svg").read_text("utf-8"))
    assert drawn == shown


def test_every_line_of_the_modules_leads_to_a_lower_row():
    row_of = {name: number for number, row in enumerate(modules.rows()) for name in row}
    assert [pair for pair in modules.imports() if row_of[pair[0]] >= row_of[pair[1]]] == []


def test_what_a_line_leaves_out_is_reached_by_others():
    below: dict[str, set[str]] = {}
    for importer, imported in modules.drawn():
        below.setdefault(importer, set()).add(imported)

    def reached(name):
        return below.get(name, set()).union(*map(reached, below.get(name, ())))

    assert modules.drawn() < modules.imports()
    assert all(imported in reached(importer) for importer, imported in modules.imports())


def test_every_step_of_the_crash_picture_is_a_place_of_the_kill_test():
    tested = (Path(__file__).parent / "test_kill.py").read_text("utf-8")
    assert set(crash.STEPS) <= crash.labels().keys()
    assert [name for name in crash.STEPS if f'"{name}"' not in tested] == []
    assert tuple(name for names, _ in crash.BETWEEN for name in names) == crash.STEPS
