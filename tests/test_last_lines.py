"""The last line of any failure is the next command to type."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS, connectory

from connectory.cli import following, main
from connectory.errors import ConfigError

CONFIG = """\
version: 1
clients: {openai: {token: "${OPENAI_API_KEY}"}}
incoming:
  models: {entity: models}
  odd: {entity: models, transformers: [{set: {x: "&{nothing}"}}]}
  asleep: {entity: models, disabled: true}
outgoing:
  moderate: {entity: moderations, payload: {input: "&{text}"}}
  lost: {entity: moderations, input: nowhere.jsonl, payload: {input: "&{text}"}}
  purge: {entity: file, path: {file_id: "&{id}"}}
"""
RECORDS = '{"text": "hi"}\n{"id": "file-1"}\n'
AWAY = "http://127.0.0.1:9/v1"

FAILURES = {
    "runn": (2, "connectory --help"),
    "run incomming x": (2, "connectory run --help"),
    "run incoming": (2, "connectory run incoming --help"),
    "run incoming models --path x": (2, "connectory run incoming --help"),
    "run incoming modelz --sandbox": (3, "connectory config show"),
    "run incoming modelz --config ./connectory.yaml": (
        3,
        "connectory config show --config ./connectory.yaml",
    ),
    "run incoming models": (3, "export OPENAI_API_KEY=..."),
    "run incoming models --client x --sandbox": (3, "connectory config show"),
    "run incoming models --config no.yaml": (3, "connectory init"),
    "run incoming asleep --sandbox": (3, "connectory run incoming asleep --sandbox"),
    "run incoming odd --sandbox": (1, "connectory preview incoming odd --sandbox --steps"),
    "run outgoing moderate --input no.jsonl --sandbox": (3, "connectory run outgoing --help"),
    "run outgoing moderate --input in.jsonl --output no/out.jsonl --sandbox": (
        3,
        "connectory run outgoing --help",
    ),
    "run outgoing moderate --input in.jsonl --output in.jsonl --sandbox": (
        3,
        "connectory run outgoing --help",
    ),
    "run outgoing moderate --input in.csv --sandbox": (
        3,
        """connectory run outgoing moderate --input '{csv: in.csv, delimiter: ";"}' --sandbox""",
    ),
    "run outgoing moderate --input alike.jsonl --sandbox": (
        1,
        "connectory preview outgoing moderate --input alike.jsonl --sandbox --steps",
    ),
    "run outgoing lost --sandbox": (3, "connectory run outgoing lost --sandbox"),
    "run outgoing models --sandbox": (3, "connectory run incoming models --sandbox"),
    "run moderate --sandbox": (2, "connectory run outgoing moderate --sandbox"),
    "run incoming models --sandbox -c bad.yaml": (3, "connectory lint bad.yaml"),
    "preview moderate --input in.jsonl": (2, "connectory preview outgoing moderate --input in.jsonl"),
    "run outgoing purge --input in.jsonl --sandbox": (
        2,
        "connectory run outgoing purge --input in.jsonl --sandbox --yes",
    ),
    "run outgoing moderate --input in.jsonl --sandbox": (1, "connectory replay "),
    "preview outgoing moderate --input in.jsonl": (
        1,
        "connectory preview outgoing moderate --input in.jsonl",
    ),
    "preview incoming modelz": (3, "connectory config show"),
    "read filez --sandbox": (3, "connectory entities list"),
    "read file --sandbox": (2, "connectory entities show file"),
    "read file --path file_id=file-1 --sandbox": (1, "connectory entities show file"),
    "create moderations --payload {} --sandbox": (2, "connectory entities show moderations"),
    "create moderations --payload { --sandbox": (2, "connectory create --help"),
    "delete file --path file_id=x --sandbox": (
        2,
        "connectory delete file --path file_id=x --sandbox --yes",
    ),
    "request GET /nothing --sandbox": (1, "connectory request --help"),
    "replay nothing": (3, "connectory runs list"),
    "runs show nothing": (3, "connectory runs list"),
    "runs show": (2, "connectory runs show --help"),
    "entities show filez": (3, "connectory entities list"),
    "transformers show sett": (3, "connectory transformers list"),
    "transformers try set --input in.jsonl": (2, "connectory transformers show set"),
    "options nothing": (3, "connectory entities list"),
    "options chat.completions.modl": (3, "connectory entities show chat.completions"),
    "delete files --path file_id=x --yes --sandbox": (3, "connectory entities show files"),
    "add outgoing x --entity chats --dry-run": (3, "connectory entities list --search chat"),
    "lint --config bad.yaml": (3, "connectory lint bad.yaml"),
    "lint connectory.yaml -c bad.yaml": (2, "connectory lint --help"),
    "singer tap --config no.json": (3, "connectory singer tap --help"),
    "lint bad.yaml": (3, "connectory lint bad.yaml"),
    "lint no.yaml": (3, "connectory init"),
    "test": (3, "connectory preview --help"),
    "catalogue build no.json": (2, "connectory catalogue build --help"),
    "catalogue diff a.json b.json": (2, "connectory catalogue diff --help"),
    "import alumio no.ndjson": (2, "connectory import alumio --help"),
    "init connectory.yaml": (2, "connectory init --help"),
    "add transformer 1x": (2, "connectory add transformer --help"),
    "add incoming": (2, "connectory add incoming --help"),
    "sandbox --port 99999": (2, "connectory sandbox --help"),
    "check nobody": (3, "connectory doctor"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("failures")
    (folder / "connectory.yaml").write_text(CONFIG)
    (folder / "bad.yaml").write_text("version: 1\nclients: 7\n")
    (folder / "in.csv").write_text("id;text\n1;hi\n")
    (folder / "alike.jsonl").write_text('{"id": 1}\n' * 20)
    (folder / "in.jsonl").write_text(RECORDS)
    return folder


@pytest.fixture
def typed(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Type a command line in this process: a table of processes would take a minute."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    for name in ("OPENAI_API_KEY", "CONNECTORY_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def type_(words: str) -> tuple[int, list[str]]:
        threshold = gc.get_threshold()
        with pytest.raises(SystemExit) as ended:
            main(words.split(), prog_name="connectory")
        gc.set_threshold(*threshold)
        gc.unfreeze()
        return int(ended.value.code or 0), capfd.readouterr().err.strip().splitlines()

    return type_


@pytest.mark.parametrize("words", FAILURES)
def test_a_failure_ends_with_the_next_command(typed, words: str):
    code, expected = FAILURES[words]
    found, said = typed(words)
    assert (found, said[-1][: len(expected)]) == (code, expected), "\n".join(said)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Arrow and Parquet need pyarrow: pip install 'connectory[arrow]'",
            "pip install 'connectory[arrow]'",
        ),
        (
            "the journal of run r-1 is damaged: no. `connectory runs repair r-1` does",
            "connectory runs repair r-1",
        ),
        (
            "'a' is not the file that the unfinished run 20261121T093000-1a2b3c4d began with; put it back",
            "connectory runs show 20261121T093000-1a2b3c4d --config own.yaml",
        ),
        ("the query has no column 'x'", "connectory run outgoing moderate -c own.yaml"),
    ],
)
def test_what_stands_in_no_configuration_is_not_sent_to_lint(
    monkeypatch: pytest.MonkeyPatch, message: str, expected: str
):
    monkeypatch.setattr(following, "_typed", ["run", "outgoing", "moderate", "-c", "own.yaml"])
    assert following.next_command(ConfigError(message)) == expected


def test_a_server_that_is_away_ends_with_what_looks_for_the_cause(tmp_path: Path):
    (tmp_path / "away.yaml").write_text(
        CONFIG.replace("{token:", f"{{base_uri: '{AWAY}', retry: {{outage: 0, attempts: 1}}, token:")
    )
    key = {"OPENAI_API_KEY": "sk-made-up"}
    ran = connectory("run", "incoming", "models", "-c", "away.yaml", folder=tmp_path, **key)
    checked = connectory("check", "-c", "away.yaml", folder=tmp_path, **key)
    assert (ran.code, ran.last, checked.code, checked.last) == (
        5,
        "connectory check --config away.yaml",
        5,
        "connectory doctor --config away.yaml",
    )


def test_an_answer_that_is_no_failure_ends_with_the_answer(folder: Path):
    operation = {"operationId": "o", "responses": {"200": {"description": "x"}}}
    for name, path in (("a", "/x"), ("b", "/y")):
        document = {"openapi": "3.0.0", "info": {"title": "t", "version": "1"}}
        (folder / f"{name}.json").write_text(json.dumps({**document, "paths": {path: {"get": operation}}}))
    done = connectory("catalogue", "diff", "a.json", "b.json", folder=folder)
    assert (done.code, done.said) == (1, "")


def test_help_does_not_load_what_only_a_run_needs():
    code = "import sys\nfrom connectory.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint(sorted({'pydantic', 'httpx', 'ruamel'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
    )
    assert done.stderr.strip() == "[]"
