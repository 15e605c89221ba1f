"""What the tests of the transport share: loops, one request, waiting for a number, scripts that cut."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import httpx

LOOPS = ["asyncio"]
with suppress(ImportError):
    import uvloop

    LOOPS.append("uvloop")


def run(coroutine, loop="asyncio"):
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


async def send(transport, method, url, **options):
    response = await transport.handle_async_request(httpx.Request(method, url, **options))
    return response.status_code, b"".join([chunk async for chunk in response.stream])


async def settled(count, *, until=None):
    """Wait until a number stops growing (or reaches `until`)."""
    last, same = -1, 0
    while (same < 30) if until is None else (count() < until):
        same = same + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.005)


async def slowly(*pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def contexts(authority, name="127.0.0.1", protocols=("h2", "http/1.1")):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(list(protocols))
    return server, client


async def silent(peer):
    await peer.request()
    await peer.silence()


async def close_after_receipt(peer):
    await peer.request()
    peer.close()


async def reset_after_receipt(peer):
    await peer.request()
    peer.reset()


def cut(raw, *, reset=False):
    async def script(peer):
        await peer.request()
        await peer.send(raw)
        await asyncio.sleep(0.02)
        if reset:
            peer.reset()

    return script
