"""Runs of the command line against servers that fail, and what must hold after every fault."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from fault_server import FaultServer, Peer, Script, answer, replies

from connectory.cli import main

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

TOKEN = "sk-canary-5f1c9a7e2b"
JSON_TYPE = "Content-Type: application/json"
CLIENT = {
    "token": "${FAULT_TOKEN}",
    "retry": {"attempts": 4, "max_wait": 0.02, "outage": 0.2},
    "limits": {"concurrency": 1},
    "allow_http": True,
    "timeout": {"connect": 5, "idle": 5, "total": 20},
}
MODERATE = {"entity": "moderations", "payload": {"model": "omni-moderation-latest", "input": "&{text}"}}
"""An outgoing that computes: its requests may be repeated."""
MAKE = {"entity": "vector_stores", "payload": {"name": "&{text}"}}
"""An outgoing that creates: after a doubt its requests are not repeated."""
PURGE = {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}
"""An outgoing that deletes."""


def ok(value: Any = None, *, headers: str = "", **options: Any) -> bytes:
    """An answer of JSON with a request id."""
    body = json.dumps({"id": "modr-1", "results": []} if value is None else value).encode()
    return answer(body, headers=f"{JSON_TYPE}\nx-request-id: req-1\n{headers}", **options)


def refused(status: str, code: str | None = None, *, headers: str = "") -> bytes:
    """An answer with the API's error envelope."""
    return ok({"error": {"message": "made up", "type": "t", "code": code}}, status=status, headers=headers)


def listed(*ids: Any, more: bool = False, **others: Any) -> bytes:
    """A page of a list."""
    return ok({"object": "list", "data": [{"id": one} for one in ids], "has_more": more, **others})


healthy = replies(ok())


def answered_by(raw: bytes) -> Script:
    """Answer one request with these bytes and hang up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(raw)
        peer.close()

    return script


@contextlib.contextmanager
def serving(*scripts: Script, context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Run a server beside the test, in a thread and loop of its own, so that the command can run in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    server = FaultServer(*(scripts or (healthy,)), context=context)
    try:
        wait(server.__aenter__())
        try:
            yield server
        finally:
            wait(server.__aexit__())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@dataclass
class Ran:
    """What a run left: exit code, what it said, the lines of its output and of its dead letters."""

    code: int
    said: str
    folder: Path
    count: int
    lines: list[Any] = field(default_factory=list)
    dead: list[Any] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        return [line["status"] for line in self.lines]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [line["error"] for line in self.lines if "error" in line]

    @property
    def attempts(self) -> list[int]:
        return [line["attempts"] for line in self.lines]

    @property
    def in_doubt(self) -> list[bool]:
        return [line["in_doubt"] for line in self.lines]

    @property
    def unsent(self) -> int:
        """How many records the run says are pending."""
        found = re.search(r"(\d+) records = (\d+) done \+ (\d+) dead \+ (\d+) pending", self.said)
        if found is None:
            return 0
        total, done, dead, pending = map(int, found.groups())
        assert (total, done + dead + pending) == (self.count, self.count)
        return pending

    def settle(self, server: FaultServer | None = None, *, on_the_wire: int | None = None) -> Ran:
        """Check what holds after every fault; `on_the_wire` where records that stayed pending were tried as well."""
        ids = [line["id"] for line in self.lines]
        assert len(ids) == len(set(ids)), "a record has two results"
        assert len(ids) + self.unsent == self.count, "a record is neither settled nor pending"
        assert [one["id"] for one in self.dead] == [one["id"] for one in self.lines if "error" in one]
        if server is not None:
            wire = requests(server)
            assert wire == (sum(self.attempts) if on_the_wire is None else on_the_wire)
        if self.unsent:
            self.resume()
        return self.is_secret()

    def resume(self) -> None:
        """Check that the same command goes on, once the server is healthy, and settles every record once."""
        path = self.folder / "connectory.yaml"
        document = json.loads(path.read_text())
        with serving() as server:
            document["clients"]["api"] = {**CLIENT, "base_uri": server.url("/v1")}
            path.write_text(json.dumps(document))
            ran = _run(self.folder, _words(self.folder))
        assert ran.code == (1 if self.dead else 0), ran.said
        assert [line["id"] for line in ran.lines] == [f"r{number}" for number in range(1, self.count + 1)]

    def is_secret(self) -> Ran:
        """Check that the token is in no output."""
        assert "Traceback" not in self.said, self.said
        assert TOKEN not in self.said
        for path in self.folder.rglob("*"):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
        return self


def requests(server: FaultServer) -> int:
    """Count the requests that reached a server."""
    return sum(
        len(re.findall(rb"(?:^|\r\n\r\n|[}\]])(?:GET|POST|DELETE) \S+ HTTP/1\.1\r\n", bytes(data)))
        for data in server.received
    )


def arranged(
    folder: Path,
    base_uri: str,
    wanted: dict[str, Any] = MODERATE,
    *,
    records: int = 3,
    text: str = "text",
    **client: Any,
) -> list[str]:
    """Write the records `r1`, `r2`, ... and the configuration that sends them; give the words of the command."""
    lines = [{"id": f"r{number}", "text": f"{text} {number}"} for number in range(1, records + 1)]
    config = _write(folder, base_uri, client, outgoing={"out": {**wanted, "dead_letters": "dead.jsonl"}})
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert config == folder / "connectory.yaml"
    return _words(folder)


def _words(folder: Path) -> list[str]:
    given, made, config = (folder / name for name in ("in.jsonl", "out.jsonl", "connectory.yaml"))
    words = ["run", "outgoing", "out", "--input", given, "--output", made, "--config", config, "--yes"]
    return [str(word) for word in words]


def collected(folder: Path, code: int, said: str) -> Ran:
    """Read what a run left."""
    count = len(_lines(folder / "in.jsonl"))
    made = folder / "out.jsonl"
    shown = made if made.exists() else folder / "out.jsonl.part"
    return Ran(code, said, folder, count, _lines(shown), _lines(folder / "dead.jsonl"))


def outgoing(folder: Path, base_uri: str, wanted: dict[str, Any] = MODERATE, **options: Any) -> Ran:
    """Send records through an outgoing; the options are those of `arranged`."""
    return _run(folder, arranged(folder, base_uri, wanted, **options))


def incoming(folder: Path, base_uri: str, wanted: dict[str, Any] | None = None, **client: Any) -> Ran:
    """Read a list through an incoming: files, if nothing else is wanted."""
    config = _write(folder, base_uri, client, incoming={"in": wanted or {"entity": "files"}})
    words = ["run", "incoming", "in", "--output", str(folder / "out.jsonl"), "--config", str(config)]
    return _run(folder, words).is_secret()


def _write(folder: Path, base_uri: str, client: dict[str, Any], **connections: Any) -> Path:
    settings = {**CLIENT, "base_uri": base_uri, **client}
    document = {"version": 1, "clients": {"api": settings}, **connections}
    path = folder / "connectory.yaml"
    path.write_text(json.dumps(document))
    return path


def _run(folder: Path, words: list[str]) -> Ran:
    said, out, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, {"FAULT_TOKEN": TOKEN}),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(out),
    ):
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    return collected(folder, code, said.getvalue() + out.getvalue())


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
