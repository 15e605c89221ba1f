"""A client of yaml-language-server over its pipes, and the server itself, installed once at a pinned version."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

VERSION = "1.25.0"
"""The server that the tests drive; the one in editors may be another."""

WAIT = 60
"""Seconds for an answer; a machine under load is slow, and no answer at all is a failure."""


def cached() -> Path:
    """The folder in which the server is kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "connectory-tests" / f"yaml-language-server-{VERSION}"


def install() -> Path:
    """Install the server if it is not there, and give its program. Raises RuntimeError with what npm says."""
    folder = cached()
    program = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise RuntimeError("there is no npm")
    made = folder.with_name(f"{folder.name}.{os.getpid()}")  # two processes may be at it
    made.mkdir(parents=True)
    words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"yaml-language-server@{VERSION}"]
    done = subprocess.run(
        words, cwd=made, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=240
    )
    if done.returncode:
        shutil.rmtree(made, ignore_errors=True)
        raise RuntimeError(f"npm could not install it: {done.stderr[-2000:]}")
    try:
        made.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(made, ignore_errors=True)
    return program


@dataclass
class LanguageServer:
    """The server as an editor sees it: it opens a text, asks at a place, and is told what is wrong."""

    program: Path
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            ["node", str(self.program), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self._answers: dict[int, queue.Queue[Any]] = {}
        self._told: dict[str, queue.Queue[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        uri = self.folder.as_uri()
        capabilities = {
            "textDocument": {
                "completion": {
                    "completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}
                },
                "hover": {"contentFormat": ["markdown"]},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
        }
        self.ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": uri,
                "capabilities": capabilities,
                "workspaceFolders": [{"uri": uri, "name": "project"}],
            },
        )
        self.tell("initialized", {})
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.ask("shutdown", None)
            self.tell("exit", None)
            self.process.wait(WAIT)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(WAIT)
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()

    def ask(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result."""
        self._number += 1
        answers = self._answers[self._number] = queue.Queue()
        self._send({"id": self._number, "method": method, "params": params})
        answer = answers.get(timeout=WAIT)
        assert "error" not in answer, answer["error"]
        return answer.get("result")

    def tell(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def open(self, text: str) -> Opened:
        """Open a text as a new file of the folder; a `|` is where the cursor stands, and is no part of the text."""
        before, cursor, after = text.partition("|")
        uri = (self.folder / f"{len(self._told)}.yaml").as_uri()
        self._told[uri] = queue.Queue()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": before + after}
        self.tell("textDocument/didOpen", {"textDocument": document})
        line, character = before.count("\n"), len(before) - before.rfind("\n") - 1
        return Opened(self, uri, before + after, {"line": line, "character": character} if cursor else None)

    def told(self, uri: str) -> list[Any]:
        """Wait for what is said to be wrong with an open text."""
        found: list[Any] = self._told[uri].get(timeout=WAIT)
        return found

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = 0
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            if not length:
                return
            self._hear(json.loads(stream.read(length)))

    def _hear(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method == "textDocument/publishDiagnostics":
            uri = message["params"]["uri"]
            if uri in self._told:
                self._told[uri].put(message["params"]["diagnostics"])
        elif method is None:
            self._answers[message["id"]].put(message)
        elif "id" in message:  # the server asks for the editor's settings, and to be told of changes
            result = (
                [SETTINGS.get(one["section"]) for one in message["params"]["items"]]
                if method == "workspace/configuration"
                else None
            )
            self._send({"id": message["id"], "result": result})


SETTINGS: dict[str, Any] = {
    "yaml": {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},
        "format": {"enable": False},
    },
    "[yaml]": {},
    "http": {},
    "editor": {},
    "files": {},
}


@dataclass
class Opened:
    """A text that is open, and the place of the cursor in it."""

    server: LanguageServer
    uri: str
    text: str
    position: dict[str, int] | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.tell("textDocument/didClose", {"textDocument": {"uri": self.uri}})

    def offers(self) -> dict[str, Any]:
        """Give what is offered at the cursor, by its label."""
        answer = self.server.ask("textDocument/completion", self._at())
        return {item["label"]: item for item in answer["items"]}

    def hover(self) -> str:
        """Give what is shown at the cursor."""
        answer = self.server.ask("textDocument/hover", self._at())
        return "" if answer is None else str(answer["contents"]["value"])

    def problems(self) -> list[tuple[int, str]]:
        """Give what is underlined: the line, counted from 1, and the message."""
        return [(one["range"]["start"]["line"] + 1, one["message"]) for one in self.server.told(self.uri)]

    def _at(self) -> dict[str, Any]:
        assert self.position is not None, "no cursor: put | into the text"
        return {"textDocument": {"uri": self.uri}, "position": self.position}
