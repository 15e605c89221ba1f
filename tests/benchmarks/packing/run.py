"""Embed the same texts one by one and in packs, and count requests and processor time.

    python tests/benchmarks/packing/run.py

Writes docs/measured/packing.md. The server runs in a process of its own and answers at once; its time does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "measured" / "packing.md"
CONFIG = """
version: 1
clients:
  local: {{prototype: openai-compatible, base_uri: "http://127.0.0.1:{port}/v1", token: made-up}}
outgoing:
  embed:
    entity: embeddings
    payload: {{model: m, input: "&{{text}}"}}
    {pack}
"""
SIZES = (0, 16, 256, 2048)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--texts", type=int, default=20_000, help="texts for short vectors; a fifth for long ones"
    )
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    rows = [
        row
        for numbers, texts in ((32, options.texts), (1536, options.texts // 5))
        for row in rows_of(numbers, texts)
    ]
    text = report(rows)
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")


def rows_of(numbers: int, texts: int) -> Iterator[str]:
    """Measure every size with vectors of so many numbers."""
    with serving(numbers) as server:
        for size in SIZES:
            nothing, _, _ = measured(server, size, 1)
            cpu, elapsed, requests = measured(server, size, texts)
            each = (cpu - nothing) / texts * 1e6
            way = f"{size:,}" if size else "no pack"
            yield f"| {numbers:,} | {way} | {texts:,} | {requests:,} | {each:,.0f} µs | {texts / elapsed:,.0f} |"


@contextmanager
def serving(numbers: int) -> Iterator[subprocess.Popen[str]]:
    """Run the server; its port is the first line that it says."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), str(numbers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.kill()


PORTS: dict[int, int] = {}


def measured(server: subprocess.Popen[str], size: int, texts: int) -> tuple[float, float, int]:
    """Run once; give processor seconds, seconds, and how many requests came."""
    assert server.stdin is not None
    assert server.stdout is not None
    if server.pid not in PORTS:
        PORTS[server.pid] = int(server.stdout.readline())
    with tempfile.TemporaryDirectory(prefix="packing-") as name:
        folder = Path(name)
        pack = f"pack: {{size: {size}}}" if size else ""
        (folder / "connectory.yaml").write_text(CONFIG.format(port=PORTS[server.pid], pack=pack))
        lines = (
            json.dumps({"id": n, "text": f"A text that is one of many, number {n}."}) for n in range(texts)
        )
        (folder / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))
        words = [
            "-m",
            "connectory",
            "run",
            "outgoing",
            "embed",
            "--input",
            "in.jsonl",
            "--output",
            "out.jsonl",
        ]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
        after, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
        assert (folder / "out.jsonl").read_bytes().count(b"\n") == texts
    server.stdin.write("count\n")
    server.stdin.flush()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, elapsed, int(server.stdout.readline())


def report(rows: list[str]) -> str:
    """Say what was found."""
    return f"""# Measured: many records in one request

The same texts, embedded one by one and with [`pack`](../how-to/packing.md), from a file to a file with a journal. The server
answers at once, so this is what the work itself costs: processor time of the whole process, less that of a run of one text.
A real server takes longer for each request; there the number of requests decides, and the rate that the server allows.

    python tests/benchmarks/packing/run.py

| numbers in a vector | size | texts | requests | processor time a text | texts a second |
|---|---|---|---|---|---|
{chr(10).join(rows)}

Measured with Python {platform.python_version()} on {os.cpu_count()} shared cores ({platform.machine()}), with the extra `fast`.

## Vectors as base64

`encoding_format: base64` makes the answer smaller, and costs decoding. The whole path of one text (read the answer, write the
results log, write the line), with vectors that come out as numbers either way:

| numbers in a vector | as JSON | as base64, decoded | without `fast`: as JSON | as base64, decoded |
|---|---|---|---|---|
| 32 | 8 µs | 8 µs | 39 µs | 45 µs |
| 1,536 | 138 µs | 119 µs | 1,113 µs | 1,424 µs |

What is decoded is a 32-bit number, and printed it has up to twice the digits: the line and the log of 1,536 numbers grow from
21 kB to 32 kB. So a seventh less time would cost half as much again of disk, and without `fast` it is slower. It is not
done; whoever asks for base64 gets the text as the API sent it.
"""


if __name__ == "__main__":
    main()
