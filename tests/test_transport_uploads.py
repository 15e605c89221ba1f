"""The HTTP transport while a body is on its way: early answers, silence, broken bodies."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

import httpx
import pytest
from fault_server import OK_HEAD, FaultServer, answer, replies
from transport_helpers import (
    LOOPS,
    run,
    send,
    settled,
    silent,
    slowly,
)

from connectory.transport import Transport


def early_answers(kind):
    refusal = answer(b"too large", status="413 Content Too Large", close=kind != "kept")

    async def reads_nothing(peer):
        await peer.head()
        await peer.send(refusal)
        if kind == "reset":
            await asyncio.sleep(0.05)
            peer.reset()
        elif kind == "close":
            peer.close()
        else:
            await peer.rest()

    return reads_nothing


async def endless():
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0.001)


async def waits_for_ever():
    yield b"first"
    await asyncio.Event().wait()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *itertools.product(["bytes", "small", "endless", "waiting"], ["reset", "close", "open"]),
        # A small body has left as a whole: its connection may be used again.
        *itertools.product(["bytes", "endless", "waiting"], ["kept"]),
    ],
)
def test_an_answer_that_comes_before_the_upload_ends_is_delivered(kind, body, loop):
    async def main():
        make = {
            "bytes": lambda: b"x" * 8_000_000,
            "small": lambda: b"x" * 200_000,
            "endless": endless,
            "waiting": waits_for_ever,
        }
        async with FaultServer(early_answers(kind)) as server, Transport(limit=1) as transport:
            for number in range(3):
                assert await send(transport, "POST", server.url(), content=make[body]()) == (
                    413,
                    b"too large",
                )
                assert len(server.received) == number + 1
            await settled(lambda: len(transport._pool.connections))
            assert not transport._pool.connections

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_is_found_when_writing_fails_before_reading(loop):
    """The server answers and resets while the loop looks away, so that the next thing to happen is a failing write."""

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))

        async def body():
            peer, _ = listener.accept()
            yield b"first"
            peer.sendall(answer(b"too large", status="413 Content Too Large"))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            yield b"second"
            yield b"third"

        async with Transport() as transport:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            assert await send(transport, "POST", url, content=body()) == (413, b"too large")
            assert not transport._pool.origins
        listener.close()

    run(main(), loop)


def test_an_answer_that_starts_during_the_upload_does_not_end_it():
    async def script(peer):
        await peer.head()
        await peer.send(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            size = await peer.line()
            piece = await peer.read(int(size, 16) + 2)
            await peer.send(size + piece)
        await peer.send(await peer.read(5))
        await peer.serve(answer(b"next"))

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            content = slowly(b"a", b"b", b"c")
            assert await send(transport, "POST", server.url(), content=content) == (200, b"abc")
            assert await send(transport, "POST", server.url()) == (200, b"next")

    run(main())


def test_a_body_that_is_not_as_long_as_said_is_an_error_and_ends_the_connection():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            for pieces in ((b"ab",), (b"abcd", b"efgh")):
                with pytest.raises(httpx.WriteError, match="body"):
                    await send(
                        transport,
                        "POST",
                        server.url(),
                        content=slowly(*pieces),
                        headers={"Content-Length": "5"},
                    )
            assert not transport._pool.origins
            assert all(b"efgh" not in data for data in server.received)

    run(main())


def test_what_the_callers_own_iterable_raises_is_raised():
    async def broken():
        yield b"a"
        raise ZeroDivisionError

    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            with pytest.raises(ZeroDivisionError):
                await send(transport, "POST", server.url(), content=broken())
            assert not transport._pool.origins

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_silence_is_a_read_timeout_and_every_byte_starts_the_time_anew(loop):
    async def dripping(peer):
        await peer.request()
        await peer.drip(OK_HEAD + b"Content-Length: 9\r\n\r\nabc", every=0.004)
        await peer.silence()

    async def main():
        async with FaultServer(silent, dripping) as server, Transport(idle_timeout=0.1) as transport:
            with pytest.raises(httpx.ReadTimeout, match=r"nothing moved for 0\.1 s"):
                await send(transport, "GET", server.url())
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            with pytest.raises(httpx.ReadTimeout):
                [chunk async for chunk in response.stream]
            assert not transport._pool.origins

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_server_that_takes_nothing_is_a_write_timeout(streamed, loop):
    async def deaf(peer):
        await peer.head()
        peer.pause()
        await peer.silence()

    async def main():
        async with FaultServer(deaf) as server, Transport(idle_timeout=0.1) as transport:
            content = endless() if streamed else b"x" * 30_000_000
            with pytest.raises(httpx.WriteTimeout):
                await send(transport, "POST", server.url(), content=content)

    run(main(), loop)


def test_neither_a_slow_reader_nor_a_slow_iterable_is_the_servers_fault():
    async def slow():
        yield b"a"
        await asyncio.sleep(0.2)
        yield b"b"

    async def script(peer):
        await peer.request()
        await peer.send(OK_HEAD + b"Content-Length: 2000000\r\n\r\n" + bytes(2_000_000))
        await peer.serve(answer())

    async def main():
        async with FaultServer(script) as server, Transport(idle_timeout=0.05) as transport:
            response = await transport.handle_async_request(
                httpx.Request("POST", server.url(), content=slow())
            )
            await asyncio.sleep(0.2)
            assert sum([len(chunk) async for chunk in response.stream]) == 2_000_000

    run(main())
