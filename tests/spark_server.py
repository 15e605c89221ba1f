"""A small server that answers moderations and lists, counts what it is asked, and refuses some requests for pace."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

REFUSAL = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}
PAGE = 2


class CountingServer(ThreadingHTTPServer):
    """Answers on a free loopback port. `refused` are the numbers of the POSTs that are answered 429, from 1.

    `lists` are the items of each path, given two a page; `wrong` are inputs that are answered 400.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, *, refused: tuple[int, ...] = (), wrong: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refused, self.wrong = {*refused}, {*wrong}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.lock = threading.Lock()
        self.posts = 0
        self.inputs: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = {}
        self.ids: Counter[str] = Counter()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def base_uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def repeated(self) -> int:
        """Requests beyond the first that was taken for each input."""
        return sum(self.inputs.values()) - len(self.inputs)

    def handle_error(self, *_known: object) -> None:
        """Say nothing: a client that is killed drops its connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: CountingServer

    def log_message(self, *_known: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = str(body["input"])
        with self.server.lock:
            self.server.posts += 1
            refused = self.server.posts in self.server.refused
            if not refused:
                self.server.inputs[text] += 1
                self.server.keys.setdefault(text, set()).add(self.headers["idempotency-key"])
                self.server.ids[self.headers["x-client-request-id"]] += 1
        if refused:
            self._answer(429, REFUSAL, {"retry-after-ms": "50"})
        elif text in self.server.wrong:
            self._answer(400, {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}})
        else:
            self._answer(200, {"id": "modr-1", "model": "m", "results": [{"flagged": text.endswith("7")}]})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        items = self.server.lists.get(parts.path.removeprefix("/v1"), [])
        after = parse_qs(parts.query).get("after", [None])[0]
        start = next((place + 1 for place, one in enumerate(items) if one["id"] == after), 0)
        data = items[start : start + PAGE]
        ends = (
            {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            if data
            else {"first_id": "", "last_id": ""}
        )
        self._answer(200, {"object": "list", "data": data, "has_more": start + PAGE < len(items), **ends})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(text)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
