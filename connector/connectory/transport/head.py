"""Turns a request's line and headers into the bytes that go out, or refuses them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import httpx

from connectory.transport.failures import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN, _LENGTH, _CODING, _HOST, _CONNECTION = range(5)
_SPECIAL = {
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"host": _HOST,
    b"connection": _CONNECTION,
}
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Every control character but tab, and CR and LF, which are counted instead.
_CONTROL = bytes(code for code in (*range(32), 127) if code not in b"\t\r\n")
# Names repeat from request to request: each is checked once. Bounded, as names may be made from data.
_seen: dict[bytes, int] = {}
_SEEN_MOST = 1024


class Head(NamedTuple):
    """A request's head as bytes, and how its body is framed.

    `length` is None for chunks; without `framed` no header speaks of a body at all.
    """

    data: bytes
    length: int | None
    framed: bool
    close: bool


class _RefusedError(ValueError):
    """The reason why a head cannot be sent."""


class Lines(NamedTuple):
    """Headers as the bytes they go out as; `special` are those that say where a body ends, or to whom it goes."""

    data: bytes
    special: tuple[tuple[int, bytes], ...]

    @property
    def is_open(self) -> bool:
        """Say that they have a host, and leave it to others how long the body is."""
        kinds = [kind for kind, _ in self.special]
        return kinds.count(_HOST) == 1 and _LENGTH not in kinds and _CODING not in kinds

    @property
    def close(self) -> bool:
        """Say that they ask for the end of the connection."""
        return any(kind == _CONNECTION and b"close" in value.lower() for kind, value in self.special)


def lines_of(headers: Sequence[tuple[bytes, bytes]]) -> Lines | None:
    """Write headers, or give None where something is wrong with them: `compose` says what."""
    try:
        parts, special = _written(headers)
    except _RefusedError:
        return None
    data = b"".join(parts)
    return Lines(data, tuple(special)) if _is_clean(data, len(headers)) else None


def finish(verb: bytes, target: bytes, shared: Lines, own: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Write the head of a request whose headers are shared but for a few of its own; None where they are not clean."""
    lines = b"".join([b"%b: %b\r\n" % header for header in own])
    if target.find(b" ") >= 0 or not _is_clean(target + lines, len(own)):
        return None
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (verb, target, shared.data, lines)


def compose(request: httpx.Request, *, target: bytes, extra: Sequence[tuple[bytes, bytes]] = ()) -> Head:
    """Write the head of a request in the order and case its headers have.

    Raises:
        httpx.LocalProtocolError: something in it could be read as more than one header or request.
    """
    try:
        return _compose(request.method, target, [*request.headers.raw, *extra])
    except (_RefusedError, UnicodeEncodeError) as error:
        raise failure(httpx.LocalProtocolError, request, f"not sent: {error}") from None


def _compose(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> Head:
    verb = method.encode("ascii")
    if not _TOKEN.fullmatch(verb) or verb == b"CONNECT":
        raise _RefusedError(f"{method!r} is no method for a request")
    lines, special = _written(headers)
    data = b"".join([verb, b" ", target, b" HTTP/1.1\r\n", *lines, b"\r\n"])
    _check(data, len(headers) + 2, target)
    return Head(data, *_framing(special))


def _written(headers: Sequence[tuple[bytes, bytes]]) -> tuple[list[bytes], list[tuple[int, bytes]]]:
    parts: list[bytes] = []
    special: list[tuple[int, bytes]] = []
    for name, value in headers:
        kind = _seen.get(name)
        if kind is None:
            kind = _learn(name)
        if kind:
            special.append((kind, value))
        parts += (name, b": ", value, b"\r\n")
    return parts, special


def _learn(name: bytes) -> int:
    if not _TOKEN.fullmatch(name):
        raise _RefusedError(f"{name!r} is no header name")
    kind = _SPECIAL.get(name.lower(), _PLAIN)
    if len(_seen) < _SEEN_MOST:
        _seen[name] = kind
    return kind


def _check(data: bytes, lines: int, target: bytes) -> None:
    if not _is_clean(data, lines):
        raise _RefusedError("a header value or the path has a line end or another control character")
    if not target or b" " in target:
        raise _RefusedError("the path has a space")


def _is_clean(data: bytes, lines: int) -> bool:
    """Find what was smuggled in by counting the lines: one search for all values."""
    return (
        data.count(b"\n") == lines
        and data.count(b"\r") == lines
        and len(data.translate(None, _CONTROL)) == len(data)
    )


def _framing(special: list[tuple[int, bytes]]) -> tuple[int | None, bool, bool]:
    found: dict[int, bytes] = {}
    for kind, value in special:
        if kind in found and kind != _CONNECTION:
            raise _RefusedError("a header that may be there once is there twice (host, length or encoding)")
        found[kind] = value
    if _HOST not in found:
        raise _RefusedError("the host header is missing")
    close = b"close" in found.get(_CONNECTION, b"").lower()
    if _CODING in found:
        if _LENGTH in found or found[_CODING].lower() != b"chunked":
            raise _RefusedError("the body needs a content-length or transfer-encoding: chunked, one of them")
        return None, True, close
    length = found.get(_LENGTH, b"0")
    if not length.isdigit():
        raise _RefusedError("the content-length is no number")
    return int(length), _LENGTH in found, close
