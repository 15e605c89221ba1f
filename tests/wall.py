"""A server in a thread that other processes speak to: it notes every request, and answers when it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from command import ROOTS

from connectory.journal import Runs, Summary

CONFIG = """
version: 1
clients:
  api: {{base_uri: "http://127.0.0.1:{port}/v1", token: made-up, retry: {{max_wait: 1}}, timeout: {{idle: {idle}}}}}
outgoing:
  out:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    concurrency: {concurrency}
    on_uncertain: resend
"""


class ThreadedWall:
    """Answers each POST with its payload, after `delay` seconds and as long as `open` is set."""

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self.keys: list[str] = []
        self.request_ids: list[str] = []
        self.delay, self.open, self.padding = 0.0, threading.Event(), ""
        self.more: dict[str, Any] = {}
        self.open.set()
        self._came = threading.Condition()

    def __enter__(self) -> Self:
        wall = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                record = json.loads(self.rfile.read(int(self.headers["content-length"])))
                wall.note(record, self.headers)
                threading.Event().wait(wall.delay)
                wall.open.wait(60)
                body = json.dumps({"got": record, "padding": wall.padding, **wall.more}).encode()
                try:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # who asked is gone
                    self.close_connection = True

            def log_message(self, *_arguments: Any) -> None: ...

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, record: Any, headers: Any) -> None:
        with self._came:
            self.ids.append(record["id"])
            self.keys.append(headers["idempotency-key"])
            self.request_ids.append(headers["x-client-request-id"])
            self._came.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.ids) >= count, 60), f"only {len(self.ids)} came"

    def times(self) -> dict[Any, int]:
        return dict(Counter(self.ids))


class Processes:
    """A folder whose outgoing `out` is run by processes of their own."""

    def __init__(
        self, folder: Path, wall: ThreadedWall, *, count: int, concurrency: int = 4, idle: float = 60
    ) -> None:
        self.folder = folder
        text = CONFIG.format(port=wall.port, concurrency=concurrency, idle=idle)
        (folder / "connectory.yaml").write_text(text)
        (folder / "in.jsonl").write_text(
            "".join(json.dumps({"id": number}) + "\n" for number in range(count))
        )

    @property
    def runs(self) -> Runs:
        return Runs(self.folder / ".connectory")

    @property
    def summary(self) -> Summary:
        return self.runs.summary(self.runs.ids()[-1])

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in (self.folder / "out.jsonl").read_bytes().splitlines()]

    def start(
        self,
        *words: str,
        output: str = "out.jsonl",
        stdout: Any = subprocess.PIPE,
        prepare: Callable[[], None] | None = None,
    ) -> Any:
        """Start a process that runs the outgoing."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "CONNECTORY_"))
        }
        command = [sys.executable, "-m", "connectory", "run", "outgoing", "out", "--input", "in.jsonl"]
        return subprocess.Popen(
            [*command, "--output", output, *words],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": os.pathsep.join(ROOTS), "PYTHONWARNINGS": "error"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            preexec_fn=prepare,  # noqa: PLW1509 - the limits of one process
        )

    def run(self, *words: str, **options: Any) -> tuple[int, str]:
        """Run the outgoing to its end; give the exit code and what was said."""
        return ended(self.start(*words, **options))


def ended(process: Any) -> tuple[int, str]:
    """Wait for a process; a traceback fails the test whatever else happened."""
    _, said = process.communicate(timeout=100)
    text = said.decode()
    assert "Traceback" not in text, text
    return process.returncode, text
