"""The HTTP transport fed in memory: any split of a valid answer is the same answer, and nothing else gets through."""

from __future__ import annotations

import asyncio
import socket
from itertools import pairwise

import httpx
import pytest
from fault_server import OK_HEAD, answer, chunked
from hypothesis import given, settings
from hypothesis import strategies as st

import connectory.transport
from connectory.transport import Transport

KNOWN = {"RemoteProtocolError", "ReadError", "ReadTimeout"}
ENDS = ["close", "reset", "stay"]
VALID = [
    answer(b"hello"),
    answer(b"", status="404 Not Found", headers="X-Request-Id: req_1"),
    answer(b"z" * 300, headers="Content-Type: application/json\nX-Long: " + "v" * 200),
    chunked(b"data: 1\n\n", b"data: [DONE]\n\n"),
    chunked(b"x" * 40, trailers="X-Sum: 1"),
    chunked(),
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"late"),
    b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + chunked(b"late"),
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    answer(b"bye", close=True),
]
UNTIL_CLOSED = [OK_HEAD + b"\r\nall the rest", b"HTTP/1.0 200 OK\r\n\r\nold"]


class Wire(asyncio.Transport):
    """A transport without a network: after a request it plays the next list of pieces."""

    def __init__(self, connection, script, end, ears):
        super().__init__()
        self.connection, self.script, self.end, self.ears = connection, script, end, ears
        self.closing = self.paused = False
        self.kept = []

    def get_extra_info(self, name, default=None):
        return self.ears if name == "socket" else default

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False
        self.play([])

    def write(self, data):
        assert not self.closing, "written after the end"
        if self.script:
            asyncio.get_running_loop().call_soon(self.play, self.script.pop(0))

    def play(self, pieces):
        self.kept += pieces
        while self.kept and not self.closing and not self.paused:
            self.connection.data_received(self.kept.pop(0))
        if not self.closing and not self.paused and self.end != "stay" and not self.script:
            self.finish(ConnectionResetError() if self.end == "reset" else None)

    def abort(self):
        self.finish(None)

    def finish(self, error):
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, error)


def exchange(scripts, *, end="stay", method="GET", monkeypatch=None):
    """Send one request for each script over one connection (and more when needed); give what came of each."""

    async def main():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        mine, other = socket.socketpair()
        mine.setblocking(False)
        waiting = [list(pieces) for pieces in scripts]

        async def fake_open(_place, connection, *, context):
            assert context is None
            connection.connection_made(Wire(connection, waiting, end, mine))

        monkeypatch.setattr(connectory.transport, "open_direct", fake_open)
        outcomes = []
        try:
            async with asyncio.timeout(20), Transport(limit=1, idle_timeout=0.02) as transport:
                outcomes += [await outcome(transport, method) for _ in scripts]
                for origin in transport._pool.origins.values():
                    assert origin.slots == len(origin.idle) == 1
                    assert not origin.waiters
            assert not transport._pool.connections
            assert not problems
        finally:
            mine.close()
            other.close()
        return outcomes

    return asyncio.run(main())


async def outcome(transport, method):
    request = httpx.Request(method, "http://127.0.0.1/")
    try:
        response = await transport.handle_async_request(request)
        body = b"".join([chunk async for chunk in response.stream])
    except httpx.RequestError as error:
        return type(error).__name__ if error.request is request else "an error of another request"
    return response.status_code, response.headers.raw, body


def split(data, places):
    cuts = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(cuts)]


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


places = st.lists(st.integers(0, 2000), max_size=12)
quick = settings(deadline=None, database=None, max_examples=250)


@quick
@given(
    st.lists(st.tuples(st.sampled_from(VALID), places), min_size=1, max_size=4),
    st.sampled_from(["GET", "HEAD"]),
)
def test_where_packets_end_makes_no_difference(patched, parts, method):
    if method == "HEAD":
        parts = [(answer(b"", headers="X-A: " + "b" * len(cuts)), cuts) for _, cuts in parts]
    whole = exchange([[raw] for raw, _ in parts], method=method, monkeypatch=patched)
    assert exchange([split(*part) for part in parts], method=method, monkeypatch=patched) == whole
    assert all(isinstance(one, tuple) for one in whole)


@pytest.mark.parametrize("raw", VALID)
def test_every_single_split_and_byte_by_byte(patched, raw):
    whole = exchange([[raw]], monkeypatch=patched)
    assert exchange([[raw[place : place + 1] for place in range(len(raw))]], monkeypatch=patched) == whole
    for place in range(1, len(raw)):
        assert exchange([[raw[:place], raw[place:]]], monkeypatch=patched) == whole


@quick
@given(st.sampled_from(UNTIL_CLOSED), places)
def test_an_answer_until_the_close_may_come_in_any_pieces(patched, raw, cuts):
    ((status, _, body),) = exchange([split(raw, cuts)], end="close", monkeypatch=patched)
    assert (status, body) == (200, raw.partition(b"\r\n\r\n")[2])
    assert exchange([split(raw, cuts)], end="reset", monkeypatch=patched) == ["ReadError"]


@quick
@given(st.sampled_from(VALID), st.integers(0, 2000), places, st.sampled_from(["close", "reset"]))
def test_a_cut_answer_is_never_taken_for_a_whole_one(patched, raw, length, cuts, end):
    short = raw[: length % len(raw)]
    (got,) = exchange([split(short, cuts)], end=end, monkeypatch=patched)
    assert got == ("RemoteProtocolError" if end == "close" else "ReadError")


JUNK = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\x00", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1", b"HTTP/1.1 200 OK\r\n\r\n", b" ", b":",
     b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Content-Length: 99999999999999999999\r\n", b"\xff\xfe"]
)  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from(["put", "cut", "replace", "repeat"]),
        st.integers(0, 2000),
        JUNK | st.binary(max_size=6),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data, changes):
    for kind, place, junk in changes:
        at = place % (len(data) + 1)
        if kind == "put":
            data = data[:at] + junk + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + len(junk) :]
        elif kind == "replace":
            data = data[:at] + junk + data[at + len(junk) :]
        else:
            data = data[:at] + data[max(0, at - 20) : at] + data[at:]
    return data


@settings(quick, max_examples=600)
@given(
    st.sampled_from(VALID + UNTIL_CLOSED),
    edits,
    places,
    st.tuples(st.sampled_from(ENDS), st.sampled_from(["GET", "HEAD"])),
)
def test_a_damaged_answer_ends_in_an_answer_or_an_httpx_error(patched, raw, changes, cuts, ending):
    damaged = mutate(raw, changes)
    end, method = ending
    outcomes = exchange(
        [split(damaged, cuts), [answer(b"clean")]], end=end, method=method, monkeypatch=patched
    )
    assert all(isinstance(one, tuple) or one in KNOWN for one in outcomes)


@quick
@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from(ENDS))
def test_noise_is_never_an_answer(patched, pieces, end):
    (got,) = exchange([pieces], end=end, monkeypatch=patched)
    assert got in {"RemoteProtocolError", "ReadError", "ReadTimeout"}


@quick
@given(st.sampled_from(VALID), places, st.binary(min_size=1, max_size=30) | st.sampled_from(VALID))
def test_bytes_after_an_answer_never_reach_the_next_request(patched, raw, cuts, extra):
    pieces = [*split(raw, cuts)[:-1], (split(raw, cuts) or [b""])[-1] + extra]
    first, second = exchange([pieces, [answer(b"mine")]], monkeypatch=patched)
    assert first == exchange([[raw]], monkeypatch=patched)[0]
    assert second[::2] == (200, b"mine")


headers = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20)), max_size=4)


@settings(quick, max_examples=500)
@given(headers, st.text(max_size=8), st.text(max_size=20))
def test_no_header_method_or_path_makes_a_second_line(patched, pairs, method, path):
    sent = []

    async def main():
        async def fake_open(_place, connection, *, context):
            wire = Wire(connection, [[answer()]], "stay", mine)
            play = wire.write
            wire.write = lambda data: (sent.append(data), play(data))
            connection.connection_made(wire)

        mine, other = socket.socketpair()
        patched.setattr(connectory.transport, "open_direct", fake_open)
        try:
            request = httpx.Request("GET", "http://a.example/", headers={})
            request.method = method
            try:
                request.url = httpx.URL("http://a.example/").join("/" + path)
            except httpx.InvalidURL:
                return
            request.headers = httpx.Headers([(b"Host", b"a"), *pairs])
            async with Transport() as transport:
                await transport.handle_async_request(request)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            assert not sent
        finally:
            mine.close()
            other.close()

    asyncio.run(main())
    for head in sent:
        lines = head.split(b"\r\n")
        assert lines[0].count(b" ") == 2
        assert len(lines) == 2 + 2 + len(pairs)
        assert not {*b"\r\n"} & {*b"".join(lines)}


def test_a_head_that_is_too_large_is_refused_even_when_it_comes_at_once(patched):
    raw = OK_HEAD + b"X: yyyyyyyyyyyy\r\n" * 15_000 + b"Content-Length: 0\r\n\r\n"
    assert exchange([[raw]], monkeypatch=patched) == ["RemoteProtocolError"]
