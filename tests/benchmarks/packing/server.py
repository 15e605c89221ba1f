"""A server that gives every text a vector, as cheaply as it can: `python server.py NUMBERS`; stdin `count` asks for requests."""

from __future__ import annotations

import asyncio
import json
import random
import sys


class Vectors(asyncio.Protocol):
    """One connection: as many vectors as texts came."""

    item = b""
    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[:end]).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            if len(self.received) < end + 4 + length:
                return
            body = bytes(self.received[end + 4 : end + 4 + length])
            del self.received[: end + 4 + length]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        given = json.loads(body)["input"]
        count = len(given) if isinstance(given, list) else 1
        Vectors.requests += 1
        items = b",".join(Vectors.item % number for number in range(count))
        used = b'{"prompt_tokens":%d,"total_tokens":%d}' % (8 * count, 8 * count)
        text = b'{"object":"list","data":[%b],"model":"m","usage":%b}' % (items, used)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
        self.transport.write(head + text)  # type: ignore[attr-defined]  # it is one that writes


async def serve() -> None:
    """Serve until stdin is closed; each line on it is answered with the number of requests since the last."""
    luck = random.Random(1)  # noqa: S311 - no secret
    vector = ",".join(f"{luck.uniform(-0.05, 0.05):.9g}" for _ in range(int(sys.argv[1])))
    Vectors.item = b'{"object":"embedding","index":%d,"embedding":[' + vector.encode() + b"]}"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Vectors, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while await orders.readline():
        print(Vectors.requests, flush=True)
        Vectors.requests = 0
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
