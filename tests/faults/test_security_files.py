"""Which files are read and who may read what is written (rows S6, S11)."""

from __future__ import annotations

import json
import os
import stat
import sys

import pytest
from canary import canary, plant
from command import connectory
from connected import Server, connected, run
from echo_server import EchoServer

from connectory.errors import RequestError
from connectory.files.private import make_folder, open_private
from connectory.files.sent import locate

TOKEN = canary("local-token")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, FIFOs and permissions are POSIX's")
JSON = {"Content-Type": "application/json"}


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
