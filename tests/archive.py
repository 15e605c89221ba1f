"""A server of lists that can kill its client: below each path a list, newest first, in pages."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Archive:
    """Answers `GET /v1/PATH?after=ID` from `lists`; `on_request` hears the number of each request before its answer.

    With `single` a path is the one thing in its list.
    """

    def __init__(self, lists: dict[str, list[Any]], size: int = 2) -> None:
        self.lists, self.size = lists, size
        self.asked: list[str] = []
        self.on_request: Callable[[int], None] = lambda _number: None
        self.single = False
        self._lock = threading.Lock()

    def page(self, target: str) -> tuple[int, Any]:
        """Give the status and the answer for a request's target."""
        parts = urlsplit(target)
        with self._lock:
            self.asked.append(target)
            number = len(self.asked)
        self.on_request(number)
        path = parts.path.removeprefix("/v1")
        if path not in self.lists:
            return 404, {"error": {"message": "not here", "type": "invalid_request_error", "code": None}}
        if self.single:
            return 200, self.lists[path][0]
        items, after = self.lists[path], parse_qs(parts.query).get("after", [None])[0]
        start = next((n + 1 for n, one in enumerate(items) if one["id"] == after), 0)
        data = items[start : start + self.size]
        return 200, {"object": "list", "data": data, "has_more": start + self.size < len(items)}

    @property
    def repeated(self) -> Counter[str]:
        """Count, for each path, the pages that were asked for more than once."""
        return Counter(
            urlsplit(one).path for one, times in Counter(self.asked).items() for _ in range(times - 1)
        )


@contextmanager
def serving(archive: Archive) -> Iterator[str]:
    """Serve an archive on a free port, and give its base URI."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(*archive.page(self.path))

        def do_DELETE(self) -> None:
            self.answer(200, {"id": self.path.rpartition("/")[2], "object": "file", "deleted": True})

        def answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the client was killed
                self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
