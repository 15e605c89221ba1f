"""A scriptable raw-socket server: it records the bytes of every connection and answers with any fault."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    import ssl

OK_HEAD = b"HTTP/1.1 200 OK\r\n"


def answer(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", close: bool = False) -> bytes:
    """A whole answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [line for line in headers.split("\n") if line]
    lines += ["Connection: close"] if close else []
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bool = True, headers: str = "", trailers: str = "") -> bytes:
    """A whole answer in chunks."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *[line for line in headers.split("\n") if line]]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    tail = b"0\r\n" + b"".join(line.encode() + b"\r\n" for line in trailers.split("\n") if line) + b"\r\n"
    return head + body + (tail if end else b"")


def html(text: str = "<html><body>Welcome to the captive portal</body></html>") -> bytes:
    """A page with status 200 where JSON was expected."""
    return answer(text.encode(), headers="Content-Type: text/html")


def gzip_bomb(size: int = 50_000_000) -> bytes:
    """An answer of some kilobytes that unpacks to `size` bytes."""
    return answer(
        gzip.compress(bytes(size)), headers="Content-Type: application/json\nContent-Encoding: gzip"
    )


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
        self.received = record
        self._reader, self._writer = reader, writer

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        data = await self._reader.readexactly(count)
        self.received += data
        return data

    async def line(self) -> bytes:
        data = await self._reader.readuntil(b"\r\n")
        self.received += data
        return data

    async def head(self) -> bytes:
        """Read one request's head, and not its body."""
        lines = [await self.line()]
        while lines[-1] != b"\r\n":
            lines.append(await self.line())
        return b"".join(lines)

    async def request(self) -> bytes:
        """Read one request with its body; give its bytes as they came."""
        start = len(self.received)
        head = await self.head()
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int((await self.line()).strip(), 16):
                await self.read(size + 2)
            await self.read(2)
        else:
            await self.read(int(fields.get(b"content-length", b"0")))
        return bytes(self.received[start:])

    async def rest(self) -> bytes:
        """Read until the client closes."""
        start = len(self.received)
        while data := await self._reader.read(65536):
            self.received += data
        return bytes(self.received[start:])

    async def send(self, *pieces: bytes, every: float = 0) -> None:
        """Send the pieces, each in its own packet when there are several."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(every)
            if self._writer.is_closing():
                raise ConnectionResetError("the client has gone")
            self._writer.write(piece)
            await self._writer.drain()

    async def drip(self, data: bytes, *, every: float = 0.001) -> None:
        """Send one byte every so many seconds."""
        await self.send(*(data[place : place + 1] for place in range(len(data))), every=every)

    async def serve(self, *answers: bytes) -> None:
        """Read a request and answer it, for each answer; the last one for ever."""
        for one in answers:
            await self.request()
            await self.send(one)
        while True:
            await self.request()
            await self.send(answers[-1])

    def pause(self) -> None:
        """Take nothing more from the socket."""
        self._writer.transport.pause_reading()

    def close(self) -> None:
        """Close in the ordinary way."""
        self._writer.close()

    def reset(self) -> None:
        """Close with an RST."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def silence(self) -> None:
        """Keep the connection and say nothing."""
        await asyncio.Event().wait()


Script: TypeAlias = Callable[[Peer], Awaitable[None]]


def replies(*answers: bytes) -> Script:
    """Answer each request of a connection in turn; the last answer is repeated."""
    return lambda peer: peer.serve(*answers)


class FaultServer:
    """Plays one script for each connection, in order; the last script for all that follow.

    `received` holds the bytes of each connection, in the order they were opened.
    """

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None) -> None:
        self.received: list[bytearray] = []
        self.problems: list[BaseException] = []
        self.open = 0
        self._scripts, self._context = scripts, context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._context, limit=1 << 20
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)
        if self.problems:
            raise self.problems[0]

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://{host}:{self.port}{path}"

    def count(self, start: bytes) -> int:
        """How often these bytes were received, over all connections."""
        return sum(bytes(data).count(start) for data in self.received)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        script = self._scripts[min(len(self.received), len(self._scripts) - 1)]
        self.received.append(bytearray())
        self.open += 1
        try:
            await script(Peer(reader, writer, self.received[-1]))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as error:  # noqa: BLE001 - shown to the test at the end
            self.problems.append(error)
        finally:
            self.open -= 1
            writer.transport.abort()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
