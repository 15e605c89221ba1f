"""A program: an HTTP server that swallows uploads and gives downloads of any size, in little memory.

It prints its port. POST: the body is read and its size and SHA-256 answered. GET ?size=N: N bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re

PIECE = bytes(range(256)) * 1024


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await (take if head.startswith(b"POST") else give)(head, reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def take(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = left = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    digest = hashlib.sha256()
    while left:
        piece = await reader.read(min(left, 1 << 20))
        if not piece:
            raise ConnectionError
        digest.update(piece)
        left -= len(piece)
    body = json.dumps({"id": "file-1", "length": length, "sha256": digest.hexdigest()}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()


async def give(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    left = int(re.search(rb"size=(\d+)", head)[1])
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % left
    )
    while left:
        piece = PIECE[:left]
        writer.write(piece)
        await writer.drain()
        left -= len(piece)


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
