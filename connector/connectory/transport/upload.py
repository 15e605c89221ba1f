"""Sends a request's body piece by piece while the answer may already come."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx

from connectory.transport.failures import failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from connectory.transport.connection import Connection
    from connectory.transport.exchange import Exchange

# Bodies up to this size leave together with their head, in one piece.
PIECE = 256 * 1024


async def upload(connection: Connection, exchange: Exchange, length: int | None) -> None:
    """Send the body with its declared length, or in chunks where there is none. Its failure is the exchange's."""
    try:
        await _send(connection, exchange.request, length)
    except Exception as error:  # noqa: BLE001 - whatever the caller's own iterable raises is the caller's to see
        connection.abort()
        exchange.fail(error)


async def _send(connection: Connection, request: httpx.Request, length: int | None) -> None:
    sent = 0
    async with aclosing(pieces(request)) as body:
        async for piece in body:
            sent += len(piece)
            if length is None:
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                continue
            if sent > length:
                raise failure(
                    httpx.WriteError, request, f"the body is longer than its content-length of {length}"
                )
            await connection.send(piece)
    if length is None:
        await connection.send(b"0\r\n\r\n")
    elif sent < length:
        raise failure(httpx.WriteError, request, f"the body ended {length - sent} bytes short")


async def pieces(request: httpx.Request) -> AsyncGenerator[bytes, None]:
    """Give a body in pieces of a bounded size, from bytes, sync and async iterables."""
    try:
        content = request.content
    except httpx.RequestNotRead:
        stream = request.stream
    else:
        stream = httpx.ByteStream(content)
    if isinstance(stream, httpx.AsyncByteStream):
        chunks = aiter(stream)
        try:
            async for chunk in chunks:
                for piece in _cut(chunk):
                    yield piece
        finally:  # what the stream holds open is let go now, not when it is collected
            if (aclose := getattr(chunks, "aclose", None)) is not None:
                await aclose()
        return
    for chunk in stream:
        for piece in _cut(chunk):
            yield piece


def _cut(chunk: bytes) -> list[bytes]:
    if len(chunk) <= PIECE:
        return [chunk] if chunk else []
    return [chunk[start : start + PIECE] for start in range(0, len(chunk), PIECE)]
