"""With Meltano, as a user has it: the documented project runs, keeps its state, and goes on when it was killed."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from echo_server import EchoServer
from markdown_blocks import blocks
from meltano_project import MELTANO, TARGETS, Project, installed
from singer_host import CONCURRENCY, configuration, paced
from wall import ThreadedWall

from connectory import Connector
from connectory.sandbox import EmbeddedSandbox

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "meltano.md"
WRITTEN = {block.file: block.text for block in blocks(PAGE) if block.file}


@pytest.fixture(scope="module")
def meltano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("meltano"), MELTANO)


@pytest.fixture(scope="module")
def target_jsonl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("target-jsonl"), *TARGETS["target-jsonl"])


def documented(folder: Path, sandbox: EmbeddedSandbox) -> None:
    """Write the files of the documentation's page, with the sandbox as the server."""
    config = WRITTEN["connectory.yaml"].replace(
        "  openai:\n", f"  openai:\n    base_uri: {sandbox.base_uri}\n"
    )
    assert sandbox.base_uri in config
    (folder / "connectory.yaml").write_text(config)
    (folder / "meltano.yml").write_text(WRITTEN["meltano.yml"])


def upload(sandbox: EmbeddedSandbox, folder: Path, name: str) -> str:
    (folder / name).write_text('{"a": 1}\n')
    with Connector.openai(token=sandbox.token, base_uri=sandbox.base_uri) as connector:
        payload = {"purpose": "batch", "file": folder / name}
        return str(connector.create("files", payload=payload).response["id"])


def loaded(folder: Path, stream: str) -> list[Any]:
    file = folder / "out" / f"{stream}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_the_documented_project_loads_everything_and_then_only_what_is_new(
    tmp_path: Path, meltano: Path, target_jsonl: Path
):
    with EmbeddedSandbox() as sandbox:
        project = Project(tmp_path, meltano, target_jsonl)
        project.environment["OPENAI_API_KEY"] = sandbox.token
        documented(tmp_path, sandbox)
        ids = [upload(sandbox, tmp_path, f"{number}.jsonl") for number in range(3)]
        project.get("run", "tap-connectory", "target-jsonl")
        assert sorted(one["id"] for one in loaded(tmp_path, "files")) == sorted(ids)
        models = loaded(tmp_path, "models")
        assert {tuple(one) for one in models} == {("id",)}  # what `select` says
        ids.append(upload(sandbox, tmp_path, "new.jsonl"))
        project.get("run", "tap-connectory", "target-jsonl")
        assert sorted(one["id"] for one in loaded(tmp_path, "files")) == sorted(ids)
        assert len(loaded(tmp_path, "models")) == 2 * len(models)


@pytest.mark.fault(
    "X1",
    "Meltano is killed with its tap and target: the next `meltano run` goes on from the state that it kept.",
)
def test_a_run_of_meltano_that_is_killed_goes_on_from_its_state(tmp_path: Path, meltano: Path):
    items = [{"id": f"file-{one}", "created_at": one} for one in range(120, 0, -1)]
    with ThreadedWall() as wall, EchoServer(paced(items, wall)) as lists:
        project = Project(tmp_path, meltano)
        (tmp_path / "connectory.yaml").write_text(configuration(lists, wall))
        streams = (
            WRITTEN["meltano.yml"].replace("files: moderate", "files: things").replace("- models.id", "")
        )
        (tmp_path / "meltano.yml").write_text(streams)
        wall.delay = 0.01
        code, said = project.run(
            "run", "tap-connectory", "target-connectory", during=lambda: wall.wait_for(70)
        )
        assert code < 0, said
        wall.delay, asked = 0, len(lists.asked)
        project.get("run", "--force", "tap-connectory", "target-connectory")  # it takes the job for running
        times = wall.times()
        assert set(times) == {one["id"] for one in items}
        assert sum(times.values()) - len(items) <= CONCURRENCY
        assert 0 < len(lists.asked) - asked < asked  # it went on, and did not begin again


@pytest.mark.full
def test_a_table_of_duckdb_holds_each_file_once_whatever_is_run_again(tmp_path: Path, meltano: Path):
    programs = installed(tmp_path / "programs", *TARGETS["target-duckdb"])
    with EmbeddedSandbox() as sandbox:
        project = Project(tmp_path / "project", meltano, programs)
        project.environment["OPENAI_API_KEY"] = sandbox.token
        documented(project.folder, sandbox)
        loader = """
    - name: target-duckdb
      namespace: target_duckdb
      executable: target-duckdb
      settings: [{name: filepath}, {name: default_target_schema}]
      config: {filepath: out.duckdb, default_target_schema: main}
"""
        written = WRITTEN["meltano.yml"].replace("models.id", "models.*")  # it cannot load keys alone
        (project.folder / "meltano.yml").write_text(written.rstrip() + loader)
        for number in range(3):
            upload(sandbox, project.folder, f"{number}.jsonl")
            words = ["--full-refresh"] if number else []
            project.get("run", *words, "tap-connectory", "target-duckdb")
        code = "import duckdb; print(duckdb.connect('out.duckdb').sql('select filename, bytes from files').fetchall())"
        rows = subprocess.run(
            [programs / "python", "-c", code], cwd=project.folder, capture_output=True, text=True, check=True
        )
        assert sorted(ast.literal_eval(rows.stdout)) == [(f"{number}.jsonl", 9) for number in range(3)]
