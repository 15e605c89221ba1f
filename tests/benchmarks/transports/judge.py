"""What the wire must do, point by point: each a function that raises when a candidate does not do it."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

import httpx
from fault_server import OK_HEAD, FaultServer, answer, chunked, gzip_bomb, replies


async def send(transport, method, url, **options):
    response = await transport.handle_async_request(httpx.Request(method, url, **options))
    try:
        return response.status_code, b"".join([chunk async for chunk in response.stream])
    finally:
        await response.aclose()


async def fails(kinds, awaitable):
    try:
        got = await awaitable
    except kinds:
        return
    raise AssertionError(f"no error but {got!r}"[:80])


async def cut(peer):
    await peer.request()
    peer.close()


async def cut_second(peer):
    await peer.request()
    await peer.send(answer())
    await cut(peer)


UNKNOWN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadTimeout)


async def one_delete(make):
    """a DELETE cut after receipt goes out once"""
    async with FaultServer(cut) as server, make() as transport:
        await fails(UNKNOWN, send(transport, "DELETE", server.url()))
        await asyncio.sleep(0.05)
        assert server.count(b"DELETE") == 1, server.count(b"DELETE")


async def one_delete_kept(make):
    """the same on a kept-alive connection"""
    async with FaultServer(cut_second) as server, make() as transport:
        await send(transport, "GET", server.url())
        with suppress(httpx.TransportError):
            await send(transport, "DELETE", server.url())
        await asyncio.sleep(0.05)
        assert server.count(b"DELETE") == 1, server.count(b"DELETE")


async def never_sent(make):
    """never sent is told from outcome unknown"""
    async with FaultServer(cut) as server:
        pass
    async with make() as transport:
        await fails(httpx.ConnectError, send(transport, "GET", server.url()))


async def dead_replaced(make):
    """a kept connection found dead is replaced for a POST"""

    async def once(peer):
        await peer.request()
        await peer.send(answer())
        peer.close()

    async with FaultServer(once) as server, make() as transport:
        for _ in range(3):
            assert (await send(transport, "POST", server.url(), content=b"x"))[0] == 200
            await asyncio.sleep(0.03)


async def cancelled(make):
    """800 cancelled requests leave the pool whole"""
    generator = random.Random(1)  # noqa: S311 - the same moments in every run

    async def script(peer):
        while True:
            path = (await peer.request()).split(b" ", 2)[1]
            await asyncio.sleep(generator.random() * 0.002)
            await peer.send(answer(path))

    async with FaultServer(script) as server, make(limit=4) as transport:

        async def one(number):
            with suppress(TimeoutError):
                async with asyncio.timeout(generator.random() * 0.004):
                    assert (await send(transport, "GET", server.url(f"/{number}")))[
                        1
                    ] == f"/{number}".encode()

        for start in range(0, 800, 20):
            await asyncio.gather(*(one(start + number) for number in range(20)))
        async with asyncio.timeout(2):
            got = await asyncio.gather(*(send(transport, "GET", server.url("/z")) for _ in range(40)))
        assert {body for _, body in got} == {b"/z"}


async def path_bytes(make):
    """path bytes arrive as given"""
    async with FaultServer(replies(answer())) as server, make() as transport:
        for path in ("/a/%2e%2e/b", "/a%2Fb", "//a//b;c", "/a?x=%5B%5D&y[]=1"):
            await send(transport, "GET", server.url(path))
            assert server.count(b"GET " + path.encode() + b" HTTP") == 1, path


async def injection(make):
    """a line end in a header is refused"""
    async with FaultServer(replies(answer())) as server, make() as transport:
        with suppress(Exception):
            await send(transport, "GET", server.url(), headers={"X": b"a\r\nEvil: 1"})
        assert not server.count(b"\r\nEvil: 1\r\n")


async def early_answer(make):
    """413 before the upload ends is delivered"""

    async def refuse(peer):
        await peer.head()
        await peer.send(answer(b"no", status="413 Too Large", close=True))
        await asyncio.sleep(0.02)
        peer.reset()

    async with FaultServer(refuse) as server, make() as transport:
        for _ in range(5):
            assert await send(transport, "POST", server.url(), content=b"x" * 8_000_000) == (413, b"no")


async def upload_streams(make):
    """an upload is streamed with back-pressure"""
    pulled = 0

    async def many():
        nonlocal pulled
        for _ in range(400):
            pulled += 1
            yield b"x" * 65536

    async def deaf(peer):
        await peer.head()
        await peer.silence()

    async with FaultServer(deaf) as server, make() as transport:
        task = asyncio.create_task(send(transport, "POST", server.url(), content=many()))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert 0 < pulled < 300, pulled


async def download_streams(make):
    """an answer is streamed with back-pressure"""
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.request()
        await peer.send(OK_HEAD + b"Content-Length: %d\r\n\r\n" % (400 * 65536))
        for _ in range(400):
            await peer.send(b"x" * 65536)
            sent += 1

    async with FaultServer(script) as server, make() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        await asyncio.sleep(0.3)
        stopped = sent
        await response.aclose()
        assert stopped < 300, stopped


async def events(make):
    """events come as they are sent"""
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        await go.wait()
        await peer.send(b"0\r\n\r\n")

    async with FaultServer(script) as server, make() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        async for chunk in response.stream:
            assert chunk == b"data: 1\n\n"
            go.set()


async def truncated(make):
    """a cut body is an error in httpx's words"""
    for raw in (OK_HEAD + b"Content-Length: 9\r\n\r\nabc", chunked(b"abc", end=False)):

        async def script(peer, raw=raw):
            await peer.request()
            await peer.send(raw)

        async with FaultServer(script) as server, make() as transport:
            await fails((httpx.RemoteProtocolError, httpx.ReadError), send(transport, "GET", server.url()))


async def two_lengths(make):
    """length and chunks in one answer are refused"""
    for fields in (
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    ):

        async def script(peer, fields=fields):
            await peer.request()
            await peer.send(OK_HEAD + fields + b"\r\n\r\n1\r\na\r\n0\r\n\r\n")

        async with FaultServer(script) as server, make() as transport:
            await fails(httpx.TransportError, send(transport, "GET", server.url()))


async def unasked(make):
    """bytes nobody asked for are never an answer"""

    async def script(peer):
        await peer.request()
        await peer.send(answer(b"good") + answer(b"evil"))
        await peer.serve(answer(b"good"))

    async with FaultServer(script) as server, make() as transport:
        for _ in range(3):
            assert (await send(transport, "GET", server.url()))[1] == b"good"


async def large_head(make):
    """an endless head is refused"""

    async def script(peer):
        await peer.request()
        await peer.send(OK_HEAD + b"X: " + b"y" * 2_000_000)
        await peer.silence()

    async with FaultServer(script) as server, make() as transport:
        await fails(httpx.RemoteProtocolError, send(transport, "GET", server.url()))


async def nothing_added(make):
    """no cookies, redirects, proxies, decoding"""
    os.environ["HTTP_PROXY"] = os.environ["http_proxy"] = "http://127.0.0.1:9"
    try:
        moved = answer(b"", status="302 Found", headers="Location: /b\nSet-Cookie: a=b")
        async with FaultServer(replies(moved, gzip_bomb(100_000))) as server, make() as transport:
            assert (await send(transport, "GET", server.url()))[0] == 302
            assert (await send(transport, "GET", server.url()))[1][:2] == b"\x1f\x8b"
            assert not server.count(b"ookie:")
    finally:
        del os.environ["HTTP_PROXY"], os.environ["http_proxy"]


async def idle(make):
    """silence is a read timeout, a byte now and then is not"""

    async def script(peer):
        await peer.request()
        await peer.drip(answer(b"slow"), every=0.02)
        await peer.request()
        await peer.silence()

    async with FaultServer(script) as server, make() as transport:
        assert (await send(transport, "GET", server.url()))[1] == b"slow"
        await fails(httpx.ReadTimeout, send(transport, "GET", server.url()))


POINTS = [
    one_delete, one_delete_kept, never_sent, dead_replaced, cancelled, path_bytes, injection, early_answer, upload_streams,
    download_streams, events, truncated, two_lengths, unasked, large_head, nothing_added, idle,
]  # fmt: skip


async def judge(point, make):
    """Give an empty string, or why the candidate fails."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    try:
        async with asyncio.timeout(6):
            await point(make)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the verdict is what we want
        return f"{type(error).__name__}: {error}"[:90]
    return ""
