"""Connectors whose network is a function or a respx router, for the tests of the flows."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import httpx
import respx

from connectory.connector import AsyncConnector
from connectory.errors import RecordError
from connectory.interfaces import Item, Sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable

OWN_TASKS = 2 if sys.version_info < (3, 12) else 1
"""Tasks that a test has of its own: itself, and what bounds its time, which is no task from Python 3.12 on."""

BASE = "https://api.test/v1"
FREE: dict[str, Any] = {"requests_per_minute": 1_000_000_000, "concurrency": 32}
"""Limits that slow nothing down: tests of the limits are elsewhere."""
CLIENT: dict[str, Any] = {
    "base_uri": BASE,
    "token": "made-up",
    "limits": FREE,
    "retry": {"max_wait": 0, "outage": 0},
}
POSTS: dict[str, Any] = {"request": {"method": "POST", "path": "/things"}}
"""An outgoing that posts its records' payloads to a path without a schema."""


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a test's coroutine; one that hangs is ended with an error."""

    async def bounded() -> Any:
        return await asyncio.wait_for(main(), 60)

    return asyncio.run(bounded())


def configuration(**connections: Any) -> dict[str, Any]:
    """One client and the given connections."""
    return {"version": 1, "clients": {"api": CLIENT}, **connections}


def transport(network: respx.Router | Callable[[httpx.Request], Any]) -> httpx.MockTransport:
    """Make a transport of a router or of a handler."""
    return httpx.MockTransport(network.async_handler if isinstance(network, respx.Router) else network)


def connected(
    network: respx.Router | Callable[[httpx.Request], Any], *, listen: Any = None, **connections: Any
) -> AsyncConnector:
    """Make a connector whose client speaks to a router or a handler."""
    return AsyncConnector.from_dict(
        configuration(**connections), transport=transport(network), listen=listen or (lambda _event: None)
    )


def router() -> respx.Router:
    """Make a router that may stay unused."""
    return respx.Router(base_url=BASE, assert_all_called=False)


def body_of(request: httpx.Request) -> Any:
    """Read the JSON that was sent."""
    return json.loads(request.content)


def refusal(status: int, code: str | None = None, message: str = "no") -> httpx.Response:
    """Make an answer with the API's error envelope."""
    return httpx.Response(status, json={"error": {"message": message, "type": "made_up", "code": code}})


async def extend(seen: list[Any], stream: AsyncIterable[Any]) -> None:
    """Add what a stream gives to a list; what came before an error stays in it."""
    async for one in stream:
        seen.append(one)  # noqa: PERF401 - a comprehension would lose it


class Server:
    """A handler that remembers requests and answers each POST with its payload and an id."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await self.answer(request)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"got": body_of(request) if request.content else None})

    @property
    def bodies(self) -> list[Any]:
        return [body_of(request) for request in self.requests]

    @property
    def lines(self) -> list[str]:
        """Method and target of each request."""
        return [f"{one.method} {one.url.raw_path.decode()}" for one in self.requests]


class Listed:
    """A source over a list that remembers what was acknowledged."""

    def __init__(self, records: Iterable[Any]) -> None:
        self.records = list(records)
        self.total: int | None = len(self.records)
        self.acknowledged: list[str] = []
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[Item]:
        for number, record in enumerate(self.records, 1):
            self.taken = number
            error = None if isinstance(record, dict) else RecordError(f"record {number} is no object")
            yield Item(str(number), record, error)

    async def acknowledge(self, item: Item) -> None:
        self.acknowledged.append(item.position)


class Kept(Sink):
    """A sink that keeps what was written, and in which order things happened."""

    def __init__(self, story: list[Any] | None = None) -> None:
        self.lines: list[Any] = []
        self.story: list[Any] = [] if story is None else story

    async def write(self, lines: Iterable[Any]) -> None:
        new = list(lines)
        self.lines += new
        self.story += [("write", line) for line in new]

    async def flush(self) -> None:
        self.story.append("flush")

    async def close(self) -> None:
        self.story.append("close")
