"""`connectory init`: a project that runs at once, and that nothing of the user's is lost to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS, connectory

from connectory.cli.editing import MODELINE

FILES = {
    "connectory.yaml",
    "texts.jsonl",
    "transformers/tidy.py",
    "tests/test_tidy.py",
    ".gitignore",
    ".env.example",
    ".vscode/settings.json",
    ".vscode/extensions.json",
    ".connectory/schema.json",
}


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    done = connectory("init", "shop", folder=tmp_path)
    assert done.code == 0, done.said
    assert done.out == ""
    return tmp_path / "shop"


def test_it_says_what_it_wrote_and_what_is_next(tmp_path: Path):
    done = connectory("init", "shop", "--no-input", folder=tmp_path)
    written = {
        line.removeprefix("wrote shop/") for line in done.said.splitlines() if line.startswith("wrote ")
    }
    assert written == FILES == files(tmp_path / "shop").keys()
    assert done.last == "connectory run outgoing moderate --sandbox"


def test_every_command_that_it_names_works_in_it(project: Path):
    first = connectory("lint", folder=project)
    assert first.code == 0, first.said
    assert "0 errors" in first.last
    assert "schema" not in first.said  # it is as new as it can be
    tested = connectory("test", folder=project)
    assert (tested.code, tested.last) == (0, "connectory.yaml: 2 passed, 0 failed")
    shown = connectory("preview", "outgoing", "moderate", "--sandbox", folder=project)
    assert [one["requests"][0]["payload"]["input"] if one["requests"] else None for one in shown.lines] == [
        "Good morning",
        "Good night",
        None,
    ]
    sent = connectory("run", "outgoing", "moderate", "--sandbox", folder=project)
    assert sent.code == 0, sent.said
    assert [one.get("flagged", one.get("status")) for one in sent.lines] == [False, False, "skipped"]
    read = connectory("run", "incoming", "models", "--sandbox", folder=project)
    assert (read.code, read.lines[0]["object"]) == (0, "model")


def test_the_transformer_comes_with_a_test_that_passes(project: Path):
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    done = subprocess.run(
        words, cwd=project, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_it_can_be_repeated(project: Path):
    before = files(project)
    done = connectory("init", folder=project)
    assert done.code == 0
    assert files(project) == before
    assert "wrote" not in done.said
    assert "kept connectory.yaml" in done.said
    assert "kept .gitignore" in done.said
    assert done.last == "connectory lint"


def test_no_file_of_the_users_is_written_over(tmp_path: Path):
    own = {
        "texts.jsonl": '{"id": 1, "text": "mine"}\n',
        "transformers/tidy.py": "def tidy(record: dict, *, field: str) -> dict:\n    'Nothing.'\n    return record\n",
        ".gitignore": ".env\n",
        ".vscode/settings.json": "{}",
    }
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = connectory("init", folder=tmp_path)
    assert done.code == 0
    assert files(tmp_path).keys() == FILES
    assert {name: text for name, text in files(tmp_path).items() if name in own} == own
    assert "kept .gitignore, which is there already; add to it: .connectory/" in done.said
    assert connectory("lint", folder=tmp_path).code == 0


def test_a_configuration_that_is_there_gets_what_editors_need_and_no_example(tmp_path: Path):
    config = (
        "version: 1\nclients: {openai: {token: '${OPENAI_API_KEY}'}}\nincoming: {files: {entity: files}}\n"
    )
    (tmp_path / "connectory.yaml").write_text(config)
    done = connectory("init", folder=tmp_path)
    assert done.code == 0
    assert (tmp_path / "connectory.yaml").read_text() == config
    assert files(tmp_path).keys() == FILES - {"texts.jsonl", "transformers/tidy.py", "tests/test_tidy.py"}
    assert f"by a first line in connectory.yaml: {MODELINE}" in done.said


def test_a_package_called_transformers_is_left_alone(tmp_path: Path):
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("")
    assert connectory("init", folder=tmp_path).code == 0
    assert not (tmp_path / "transformers" / "tidy.py").exists()
    assert connectory("lint", folder=tmp_path).code == 0
    assert connectory("test", folder=tmp_path).code == 0


def test_another_server_is_named_at_once(tmp_path: Path):
    done = connectory("init", "--base-uri", "http://localhost:8080/v1", folder=tmp_path)
    assert done.code == 0
    text = (tmp_path / "connectory.yaml").read_text()
    assert '    prototype: openai-compatible\n    base_uri: "http://localhost:8080/v1"\n' in text
    assert connectory("lint", folder=tmp_path).code == 0
    assert connectory("run", "outgoing", "moderate", "--sandbox", folder=tmp_path).code == 0


@pytest.mark.parametrize(
    ("uri", "words"),
    [("ftp://x", "http"), ("http://example.com/v1", "network in the clear"), ("https://x/${A", "base_uri")],
)
def test_a_server_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, uri: str, words: str):
    done = connectory("init", "shop", "--base-uri", uri, folder=tmp_path)
    assert done.code == 2
    assert words in done.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        ([], b"\n", ""),
        ([], b"http://127.0.0.1:9/v1\n", "base_uri: "),
        (["--no-input"], b"", ""),
        (["--base-uri", "https://api.openai.com/v1"], b"", ""),
    ],
)
def test_on_a_terminal_it_asks_one_question(tmp_path: Path, words: list[str], typed: bytes, expected: str):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    command = [sys.executable, "-m", "connectory", "init", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdin=follower, stdout=follower, stderr=follower, close_fds=True
    ) as process:
        os.close(follower)
        os.write(leader, typed)
        said = b""
        while b"run outgoing moderate" not in said:
            said += os.read(leader, 4096)
        assert process.wait(60) == 0
    os.close(leader)
    assert said.count(b"Which server?") == bool(typed)
    assert ("base_uri" in (tmp_path / "connectory.yaml").read_text()) == bool(expected)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "shop").write_text("")
    assert connectory("init", "shop", folder=tmp_path).code == 2


# -- the schema beside it


def test_lint_tells_of_a_schema_that_is_older_than_the_transformers(project: Path):
    (project / "transformers" / "shout.py").write_text(
        "def shout(record: dict, *, field: str) -> dict:\n    'Shout.'\n    return record\n"
    )
    done = connectory("lint", folder=project)
    assert done.code == 0
    assert "connectory schema --write" in done.said
    assert connectory("schema", "--write", folder=project).said == "wrote .connectory/schema.json\n"
    assert "step.shout" in json.loads((project / ".connectory" / "schema.json").read_text())["$defs"]
    assert "schema" not in connectory("lint", folder=project).said
    assert connectory("schema", "--write", folder=project).said == ".connectory/schema.json is up to date\n"


def test_the_command_that_lint_names_is_for_the_configuration_that_it_looked_at(project: Path):
    (project / "transformers" / "tidy.py").unlink()
    config = project / "connectory.yaml"
    config.write_text(config.read_text().replace("tidy: {field: text}", "compact"))
    done = connectory("lint", "shop/connectory.yaml", folder=project.parent)
    assert done.code == 0, done.said
    assert "connectory schema --write --config shop/connectory.yaml" in done.said
    connectory("schema", "--write", "--config", "shop/connectory.yaml", folder=project.parent)
    assert "step.tidy" not in (project / ".connectory" / "schema.json").read_text()


def test_a_new_transformer_is_in_the_schema_at_once(project: Path):
    done = connectory("add", "transformer", "shout", folder=project)
    assert "wrote .connectory/schema.json" in done.said
    assert "step.shout" in json.loads((project / ".connectory" / "schema.json").read_text())["$defs"]


def test_a_project_without_a_schema_gets_none_from_other_commands(tmp_path: Path):
    connectory("add", "transformer", "shout", folder=tmp_path)
    assert not (tmp_path / ".connectory").exists()


def test_the_schema_of_a_configuration_with_mistakes_can_be_written(project: Path):
    config = project / "connectory.yaml"
    config.write_text(config.read_text() + "transformers: {clean: [compact]}\nwrong: 1\nroutes: {a: [b]}\n")
    assert connectory("schema", "--write", folder=project).code == 0
    assert '"clean"' in (project / ".connectory" / "schema.json").read_text()


def test_the_schema_of_what_cannot_be_read_is_not_written(project: Path):
    before = (project / ".connectory" / "schema.json").read_bytes()
    (project / "connectory.yaml").write_text("incoming: [\n")
    done = connectory("schema", "--write", folder=project)
    assert done.code == 3
    assert (project / ".connectory" / "schema.json").read_bytes() == before


def test_a_configuration_without_the_line_for_editors_is_told_of_it(project: Path):
    config = project / "connectory.yaml"
    config.write_text(config.read_text().partition("\n")[2])
    assert MODELINE in connectory("schema", "--write", folder=project).said
