"""`connectory add`: one more piece of a configuration, whose comments and order stay, and which works at once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS, Done, connectory

from connectory.catalogue import Catalogue
from connectory.cli.skeletons import entry, path_templates, payload
from connectory.config import check_against, config_from_dict, load_config

CONFIG = """\
# ours, since 2024
version: 1
clients:
  openai: {token: "${OPENAI_API_KEY}"}   # the only one

incoming:
    # four spaces, as we like it
    models:
        entity: models

outgoing: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    return tmp_path


def add(folder: Path, *words: str) -> Done:
    return connectory("add", *words, folder=folder)


def test_pieces_are_added_beside_what_is_there_and_they_work(folder: Path):
    file = folder / "connectory.yaml"
    file.chmod(0o640)
    done = [
        add(folder, "incoming", "files", "--entity", "listFiles", "--query", "purpose=batch"),
        add(folder, "outgoing", "moderate", "--entity", "moderations", "--action", "create"),
        add(folder, "outgoing", "purge", "--entity", "file"),
        add(folder, "route", "clean", "files", "purge"),
    ]
    assert [one.code for one in done] == [0, 0, 0, 0], [one.said for one in done]
    assert [one.last for one in done] == [
        "connectory preview incoming files --sandbox",
        "connectory preview outgoing moderate --sandbox --input FILE",
        "connectory preview outgoing purge --sandbox --input FILE",
        "connectory run route clean --sandbox",
    ]
    text = file.read_text()
    assert [line for line in CONFIG.splitlines() if line not in text.splitlines()] == ["outgoing: {}"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    config = load_config(file, environ={})
    assert config.incoming["files"].entity == "files"
    assert config.incoming["files"].request_parameters.query == {"purpose": "batch"}
    assert config.outgoing["moderate"].payload == {"input": "&{input}"}
    assert config.outgoing["purge"].path == {"file_id": "&{id}"}
    assert config.routes["clean"] == ("files", "purge")
    assert "# takes too: model" in text
    (folder / "in.jsonl").write_text('{"input": "hi"}\n')
    assert (
        connectory("run", "outgoing", "moderate", "--sandbox", "--input", "in.jsonl", folder=folder).code == 0
    )


def test_a_second_client_leaves_every_connection_with_its_own(folder: Path):
    url = "http://localhost:8080/v1"
    done = add(folder, "client", "local", "--prototype", "openai-compatible", "--base-uri", url)
    assert (done.code, done.last) == (0, "connectory check local")
    assert "export LOCAL_API_KEY=..." in done.said
    config = load_config(folder / "connectory.yaml", environ={})
    assert config.clients["local"].base_uri == url
    assert [one.client for one in config.incoming.values()] == ["openai"]
    none = add(folder, "incoming", "files", "--entity", "files")
    assert (none.code, "--client (openai, local)" in none.said) == (2, True)


def test_a_dry_run_prints_the_difference_and_writes_nothing(folder: Path):
    done = add(folder, "incoming", "one", "--entity", "model", "--path", "model=gpt-5-mini", "--dry-run")
    assert done.code == 0
    assert "+    one:\n+      entity: model\n+      request_parameters:\n" in done.out
    assert [line for line in done.out.splitlines() if line.startswith("-")] == ["--- connectory.yaml"]
    assert (folder / "connectory.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["incoming"], "missing: NAME; --entity (connectory entities list --action read)"),
        (["incoming", "x", "--entity", "filez"], "no entity 'filez'; did you mean 'file"),
        (["incoming", "x", "--entity", "moderations"], "takes only create"),
        (["incoming", "models", "--entity", "files"], "'models' is in 'incoming' of connectory.yaml already"),
        (["incoming", "x", "--entity", "file"], "missing: --path file_id=... or --each files"),
        (["outgoing", "x", "--entity", "chat.completion"], "missing: --action (create or delete)"),
        (["client", "x", "--token-variable", "sk-1234567890abc"], "the token itself does not belong here"),
        (["client", "x", "--prototype", "opanai"], "did you mean 'openai'?"),
        (["route", "x", "modelz", "y"], "nothing was written"),
        (["incoming", "x", "--entity", "files", "--config", "no.yaml"], "no such file"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(folder: Path, words: list[str], message: str):
    done = add(folder, *words)
    assert done.code in {2, 3}
    assert message in done.said
    assert "sk-1234567890abc" not in done.said
    assert (folder / "connectory.yaml").read_text() == CONFIG


def test_on_a_terminal_it_asks_for_what_is_missing(folder: Path):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    words = [sys.executable, "-m", "connectory", "add", "incoming"]
    with subprocess.Popen(
        words, cwd=folder, env=environ, stdin=follower, stdout=follower, stderr=follower, close_fds=True
    ) as process:
        os.close(follower)
        os.write(leader, b"events\nfine_tuning.job.eventz\nfine_tuning.job.events\ny\n")
        said = b""
        while b"preview incoming" not in said:
            said += os.read(leader, 4096)
        assert process.wait(60) == 0
    os.close(leader)
    assert b"did you mean 'fine_tuning.job.events'?" in said
    config = load_config(folder / "connectory.yaml", environ={})
    assert config.incoming["events"].each == "fine_tuning.jobs"


def test_every_entity_that_is_written_gives_a_connection_without_problems():
    catalogue = Catalogue.load()
    outgoing = {}
    for entity in catalogue.values():
        for action in entity.actions.keys() & {"create", "delete"}:
            body, comment = payload(catalogue, entity.actions[action])
            data = {
                "entity": entity.name,
                "action": action,
                "path": path_templates(entity),
                "payload": body,
            }
            made = entry(f"{action}-{entity.name}", data, {"payload": comment} if comment else None)
            outgoing[made.name] = made.data
    assert len(outgoing) > 150
    config = config_from_dict({"version": 1, "clients": {"a": {"token": "x"}}, "outgoing": outgoing})
    assert [str(one) for one in check_against(config, catalogue)] == []
