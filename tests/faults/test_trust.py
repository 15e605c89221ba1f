"""Certificates and proxies (rows N9 and N13): what no waiting mends stops the run before anything is sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl

import pytest
import trustme
from fault_runs import healthy, ok, outgoing, refused, serving
from fault_server import answer, replies

SECRET = "hunter2-of-the-proxy"
YEAR = dt.timedelta(days=365)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def issued(authority, name="127.0.0.1", *, age=dt.timedelta(0)):
    """Give a server's context whose certificate for `name` ended `age` ago, or in a year."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = dt.datetime.now(dt.UTC)
    ends = now - age if age else now + YEAR
    authority.issue_cert(name, not_before=ends - 2 * YEAR, not_after=ends).configure_cert(context)
    return context


def trusting(folder, authority):
    """Write the file that says whom to trust."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return {"ca_file": "ca.pem"}


CERTIFICATES = {
    "expired": (
        lambda one: issued(one, age=YEAR),
        True,
        "certificate has expired; who runs the server has to renew it",
    ),
    "not valid yet": (lambda one: issued(one, age=-3 * YEAR), True, "this computer's clock may be wrong"),
    "another host": (lambda one: issued(one, "api.other.example"), True, "check the host in base_uri"),
    "an unknown authority": (issued, False, "name the PEM file of its authority in ca_file"),
}


@pytest.mark.fault(
    "N9",
    "The run stops at the first attempt with exit code 3 and with what to do; plain HTTP is never a way out.",
)
@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_server_that_cannot_be_trusted_stops_the_run(tmp_path, authority, name):
    context, trusted, says = CERTIFICATES[name]
    with serving(healthy, context=context(authority)) as server:
        client = trusting(tmp_path, authority) if trusted else {}
        ran = outgoing(tmp_path, server.url("/v1"), **client).settle(server, on_the_wire=0)
        assert (ran.code, ran.lines, ran.unsent, len(server.received)) == (3, [], 3, 0), ran.said
    assert says in ran.said
    assert "attempt" not in ran.said
    assert ran.said.splitlines()[-1].startswith("connectory check --config ")


@pytest.mark.fault("N9", "A server that speaks TLS 1.0 at most is refused in the same way.")
def test_a_server_with_an_old_tls_gets_nothing(tmp_path, authority):
    context = issued(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1

    async def old(peer):  # asyncio's own server would hang up without saying why
        received, said = ssl.MemoryBIO(), ssl.MemoryBIO()
        received.write(await peer._reader.read(65536))
        with pytest.raises(ssl.SSLError):
            context.wrap_bio(received, said, server_side=True).do_handshake()
        await peer.send(said.read())
        await peer.rest()

    with serving(old) as server:
        base = server.url("/v1").replace("http:", "https:")
        ran = outgoing(tmp_path, base, **trusting(tmp_path, authority)).settle(server, on_the_wire=0)
    assert (ran.code, ran.unsent, len(server.received)) == (3, 3, 1), ran.said
    assert "the server speaks no version of TLS that is safe" in ran.said


@pytest.mark.fault(
    "N9", "A certificate that becomes bad in the middle of a run stops it too: the rest stays pending."
)
def test_a_certificate_that_becomes_bad_stops_the_run(tmp_path, authority):
    good, bad = issued(authority), issued(authority, "api.other.example")
    now = [good]

    def choose(connection, _name, _context):
        connection.context = now[0]

    good.sni_callback = choose

    async def once(peer):
        await peer.request()
        now[0] = bad
        await peer.send(
            answer(ok().partition(b"\r\n\r\n")[2], headers="Content-Type: application/json", close=True)
        )

    with serving(once, context=good) as server:
        base = server.url("/v1", host="localhost")
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.configure_cert(good)
        ran = outgoing(tmp_path, base, **trusting(tmp_path, authority)).settle(server)
    assert (ran.code, ran.statuses, ran.unsent) == (3, ["ok"], 2)
    assert "the certificate was not accepted" in ran.said


@pytest.mark.fault("N9", "A server without TLS behind an https address gets no request and no token.")
def test_a_server_without_tls_gets_nothing(tmp_path):
    async def plain(peer):
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.rest()

    with serving(plain) as server:
        base = server.url("/v1").replace("http:", "https:")
        ran = outgoing(tmp_path, base).settle(server, on_the_wire=0)
    assert (ran.code, ran.unsent, len(server.received)) == (3, 3, 1)
    assert "does not speak TLS: check host and port in base_uri" in ran.said


# -- proxies


def proxied(server):
    return {"proxy": f"http://user:{SECRET}@127.0.0.1:{server.port}"}


def without_secret(ran):
    assert SECRET not in ran.said
    for path in ran.folder.glob("*.jsonl"):
        assert SECRET.encode() not in path.read_bytes()
    return ran


def tunnel(raw):
    """Answer CONNECT with these bytes and hang up."""

    async def script(peer):
        await peer.head()
        await peer.send(raw)
        peer.close()

    return script


@pytest.mark.fault(
    "N13", "A proxy that wants other credentials (407) stops the run with exit code 3; nothing was sent."
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_other_credentials_stops_the_run(tmp_path, scheme):
    refusal = answer(b"who are you", status="407 Proxy Authentication Required")
    script = replies(refusal) if scheme == "http" else tunnel(refusal)
    with serving(script) as proxy:
        ran = without_secret(outgoing(tmp_path, f"{scheme}://api.example/v1", **proxied(proxy)).settle())
        assert (ran.code, ran.lines, ran.unsent, len(proxy.received)) == (3, [], 3, 1)
    assert "it wants other credentials (status 407): check proxy" in ran.said


BROKEN = {
    "a page with 502": answer(
        b"<html>Bad Gateway</html>", status="502 Bad Gateway", headers="Content-Type: text/html"
    ),
    "nothing": b"",
    "half an answer": b"HTTP/1.1 200 Conn",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
}


@pytest.mark.fault(
    "N13",
    "A proxy that opens no tunnel is tried again: the request was never sent; in the end the run stops.",
)
@pytest.mark.parametrize("name", BROKEN)
def test_a_proxy_that_opens_no_way_is_tried_again(tmp_path, name):
    with serving(tunnel(BROKEN[name])) as proxy:
        ran = without_secret(outgoing(tmp_path, "https://api.example/v1", **proxied(proxy)).settle())
        assert (ran.code, ran.lines, ran.unsent, len(proxy.received)) == (5, [], 3, 4)
    assert "no way through proxy" in ran.said


@pytest.mark.fault("N13", "A tunnel that opens at the second attempt costs an attempt and leaves no doubt.")
def test_a_proxy_that_recovers_is_used(tmp_path, authority):
    with serving(healthy, context=issued(authority)) as server:

        async def passing(peer):
            await peer.head()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

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

        with serving(tunnel(BROKEN["a page with 502"]), passing) as proxy:
            client = {**trusting(tmp_path, authority), **proxied(proxy)}
            ran = outgoing(tmp_path, server.url("/v1"), **client).settle(server, on_the_wire=3)
            assert b"sk-canary" not in b"".join(proxy.received)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [False] * 3)


@pytest.mark.fault(
    "N13", "A page with 502 that a proxy gives to a plain request is a doubt: what creates is set aside."
)
def test_a_page_of_a_proxy_is_an_answer_with_its_status(tmp_path):
    with serving(replies(BROKEN["a page with 502"], ok())) as proxy:
        ran = without_secret(outgoing(tmp_path, "http://api.example/v1", **proxied(proxy)).settle())
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [True, False, False])
    with serving(replies(refused("503 Service Unavailable"), ok())) as proxy:
        ran = without_secret(outgoing(tmp_path, "http://api.example/v1", **proxied(proxy)).settle())
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [False] * 3)
