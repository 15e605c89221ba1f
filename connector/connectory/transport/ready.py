"""A request whose head is nearly written before there is a record: what many share is made once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from connectory.transport.head import finish, lines_of
from connectory.transport.pool import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pairs = Sequence[tuple[bytes, bytes]]

PORTS = {"http": 80, "https": 443}


class Timeouts(NamedTuple):
    """Seconds, None for no bound: for a connection, for the next byte in and out, and for a place in the pool."""

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None


class Shared:
    """What all requests of one action have in common: where they go, their headers, their timeouts.

    `usable` says that nothing is wrong with any of it: a request can then be sent as it is written here.
    """

    __slots__ = ("base", "close", "headers", "lines", "method", "place", "timeouts", "usable", "verb")

    def __init__(self, method: str, base: httpx.URL, headers: Pairs, timeouts: Timeouts) -> None:
        self.method, self.base, self.headers, self.timeouts = method, base, headers, timeouts
        self.verb = method.encode("ascii", "replace")
        self.lines = lines_of(headers)
        self.close = self.lines is not None and self.lines.close
        port = PORTS.get(base.scheme)
        self.place = Place(base.scheme, base.raw_host.decode("ascii"), base.port or port or 0)
        self.usable = bool(
            port and base.raw_host and self.lines and self.lines.is_open and self.verb.isalpha()
        )


class Ready(httpx.Request):
    """An `httpx.Request` with a body of bytes, in a hurry: httpx's objects of it are made when somebody asks for them.

    `own` are its headers besides the shared ones, with the length of its body. `headers` may be changed, like those of
    any request; then the head is written from them.
    """

    def __init__(self, shared: Shared, target: bytes, own: Pairs, content: bytes) -> None:
        self.shared, self.target, self.own = shared, target, own
        self.method, self._content = shared.method, content

    @property
    def content(self) -> bytes:
        """Give the body."""
        return self._content

    @cached_property
    def url(self) -> httpx.URL:  # type: ignore[override]  # an attribute there
        """Make the URL."""
        return self.shared.base.copy_with(raw_path=self.target)

    @cached_property
    def headers(self) -> httpx.Headers:  # type: ignore[override]  # an attribute there
        """Make the headers."""
        return httpx.Headers([*self.shared.headers, *self.own])

    @cached_property
    def stream(self) -> httpx.ByteStream:  # type: ignore[override]  # an attribute there
        """Make the stream of the body."""
        return httpx.ByteStream(self._content)

    @cached_property
    def extensions(self) -> dict[str, Any]:  # type: ignore[override]  # an attribute there
        """Make the extensions."""
        return {"timeout": self.shared.timeouts._asdict()}

    def head(self) -> bytes | None:
        """Write the head; None where `headers` may have been changed, or hold what cannot be sent."""
        shared = self.shared
        if "headers" in self.__dict__ or not shared.usable or shared.lines is None:
            return None
        return finish(shared.verb, self.target, shared.lines, self.own)
