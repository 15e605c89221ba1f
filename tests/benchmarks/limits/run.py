"""Measure runs against a limited server: python tests/benchmarks/limits/run.py [SECONDS] writes docs/measured/limits.md."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2] / folder) for folder in ("connector", "schemas", "transformers", "tests")]

from limited_model import Model  # noqa: E402 - the paths come first

from connectory.connector import AsyncConnector  # noqa: E402 - the same

PAGE = HERE.parents[2] / "docs" / "measured" / "limits.md"
COST, LATENCY = 300, 0.5
LIMITS = [(120, 100_000), (1_500, 450_000), (6_000, 1_200_000)]
"""Requests and tokens a minute: the first binds by requests, the others by tokens."""

HEAD = """# Measured: the speed at a server's limits

A server with a bucket of requests and one of tokens, each of which holds one second's worth, answers 429 beyond, and
sends the headers by which the API tells its limits. It runs in a process of its own. *Least* is the time that nobody
can beat: the larger of (work - one second's worth) / rate of the two limits. *set* has the limits in the configuration,
*auto* (the default) knows nothing at first and learns them from the answers.

    python tests/benchmarks/limits/run.py

The goal: at most a tenth over the least time, and fewer than 1 % of the requests answered 429. The same is asserted in
virtual time, for more limits and latencies, by `tests/test_gate.py`.

| requests/min | tokens/min | way | requests | least | time | over | answered 429 |
|---|---|---|---|---|---|---|---|
"""


def work(requests, tokens, seconds):
    """Costs of requests that fill so many seconds at least."""
    generator = random.Random(7)  # noqa: S311 - the same work each time
    count = int(seconds * min(requests / 60, tokens / 60 / COST)) + int(requests / 60) + 2
    return [int(COST * generator.uniform(0.5, 1.5)) for _ in range(count)]


def record(cost):
    return {"text": "x" * int(3.5 * cost * 0.7), "most": cost * 4 // 10, "cost": str(cost)}


def configuration(port, limits):
    payload = {
        "model": "m",
        "messages": [{"role": "user", "content": "&{text}"}],
        "max_tokens": "&{most}",
        "user": "&{cost}",
    }
    client = {"base_uri": f"http://127.0.0.1:{port}/v1", "token": "made-up", "limits": limits}
    chat = {"entity": "chat.completions", "payload": payload, "validate": "off"}
    return {"version": 1, "clients": {"openai": client}, "outgoing": {"chat": chat}}


async def deliver(port, limits, costs):
    async with AsyncConnector.from_dict(configuration(port, limits), listen=lambda _event: None) as made:
        begun = time.monotonic()
        statuses = [one.status async for one in made.outgoing("chat", [record(cost) for cost in costs])]
        assert statuses == ["ok"] * len(costs)
        return time.monotonic() - begun


def measure(requests, tokens, way, seconds):
    costs = work(requests, tokens, seconds)
    limits = {"concurrency": max(8, int(3 * LATENCY * requests / 60))}
    if way == "set":
        limits |= {"requests_per_minute": requests, "tokens_per_minute": tokens}
    command = [sys.executable, str(HERE / "server.py"), str(requests), str(tokens), str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline())
        took = asyncio.run(deliver(port, limits, costs))
        seen = json.loads(server.communicate()[0])
    least = Model.of(requests, tokens).least(len(costs), sum(costs))
    refused = seen["refused"] / (seen["refused"] + seen["taken"])
    row = f"| {requests:,} | {tokens:,} | {way} | {len(costs):,} | {least:.1f} s | {took:.1f} s "
    return row + f"| {took / least - 1:+.1%} | {refused:.2%} ({seen['refused']}) |"


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    rows = []
    for requests, tokens in LIMITS:
        for way in ("auto", "set"):
            rows.append(measure(requests, tokens, way, seconds))
            print(rows[-1], flush=True)
    about = f"\nMeasured with Python {platform.python_version()} on {os.cpu_count()} shared cores ({platform.machine()}), "
    about += f"answers taking {LATENCY:g} s on average, requests costing {COST} tokens on average, each from half to one and a half.\n"
    PAGE.write_text(HEAD + "\n".join(rows) + "\n" + about)


if __name__ == "__main__":
    main()
