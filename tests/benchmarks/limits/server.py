"""A chat server with limits: `server.py REQUESTS TOKENS LATENCY` prints its port, and at its end what it has seen."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from limited_model import Model  # noqa: E402 - the path comes first

REFUSAL = b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'


class Chat(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, model: Model, latency: float) -> None:
        self.model, self.latency = model, latency
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self.buffer = b""
            self.answer(int(json.loads(body)["user"]))

    def answer(self, cost: int) -> None:
        status, headers = self.model.ask(time.monotonic(), cost)
        body, wait = REFUSAL, 0.0
        if status == 200:
            read = cost * 7 // 10
            usage = {"prompt_tokens": read, "completion_tokens": cost - read, "total_tokens": cost}
            body = json.dumps(
                {"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": usage}
            ).encode()
            wait = self.latency * random.uniform(0.5, 1.5)  # noqa: S311 - how long an answer takes
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        asyncio.get_running_loop().call_later(wait, self.transport.write, whole)


async def main() -> None:
    requests, tokens, latency = (float(text) for text in sys.argv[1:4])
    model = Model.of(requests, tokens)
    loop = asyncio.get_running_loop()
    model.requests.seen = model.tokens.seen = time.monotonic()
    server = await loop.create_server(lambda: Chat(model, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps({"taken": model.taken, "refused": model.refused}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
