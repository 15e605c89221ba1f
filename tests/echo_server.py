"""A server that says back all that it was told, as badly as it can: header by header, escaped and encoded."""

from __future__ import annotations

import base64
import html
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[int, dict[str, str], bytes]
Asked = dict[str, Any]
JSON = {"Content-Type": "application/json"}


class EchoServer:
    """Answers each request with what `respond` makes of it; `asked` keeps the requests. A context manager."""

    def __init__(self, respond: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = {"line": f"{self.command} {self.path}", "headers": headers, "body": body.decode()}
                asked.append(request)
                status, more, content = respond(request)
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_CONNECT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def everything(asked: Asked) -> dict[str, Any]:
    """Give a request in every form in which a server may say it back."""
    values = [*asked["headers"].values(), asked["line"], asked["body"]]
    return {
        **asked,
        "escaped": [quote(one, safe="") for one in values],
        "encoded": [base64.b64encode(one.rpartition(" ")[2].encode()).decode() for one in values],
        "html": [html.escape(one) for one in values],
        "names": dict.fromkeys(values, 1),
        "text": repr(values),
    }


def ok(asked: Asked) -> Answer:
    """Do as asked, and say everything back in body and headers."""
    echo = {f"X-Echo-{name}": value for name, value in asked["headers"].items()}
    return 200, {**JSON, **echo}, json.dumps(everything(asked)).encode()


def escaped(asked: Asked) -> Answer:
    r"""The same, with every letter as a `\u` escape."""
    text = "".join(
        f"\\u{ord(one):04x}" for one in json.dumps(asked["headers"]) if one.isascii() and one != '"'
    )
    return 200, JSON, b'{"text": "%b"}' % text.encode()


def unauthorized(asked: Asked) -> Answer:
    """Refuse the key, and name it."""
    key = asked["headers"].get("authorization", "none")
    error = {"message": f"Incorrect API key provided: {key}.", "code": key, "type": key, "param": key}
    return 401, {**JSON, "X-Request-Id": key}, json.dumps({"error": error}).encode()


def refused(asked: Asked) -> Answer:
    """Refuse the request, with all of it in the error."""
    error = {"message": json.dumps(everything(asked)), "code": "bad", "request": everything(asked)}
    return 400, JSON, json.dumps({"error": error}).encode()


def page(asked: Asked) -> Answer:
    """Break down with a page that shows the request."""
    shown = html.escape(json.dumps(asked["headers"]) + asked["line"])
    return 500, {"Content-Type": "text/html"}, f"<html><pre>{shown}</pre></html>".encode()


def portal(asked: Asked) -> Answer:
    """Answer 200 with a page, as a captive portal does."""
    return 200, {"Content-Type": "text/html"}, page(asked)[2]


def stream(asked: Asked) -> Answer:
    """Say everything back as the text of a stream, cut into small pieces."""
    text = json.dumps(asked["headers"])
    pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": {"content": one}}]} for one in pieces]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    events = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
    return 200, {"Content-Type": "text/event-stream"}, events.encode()
