"""Every example runs, whole, against the sandbox."""

from __future__ import annotations

import shutil
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


def input_of(folder, config, kind, name):
    """Give the records of an outgoing that names no input file: the example's own words decide what it reads."""
    if kind != "outgoing" or config.outgoing[name].input is not None:
        return ""
    return '{"id": "file-1", "created_at": 1, "filename": "a.jsonl", "question": "Why?"}\n'


@pytest.mark.parametrize(("example", "kind", "name"), list(connections()))
def test_every_connection_of_the_example_runs(example, kind, name, tmp_path):
    folder = tmp_path / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".connectory"))
    config = load_config(folder / "connectory.yaml", environ={})
    yes = () if kind == "incoming" else ("--yes",)

    done = connectory(
        "run", kind, name, "--sandbox", *yes, folder=folder, stdin=input_of(folder, config, kind, name)
    )

    assert done.code == 0, done.said
    assert "0 failed" in done.said
