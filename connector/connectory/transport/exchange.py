"""One request on its way and the answer to it, from the waiting side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from connectory.text.headers import AnswerHeaders
from connectory.transport.failures import failure

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from connectory.transport.connection import Connection

# Above this the connection stops reading until somebody takes what is there.
BUFFER_MOST = 256 * 1024
NO_HEADERS = AnswerHeaders(b"")
_HTTP_VERSION = {"http_version": b"HTTP/1.1"}


class Exchange:
    """What the connection fills in and the caller waits for."""

    __slots__ = (
        "buffered",
        "chunks",
        "complete",
        "connection",
        "error",
        "headed",
        "headers",
        "loop",
        "read_timeout",
        "request",
        "status",
        "upload",
        "waiter",
        "write_timeout",
    )

    def __init__(
        self,
        request: httpx.Request,
        loop: asyncio.AbstractEventLoop,
        read_timeout: float | None,
        write_timeout: float | None,
    ) -> None:
        self.request, self.loop = request, loop
        self.read_timeout, self.write_timeout = read_timeout, write_timeout
        self.connection: Connection | None = None
        self.upload: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.error: BaseException | None = None
        self.headers = NO_HEADERS
        self.chunks: list[bytes] = []
        self.buffered = self.status = 0
        self.headed = self.complete = False

    def wake(self) -> None:
        """Let the caller look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End with an error, unless the answer is whole; what came before it is still delivered."""
        if not self.complete and self.error is None:
            self.error = error
        self.wake()

    def refuse(self, kind: type[httpx.RequestError], reason: str) -> None:
        """End with an error in httpx's words."""
        self.fail(failure(kind, self.request, reason))

    def abandon(self) -> None:
        """Give up: nobody waits any more, so the connection must not be used again."""
        self.stop_upload()
        if self.connection is not None:
            self.connection.abort()
            self.connection = None

    def stop_upload(self) -> None:
        """Send no more of the body."""
        if self.upload is not None:
            self.upload.cancel()

    def is_sent(self) -> bool:
        """Say whether the whole request was handed on."""
        return self.upload is None or self.upload.done()

    def body(self) -> Whole | Body:
        """Give the answer's body, once."""
        if self.complete:
            return Whole(self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks))
        return Body(self)

    def response(self) -> httpx.Response:
        """Give the answer in httpx's words."""
        return httpx.Response(
            self.status,
            headers=self.headers.pairs(),
            stream=self.body(),
            request=self.request,
            extensions=_HTTP_VERSION,
        )

    async def wait(self) -> None:
        """Sleep until something came. Cancelled here, the connection is closed: its answer has no owner."""
        self.waiter = self.loop.create_future()
        try:
            await self.waiter
        except BaseException:
            self.abandon()
            raise
        finally:
            self.waiter = None

    def take(self) -> bytes:
        """Hand over everything that came so far."""
        chunk = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.buffered = 0
        if self.connection is not None:
            self.connection.resume()
        return chunk


class Whole(httpx.AsyncByteStream):
    """A body that is complete: `content` is all of it, as it came (not decoded)."""

    __slots__ = ("_taken", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._taken = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._taken or not self.content:
            raise StopAsyncIteration
        self._taken = True
        return self.content


class Body(httpx.AsyncByteStream):
    """A body that is still coming: chunks as they come, and back-pressure when nobody takes them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        while not exchange.chunks:
            if exchange.complete:
                raise StopAsyncIteration
            if exchange.error is not None:
                raise exchange.error
            if exchange.connection is None:
                raise httpx.StreamClosed
            exchange.connection.touch()
            await exchange.wait()
        return exchange.take()

    async def aclose(self) -> None:
        """Let go of the connection; one whose answer was not read to its end is closed."""
        self._exchange.abandon()

    def __del__(self) -> None:
        """Close the connection of an answer that was dropped; the collector may run in any thread."""
        exchange = self._exchange
        if exchange.connection is not None and not exchange.loop.is_closed():
            exchange.loop.call_soon_threadsafe(exchange.abandon)
