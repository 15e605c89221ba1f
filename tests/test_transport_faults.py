"""The HTTP transport when things break: nothing is sent twice, nothing leaks, every error says what is known."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from contextlib import suppress

import httpx
import pytest
import trustme
from fault_server import OK_HEAD, FaultServer, answer, chunked, replies
from test_transport import LOOPS, contexts, run, send, settled, slowly

from connectory.transport import Transport

LARGE = 8_000_000


async def close_at_once(peer):
    peer.close()


async def close_after_receipt(peer):
    await peer.request()
    peer.close()


async def reset_after_receipt(peer):
    await peer.request()
    peer.reset()


async def silent(peer):
    await peer.request()
    await peer.silence()


def cut(raw, *, reset=False):
    async def script(peer):
        await peer.request()
        await peer.send(raw)
        await asyncio.sleep(0.02)
        if reset:
            peer.reset()

    return script


CUTS = {
    "closed after receipt": (close_after_receipt, httpx.RemoteProtocolError),
    "reset after receipt": (reset_after_receipt, httpx.ReadError),
    "cut in the head": (cut(b"HTTP/1.1 20"), httpx.RemoteProtocolError),
    "cut after an interim answer": (cut(b"HTTP/1.1 100 C\r\n\r\n"), httpx.RemoteProtocolError),
    "cut in the body": (cut(OK_HEAD + b"Content-Length: 10\r\n\r\nabc"), httpx.RemoteProtocolError),
    "reset in the body": (cut(OK_HEAD + b"Content-Length: 10\r\n\r\nabc", reset=True), httpx.ReadError),
    "reset in a body without length": (cut(OK_HEAD + b"\r\nabc", reset=True), httpx.ReadError),
    "cut in a chunk": (cut(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), httpx.RemoteProtocolError),
    "cut between chunks": (cut(chunked(b"abc", end=False)), httpx.RemoteProtocolError),
    "cut in the trailers": (cut(chunked(b"abc")[:-2] + b"X-A: "), httpx.RemoteProtocolError),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("method", ["DELETE", "POST"])
@pytest.mark.parametrize("name", CUTS)
def test_a_request_that_was_cut_goes_out_once_and_its_outcome_is_unknown(name, method, loop):
    script, kind = CUTS[name]

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            options = {"content": b"hi"} if method == "POST" else {}
            with pytest.raises(kind) as caught:
                await send(transport, method, server.url("/files/1?key=hidden"), **options)
            assert type(caught.value) is kind
            assert caught.value.request.method == method
            assert str(caught.value).startswith(f"{method} http://127.0.0.1:{server.port}/files/1: ")
            assert "hidden" not in str(caught.value)
            assert (server.count(method.encode() + b" "), len(server.received)) == (1, 1)
            await asyncio.sleep(0.01)
            assert not transport._pool.connections
            assert not transport._pool.origins

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_kept_connection_that_is_cut_after_the_request_is_not_tried_again(loop):
    async def script(peer):
        await peer.request()
        await peer.send(answer())
        await peer.request()
        peer.close()

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            await send(transport, "GET", server.url())
            with pytest.raises(httpx.RemoteProtocolError):
                await send(transport, "DELETE", server.url())
            assert (server.count(b"DELETE"), len(server.received)) == (1, 1)

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("blocked", [False, True])
def test_a_kept_connection_found_dead_is_replaced_before_anything_is_sent(blocked, loop):
    async def script(peer):
        await peer.request()
        await peer.send(answer())
        (peer.reset if blocked else peer.close)()

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            for number in range(5):
                await send(transport, "DELETE", server.url())
                if not blocked:
                    await asyncio.sleep(0.01)
                elif number:
                    # The loop gets no chance to hear of the end: only asking the kernel shows it.
                    await asyncio.sleep(0)
                    await settled(lambda: server.open)
            assert (server.count(b"DELETE"), len(server.received)) == (5, 5)

    run(main(), loop)


def test_a_connection_that_died_unnoticed_is_seen_before_the_first_byte():
    """The loop is kept from hearing of the end; only a look at the socket shows it."""

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with Transport() as transport:
            for _ in range(3):
                task = asyncio.create_task(send(transport, "DELETE", url))
                peer, _ = await loop.sock_accept(listener)
                assert (await loop.sock_recv(peer, 1000)).startswith(b"DELETE")
                await loop.sock_sendall(peer, answer(b"ok"))
                assert await task == (200, b"ok")
                peer.close()  # and no await before the next request
        listener.close()

    run(main())


@pytest.mark.parametrize("early", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\r\n"])
@pytest.mark.parametrize("gap", [0, 0.01])
def test_what_nobody_asked_for_is_never_an_answer(early, gap):
    async def script(peer):
        await peer.request()
        if gap:
            await peer.send(answer(b"good"), early, every=gap)
        else:
            await peer.send(answer(b"good") + early)
        await peer.serve(answer(b"good"))

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            for _ in range(3):
                assert await send(transport, "GET", server.url()) == (200, b"good")
                await asyncio.sleep(gap * 3)
            if early.strip() or gap:
                assert len(server.received) == 3

    run(main())


BAD_ANSWERS = {
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "http 2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "preface of http 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "two lengths": OK_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "same length twice": OK_HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "length and chunks": OK_HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks and length": OK_HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks twice": OK_HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip and chunks": OK_HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "unknown encoding": OK_HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": OK_HEAD + b"Transfer-Encoding: identity\r\n\r\nabc",
    "negative length": OK_HEAD + b"Content-Length: -1\r\n\r\n",
    "signed length": OK_HEAD + b"Content-Length: +1\r\n\r\na",
    "listed length": OK_HEAD + b"Content-Length: 1, 1\r\n\r\na",
    "huge length": OK_HEAD + b"Content-Length: 99999999999999999999999\r\n\r\na",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare line feed in the head": OK_HEAD + b"X: y\nContent-Length: 0\r\n\r\n",
    "bare line feed after a chunk's size": OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "chunk longer than it says": OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "negative chunk": OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
    "folded header": OK_HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK_HEAD + b"Content-Length : 0\r\n\r\n",
    "zero byte in a value": OK_HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nabc",
    "a head without end": OK_HEAD + b"X: " + b"y" * 100_000,
    "many headers": OK_HEAD + b"X: y\r\n" * 20_000 + b"\r\n",
    "interim answers without end": b"HTTP/1.1 100 C\r\n\r\n" * 5_000,
    "trailers without end": chunked(b"abc")[:-2] + b"X: y\r\n" * 30_000,
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_an_answer_that_can_be_read_in_two_ways_is_refused(name):
    async def script(peer):
        await peer.request()
        await peer.send(BAD_ANSWERS[name])
        await peer.silence()

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            with pytest.raises(httpx.RemoteProtocolError, match=r"not valid HTTP/1\.1: .+"):
                await send(transport, "GET", server.url())
            await asyncio.sleep(0.01)
            assert not transport._pool.connections

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_one_byte_at_a_time_is_an_answer_too(loop):
    async def script(peer):
        await peer.request()
        await peer.drip(chunked(b"he", b"llo"), every=0.0002)
        await peer.serve(answer(b"next"))

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            assert await send(transport, "GET", server.url()) == (200, b"hello")
            assert await send(transport, "GET", server.url()) == (200, b"next")

    run(main(), loop)


# Early answers


def early_answers(kind):
    refusal = answer(b"too large", status="413 Content Too Large", close=True)

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
@pytest.mark.parametrize("kind", ["reset", "close", "open"])
@pytest.mark.parametrize("body", ["bytes", "small", "endless", "waiting"])
def test_an_answer_that_comes_before_the_upload_ends_is_delivered(kind, body, loop):
    async def main():
        make = {"bytes": lambda: b"x" * LARGE, "small": lambda: b"x" * 200_000, "endless": endless, "waiting": waits_for_ever}
        async with FaultServer(early_answers(kind)) as server, Transport(limit=1) as transport:
            for number in range(3):
                assert await send(transport, "POST", server.url(), content=make[body]()) == (413, b"too large")
                assert len(server.received) == number + 1
            await settled(lambda: len(transport._pool.connections))
            assert not transport._pool.connections

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
                        transport, "POST", server.url(), content=slowly(*pieces), headers={"Content-Length": "5"}
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


# Nothing sent


def test_an_unreachable_server_is_a_connect_error():
    async def main():
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            async with Transport() as transport:
                with pytest.raises(httpx.ConnectError, match="not sent: no connection: connection refused"):
                    await send(transport, "GET", f"http://127.0.0.1:{held.getsockname()[1]}/")
                assert not transport._pool.origins

    run(main())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "unix:/tmp/x", "http:///x", "/relative"])
def test_other_protocols_are_refused(url):
    async def main():
        async with Transport() as transport:
            with pytest.raises(httpx.UnsupportedProtocol, match="not sent"):
                await send(transport, "GET", url)

    run(main())


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", f"http://{'a' * 64}.invalid/"])
def test_an_address_that_cannot_be_is_a_connect_error(url):
    async def main():
        async with Transport() as transport:
            with pytest.raises(httpx.ConnectError, match="not sent"):
                await send(transport, "GET", url)

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_that_never_ends_is_a_connect_timeout(loop):
    async def never(peer):
        await peer.rest()

    async def main():
        async with FaultServer(never) as server, Transport(connect_timeout=0.05) as transport:
            with pytest.raises(httpx.ConnectTimeout, match="not sent"):
                await send(transport, "GET", f"https://127.0.0.1:{server.port}/")
            assert not transport._pool.origins

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_without_tls_is_a_connect_error(loop):
    async def main():
        async def plain(peer):
            await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await peer.rest()

        async with FaultServer(plain) as server, Transport() as transport:
            with pytest.raises(httpx.ConnectError, match="TLS failed"):
                await send(transport, "GET", f"https://127.0.0.1:{server.port}/")

    run(main(), loop)


def test_who_waits_too_long_for_a_connection_gets_a_pool_timeout():
    async def main():
        async with FaultServer(silent) as server, Transport(limit=1) as transport:
            first = asyncio.create_task(send(transport, "GET", server.url()))
            await settled(lambda: len(server.received))
            with pytest.raises(httpx.PoolTimeout, match="limit 1"):
                await send(transport, "GET", server.url(), extensions={"timeout": {"pool": 0.01}})
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert not transport._pool.origins

    run(main())


# Time


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
            response = await transport.handle_async_request(httpx.Request("POST", server.url(), content=slow()))
            await asyncio.sleep(0.2)
            assert sum([len(chunk) async for chunk in response.stream]) == 2_000_000

    run(main())


# Cancelling


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True])
def test_thousands_of_cancelled_requests_leave_the_pool_whole(secure, loop):
    generator = random.Random(7)

    async def script(peer):
        while True:
            request = await peer.request()
            number = request.split(b" ", 2)[1][1:]
            if len(number) > 3:
                await asyncio.sleep(0.0002 * (int(number) % 7))
            body = number * 50
            await peer.send(*((answer(body),) if int(number) % 3 else (answer(body)[:60], answer(body)[60:])))

    async def main():
        server_context, client_context = contexts(trustme.CA()) if secure else (None, None)
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with (
            FaultServer(script, context=server_context) as server,
            Transport(limit=8, ssl_context=client_context) as transport,
        ):
            wrong = []

            async def one(number):
                body = slowly(b"a" * 10, b"b") if number % 5 == 0 else b"c"
                with suppress(TimeoutError):
                    async with asyncio.timeout(generator.random() * 0.004):
                        _, got = await send(transport, "POST", server.url(f"/{number}"), content=body)
                        if got != str(number).encode() * 50:
                            wrong.append(number)

            count = 400 if secure else 2000
            for start in range(1000, 1000 + count, 40):
                await asyncio.gather(*(one(number) for number in range(start, start + 40)))
            assert not wrong
            for number in range(8):
                answers = await asyncio.gather(*(send(transport, "GET", server.url(f"/{number}")) for _ in range(8)))
                assert {body for _, body in answers} == {str(number).encode() * 50}
            origin = next(iter(transport._pool.origins.values()))
            await asyncio.sleep(0.01)
            assert origin.slots == len(origin.idle) == len(transport._pool.connections) <= 8
            assert not origin.waiters
            await settled(lambda: server.open)
            assert server.open == origin.slots
        assert not problems

    run(main(), loop)


def test_a_cancelled_request_closes_its_connection():
    async def main():
        async with FaultServer(silent, replies(answer())) as server, Transport(limit=1) as transport:
            task = asyncio.create_task(send(transport, "GET", server.url()))
            waiting = asyncio.create_task(send(transport, "GET", server.url()))
            await settled(lambda: len(server.received[0]) if server.received else 0)
            task.cancel()
            assert await waiting == (200, b"{}")
            assert len(server.received) == 2

    run(main())


def test_a_tls_connection_that_is_cut_is_an_error():
    async def main():
        server_context, client_context = contexts(trustme.CA())
        assert isinstance(client_context, ssl.SSLContext)
        scripts = [close_after_receipt, reset_after_receipt, cut(OK_HEAD + b"Content-Length: 9\r\n\r\nabc")]
        async with (
            FaultServer(*scripts, context=server_context) as server,
            Transport(ssl_context=client_context) as transport,
        ):
            for _ in scripts:
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                    await send(transport, "DELETE", server.url())
            assert server.count(b"DELETE") == 3

    run(main())


def test_a_connection_closed_as_soon_as_it_is_open_never_hangs():
    async def main():
        async with FaultServer(close_at_once) as server, Transport() as transport:
            for _ in range(20):
                with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)):
                    await send(transport, "GET", server.url())
            assert not transport._pool.origins

    run(main())
