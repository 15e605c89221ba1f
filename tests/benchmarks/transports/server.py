"""The other end of the measurements: answers every request with the same kilobyte, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

HEADERS = 15
BODY = b'{"id": "x", "choices": [{"message": {"content": "' + b"y" * 900 + b'"}}]}'
ANSWER = b"".join(
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY),
        *(b"x-ratelimit-number-%d: some value %d\r\n" % (number, number) for number in range(HEADERS - 2)),
        b"\r\n",
        BODY,
    ]
)


class Answering(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            fields = self.data[:end].lower()
            at = fields.find(b"content-length: ")
            size = int(fields[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size :]
            self.transport.write(ANSWER)


async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    run = asyncio.run
    with suppress(ImportError):
        import uvloop

        run = uvloop.run
    run(main())
