"""The least that asyncio can do: every line is a request's body, every answer's body a line; nothing is parsed.

    floor.py PATH ORIGIN INPUT OUTPUT CONNECTIONS

No JSON, no retries, no look at the status, no order: only the length of an answer is read.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from functools import partial
from urllib.parse import urlsplit

RECEIVED = 64 * 1024
"""Bytes that are read at once; asyncio's own 256 KiB are allocated anew for each."""


class Connection(asyncio.Protocol):
    """Sends a request as soon as the answer before has arrived."""

    def __init__(self, head, lines, write, done):
        self.head, self.lines, self.write, self.done = head, lines, write, done
        self.data = bytearray()
        self.missing = 0

    def connection_made(self, transport):
        self.transport = transport
        if hasattr(transport, "max_size"):
            transport.max_size = RECEIVED
        self.ask()

    def ask(self):
        line = next(self.lines, None)
        if line is None:
            self.transport.close()
        else:
            body = line[:-1]
            self.transport.write(self.head % len(body) + body)

    def data_received(self, data):
        self.data += data
        if not self.missing:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self.data.find(b"Content-Length: ", 0, end) + 16
            self.missing = end + 4 + int(self.data[at : self.data.index(b"\r\n", at)])
            self.start = end + 4
        if len(self.data) >= self.missing:
            self.write(self.data[self.start : self.missing] + b"\n")
            del self.data[: self.missing]
            self.missing = 0
            self.ask()

    def connection_lost(self, error):
        self.done.set_result(None) if error is None else self.done.set_exception(error)


async def send(path, origin, lines, write, connections):
    """Send every line over so many connections and write down what is answered."""
    address = urlsplit(origin)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer made-up\r\n"
    head = head.encode() + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    context = ssl.create_default_context() if address.scheme == "https" else None
    loop = asyncio.get_running_loop()
    endings = [loop.create_future() for _ in range(connections)]
    for done in endings:
        made = partial(Connection, head, lines, write, done)
        await loop.create_connection(made, address.hostname, address.port, ssl=context)
    await asyncio.gather(*endings)


def main():
    path, origin, source, target, connections = sys.argv[1:]
    with open(source, "rb") as lines, open(target, "wb") as results:  # noqa: PTH123 - as plain as it gets
        asyncio.run(send(path, origin, iter(lines), results.write, int(connections)))


if __name__ == "__main__":
    main()
