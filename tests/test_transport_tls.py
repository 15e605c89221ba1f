"""The HTTP transport over TLS and through proxies."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest
import trustme
from fault_server import OK_HEAD, FaultServer, answer, replies
from transport_helpers import (
    LOOPS,
    close_after_receipt,
    contexts,
    cut,
    reset_after_receipt,
    run,
    send,
)

from connectory.transport import ProxyRefusedError, Transport, UntrustedError


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


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
        async with (
            FaultServer(replies(answer()), context=server_context) as server,
            Transport(ssl_context=context) as transport,
        ):
            with pytest.raises(
                UntrustedError, match=r"certificate was not accepted: .+; (check|if)"
            ) as caught:
                await send(transport, "GET", server.url("/p?key=hidden"))
            assert "hidden" not in str(caught.value)
            assert not b"".join(server.received)

    run(main(), loop)


def via(secret="p%40ss"):  # noqa: S107 - made up
    return lambda server: f"http://user:{secret}@127.0.0.1:{server.port}"


def test_a_proxy_gets_the_whole_url_for_http():
    async def main():
        async with (
            FaultServer(replies(answer(b"via"))) as server,
            Transport(proxy=via()(server)) as transport,
        ):
            assert await send(transport, "GET", "http://api.example:81/a/%2e%2e/b?c=d") == (200, b"via")
            received = bytes(server.received[0])
            assert received.startswith(
                b"GET http://api.example:81/a/%2e%2e/b?c=d HTTP/1.1\r\nHost: api.example:81\r\n"
            )
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
                assert (
                    bytes(proxy.received[0])
                    == (
                        f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                        "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n"
                    ).encode()
                )
                assert server.count(b"Proxy-Authorization") == 0

    run(main(), loop)


PROXY_ANSWERS = [
    (answer(b"", status="407 Proxy Authentication Required"), ProxyRefusedError),
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
            with pytest.raises(ProxyRefusedError, match="407"):
                await send(transport, "GET", "http://api.example/")

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
