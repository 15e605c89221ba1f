"""A server in a process of its own that writes every request down before it does anything about it.

It answers like the API, with faults on demand. Its log is what the kill test judges by.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs

RECORD = re.compile(rb"record-(\d+)")
SHARES = {"429": 0.30, "503": 0.20, "reset": 0.20, "truncated": 0.15, "not_json": 0.15}
"""How the faults share their rate; the last three come after the work was done."""

UNREADABLE = 2
"""Requests about a record that may be answered with what is not JSON: after the third the program gives it up, as it says."""

OTHER_BODY = b'{"error": {"message": "same key, other body", "type": "idempotency_error"}}'
HTML = b"<html><body><h1>one moment please</h1></body></html>"


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def record(self) -> int | None:
        """The number of the record that the request is about, the first one of a pack."""
        return self.records[0] if self.records else None

    @cached_property
    def records(self) -> list[int]:
        """The numbers of all records that it is about: more than one in a pack."""
        return [int(number) for number in RECORD.findall(self.body) or RECORD.findall(self.path.encode())]


@dataclass
class Answer:
    """What goes back: `fault` bends it on its way."""

    body: bytes
    status: str = "200 OK"
    kind: str = "application/json"
    fault: str | None = None
    headers: str = ""

    def wire(self) -> bytes:
        """The bytes of the whole answer, or of its first half."""
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: {self.kind}\r\nContent-Length: {len(self.body)}\r\n"
        body = self.body[: len(self.body) // 2] if self.fault == "truncated" else self.body
        return (head + self.headers + "\r\n").encode() + body


@dataclass
class Mock:
    """The server's mind: what it has seen, what it does, and when it tells the harness.

    `faults` is the share of requests that go wrong, `latency` the mean seconds for an answer; `items` are in the list of
    files, `page` on a page of it; one of `bad` records is refused for good; `dedupe`: the work of an Idempotency-Key is
    done once.
    """

    log: int
    faults: float = 0.0
    seed: int = 0
    items: int = 0
    page: int = 20
    latency: float = 0.005
    dedupe: bool = False
    bad: int = 0
    requests: int = 0
    visits: dict[str, int] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)
    awaited: list[tuple[int, str]] = field(default_factory=list)

    def take(self, request: Request) -> tuple[Answer, float]:
        """Write a request down, then decide on the answer and on how long it takes."""
        record, key = request.record, request.headers.get("idempotency-key")
        about = request.path if record is None else "+".join(map(str, request.records))
        self.visits[about] = visit = self.visits.get(about, 0) + 1
        luck = random.Random(f"{self.seed}/{about}/{visit}")  # noqa: S311 - chance that can be repeated
        fault = _fault(luck, self.faults)
        if fault == "not_json" and visit > UNREADABLE:
            fault = None
        digest = hashlib.sha256(request.body).hexdigest()[:16]
        bad = any(is_bad(one, self.bad) for one in request.records)
        acts = not bad and fault not in {"429", "503"} and not (self.dedupe and key in self.remembered)
        line = {
            "method": request.method,
            "path": request.path,
            "key": key,
            "request": request.headers.get("x-client-request-id"),
            "body": digest,
            "record": record,
            "records": request.records,
            "refused": bad and fault is None,
            "fault": fault,
            "acts": acts,
            "at": time.monotonic(),
        }
        os.write(self.log, json.dumps(line).encode() + b"\n")
        self._count()
        if self.dedupe and acts and key is not None:
            self.remembered[key] = digest
        if self.remembered.get(key or "", digest) != digest:
            return Answer(OTHER_BODY, "422 Unprocessable Entity"), 0
        return self._answer(request, fault, luck), luck.random() * 2 * self.latency

    def tell_at(self, requests: int, token: str) -> None:
        """Tell the harness, by a line on stdout, when so many requests have come."""
        self.awaited.append((requests, token))
        self._tell()

    def _count(self) -> None:
        self.requests += 1
        if self.awaited:
            self._tell()

    def _tell(self) -> None:
        for one in [one for one in self.awaited if one[0] <= self.requests]:
            self.awaited.remove(one)
            print(f"reached {one[1]} {self.requests}", flush=True)

    def _answer(self, request: Request, fault: str | None, luck: random.Random) -> Answer:
        if fault == "429":
            error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
            body = json.dumps({"error": error}).encode()
            return Answer(body, "429 Too Many Requests", fault=fault, headers="retry-after-ms: 2\r\n")
        if fault == "503":
            return Answer(HTML, "503 Service Unavailable", "text/html", fault)
        if fault == "not_json":
            return Answer(HTML, kind=luck.choice(["text/html", "application/json"]), fault=fault)
        if any(is_bad(one, self.bad) for one in request.records):
            error = {"message": "not with me", "type": "invalid_request_error", "code": "made_up"}
            return Answer(json.dumps({"error": error}).encode(), "400 Bad Request", fault=fault)
        return Answer(json.dumps(self._work(request)).encode(), fault=fault)

    def _work(self, request: Request) -> object:
        path, _, query = request.path.partition("?")
        if request.method == "GET" and path == "/v1/files":
            return self._page(parse_qs(query))
        record = request.record
        if request.method == "DELETE":
            return {"id": f"record-{record}", "object": "file", "deleted": True}
        results = [
            {"flagged": False, "categories": {}, "category_scores": {}, "record": one}
            for one in request.records
        ]
        return {"id": f"answer-{record}", "model": "made-up", "results": results}

    def _page(self, query: dict[str, list[str]]) -> object:
        start = int(query["after"][0].removeprefix("file-")) + 1 if "after" in query else 0
        numbers = range(start, min(start + self.page, self.items))
        data = [{"id": f"file-{number:06}", "object": "file", "number": number} for number in numbers]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return {"object": "list", "data": data, "has_more": start + self.page < self.items, **ends}


def is_bad(record: int | None, every: int) -> bool:
    """Tell the records that the server refuses for good: one of every so many, none for 0."""
    return record is not None and every > 0 and record % every == every // 2


def _fault(luck: random.Random, rate: float) -> str | None:
    drawn = luck.random()
    for name, share in SHARES.items():
        if drawn < share * rate:
            return name
        drawn -= share * rate
    return None


class Connection(asyncio.Protocol):
    """One connection: takes a request, answers it, takes the next."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.received = bytearray()
        self.busy = False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.take()

    def take(self) -> None:
        """Take the next request as soon as all of it is here."""
        end = self.received.find(b"\r\n\r\n")
        if self.busy or end < 0:
            return
        first, *lines = self.received[:end].decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in headers.items()}
        length = end + 4 + int(headers.get("content-length", "0"))
        if len(self.received) < length:
            return
        method, path, _ = first.split(" ")
        request = Request(method, path, headers, bytes(self.received[end + 4 : length]))
        del self.received[:length]
        self.busy = True
        answer, wait = self.house.mock.take(request)
        self.loop.call_later(wait, self.answer, answer)

    def answer(self, answer: Answer) -> None:
        """Answer, or break off, and go on."""
        if self.transport.is_closing():
            return
        if answer.fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
            return
        self.transport.write(answer.wire())
        if answer.fault == "truncated":
            self.transport.close()
            return
        self.busy = False
        self.take()


class House:
    """What the server serves now."""

    mock: Mock

    def obey(self, word: str, *rest: str) -> None:
        """Do what a line on stdin says: `after REQUESTS TOKEN`, or `begin LOG OPTIONS` for another test."""
        if word == "after":
            self.mock.tell_at(self.mock.requests + int(rest[0]), rest[1])
        else:
            log = os.open(rest[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self.mock = Mock(log, **json.loads(rest[1]))


async def serve() -> None:
    """Serve until stdin is closed."""
    loop, house = asyncio.get_running_loop(), House()
    server = await loop.create_server(lambda: Connection(house), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        house.obey(*line.decode().strip().split(maxsplit=2))
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
