"""The HTTP transport when answers break: nothing is sent twice, and every error says what is known."""

from __future__ import annotations

import asyncio
import socket
from unittest.mock import Mock

import httpx
import pytest
from fault_server import OK_HEAD, FaultServer, answer, chunked
from transport_helpers import (
    LOOPS,
    close_after_receipt,
    cut,
    reset_after_receipt,
    run,
    send,
)

from connectory.transport import Transport, UnknownServerError
from connectory.transport.connection import Connection
from connectory.transport.exchange import Exchange

CUTS = {
    "closed after receipt": (close_after_receipt, httpx.RemoteProtocolError),
    "reset after receipt": (reset_after_receipt, httpx.ReadError),
    "cut in the head": (cut(b"HTTP/1.1 20"), httpx.RemoteProtocolError),
    "cut after an interim answer": (cut(b"HTTP/1.1 100 C\r\n\r\n"), httpx.RemoteProtocolError),
    "cut in the body": (cut(OK_HEAD + b"Content-Length: 10\r\n\r\nabc"), httpx.RemoteProtocolError),
    "reset in the body": (cut(OK_HEAD + b"Content-Length: 10\r\n\r\nabc", reset=True), httpx.ReadError),
    "reset in a body without length": (cut(OK_HEAD + b"\r\nabc", reset=True), httpx.ReadError),
    "cut in a chunk": (
        cut(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
        httpx.RemoteProtocolError,
    ),
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


@pytest.mark.parametrize(
    "early",
    [b"HTTP/1.1 200 OK\r\nX-Evil: ", b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\r\n"],
)
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
    "length and chunks": OK_HEAD
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks and length": OK_HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
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


@pytest.mark.parametrize("loop", LOOPS)
def test_a_name_that_nobody_knows_is_told_from_a_server_that_is_away(loop):
    async def main():
        async with Transport() as transport:
            with pytest.raises(httpx.ConnectError, match="the name is not known") as caught:
                await send(transport, "GET", "http://nobody.invalid/")
            cause = caught.value.__cause__
            assert isinstance(cause, socket.gaierror)
            known = cause.errno == socket.EAI_AGAIN  # a computer without a network cannot tell
            assert isinstance(caught.value, UnknownServerError) is not known

    run(main(), loop)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", f"http://{'a' * 64}.invalid/"])
def test_an_address_that_cannot_be_is_a_connect_error(url):
    async def main():
        async with Transport() as transport:
            with pytest.raises(httpx.ConnectError, match="not sent"):
                await send(transport, "GET", url)

    run(main())


def test_trailers_without_end_are_refused_too_when_they_come_in_one_piece_with_the_body():
    class Wire(asyncio.Transport):
        def write(self, data: bytes) -> None:
            pass

        def abort(self) -> None:
            pass

    async def main() -> BaseException | None:
        loop = asyncio.get_running_loop()
        connection = Connection(Mock(), loop, secure=True)
        connection._poll = None
        connection.connection_made(Wire())
        exchange = Exchange(httpx.Request("GET", "http://a.test/"), loop, 1, 1)
        connection.start(exchange, b"", close=False)
        connection.data_received(BAD_ANSWERS["trailers without end"])
        return exchange.error

    error = asyncio.run(main())
    assert isinstance(error, httpx.RemoteProtocolError)
    assert "larger than 64 KiB" in str(error)
