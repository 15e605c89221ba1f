"""The HTTP transport against a real server: what goes out and what comes back."""

from __future__ import annotations

import asyncio
import io

import httpx
import pytest
from fault_server import OK_HEAD, FaultServer, answer, chunked, gzip_bomb, html, replies
from transport_helpers import (
    LOOPS,
    run,
    send,
    settled,
    slowly,
)

from connectory.transport import Body, Transport, Whole


def check(script, *, method="GET", path="/", loop="asyncio", **options):
    """Send one request to a script; give the status, the body and what the server received."""

    async def main():
        async with FaultServer(script) as server, Transport() as transport:
            status, body = await send(transport, method, server.url(path), **options)
            return status, body, bytes(server.received[0])

    return run(main(), loop)


ANSWERS = {
    "content-length": (answer(b"hello"), 200, b"hello"),
    "empty": (answer(b""), 200, b""),
    "chunked": (chunked(b"he", b"llo"), 200, b"hello"),
    "chunk extensions": (
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
    ),
    "trailers are dropped": (chunked(b"hello", trailers="X-Sum: 1\nStatus: 500"), 200, b"hello"),
    "interim answers are skipped": (
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\n" + answer(b"a"),
        200,
        b"a",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", 200, b"a"),
    "an error": (answer(b"no", status="500 Broken"), 500, b"no"),
    "a page": (html("<p>"), 200, b"<p>"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_as_its_head_says(name, loop):
    raw, status, body = ANSWERS[name]
    assert check(replies(raw), loop=loop)[:2] == (status, body)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_without_length_ends_with_the_connection(loop):
    async def script(peer):
        await peer.request()
        await peer.send(OK_HEAD + b"\r\nhel", b"lo", every=0.01)
        peer.close()

    assert check(script, loop=loop)[:2] == (200, b"hello")


def test_the_answer_to_head_has_no_body_and_the_connection_is_used_again():
    async def main():
        head = OK_HEAD + b"Content-Length: 500\r\n\r\n"
        async with FaultServer(replies(head, answer(b"next"))) as server, Transport() as transport:
            assert await send(transport, "HEAD", server.url()) == (200, b"")
            assert await send(transport, "GET", server.url()) == (200, b"next")
            assert len(server.received) == 1

    run(main())


def test_a_body_that_came_with_its_head_is_whole_and_one_chunk():
    async def main():
        async with FaultServer(replies(answer(b"x" * 1000))) as server, Transport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            assert isinstance(response.stream, Whole)
            assert [chunk async for chunk in response.stream] == [response.stream.content] == [b"x" * 1000]

    run(main())


def test_events_are_delivered_as_they_come():
    async def main():
        go = asyncio.Event()

        async def script(peer):
            await peer.request()
            for number in range(3):
                await peer.send(
                    chunked(b"data: 0\n\n", end=False) if not number else b"9\r\ndata: %d\n\n\r\n" % number
                )
                await go.wait()
                go.clear()
            await peer.send(b"0\r\n\r\n")

        async with FaultServer(script) as server, Transport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            assert isinstance(response.stream, Body)
            seen = []
            async for chunk in response.stream:
                seen.append(chunk)
                go.set()
            assert seen == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]

    run(main())


@pytest.mark.parametrize(
    "path",
    [
        "/a/%2e%2e/b",
        "/a%2Fb",
        "//a//b",
        "/a;b=1;c",
        "/a?x=%5B%5D&y[]=1&z",
        "/%00",
        "/a%0d%0ab",
        "/~a:@!$&'()*+,;=",
        "/?",
    ],
)
def test_path_and_query_arrive_as_given(path):
    received = check(replies(answer()), path=path)[2]
    assert received.startswith(b"GET " + path.encode() + b" HTTP/1.1\r\n")


def test_headers_keep_their_order_and_case_and_nothing_is_added():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            headers = {"X-b": "1", "x-A": "2", "Set-Thing": b"\xe9", "Cookie": "a=b"}
            await send(transport, "POST", server.url("/p"), headers=headers, content=b"hi")
            host = f"127.0.0.1:{server.port}".encode()
            assert bytes(server.received[0]) == (
                b"POST /p HTTP/1.1\r\nHost: " + host + b"\r\nX-b: 1\r\nx-A: 2\r\nSet-Thing: \xe9\r\n"
                b"Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi"
            )

    run(main())


BAD_HEADERS = [
    [("X-A", b"a\r\nEvil: 1")],
    [("X-A", b"a\nEvil: 1")],
    [("X-A", b"a\rEvil: 1")],
    [("X-A", b"a\x00b")],
    [("X-A", b"a\x7fb")],
    [(b"X-A: 1\r\nEvil", b"1")],
    [(b"X A", b"1")],
    [(b"X-A:", b"1")],
    [(b"", b"1")],
    [("Host", "a"), ("Host", "b")],
    [("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "gzip, chunked")],
    [("Content-Length", "-1")],
    [("Content-Length", "7")],
]


@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_a_head_that_could_be_read_in_two_ways_is_refused_before_a_connection_is_made(headers):
    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            request = httpx.Request("GET", server.url())
            request.headers = httpx.Headers([*([] if headers[0][0] == "Host" else [("Host", "h")]), *headers])
            with pytest.raises(httpx.LocalProtocolError, match="not sent") as caught:
                await transport.handle_async_request(request)
            assert caught.value.request is request
            assert server.url() in str(caught.value)
            assert "Evil" not in str(caught.value) or headers[0][0] != "X-A"
            assert not server.received

    run(main())


@pytest.mark.parametrize("method", ["GE T", "GET\r\nX: y", "", "CONNECT", "G\xcbT"])
def test_a_method_that_is_none_is_refused(method):
    async def main():
        async with Transport() as transport:
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, method, "http://127.0.0.1:9/")

    run(main())


def test_a_missing_host_and_a_body_without_length_are_refused():
    async def main():
        async with Transport() as transport:
            request = httpx.Request("GET", "http://127.0.0.1:9/")
            del request.headers["host"]
            with pytest.raises(httpx.LocalProtocolError, match="host"):
                await transport.handle_async_request(request)
            request = httpx.Request("POST", "http://127.0.0.1:9/", content=iter([b"a"]))
            del request.headers["transfer-encoding"]
            with pytest.raises(httpx.LocalProtocolError, match="neither"):
                await transport.handle_async_request(request)

    run(main())


BODIES = {
    "bytes": (lambda: {"content": b"abc"}, b"abc"),
    "sync iterable": (lambda: {"content": iter([b"a", b"", b"bc"])}, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
    "async iterable": (lambda: {"content": slowly(b"a", b"bc")}, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
    "file": (lambda: {"content": io.BytesIO(b"abc")}, b"abc"),
    "empty file": (lambda: {"content": io.BytesIO(b"")}, b""),
    "async with length": (
        lambda: {"content": slowly(b"a", b"bc"), "headers": {"Content-Length": "3"}},
        b"abc",
    ),
    "form": (lambda: {"data": {"a": "1"}}, b"a=1"),
    "more than a piece": (lambda: {"content": b"x" * 600_000}, b"x" * 600_000),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_goes_out_as_given_and_the_connection_is_used_again(name, loop):
    make, expected = BODIES[name]

    async def main():
        async with FaultServer(replies(answer(b"ok"))) as server, Transport() as transport:
            for _ in range(2):
                assert await send(transport, "POST", server.url(), **make()) == (200, b"ok")
            assert len(server.received) == 1
            first = bytes(server.received[0])[: len(server.received[0]) // 2]
            assert first.partition(b"\r\n\r\n")[2] == expected

    run(main(), loop)


def test_bytes_go_out_in_chunks_when_the_head_says_so():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            request = httpx.Request("POST", server.url(), content=b"abc")
            del request.headers["content-length"]
            request.headers["transfer-encoding"] = "chunked"
            await transport.handle_async_request(request)
            assert bytes(server.received[0]).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    run(main())


def test_multipart_goes_out_with_its_length():
    options = {
        "data": {"purpose": "batch"},
        "files": {"file": ("a.jsonl", b'{"a": 1}\n', "application/jsonl")},
    }
    received = check(replies(answer()), method="POST", **options)[2]
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b'filename="a.jsonl"' in body


@pytest.mark.parametrize("loop", LOOPS)
def test_an_upload_waits_for_a_slow_server(loop):
    async def main():
        go = asyncio.Event()
        pulled = 0

        async def many():
            nonlocal pulled
            for _ in range(2000):
                pulled += 1
                yield b"x" * 65536

        async def script(peer):
            await peer.head()
            await go.wait()
            await peer.rest()

        async with FaultServer(script) as server, Transport() as transport:
            task = asyncio.create_task(send(transport, "POST", server.url(), content=many()))
            await settled(lambda: pulled)
            assert pulled < 1500
            go.set()
            await settled(lambda: pulled, until=2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_answer_waits_for_a_slow_reader(loop):
    async def main():
        sent = 0

        async def script(peer):
            nonlocal sent
            await peer.request()
            await peer.send(OK_HEAD + b"Content-Length: %d\r\n\r\n" % (400 * 65536))
            for _ in range(400):
                await peer.send(b"x" * 65536)
                sent += 1
            await peer.silence()  # who hangs up now may take back what is not on its way yet

        async with FaultServer(script) as server, Transport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            await settled(lambda: sent)
            assert sent < 300
            sizes = [len(chunk) async for chunk in response.stream]
            assert sum(sizes) == 400 * 65536
            assert max(sizes) < 1_000_000

    run(main(), loop)


def test_nothing_is_decoded_followed_or_remembered():
    async def main():
        moved = answer(b"", status="302 Found", headers="Location: /other\nSet-Cookie: a=b")
        async with (
            FaultServer(replies(gzip_bomb(1_000_000), moved, answer())) as server,
            Transport() as transport,
        ):
            _, body = await send(transport, "GET", server.url())
            assert len(body) < 2000
            assert body.startswith(b"\x1f\x8b")
            assert (await send(transport, "GET", server.url()))[0] == 302
            await send(transport, "GET", server.url())
            assert b"cookie" not in bytes(server.received[0]).lower()

    run(main())


def test_the_environment_names_no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert check(replies(answer(b"direct")))[1] == b"direct"


def test_it_works_under_httpx_client_and_its_timeout_is_taken():
    async def main():
        async def silent(peer):
            await peer.request()
            await peer.silence()

        async with (
            FaultServer(replies(answer(b'{"a": 1}')), silent) as server,
            httpx.AsyncClient(transport=Transport(limit=1), base_url=server.url()) as client,
        ):
            assert (await client.post("/x", json={"b": 2}, headers={"Connection": "close"})).json() == {
                "a": 1
            }
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/y", timeout=httpx.Timeout(30, read=0.05))

    run(main())
