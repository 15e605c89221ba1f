"""The HTTP transport against a real server: what goes out, what comes back, how connections are used."""

from __future__ import annotations

import asyncio
import gc
import io
import select
import ssl
import subprocess
import sys
from contextlib import suppress

import httpx
import pytest
import trustme
from fault_server import OK_HEAD, FaultServer, answer, chunked, gzip_bomb, html, replies

from connectory.errors import ConfigError
from connectory.transport import Body, Transport, Whole

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
    "chunk extensions": (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
    "trailers are dropped": (chunked(b"hello", trailers="X-Sum: 1\nStatus: 500"), 200, b"hello"),
    "interim answers are skipped": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\n" + answer(b"a"), 200, b"a"),
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
                    (chunked(b"data: 0\n\n", end=False) if not number else b"9\r\ndata: %d\n\n\r\n" % number)
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
    ["/a/%2e%2e/b", "/a%2Fb", "//a//b", "/a;b=1;c", "/a?x=%5B%5D&y[]=1&z", "/%00", "/a%0d%0ab", "/~a:@!$&'()*+,;=", "/?"],
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
            request = httpx.Request("POST", server.url(), content=b"x")
            request.headers = httpx.Headers([*([] if headers[0][0] == "Host" else [("Host", "h")]), *headers])
            with pytest.raises(httpx.LocalProtocolError, match="not sent") as caught:
                await transport.handle_async_request(request)
            assert caught.value.request is request
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


async def slowly(*pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


BODIES = {
    "bytes": (lambda: {"content": b"abc"}, b"abc"),
    "sync iterable": (lambda: {"content": iter([b"a", b"", b"bc"])}, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
    "async iterable": (lambda: {"content": slowly(b"a", b"bc")}, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
    "file": (lambda: {"content": io.BytesIO(b"abc")}, b"abc"),
    "empty file": (lambda: {"content": io.BytesIO(b"")}, b""),
    "async with length": (lambda: {"content": slowly(b"a", b"bc"), "headers": {"Content-Length": "3"}}, b"abc"),
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
    options = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", b'{"a": 1}\n', "application/jsonl")}}
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
            for _ in range(400):
                pulled += 1
                yield b"x" * 65536

        async def script(peer):
            await peer.head()
            await go.wait()
            await peer.rest()

        async with FaultServer(script) as server, Transport() as transport:
            task = asyncio.create_task(send(transport, "POST", server.url(), content=many()))
            await settled(lambda: pulled)
            assert pulled < 300
            go.set()
            await settled(lambda: pulled, until=400)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main(), loop)


async def settled(count, *, until=None):
    """Wait until a number stops growing (or reaches `until`)."""
    last, same = -1, 0
    while (same < 30) if until is None else (count() < until):
        same = same + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.005)


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
        async with FaultServer(replies(gzip_bomb(1_000_000), moved, answer())) as server, Transport() as transport:
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


def test_connections_are_used_again_last_in_first_out():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            await asyncio.gather(*(send(transport, "GET", server.url(f"/{n}")) for n in range(5)))
            assert len(server.received) == 5
            sizes = sorted(len(data) for data in server.received)
            for _ in range(20):
                await send(transport, "GET", server.url("/x"))
            changed = sum(1 for data in server.received if len(data) > sizes[-1])
            assert (len(server.received), changed) == (5, 1)

    run(main())


def test_no_more_connections_than_the_limit_and_who_waits_is_served_in_order():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport(limit=2) as transport:
            done = []

            async def one(number):
                await send(transport, "GET", server.url(f"/{number:03}"))
                done.append(number)

            await asyncio.gather(*(one(number) for number in range(100)))
            assert len(server.received) == 2
            for data in server.received:
                numbers = [part[:3] for part in bytes(data).split(b"GET /")[1:]]
                assert numbers == sorted(numbers)
            assert sorted(done) == list(range(100))

    run(main())


def test_each_origin_has_its_own_limit():
    async def main():
        async def hold(peer):
            await peer.request()
            await peer.silence()

        async with FaultServer(hold) as slow, FaultServer(replies(answer(b"fast"))) as fast, Transport(limit=1) as transport:
            task = asyncio.create_task(send(transport, "GET", slow.url()))
            assert await send(transport, "GET", fast.url()) == (200, b"fast")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_connection_that_was_idle_too_long_is_closed():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport(max_idle=0.04) as transport:
            await send(transport, "GET", server.url())
            while server.open:
                await asyncio.sleep(0.01)
            await send(transport, "GET", server.url())
            assert len(server.received) == 2

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_close_is_honoured_from_both_sides(loop):
    async def main():
        async with FaultServer(replies(answer(b"a", close=True)), replies(answer(b"b"))) as server, Transport() as transport:
            assert await send(transport, "GET", server.url()) == (200, b"a")
            assert await send(transport, "GET", server.url(), headers={"Connection": "close"}) == (200, b"b")
            assert await send(transport, "GET", server.url()) == (200, b"b")
            assert len(server.received) == 3

    run(main(), loop)


def test_it_works_under_httpx_client_and_its_timeout_is_taken():
    async def main():
        async def silent(peer):
            await peer.request()
            await peer.silence()

        async with (
            FaultServer(replies(answer(b'{"a": 1}')), silent) as server,
            httpx.AsyncClient(transport=Transport(limit=1), base_url=server.url()) as client,
        ):
            assert (await client.post("/x", json={"b": 2}, headers={"Connection": "close"})).json() == {"a": 1}
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/y", timeout=0.05)

    run(main())


def test_a_dropped_answer_frees_its_connection():
    async def main():
        async def script(peer):
            await peer.request()
            await peer.send(OK_HEAD + b"Content-Length: 10\r\n\r\nabc")
            await peer.silence()

        async with FaultServer(script) as server, Transport(limit=1) as transport:
            for _ in range(3):
                response = await transport.handle_async_request(httpx.Request("GET", server.url()))
                del response
                gc.collect()
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            await response.aclose()
            with pytest.raises(httpx.StreamClosed):
                [chunk async for chunk in response.stream if chunk != b"abc"]
            await asyncio.sleep(0.01)
            assert not transport._pool.connections

    run(main())


def test_a_closed_transport_refuses_and_what_was_under_way_ends():
    async def main():
        async def silent(peer):
            await peer.request()
            await peer.silence()

        async with FaultServer(silent) as server:
            transport = Transport(limit=1)
            tasks = [asyncio.create_task(send(transport, "GET", server.url())) for _ in range(3)]
            await settled(lambda: len(server.received))
            await transport.aclose()
            kinds = {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)}
            assert kinds == {httpx.ReadError, httpx.LocalProtocolError}
            with pytest.raises(httpx.LocalProtocolError, match="closed"):
                await send(transport, "GET", server.url())
            assert not transport._pool.connections
            await transport.aclose()

    run(main())


def test_wrong_settings_are_refused_without_showing_a_password():
    with pytest.raises(ConfigError, match="limit"):
        Transport(limit=0)
    with pytest.raises(ConfigError) as caught:
        Transport(proxy="https://user:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(caught.value)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def contexts(authority, name="127.0.0.1", protocols=("h2", "http/1.1")):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(list(protocols))
    return server, client


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_works_and_only_http_1_1_is_offered(authority, loop):
    async def main():
        server_context, client_context = contexts(authority)
        client_context.set_alpn_protocols(["h2"])
        chosen = []

        async def script(peer):
            chosen.append(peer._writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await peer.serve(answer(b"x" * 300_000))

        async with (
            FaultServer(script, context=server_context) as server,
            Transport(ssl_context=client_context) as transport,
        ):
            for _ in range(3):
                status, body = await send(transport, "POST", server.url(), content=b"y" * 500_000)
                assert (status, len(body)) == (200, 300_000)
            assert chosen == ["http/1.1"]
            assert len(server.received) == 1

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_wrong_certificate_is_a_connect_error_with_the_reason(authority, trusted, loop):
    async def main():
        server_context, client_context = contexts(authority, name="other.example")
        context = client_context if trusted else None
        async with FaultServer(replies(answer()), context=server_context) as server, Transport(ssl_context=context) as transport:
            with pytest.raises(httpx.ConnectError, match="certificate was not accepted: .+") as caught:
                await send(transport, "GET", server.url("/p?key=hidden"))
            assert "hidden" not in str(caught.value)
            assert not b"".join(server.received)

    run(main(), loop)


# Proxies


def via(secret="p%40ss"):
    return lambda server: f"http://user:{secret}@127.0.0.1:{server.port}"


def test_a_proxy_gets_the_whole_url_for_http():
    async def main():
        async with FaultServer(replies(answer(b"via"))) as server, Transport(proxy=via()(server)) as transport:
            assert await send(transport, "GET", "http://api.example:81/a/%2e%2e/b?c=d") == (200, b"via")
            received = bytes(server.received[0])
            assert received.startswith(b"GET http://api.example:81/a/%2e%2e/b?c=d HTTP/1.1\r\nHost: api.example:81\r\n")
            assert b"\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n" in received

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_https_goes_through_a_tunnel_and_the_proxy_sees_no_request(authority, loop):
    async def main():
        server_context, client_context = contexts(authority)
        async with FaultServer(replies(answer(b"secret")), context=server_context) as server:

            async def tunnel(peer):
                await peer.head()
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                await peer.send(b"HTTP/1.1 200 Connection ", b"established\r\nX: y\r\n\r\n", every=0.005)

                async def back():
                    while data := await reader.read(65536):
                        await peer.send(data)

                task = asyncio.create_task(back())
                try:
                    while data := await peer._reader.read(65536):
                        writer.write(data)
                finally:
                    task.cancel()
                    writer.transport.abort()
                    await asyncio.gather(task, return_exceptions=True)

            async with (
                FaultServer(tunnel) as proxy,
                Transport(proxy=via()(proxy), ssl_context=client_context) as transport,
            ):
                for _ in range(3):
                    headers = {"Authorization": "Bearer k"}
                    assert await send(transport, "GET", server.url("/x"), headers=headers) == (200, b"secret")
                assert len(proxy.received) == 1
                assert bytes(proxy.received[0]) == (
                    f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                    "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n"
                ).encode()
                assert server.count(b"Proxy-Authorization") == 0

    run(main(), loop)


PROXY_ANSWERS = [
    (answer(b"", status="407 Proxy Authentication Required"), httpx.ProxyError),
    (answer(b"", status="502 Bad Gateway"), httpx.ProxyError),
    (b"SSH-2.0-thing\r\n\r\n", httpx.ProxyError),
    (b"HTTP/1.1 200 OK\r\n\r\ngarbage", httpx.ProxyError),
    (b"x" * 70_000, httpx.ProxyError),
    (b"", httpx.ProxyError),
    (b"HTTP/1.1 200 OK\r\n\r\n", httpx.ConnectError),
]


@pytest.mark.parametrize(("raw", "kind"), PROXY_ANSWERS)
def test_a_proxy_that_opens_no_way_is_an_error_without_credentials(raw, kind):
    async def main():
        async def script(peer):
            await peer.head()
            await peer.send(raw)
            peer.close()

        async with FaultServer(script) as server, Transport(proxy=via("hunter2")(server)) as transport:
            with pytest.raises(kind, match="not sent") as caught:
                await send(transport, "GET", "https://api.example/")
            assert type(caught.value) is kind
            assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__)
            assert not transport._pool.connections
            assert not transport._pool.origins

    run(main())


def test_a_proxy_that_refuses_a_plain_request_is_a_proxy_error():
    async def main():
        refusal = answer(b"", status="407 Proxy Authentication Required")
        async with FaultServer(replies(refusal)) as server, Transport(proxy=via()(server)) as transport:
            with pytest.raises(httpx.ProxyError, match="407"):
                await send(transport, "GET", "http://api.example/")

    run(main())


def test_importing_the_transport_makes_no_tls_context_and_no_thread():
    code = (
        "import threading, ssl; ssl.create_default_context = None; import connectory.transport as t;"
        "t.Transport(); print(threading.active_count())"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert shown.stdout == "1\n"


def test_connections_work_where_there_is_no_poll(monkeypatch):
    monkeypatch.delattr(select, "poll")

    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            for _ in range(3):
                await send(transport, "GET", server.url())
            assert len(server.received) == 1

    run(main())
