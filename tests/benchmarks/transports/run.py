"""Judge the candidates for the wire and measure them: python tests/benchmarks/transports/run.py [--quick] [--whole]."""

from __future__ import annotations

import asyncio
import gc
import socket
import statistics
import subprocess
import sys
import time
import warnings
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
ROOTS = [str(HERE.parents[2] / name) for name in ("connector", "schemas", "transformers")]
sys.path[:0] = [str(HERE), str(HERE.parents[1]), *ROOTS]

import httpx  # noqa: E402 - the paths come first
from candidates import CANDIDATES  # noqa: E402
from judge import POINTS, judge  # noqa: E402
from server import ANSWER  # noqa: E402

from connectory import AsyncConnector  # noqa: E402 - as above

WORKERS = 64
PACKAGES = {
    "ours": ["httptools"],
    "aiohttp": [
        "aiohttp",
        "aiohappyeyeballs",
        "aiosignal",
        "attrs",
        "frozenlist",
        "multidict",
        "propcache",
        "yarl",
    ],
    "pyreqwest": ["pyreqwest"],
    "pycurl": ["pycurl"],
}


def weight(name):
    """Megabytes that the candidate's packages add on disk."""
    total = 0
    for package in PACKAGES[name]:
        for file in distribution(package).files or []:
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.exists() else 0
    return total / 1e6


def verdicts():
    names = list(CANDIDATES)
    print("| point | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    notes, passed = [], dict.fromkeys(names, 0)
    for point in POINTS:
        row = []
        for name in names:
            problem = asyncio.run(judge(point, CANDIDATES[name]))
            passed[name] += not problem
            row.append("no" if problem else "yes")
            if problem:
                notes.append(f"{name}: {point.__doc__}: {problem}")
        print(f"| {point.__doc__} | " + " | ".join(row) + " |", flush=True)
    print("| **points** | " + " | ".join(f"{passed[name]}/{len(POINTS)}" for name in names) + " |\n")
    print(*notes, sep="\n")


async def burst(make, url, count):
    """CPU microseconds of this process per request."""
    async with make() as transport:
        left = iter(range(count))
        # Made once: what a request costs to make is the client's matter, and the same over every wire.
        request = httpx.Request("POST", url, headers=HEADERS, content=BODY)

        async def work():
            for _ in left:
                response = await transport.handle_async_request(request)
                body = b"".join([chunk async for chunk in response.stream])
                assert len(body) > 900
                await response.aclose()

        await asyncio.gather(*(work() for _ in range(WORKERS)))  # the connections, unmeasured
        left = iter(range(count))
        gc.collect()
        start = time.process_time()
        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return (time.process_time() - start) / count * 1e6


HEADERS = {"Authorization": "Bearer x", "Content-Type": "application/json", "User-Agent": "connectory"}
BODY = b'{"model": "gpt", "messages": [{"role": "user", "content": "' + b"z" * 900 + b'"}]}'


async def null_burst(count):
    """What making the responses costs by itself."""

    async def nothing(request):
        return httpx.Response(
            200,
            headers=[(b"x-%d" % n, b"y") for n in range(15)],
            stream=httpx.ByteStream(b"x" * 901),
            request=request,
        )

    class Null(httpx.AsyncBaseTransport):
        handle_async_request = staticmethod(nothing)

    return await burst(Null, "http://127.0.0.1/v1/chat", count)


class Instant(asyncio.Transport):
    """A wire without a kernel: every request is answered in the next round of the loop."""

    def __init__(self, connection, ears):
        super().__init__()
        self._connection, self._ears = connection, ears

    def get_extra_info(self, name, default=None):
        return self._ears if name == "socket" else default

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return False

    def write(self, _data):
        asyncio.get_running_loop().call_soon(self._connection.data_received, ANSWER)

    def abort(self):
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


async def without_kernel(count):
    """What our wire costs in Python, responses included."""
    ears, other = socket.socketpair()

    async def instantly(_place, connection, *, context):
        connection.connection_made(Instant(connection, ears))

    with ears, other, patch("connectory.transport.open_direct", instantly):
        return await burst(CANDIDATES["ours"], "http://127.0.0.1/v1/chat", count)


async def whole(make, url, count):
    """CPU microseconds of this process per record: a chat record made, checked, sent, read and shaped."""
    config = {
        "version": 1,
        "clients": {
            "api": {
                "prototype": "openai-compatible",
                "base_uri": url.removesuffix("/chat/completions"),
                "token": "made-up-token",
                "limits": {"concurrency": WORKERS},
            }
        },
        "outgoing": {
            "chat": {
                "entity": "chat.completions",
                "payload": {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "&{text}"}]},
                "result": {"answer": "&{response.choices[0].message.content}"},
            }
        },
    }
    async with AsyncConnector.from_dict(config, transport=make()) as connector:

        async def send(number):
            records = ({"id": one, "text": "z" * 900} for one in range(number))
            async for result in connector.outgoing("chat", records):
                assert result.ok, result.error

        await send(10 * WORKERS)  # the connections, and what is made once, unmeasured
        gc.collect()
        start = time.process_time()
        await send(count)
        return (time.process_time() - start) / count * 1e6


def measure_whole(rounds, count):
    """Compare the wires below everything else that a record costs; each loop as the program would choose it."""
    server, url, loops = begin()
    run = loops.get("uvloop", asyncio.run)
    seen = {name: [] for name in CANDIDATES}
    for _ in range(rounds):
        for name, times in seen.items():
            loop = asyncio.run if name == "pycurl" else run
            times.append(loop(whole(CANDIDATES[name], url, count)))
    base = statistics.median(seen["aiohttp"])
    print("\n| whole path over | CPU µs a record (median; min) | ratio to aiohttp |\n|---|---|---|")
    for name, times in seen.items():
        middle = statistics.median(times)
        print(f"| {name} | {middle:.1f}; {min(times):.1f} | {middle / base:.2f} |")
    server.stdin.close()
    server.wait()


def begin():
    """Start the server; give it, where it listens, and the loops there are."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1/chat/completions"
    loops = {"asyncio": asyncio.run}
    if find_spec("uvloop"):
        loops["uvloop"] = import_module("uvloop").run
    return server, url, loops


def measure(rounds, count):
    server, url, loops = begin()
    print(
        "| candidate | loop | CPU µs a request (median; min) | ratio to aiohttp on asyncio | MB installed |\n|---|---|---|---|---|"
    )
    seen = {(name, loop): [] for name in CANDIDATES for loop in loops if (name, loop) != ("pycurl", "uvloop")}
    null, instant = [], []
    for _ in range(rounds):
        for (name, loop), times in seen.items():
            times.append(loops[loop](burst(CANDIDATES[name], url, count)))
        null.append(asyncio.run(null_burst(count)))
        instant.append(asyncio.run(without_kernel(count)))
    base = statistics.median(seen["aiohttp", "asyncio"])
    for (name, loop), times in seen.items():
        middle = statistics.median(times)
        print(
            f"| {name} | {loop} | {middle:.1f}; {min(times):.1f} | {middle / base:.2f} | {weight(name):.1f} |"
        )
    for label, times in {"(ours, no kernel)": instant, "(no wire)": null}.items():
        middle = statistics.median(times)
        print(f"| {label} | asyncio | {middle:.1f}; {min(times):.1f} | {middle / base:.2f} | |")
    server.stdin.close()
    server.wait()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    if "--whole" not in sys.argv:
        verdicts()
        measure(2 if quick else 5, 1000 if quick else 3000)
    measure_whole(2 if quick else 5, 1000 if quick else 3000)
