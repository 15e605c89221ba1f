"""`connectory doctor`: what on this machine keeps runs from going well, each with what to do, and no secret."""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import connectory

from connectory.cli import main
from connectory.cli.doctoring import _difference
from connectory.cli.examining import Finding, authorities, clients, journal, proxies, variables
from connectory.cli.provisions import provisions
from connectory.config import config_from_dict, load_config
from connectory.errors import ApiError, NotSentError

SECRET = "sk-made-up-secret"


def by_what(found: Any) -> dict[str, Finding]:
    return {one.what: one for one in found}


def test_a_machine_that_is_well_has_nothing_to_mend(tmp_path: Path):
    (tmp_path / "connectory.yaml").write_text(
        'version: 1\nclients: {openai: {token: "${OPENAI_API_KEY}", organization: "${ORG:-}"}}\n'
    )
    done = connectory("doctor", "--live", "--sandbox", "--json", folder=tmp_path, OPENAI_API_KEY=SECRET)
    assert done.code == 0, done.said
    found = {one["what"]: one for one in done.lines}
    assert {one["state"] for one in found.values()} <= {"ok", "warn"}
    assert found["$OPENAI_API_KEY"]["text"] == "is set"
    assert found["$ORG"]["state"] == "ok"
    assert found["configuration"]["text"] == f"{tmp_path / 'connectory.yaml'} (by this folder)"
    assert "as the server's" in found["clock, by client openai"]["text"]
    assert {"python", "connectory", "encoding", "proxies", "authorities", "journal", "disk"} <= found.keys()


def test_what_is_ill_is_told_with_what_to_do(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(
        "version: 1\njournal: taken\nclients: {a: {token_file: none.txt, ca_file: bad.yaml}}\nincomming: {}\n"
    )
    (tmp_path / "taken").write_text("")
    done = connectory("doctor", "-c", "bad.yaml", folder=tmp_path, PYTHONIOENCODING="latin-1")
    assert done.code == 5
    assert "fail  configuration" in done.out
    assert "connectory lint bad.yaml" in done.out
    assert "none.txt cannot be read: no such file or directory" in done.out
    assert "fail  client a: ca_file" in done.out
    assert "taken cannot be written: not a directory" in done.out
    assert "export PYTHONUTF8=1" in done.out
    assert done.last == "connectory lint bad.yaml"
    unknown = connectory("doctor", "-c", "bad.yaml", "--client", "b", folder=tmp_path)
    assert (unknown.code, unknown.last) == (3, "connectory config show --config bad.yaml")


def test_variables_are_told_as_set_or_not_and_never_what_they_hold():
    config = config_from_dict(
        {
            "version": 1,
            "clients": {"a": {"token": "${KEY}", "organization": "${ORG:-}", "project": "${PROJECT}"}},
            "incoming": {"x": {"entity": "files", "output": "${OUT}"}},
        },
        environ={"KEY": SECRET, "PROJECT": ""},
    )
    environ = {"KEY": SECRET, "PROJECT": "", "CONNECTORY_ALLOW_COMMANDS": "1"}
    found = by_what(variables(config, environ))
    assert {what: (one.state, one.text) for what, one in found.items()} == {
        "$KEY": ("ok", "is set"),
        "$ORG": ("ok", "is not set: its default stands for it"),
        "$PROJECT": ("warn", "is set to nothing"),
        "$OUT": ("warn", "is not set; what needs it cannot send"),
        "$CONNECTORY_ALLOW_COMMANDS": ("ok", "is set"),
    }
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("client", "environ", "state", "text"),
    [
        ({}, {}, "ok", "straight to api.openai.com"),
        ({}, {"https_proxy": "http://u:pw@p:1"}, "warn", "although HTTPS_PROXY is set"),
        ({}, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".openai.com"}, "ok", "straight"),
        ({"proxy": "http://u:pass@p:3128"}, {"HTTPS_PROXY": "http://q"}, "ok", "the proxy p:3128"),
        ({"base_uri": "http://localhost:1"}, {"HTTP_PROXY": "http://p:1"}, "ok", "straight"),
    ],
)
def test_each_client_is_told_which_way_it_goes(
    client: dict[str, Any], environ: dict[str, str], state: str, text: str
):
    data = {"version": 1, "clients": {"a": {"token": SECRET, "allow_http": True, **client}}}
    found = by_what(clients(config_from_dict(data), environ))["client a: way"]
    assert (found.state, text in found.text) == (state, True)
    assert "pw@" not in repr([*proxies(environ), found])
    assert "pass@" not in repr(found)


def test_a_token_from_a_command_needs_leave_and_one_from_a_file_its_own_permissions(tmp_path: Path):
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o644)
    data = {"version": 1, "clients": {"a": {"token_command": ["x"]}, "b": {"token_file": "token"}, "c": {}}}
    config = config_from_dict(data, folder=tmp_path)
    found = by_what(clients(config, {}))
    assert found["client a: token"].do == "export CONNECTORY_ALLOW_COMMANDS=1"
    assert found["client b: token"].do == f"chmod 600 {tmp_path / 'token'}"
    assert found["client c: token"].state == "warn"
    assert by_what(clients(config, {"CONNECTORY_ALLOW_COMMANDS": "1"}))["client a: token"].state == "ok"


def test_without_authorities_no_server_can_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert authorities({}).state == "ok"
    (tmp_path / "none.pem").write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "empty"))
    assert authorities({}).state == "fail"


def test_a_full_disk_is_seen_before_a_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr("connectory.cli.examining.shutil.disk_usage", lambda _: usage)
    found = by_what(journal(tmp_path / "state"))
    assert (found["journal"].state, found["disk"].state, found["disk"].code) == ("ok", "fail", 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (100, "warn"), (4000, "fail")])
def test_the_clock_is_compared_whatever_the_server_answers(seconds: int, state: str):
    async def request(*_words: Any, **_options: Any) -> Any:
        headers = {"date": formatdate(time.time() + seconds, usegmt=True)}
        raise ApiError("no", status=401, headers=headers)

    found = asyncio.run(_difference(SimpleNamespace(request=request), "a"))
    assert found.state == state
    assert ("before the server's" in found.text) == bool(seconds)


def test_a_server_that_gives_no_answer_is_a_failure():
    with pytest.raises(SystemExit):  # what a process was asked before is over
        main(["check", "a", "--config", "elsewhere.yaml"])

    async def request(*_words: Any, **_options: Any) -> Any:
        raise NotSentError("no connection")

    found = asyncio.run(_difference(SimpleNamespace(request=request), "a"))
    assert (found.state, found.do) == ("fail", "connectory check a")


CONNECTIONS = """\
version: 1
clients: {openai: {token: none}}
incoming:
  models: {entity: models, output: results/models.jsonl}
  rows: {entity: model, input: {sql: "SELECT id FROM t", database: gone.db, key: id}, request_parameters: {path: {model: "&{id}"}}}
outgoing:
  posts: {entity: moderations, input: posts.jsonl, output: "flags.parquet", dead_letters: dead/posts.jsonl}
  table: {entity: moderations, input: {files: "*.txt", folder: texts}, output: {table: t, database: "postgresql://u:hidden@h/d", write: insert, key: id}}
  piped: {entity: moderations, input: "-", output: "-"}
  off: {entity: moderations, input: none.jsonl, disabled: true}
"""


def test_what_a_connection_needs_and_has_not_is_warned_of(tmp_path: Path, monkeypatch):
    path = tmp_path / "connectory.yaml"
    path.write_text(CONNECTIONS)
    for name in ("pyarrow", "sqlalchemy"):  # as where the extra is not installed
        monkeypatch.setitem(sys.modules, name, None)

    found = by_what(provisions(load_config(path)))

    assert {one.state for one in found.values()} == {"warn"}
    assert {
        what: (one.text.replace(f"{tmp_path}/", ""), one.do.replace(f"{tmp_path}/", ""))
        for what, one in found.items()
    } == {
        "incoming models: output": ("there is no folder 'results'", "mkdir -p results"),
        "incoming rows: input": ("there is no database 'gone.db'", ELSEWHERE),
        "outgoing posts: input": ("there is no file 'posts.jsonl'", ELSEWHERE),
        "outgoing posts: output": ("Arrow and Parquet need pyarrow", "pip install 'connectory[arrow]'"),
        "outgoing posts: dead_letters": ("there is no folder 'dead'", "mkdir -p dead"),
        "outgoing table: input": ("there is no folder 'texts'", "mkdir -p texts"),
        "outgoing table: output": (
            "a database other than SQLite needs SQLAlchemy",
            "pip install 'connectory[sql]'",
        ),
    }


ELSEWHERE = "put it there, or write another one into the configuration"


def test_a_connection_that_has_what_it_needs_is_well(tmp_path: Path):
    (tmp_path / "connectory.yaml").write_text(CONNECTIONS)
    for name in ("results", "dead", "texts"):
        (tmp_path / name).mkdir()
    for name in ("posts.jsonl", "gone.db"):
        (tmp_path / name).touch()
    done = connectory("doctor", folder=tmp_path, PYTHONWARNINGS="default")

    assert (done.code, done.out.count("outgoing ")) == (0, 0)
    assert "ok    connections               the packages, files and folders of all 6 are there" in done.out
    assert "hidden" not in done.out
