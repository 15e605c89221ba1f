"""Faults on demand: which requests go wrong and how, decided by a seed and the request's number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from math import fsum
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from starlette.types import Message, Receive, Send

KINDS: Mapping[str, str] = {
    "html": "a page of HTML with status 503, as a proxy sends it; nothing was done",
    "bad-json": "status 200 with half of the answer",
    "truncate": "the connection closes in the middle of the answer",
    "slow": "the answer comes in twenty pieces, one second in all",
    "drop": "the connection closes before the answer, when the request has been done",
}
"""Faults besides a status from 400 to 599, with which nothing is done either."""

BATCH_KINDS: Mapping[str, str] = {
    "batch-expired": "a batch ends as `expired` when half of its requests are answered",
    "batch-tokens": "a batch fails: more tokens wait than the server takes (`token_limit_exceeded`)",
    "batch-refused": "a batch fails: its first line is said to be wrong",
    "batch-errors": "every third request of a batch is answered with status 500",
    "batch-lost": "every third request of a batch is in neither file",
}
"""Faults of batches: of these, not of requests, the rate is a share."""

PAGE = b"<!DOCTYPE html><html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>"
_PIECES = 20
_PAUSE = 0.05
_STATUSES = range(400, 600)


class Faults:
    """The faults of a sandbox: each kind with its share of all requests."""

    def __init__(self, rates: Mapping[str, float], *, seed: int = 0) -> None:
        for kind, rate in rates.items():
            check(kind, rate)
        self.seed, self.numbers, self.batches = seed, count(1), count(1)
        self.rates = {kind: rate for kind, rate in rates.items() if kind not in BATCH_KINDS}
        self.batch_rates = {kind: rate for kind, rate in rates.items() if kind in BATCH_KINDS}
        for given in (self.rates, self.batch_rates):
            if fsum(given.values()) > 1:
                raise ConfigError(f"setting up the sandbox's faults: {given!r} add up to more than 1")

    def next(self) -> str:
        """Give the fault of the next request; empty for none. The same seed gives the same faults again."""
        return _drawn(self.rates, f"{self.seed}:{next(self.numbers)}")

    def next_of_batches(self) -> str:
        """Give the fault of the next batch; empty for none."""
        return _drawn(self.batch_rates, f"{self.seed}:batch:{next(self.batches)}")


def _drawn(rates: Mapping[str, float], name: str) -> str:
    draw = int.from_bytes(sha256(name.encode()).digest()[:8]) / 2**64
    for kind, rate in rates.items():
        if draw < rate:
            return kind
        draw -= rate
    return ""


def check(kind: str, rate: float) -> None:
    """Refuse a fault that there is not, or that cannot be so frequent."""
    status, _, _ = kind.partition(":")
    if kind not in {*KINDS, *BATCH_KINDS} and not (status.isdecimal() and int(status) in _STATUSES):
        known = ", ".join([*KINDS, *BATCH_KINDS])
        raise ConfigError(
            f"setting up the sandbox's fault {kind!r}: there is none of this name; "
            f"use a status from 400 to 599 (429, 429:insufficient_quota) or {known}"
        )
    if not 0 <= rate <= 1:
        raise ConfigError(f"setting up the sandbox's fault {kind!r}: {rate!r} is no share from 0 to 1")


def parse(texts: Iterable[str]) -> dict[str, float]:
    """Read faults from the command line: `KIND:RATE`, as in 429:0.1."""
    rates: dict[str, float] = {}
    for text in texts:
        kind, _, rate = text.rpartition(":")
        try:
            rates[kind] = float(rate)
        except ValueError:
            raise ConfigError(f"reading the fault {text!r}: {rate!r} is no number; write KIND:RATE") from None
        check(kind, rates[kind])
    return rates


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Sends one answer, with something wrong on the way."""

    kind: str
    send: Send
    receive: Receive
    transport: Any

    async def answer(self, start: Message, body: bytes | Iterator[bytes]) -> None:
        """Send the answer's start and body, as far as the fault lets them."""
        whole = body if isinstance(body, bytes) else b"".join(body)
        half = len(whole) // 2
        if self.kind == "bad-json":
            start["headers"] = [*_without_length(start), (b"content-length", str(half).encode())]
            await self.send(start)
            await self.send({"type": "http.response.body", "body": whole[:half]})
        elif self.kind == "slow":
            await self.send(start)
            await self.drip(whole)
        elif self.kind == "truncate":
            await self.send(start)
            await self.send({"type": "http.response.body", "body": whole[:half], "more_body": True})
            await self.hang_up()
        else:
            await self.hang_up()

    async def drip(self, whole: bytes) -> None:
        """Send a body in pieces, with a pause before each."""
        size = max(1, -(-len(whole) // _PIECES))
        for begin in range(0, len(whole), size):
            await asyncio.sleep(_PAUSE)
            part = whole[begin : begin + size]
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.send({"type": "http.response.body", "body": b""})

    async def hang_up(self) -> None:
        """Close the connection. Without a server there is none: it is an error of the application."""
        if self.transport is None:
            raise ConnectionAbortedError("the sandbox ended this connection on purpose")
        self.transport.close()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _without_length(start: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in start["headers"] if name != b"content-length"]
