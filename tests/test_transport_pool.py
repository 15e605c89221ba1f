"""How the transport's connections are shared, replaced, cancelled and closed."""

from __future__ import annotations

import asyncio
import gc
import random
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trustme
from fault_server import OK_HEAD, FaultServer, answer, replies
from transport_helpers import (
    LOOPS,
    contexts,
    run,
    send,
    settled,
    silent,
    slowly,
)

from connectory.errors import ConfigError
from connectory.transport import Transport


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

        async with (
            FaultServer(hold) as slow,
            FaultServer(replies(answer(b"fast"))) as fast,
            Transport(limit=1) as transport,
        ):
            task = asyncio.create_task(send(transport, "GET", slow.url()))
            assert await send(transport, "GET", fast.url()) == (200, b"fast")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_connection_that_was_idle_too_long_is_closed():
    async def main():
        async with FaultServer(replies(answer())) as server, Transport(max_idle=0.04) as transport:
            await send(transport, "GET", server.url())
            await settled(lambda: -server.open, until=0)
            await send(transport, "GET", server.url())
            assert len(server.received) == 2

    run(main())


@pytest.mark.fault(
    "X15", "an answer that came while the process stood still is read, and not taken for silence"
)
@pytest.mark.parametrize("loop", LOOPS)
def test_time_in_which_nobody_listened_is_not_the_server_s_silence(loop):
    async def main():
        async def late(peer):
            await peer.request()
            await asyncio.to_thread(time.sleep, 0.3)
            await peer.send(answer(b"late"))
            await peer.rest()

        async with served(late) as url, Transport(idle_timeout=0.5) as transport:
            sending = asyncio.ensure_future(send(transport, "GET", url))
            await asyncio.sleep(0.1)
            time.sleep(1)  # noqa: ASYNC251 - as a transformer does, or SIGSTOP
            assert await sending == (200, b"late")

    run(main(), loop)


@asynccontextmanager
async def served(script):
    """A fault server in a thread of its own, which goes on while this one stands still."""
    begun, ending = asyncio.get_running_loop().create_future(), threading.Event()
    here = asyncio.get_running_loop()

    async def serve():
        async with FaultServer(script) as server:
            here.call_soon_threadsafe(begun.set_result, server.url())
            await asyncio.to_thread(ending.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield await begun
    finally:
        ending.set()
        await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("loop", LOOPS)
def test_close_is_honoured_from_both_sides(loop):
    async def main():
        async with (
            FaultServer(replies(answer(b"a", close=True)), replies(answer(b"b"))) as server,
            Transport() as transport,
        ):
            assert await send(transport, "GET", server.url()) == (200, b"a")
            assert await send(transport, "GET", server.url(), headers={"Connection": "close"}) == (200, b"b")
            assert await send(transport, "GET", server.url()) == (200, b"b")
            assert len(server.received) == 3

    run(main(), loop)


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


def test_importing_the_transport_makes_no_tls_context_and_no_thread():
    code = (
        "import threading, ssl; ssl.create_default_context = None; import connectory.transport as t;"
        "t.Transport(); print(threading.active_count())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert shown.stdout == "1\n"


def test_connections_work_where_there_is_no_poll(monkeypatch):
    monkeypatch.delattr(select, "poll")

    async def main():
        async with FaultServer(replies(answer())) as server, Transport() as transport:
            for _ in range(3):
                await send(transport, "GET", server.url())
            assert len(server.received) == 1

    run(main())


async def close_at_once(peer):
    peer.close()


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


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True])
def test_thousands_of_cancelled_requests_leave_the_pool_whole(secure, loop):
    generator = random.Random(7)  # noqa: S311 - the same moments in every run

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
                answers = await asyncio.gather(
                    *(send(transport, "GET", server.url(f"/{number}")) for _ in range(8))
                )
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


def test_a_connection_closed_as_soon_as_it_is_open_never_hangs():
    async def main():
        async with FaultServer(close_at_once) as server, Transport() as transport:
            for _ in range(20):
                with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)):
                    await send(transport, "GET", server.url())
            assert not transport._pool.origins

    run(main())
