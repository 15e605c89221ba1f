"""The recipes for hosts, as the page has them: dlt runs them, of the others what their tasks do is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS
from markdown_blocks import blocks

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "hosts.md"
BLOCKS = [block for block in blocks(PAGE) if block.language == "python"]
DLT = "dlt==1.31.0"

SANDBOXED = """
import sys
from connectory.assembly import Endpoint
from connectory.connector import AsyncConnector
from connectory.sandbox import EmbeddedSandbox

made = AsyncConnector.__init__
with EmbeddedSandbox() as sandbox:
    endpoint = Endpoint(sandbox.token, sandbox.base_uri.removesuffix("/v1"))
    AsyncConnector.__init__ = lambda self, config, **options: made(self, config, **options | {"endpoint": options.get("endpoint") or endpoint})
    sys.path.insert(0, ".")
    import recipe
"""


def recipe(word):
    (found,) = [block for block in BLOCKS if f"import {word}" in block.text or f"from {word}" in block.text]
    return found


def configured(folder):
    for block in blocks(PAGE):
        if block.file:
            (folder / block.file).write_text(block.text)


@pytest.fixture(scope="session")
def dlt(tmp_path_factory):
    """Install dlt into a folder of its own: it wants a newer setuptools than others may."""
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    folder = tmp_path_factory.mktemp("dlt")
    install = [uv, "pip", "install", "-q", "--target", folder, "--python", sys.executable, DLT]
    if uv is None:
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, DLT]
    done = subprocess.run(install, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"{DLT} cannot be installed, so its recipe is NOT run: {done.stderr[-300:]}")
    return folder


def test_the_recipes_of_dlt_read_into_duckdb_and_write_to_the_api(tmp_path, dlt):
    duckdb = pytest.importorskip("duckdb")
    configured(tmp_path)
    (tmp_path / "recipe.py").write_text(recipe("dlt").text)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*ROOTS, str(dlt)]),
        "HOME": str(tmp_path),
        "DLT_DATA_DIR": str(tmp_path / ".dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "OPENAI_API_KEY": "made-up",
    }
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with duckdb.connect(tmp_path / "catalogue.duckdb") as database:
        ((count,),) = database.sql("SELECT count(DISTINCT id) FROM openai.models").fetchall()
    assert count > 5
    logs = list((tmp_path / ".connectory").rglob("results.jsonl"))
    assert len(logs) == 1
    assert '"flagged"' in logs[0].read_text()


@pytest.mark.parametrize("word", ["dlt", "airflow", "prefect", "dagster"])
def test_every_recipe_compiles_and_is_short(word):
    block = recipe(word)
    compile(block.text, f"{PAGE.name}:{block.line}", "exec")
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 18


def test_what_the_tasks_do_can_be_done_again(tmp_path, monkeypatch):
    configured(tmp_path)
    (tmp_path / "posts.jsonl").write_text('{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(ROOTS))
    (jobs,) = [block for block in BLOCKS if block.file == "jobs.py"]
    names: dict[str, object] = {"__name__": "jobs"}
    exec(compile(jobs.text, "jobs.py", "exec"), names)  # noqa: S102 - the page's own
    for _ in range(2):
        assert names["moderate"]("posts.jsonl", "flags.jsonl", "--sandbox") == "flags.jsonl"
        lines = [json.loads(line) for line in Path("flags.jsonl").read_text().splitlines()]
        assert [line["id"] for line in lines] == [1, 2]
    with pytest.raises(RuntimeError, match=r"nowhere\.jsonl"):
        names["moderate"]("nowhere.jsonl", "flags.jsonl", "--sandbox")
