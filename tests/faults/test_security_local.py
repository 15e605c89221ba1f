"""What happens on this machine (rows S2, S5, S6, S9, S11, S12): files, code, terminals and state."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import sys

import pytest
from canary import canary, plant
from command import connectory
from connected import Server, connected, run
from echo_server import EchoServer

from connectory.config import config_from_dict, load_config
from connectory.connector import log_event
from connectory.disk import locate
from connectory.errors import ConfigError, RequestError
from connectory.events import RequestRetried
from connectory.plugins import load_code
from connectory.private import make_folder, open_private
from connectory.validation.validator import Validator

TOKEN = canary("local-token")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, FIFOs and permissions are POSIX's")
JSON = {"Content-Type": "application/json"}


# S2


@pytest.mark.fault("S2", "A value of a wrong type is named by its kind; the value itself is in no error.")
@pytest.mark.parametrize(
    "client",
    [
        {"token": [TOKEN]},
        {"token": {"a": TOKEN}},
        {"headers": {"X": {"a": TOKEN}}},
        {"headers": TOKEN},
        {"query": {"a": [TOKEN]}},
        {"token_command": {"a": TOKEN}},
        {"tokne": TOKEN},
        {"timeout": {"total": "${CANARY}"}},
        {"limits": {"concurrency": "${CANARY}"}},
        {"allow_http": "${CANARY}"},
    ],
)
def test_what_the_models_refuse_is_told_without_its_value(client):
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"version": 1, "clients": {"a": client}}, environ={"CANARY": TOKEN})
    assert TOKEN not in repr(
        (caught.value, caught.value.problems, caught.value.__cause__, caught.value.__context__)
    )


# S5

SHOUT = "def shout(record: dict) -> dict:\n    return {}\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "config"
    made.mkdir()
    (made / "ours.py").write_text(f"import os, subprocess\nfrom os import path\n{SHOUT}")
    return made


@pytest.mark.fault("S5", "What is Python's own is no transformer, by whatever name it is called.")
@pytest.mark.parametrize(
    "use",
    [
        "os:system",
        "subprocess:run",
        "subprocess:Popen",
        "builtins:exec",
        "shutil:rmtree",
        "posixpath:join",
        "ours:os.system",
        "ours:subprocess.run",
        "ours:path.join",
        "pickle:loads",
        "os:_exit",
    ],
)
def test_pythons_own_functions_are_no_transformers(folder, use):
    with pytest.raises(ConfigError, match="is a function of Python's own; wrap it"):
        load_code(use, folder=folder)


@pytest.mark.fault("S5", "A name leads to a module and a function in it, and nowhere else.")
@pytest.mark.parametrize(
    "use",
    ["../evil:shout", "..evil:shout", "/etc/evil:shout", "ours:__builtins__.exec", "ours:shout.__globals__", "__main__:x",
     "ours:", ":x", "ours", "ours:shout()", "ours;import os:x", "http://evil.test/x:y", "ours:__import__"],
)  # fmt: skip
def test_a_name_is_a_module_and_a_function(folder, use):
    (folder.parent / "evil.py").write_text("raise SystemExit('it ran')\n" + SHOUT)
    with pytest.raises(ConfigError, match="is no 'module:function'"):
        load_code(use, folder=folder)


@POSIX
@pytest.mark.fault("S5", "A module that a link takes from outside the configuration's folder does not run.")
@pytest.mark.parametrize("how", ["module", "package", "inside a package", "namespace"])
def test_a_link_out_of_the_folder_is_not_imported(folder, how):
    ran = folder.parent / "ran"
    evil = folder.parent / "elsewhere" / "evilpkg"
    evil.mkdir(parents=True)
    code = f"open({str(ran)!r}, 'w').close()\n{SHOUT}"
    (evil / "mod.py").write_text(code)
    if how == "module":
        (folder / "evil_module.py").symlink_to(evil / "mod.py")
        use = "evil_module:shout"
    elif how == "inside a package":
        (folder / "evil_inner").mkdir()
        (folder / "evil_inner" / "__init__.py").write_text("")
        (folder / "evil_inner" / "mod.py").symlink_to(evil / "mod.py")
        use = "evil_inner.mod:shout"
    else:
        if how == "package":
            (evil / "__init__.py").write_text(code)
        name = f"evil_{how}"
        (folder / name).symlink_to(evil)
        use = f"{name}.mod:shout"
    with pytest.raises(ConfigError, match="is a link out of the configuration's folder"):
        load_code(use, folder=folder)
    assert not ran.exists()


@pytest.mark.fault(
    "S5", "Code in the folder in which the command is typed does not run: only the configuration's does."
)
def test_the_current_folder_is_no_place_for_code(folder, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "stranger.py").write_text(f"open('ran', 'w').close()\n{SHOUT}")
    steps = "transformers: [{use: 'stranger:shout'}]"
    plant(
        folder / "connectory.yaml",
        f"version: 1\nclients: {{a: {{token: {TOKEN}}}}}\nincoming: {{i: {{entity: files, {steps}}}}}\n",
    )
    done = connectory("lint", str(folder / "connectory.yaml"), folder=here)
    assert done.code == 3
    assert "no module 'stranger'" in done.said
    assert not (here / "ran").exists()


@pytest.mark.fault("S5", "A command for the token runs only where the environment allows it.")
def test_a_configuration_alone_runs_no_command(tmp_path):
    ran = tmp_path / "ran"
    command = json.dumps([sys.executable, "-c", f"open({str(ran)!r}, 'w')"])
    plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {{token_command: {command}}}}}\n")
    done = connectory("check", folder=tmp_path)
    assert (done.code, ran.exists()) == (3, False)
    assert "CONNECTORY_ALLOW_COMMANDS=1" in done.said


BOMBS = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
    "merges": "a: &a {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*{'a' if not n else f'm{n - 1}'}, *{'a' if not n else f'm{n - 1}'}], k{n}: 1}}\n" for n in range(2000)),
    "depth": "a: " + "[" * 100_000,
    "size": "a: '" + "x" * 5_000_000 + "'\n",
    "values": "a: [" + "1," * 300_000 + "]\n",
    "itself": "a: &a [*a]\n",
    "python": "a: !!python/object/apply:os.system ['touch ran']\n",
    "number": "a: " + "9" * 500_000 + "\n",
}  # fmt: skip


@pytest.mark.fault(
    "S5", "A configuration that unfolds without end, or asks for Python objects, is refused within bounds."
)
@pytest.mark.parametrize("name", BOMBS)
def test_a_configuration_that_is_a_bomb_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "connectory.yaml").write_text(BOMBS[name])
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "connectory.yaml")
    assert len(str(caught.value)) < 10_000
    assert not (tmp_path / "ran").exists()


# S6


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "files"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_text("inside")
    plant(tmp_path / "outside.txt", TOKEN)
    return made


def name_of(kind, root):
    """Make a file of a kind, and give the name by which a record asks for it."""
    outside = root.parent / "outside.txt"
    if kind == "link":
        (root / "link").symlink_to(outside)
    elif kind == "link in a link":
        (root / "one").symlink_to("two")
        (root / "two").symlink_to(outside)
    elif kind == "folder link":
        (root / "up").symlink_to(root.parent)
    elif kind == "fifo":
        os.mkfifo(root / "fifo")
    elif kind == "device":
        (root / "null").symlink_to("/dev/null")
    elif kind == "proc":
        (root / "self").symlink_to("/proc/self/environ")
    return {
        "traversal": "../outside.txt",
        "hidden traversal": "sub/../../outside.txt",
        "absolute": str(outside),
        "home": "~/.ssh/id_rsa",
        "windows": "C:\\Windows\\win.ini",
        "nul": "a.txt\0.png",
        "empty": "",
        "folder": "sub",
        "link": "link",
        "link in a link": "one",
        "folder link": "up/outside.txt",
        "fifo": "fifo",
        "device": "null",
        "proc": "self",
    }[kind]


@POSIX
@pytest.mark.fault(
    "S6", "A record's file that is not an ordinary file below files_root is that record's error."
)
@pytest.mark.parametrize(
    "kind",
    ["traversal", "hidden traversal", "absolute", "home", "windows", "nul", "empty", "folder", "link",
     "link in a link", "folder link", "fifo", "device", "proc"],
)  # fmt: skip
def test_a_record_reaches_no_file_outside(root, kind):
    server = Server()
    name = name_of(kind, root)
    upload = {
        "entity": "files",
        "files_root": str(root),
        "payload": {"purpose": "batch", "file": {"path": "&{f}"}},
    }

    async def main():
        async with connected(server, outgoing={"upload": upload}) as connector:
            return [result async for result in connector.outgoing("upload", [{"f": name}])]

    (result,) = run(main)
    assert (result.status, server.requests) == ("error", [])
    assert TOKEN not in json.dumps(result.as_dict())


@POSIX
@pytest.mark.fault(
    "S6", "A file that becomes a link, or another file, between the check and the sending is not sent."
)
@pytest.mark.parametrize("swap", ["link", "folder", "content", "fifo"])
def test_a_file_that_is_swapped_is_not_sent(root, swap):
    (root / "sub" / "b.txt").write_text("0" * len(TOKEN))
    found = locate("sub/b.txt", root)
    path = root / "sub" / "b.txt"
    path.unlink()
    if swap == "link":
        path.symlink_to(root.parent / "outside.txt")
    elif swap == "folder":
        (root / "sub").rename(root / "old")
        plant(root.parent / "b.txt", TOKEN)
        (root / "sub").symlink_to(root.parent)
    elif swap == "content":
        path.write_text("1" * len(TOKEN))
        os.utime(path, ns=(1, 1))
    else:
        os.mkfifo(path)

    async def read():
        return [piece async for piece in found.pieces()]

    with pytest.raises(RequestError):
        run(read)


# S9

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nerror: forged line\u202e"


@pytest.mark.fault(
    "S9", "Control characters and line ends of a server's words are written out, on stderr and in the log."
)
@pytest.mark.parametrize("status", [400, 401, 500])
def test_what_a_server_says_does_not_steer_the_terminal(tmp_path, status):
    def respond(_asked):
        body = {"error": {"message": STEERING, "code": STEERING, "type": STEERING}}
        return status, JSON, json.dumps(body).encode()

    with EchoServer(respond) as server:
        client = f'{{base_uri: "{server.uri}/v1", token: {TOKEN}, retry: {{attempts: 2, max_wait: 0}}}}'
        outgoing = '{post: {request: {method: POST, path: /things}, payload: "&{@}"}}'
        plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {client}}}\noutgoing: {outgoing}\n")
        single = connectory("request", "GET", "/things", folder=tmp_path)
        run_ = connectory("run", "outgoing", "post", folder=tmp_path, stdin='{"id": 1}\n')
        check = connectory("check", folder=tmp_path)
    for said in (single.said, run_.said, check.said):
        assert not any(one in said for one in "\x1b\x07\x9b\r\u202e"), said
        assert not any(line.startswith("error: forged") for line in said.splitlines())
    assert "\\x1b]0;owned" in single.said
    assert not any(one in run_.out for one in "\x1b\x07\r")  # JSON writes these as escapes


@pytest.mark.fault("S9", "What records, names and files bring is written out as well.")
def test_what_data_says_does_not_steer_the_terminal(tmp_path):
    (tmp_path / "steer.py").write_text(
        f"def steer(record: dict) -> dict:\n    raise ValueError({STEERING!r})\n"
    )
    plant(
        tmp_path / "connectory.yaml",
        f"version: 1\nclients: {{a: {{token: {TOKEN}}}}}\n"
        "outgoing:\n"
        "  raising: {entity: moderations, transformers: [{use: 'steer:steer'}]}\n"
        "  typed: {entity: file, action: delete, path: {file_id: '&{id}'}}\n",
    )
    record = json.dumps({"id": STEERING})
    said = [
        connectory("run", "outgoing", "raising", "--sandbox", folder=tmp_path, stdin=record).said,
        connectory("run", "outgoing", "typed", "--yes", "--sandbox", folder=tmp_path, stdin=record).said,
        connectory("run", "outgoing", STEERING.replace("\0", ""), folder=tmp_path).said,
        connectory("preview", "outgoing", "typed", folder=tmp_path, stdin=record).out,
        connectory("read", f"files{STEERING}", folder=tmp_path).said,
    ]
    for one in said:
        assert one
        assert not any(character in one for character in "\x1b\x07\x9b\r\u202e"), one


@pytest.mark.fault("S9", "A log line stays one line.")
def test_what_a_server_says_forges_no_log_line(caplog):

    with caplog.at_level(logging.INFO, logger="connectory"):
        log_event(RequestRetried("GET /x", 1, 1.0, STEERING))
    (record,) = caplog.records
    assert record.getMessage().endswith("\\r\\nerror: forged line\\u202e")
    assert "\n" not in record.getMessage()


# S11


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@POSIX
@pytest.mark.fault(
    "S11",
    "With a umask of 000, the output, dead letters, saved answers and all state are their owner's alone.",
)
def test_what_a_run_leaves_is_its_owners_alone(tmp_path):
    def respond(asked):
        if "bad" in asked["body"]:
            return 400, JSON, b'{"error": {"message": "bad"}}'
        return 200, JSON, b'{"id": "x", "text": "private"}'

    with EchoServer(respond) as server:
        client = f'{{base_uri: "{server.uri}/v1", token: {TOKEN}}}'
        outgoing = (
            '{post: {request: {method: POST, path: /things}, payload: "&{@}", output: results.jsonl}, '
            'save: {request: {method: POST, path: /things}, payload: "&{@}", save_to: "deep/saved/&{id}.json", '
            "dead_letters: dead/letters/save.jsonl}}"
        )
        plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {client}}}\noutgoing: {outgoing}\n")
        records = '{"id": 1}\n{"id": "bad"}\n'
        before = os.umask(0)
        try:
            first = connectory("run", "outgoing", "post", folder=tmp_path, stdin=records)
            second = connectory("run", "outgoing", "save", folder=tmp_path, stdin=records)
        finally:
            os.umask(before)
    assert (first.code, second.code) == (1, 1), first.said + second.said
    state = [tmp_path / ".connectory", *(tmp_path / ".connectory").rglob("*")]
    assert any(path.name == "dead_letters.jsonl" for path in state)
    for path in [*state, *(tmp_path / "deep").rglob("*"), tmp_path / "dead" / "letters"]:
        assert permissions(path) == (0o700 if path.is_dir() else 0o600), path
    assert permissions(tmp_path / "results.jsonl") == 0o600
    assert permissions(tmp_path / "dead" / "letters" / "save.jsonl") == 0o600
    assert permissions(tmp_path / "deep" / "saved" / "1.json") == 0o600


@POSIX
@pytest.mark.fault("S11", "A file that is there keeps its permissions: they are its owner's choice.")
def test_a_file_that_is_there_keeps_its_permissions(tmp_path):
    path = tmp_path / "shared.jsonl"
    path.touch(0o644)
    path.chmod(0o644)
    os.close(open_private(path, os.O_WRONLY | os.O_CREAT))
    assert permissions(path) == 0o644


@POSIX
@pytest.mark.fault(
    "S11", "An output or a file of dead letters that somebody else made a link is not written through."
)
def test_a_link_of_somebody_else_is_not_written_through(tmp_path, monkeypatch):
    victim, link = tmp_path / "victim", tmp_path / "out.jsonl"
    victim.write_text("precious")
    link.symlink_to(victim)
    os.close(open_private(link, os.O_WRONLY | os.O_CREAT))  # one's own link is one's own wish
    os.lchown(link, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        open_private(link, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    assert victim.read_text() == "precious"


@POSIX
@pytest.mark.fault("S11", "An output that is such a link ends the run before anything is sent.")
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a link to somebody else"
)
def test_a_run_refuses_an_output_that_is_anothers_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "results.jsonl").symlink_to(victim)
    os.lchown(tmp_path / "results.jsonl", 12345, -1)
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        client = f'{{base_uri: "{server.uri}/v1", token: {TOKEN}}}'
        outgoing = '{post: {request: {method: POST, path: /things}, payload: "&{@}"}}'
        plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {client}}}\noutgoing: {outgoing}\n")
        words = ("run", "outgoing", "post", "--output", "results.jsonl")
        done = connectory(*words, folder=tmp_path, stdin='{"id": 1}\n')
    assert (done.code, server.asked, victim.read_text()) == (3, [], "precious")
    assert "belongs to somebody else" in done.said


@POSIX
@pytest.mark.fault("S11", "Folders are made for their owner alone, each of them.")
def test_every_folder_on_the_way_is_private(tmp_path):
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b" / "c")
        make_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert {permissions(tmp_path / part) for part in ("a", "a/b", "a/b/c")} == {0o700}


# S12


@pytest.fixture
def referring(tmp_path):
    """Make a reference to a server or to a file."""

    def make(kind, server):
        (tmp_path / "schema.json").write_text('{"type": "object"}')
        return f"{server.uri}/schema.json" if kind == "http" else (tmp_path / "schema.json").as_uri()

    return make


def document(schema):
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"a": schema}}}}}
    post = {"operationId": "createThing", "requestBody": body, "responses": {"200": {"description": "x"}}}
    return {"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": {"/things": {"post": post}}}


@pytest.mark.fault("S12", "A catalogue is not built of a document whose `$ref` leads to a server or a file.")
@pytest.mark.parametrize("kind", ["http", "file"])
def test_building_a_catalogue_fetches_no_reference(tmp_path, referring, kind):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        reference = referring(kind, server)
        (tmp_path / "api.json").write_text(json.dumps(document({"$ref": reference})))
        done = connectory("catalogue", "build", "api.json", "-o", "out", "--name", "things", folder=tmp_path)
    assert (done.code, server.asked) == (2, [])
    assert "does not point into #/components/schemas" in done.said


@pytest.mark.fault(
    "S12", "A `$ref` in a catalogue file that leads elsewhere is never fetched: it is a configuration error."
)
@pytest.mark.parametrize("kind", ["http", "file"])
def test_checking_a_payload_fetches_no_reference(tmp_path, referring, kind):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        reference = referring(kind, server)
        (tmp_path / "api.json").write_text(json.dumps(document({"type": "string", "pattern": "replace me"})))
        built = connectory("catalogue", "build", "api.json", "-o", "out", "--name", "things", folder=tmp_path)
        assert built.code == 0, built.said
        replaced = 0
        for path in (tmp_path / "out").rglob("*.json"):
            text = path.read_text()
            changed = re.sub(r'\{[^{}]*"replace me"[^{}]*\}', json.dumps({"$ref": reference}), text)
            replaced += changed != text
            path.write_text(changed)
        assert replaced == 1
        plant(
            tmp_path / "connectory.yaml",
            f"version: 1\nclients: {{a: {{base_uri: '{server.uri}', token: {TOKEN}}}}}\n"
            "catalogue: [out/things.json]\noutgoing: {post: {entity: things, payload: '&{@}'}}\n",
        )
        done = connectory("run", "outgoing", "post", folder=tmp_path, stdin='{"a": 1}\n')
    assert (done.code, server.asked) == (3, []), done.said


@pytest.mark.fault("S12", "With and without jsonschema-rs it is the same.")
@pytest.mark.parametrize("fast", [True, False])
def test_no_validator_fetches_a_reference(fast):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        schema = {"type": "object", "properties": {"a": {"$ref": f"{server.uri}/schema.json"}}}
        with pytest.raises(ConfigError, match="leads elsewhere, and nothing is fetched"):
            Validator(schema, fast=fast).errors({"a": 1})
    assert server.asked == []
