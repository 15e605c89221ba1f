"""A webhook on a loopback port that keeps what is posted to it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self


class Hook:
    """Answers with the statuses it was given, then with 200; `posts` are the bodies, `taken` those it accepted."""

    def __init__(self, *statuses: int) -> None:
        self.posts: list[Any] = []
        self.taken: list[Any] = []
        self.headers: list[dict[str, str]] = []
        waiting, hook = list(statuses), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = waiting.pop(0) if waiting else 200
                hook.posts.append(body)
                hook.headers.append({name.lower(): value for name, value in self.headers.items()})
                if status < 300:
                    hook.taken.append(body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
