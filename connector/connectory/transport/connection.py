"""One HTTP/1.1 connection: httptools reads the answers, one exchange at a time."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

import httptools
import httpx

from connectory.text.headers import AnswerHeaders
from connectory.transport.exchange import BUFFER_MOST

if TYPE_CHECKING:
    from connectory.transport.exchange import Exchange

# asyncio allocates a buffer of this size for every receive; its own 256 KiB cost more than all the rest.
_RECEIVE = 64 * 1024
# What an answer may spend on anything but its body: heads, interim heads, chunk framing alone, trailers.
OVERHEAD_MOST = 64 * 1024
# Bytes that come with one of the body, at most, before they count: a chunk of one byte has five around it.
_FRAMING = 16
_INTERIM_FIRST, _SWITCHING, _FINAL_FIRST, _NOT_DONE_FIRST = 100, 101, 200, 300


class Owner(Protocol):
    """Who lends the connection out."""

    def joined(self, connection: Connection) -> None:
        """Hear that the connection is open."""
        ...

    def release(self, connection: Connection) -> None:
        """Take back a connection that can be used again."""
        ...

    def drop(self, connection: Connection) -> None:
        """Hear that the connection will not be used again (may come twice)."""
        ...

    def lost(self, connection: Connection) -> None:
        """Hear that its socket is gone."""
        ...


class _BadAnswerError(ValueError):
    """What is wrong with an answer that the parser itself would take."""


class Connection(asyncio.Protocol):
    """Sends one request at a time and reads its answer."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, *, secure: bool) -> None:
        self.owner, self.loop, self.secure = owner, loop, secure
        self.usable = False
        # A held connection counts against the limit; an idle one waits to be lent out.
        self.held, self.idle = True, False
        self.heard = loop.time()
        self.unsent = 0
        self.exchange: Exchange | None = None
        self.drained: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._poll = select.poll() if hasattr(select, "poll") else None
        self._writable, self._paused = True, False
        # About the exchange under way
        self._reusable = self._close = self._bodiless = False
        self._framed = self._interim = self._excess = False
        self._overhead = 0
        # What came of heads, and where in it the next one begins
        self._came: list[bytes] = []
        self._passed = 0

    # Life of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and make its receive buffer small."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True
        if not self.secure and hasattr(transport, "max_size"):
            cast("Any", transport).max_size = _RECEIVE
        self.owner.joined(self)
        if self._poll is not None:
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange that was under way: whole, cut, or with the error the system gave."""
        self.usable = False
        if exc is not None and self.exchange is not None:
            self._salvage()
        exchange, self.exchange = self.exchange, None
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        if exchange is not None:
            exchange.connection = None
            self._end(exchange, exc)
            exchange.stop_upload()
        self.owner.drop(self)
        self.owner.lost(self)

    def _end(self, exchange: Exchange, exc: Exception | None) -> None:
        if exc is not None:
            kind = httpx.ReadError if exchange.is_sent() else httpx.WriteError
            exchange.refuse(
                kind, f"the connection broke ({exc.__class__.__name__}); the server may have acted"
            )
        elif not exchange.headed:
            exchange.refuse(httpx.RemoteProtocolError, "closed without an answer; the server may have acted")
        elif self._framed:
            exchange.refuse(httpx.RemoteProtocolError, "closed in the middle of the answer")
        else:
            exchange.complete = True
            exchange.wake()

    def _salvage(self) -> None:
        """Read what the kernel still holds: a failed write hides an answer that was sent before the hang-up."""
        if self.secure or sys.platform == "win32":
            return
        try:
            number = self._transport.get_extra_info("socket").fileno()
            while number >= 0 and self.exchange is not None and (data := os.read(number, _RECEIVE)):
                self.data_received(data)
        except (OSError, ValueError):
            return

    def abort(self) -> None:
        """Close at once; nothing more is sent or delivered."""
        self.usable = False
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.connection = None
            exchange.stop_upload()
        self.owner.drop(self)
        self._transport.abort()

    def is_ready(self) -> bool:
        """Say whether a request may go out here: open, and nothing came that nobody asked for."""
        if not self.usable or self._transport.is_closing():
            return False
        if self._poll is not None:
            return not self._poll.poll(0)
        socket = self._transport.get_extra_info("socket")  # pragma: no cover - only where there is no poll()
        return not select.select([socket], [], [], 0)[0]

    # Sending

    def start(self, exchange: Exchange, data: bytes, *, close: bool) -> None:
        """Hand the first bytes of a request to the kernel: from here on its outcome is unknown."""
        self.exchange = exchange
        exchange.connection = self
        self._reusable = not close
        self._close = close
        self._bodiless = exchange.request.method == "HEAD"
        self._framed = self._interim = self._excess = False
        self._overhead = self.unsent = self._passed = 0
        self._came.clear()
        self.heard = self.loop.time()
        self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send a part of a body, and wait while the peer is slower than we are."""
        self.touch()
        self._transport.write(data)
        if self._writable:
            # Without this a body that is ready at once would keep the answer from being read.
            await asyncio.sleep(0)
            return
        self.drained = self.loop.create_future()
        try:
            await self.drained
        finally:
            self.drained = None

    def pause_writing(self) -> None:
        """Hear that the kernel takes no more."""
        self._writable = False

    def resume_writing(self) -> None:
        """Hear that there is room again."""
        self._writable = True
        self.touch()
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    def touch(self) -> None:
        """Start the idle time anew."""
        self.heard = self.loop.time()

    def is_waited_for(self) -> bool:
        """Say whether the peer is who we wait for, and not the caller's own iterable or reader."""
        exchange = self.exchange
        if exchange is None or exchange.waiter is None:
            return False
        return exchange.headed or exchange.is_sent() or self.drained is not None

    def pending(self) -> int:
        """Count the bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    # Receiving

    def data_received(self, data: bytes) -> None:
        """Read what came; bytes that nobody asked for end the connection."""
        exchange = self.exchange
        if exchange is None:
            self.abort()
            return
        self.heard = self.loop.time()
        before = exchange.buffered
        if not exchange.headed:
            self._came.append(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._excess = True
            if not exchange.complete:
                self._give_up(exchange, str(error.__context__ or error))
                return
        if exchange.complete:
            self._settle(exchange)
            return
        body = exchange.buffered - before
        if len(data) - body > _FRAMING * body:  # hardly any of it was body, if any
            self._overhead += len(data) - body
            if self._overhead > OVERHEAD_MOST:
                self._give_up(exchange, "its head or trailers are larger than 64 KiB")
                return
        if exchange.headed:
            self._go_on(exchange)

    def _go_on(self, exchange: Exchange) -> None:
        if exchange.upload is not None and exchange.status >= _NOT_DONE_FIRST:
            # The server has refused: the rest of the body helps nobody.
            exchange.stop_upload()
            self._reusable, self._close = False, True
        if exchange.buffered > BUFFER_MOST and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        exchange.wake()

    def resume(self) -> None:
        """Read again after the caller took what was there."""
        if self._paused and self.usable:
            self._paused = False
            self.touch()
            self._transport.resume_reading()

    def _settle(self, exchange: Exchange) -> None:
        """Part with an exchange whose answer is whole, and lend the connection out again if it is clean."""
        self.exchange = exchange.connection = None
        clean = self._reusable and self.usable and not self._excess
        sent = exchange.upload is None or exchange.upload.done()
        if clean and sent and not self._transport.get_write_buffer_size():
            self.owner.release(self)
        else:
            exchange.stop_upload()
            if self.usable:
                self.abort()
        exchange.wake()

    def _give_up(self, exchange: Exchange, reason: str) -> None:
        self.abort()
        exchange.refuse(httpx.RemoteProtocolError, f"the answer is not valid HTTP/1.1: {reason}")

    # What httptools calls

    def on_message_begin(self) -> None:
        """Hear that a message starts: after a whole answer nobody asked for it."""
        exchange = self.exchange
        if exchange is None or exchange.complete:
            self._excess = True

    def on_headers_complete(self) -> None:
        """Tell an interim answer from the answer."""
        exchange = self.exchange
        if exchange is None or exchange.complete:
            return
        status = self._parser.get_status_code()
        headers = self._headers()
        self._check_head(headers, status)
        self._interim = status < _FINAL_FIRST
        if self._interim:
            return
        exchange.status, exchange.headers = status, headers
        exchange.headed = True
        self._came.clear()
        if self._bodiless:
            exchange.complete = True
            self._reusable = self._parser.should_keep_alive() and not self._close
            # It waits for a body that will not come: the next answer gets a new one.
            self._parser = httptools.HttpResponseParser(self)

    def _headers(self) -> AnswerHeaders:
        """Cut the head that the parser has just read out of what came; trailers never come here."""
        came = self._came[0] if len(self._came) == 1 else b"".join(self._came)
        start = self._passed
        while came[start : start + 1] in {b"\r", b"\n"}:
            start += 1
        end = came.find(b"\r\n\r\n", start)
        if end - start > OVERHEAD_MOST:
            raise _BadAnswerError("its head is larger than 64 KiB")
        self._passed = end + 4
        head = came[start:end]
        lines = head.replace(b"\r", b"")
        if end < 0 or len(head) - len(lines) != lines.count(b"\n"):
            raise _BadAnswerError("a line of its head does not end in CR LF")
        return AnswerHeaders(lines[len(lines.partition(b"\n")[0]) :])

    def _check_head(self, headers: AnswerHeaders, status: int) -> None:
        if not self._parser.get_http_version().startswith("1."):
            raise _BadAnswerError("its version is not 1.x")
        if status < _INTERIM_FIRST or status == _SWITCHING:
            raise _BadAnswerError(f"status {status} was not asked for")
        # The parser refuses most of this by itself; two readings of one body are too dangerous for "most".
        lengths, codings = headers.framing()
        if lengths + codings > 1:
            raise _BadAnswerError("it says twice how long its body is")
        if codings and headers["transfer-encoding"].lower() != "chunked":
            raise _BadAnswerError("its transfer-encoding is not chunked alone")
        self._framed = status >= _FINAL_FIRST and bool(lengths or codings)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        exchange = self.exchange
        if exchange is None or exchange.complete:
            self._excess = True
            return
        exchange.chunks.append(body)
        exchange.buffered += len(body)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        exchange = self.exchange
        if exchange is None or exchange.complete or self._interim:
            self._interim = False
            return
        exchange.complete = True
        self._reusable = self._parser.should_keep_alive() and not self._close
