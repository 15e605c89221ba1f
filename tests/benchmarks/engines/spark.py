"""Measure a write by Spark beside one plain process: python tests/benchmarks/engines/spark.py [ROWS [ROUNDS]].

It writes docs/measured/spark.md. Spark runs on a real cluster of one master and two workers, which it starts and stops.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PAGE = ROOT / "docs" / "measured" / "spark.md"
SOURCES = [str(ROOT / name) for name in ("connector", "schemas", "transformers")]
sys.path[:0] = [str(ROOT / "tests"), *SOURCES]

from spark_runs import cluster, environment, prepare  # noqa: E402 - found beside the tests
from spark_server import CountingServer  # noqa: E402 - the same

HEAD = """# Measured: rows written by Spark

`df.write.format("connectory")` with {rows:,} rows in 4 partitions, on a standalone cluster of one master and two workers with
a core each, beside the same rows through `Connector.outgoing` with a journal in one process. The server counts the requests
that it takes; it is a Python program with threads, so it bounds all rows alike. Process and session run already and have
sent some rows; the time is that of the write. With *kills* two tasks are killed in the middle and three requests are
answered 429.

    python tests/benchmarks/engines/spark.py

| what | rows/s | against one process | requests | of them repeated |
|---|---|---|---|---|
"""
TAIL = """
Medians of {rounds} rounds with Spark {spark}, Python {python} on {cores} shared cores; the load was {load:.1f}. **Other programs
ran at the same time: trust the ratios, and not much.** The client's processes, the server and Spark's own four Java
processes share these cores, so nothing here says how it goes on with more machines; that was not measured.
"""
PLAIN = """
import json, sys, time
from pathlib import Path
from connectory import Connector

folder = Path(sys.argv[1])
rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
with Connector.from_file(folder / "connectory.yaml") as connector:
    list(connector.outgoing("plain", rows[:8], job="warm"))
    print("ready", flush=True)
    for word in sys.stdin:
        begun = time.perf_counter()
        with (folder / "out.jsonl").open("w") as out:
            for result in connector.outgoing("plain", rows, job=word):
                out.write(json.dumps(result.as_dict()) + "\\n")
        print(time.perf_counter() - begun, flush=True)
"""
PROGRAM = """
import json, sys, time
from pathlib import Path
from spark_program import Program, session
from connectory.engines.spark import register

folder, rows = Path(sys.argv[2]), int(sys.argv[3])
spark = session(sys.argv[1])
register(spark)
warm = Program(spark, folder, 8, 2)._rows()
Program(spark, folder, 8, 2)._writer(warm, "plain").mode("append").save(str(folder / "warm"))
print("ready", flush=True)
for word in sys.stdin:
    begun = time.perf_counter()
    outgoing, number = word.split()
    made = Program(spark, folder, rows, 4)
    made._writer(made._rows(), outgoing).mode("append").save(str(folder / number))
    print(time.perf_counter() - begun, flush=True)
"""


@dataclass
class Measured:
    """What one write took, and what the server saw of it."""

    seconds: float
    requests: int
    repeated: int


def main() -> None:
    """Measure in rounds, in each of them one process, Spark, and Spark with kills."""
    words = [int(word) for word in sys.argv[1:]]
    rows, rounds = words[0] if words else 2000, words[1] if len(words) > 1 else 3
    found: dict[str, list[Measured]] = {"one process": [], "Spark": [], "Spark, kills": []}
    with tempfile.TemporaryDirectory() as name, CountingServer() as server, cluster(Path(name)) as master:
        folder = Path(name)
        deaths = (rows // 8, rows // 2 + 9)
        prepare(folder, server.base_uri, rows=rows, deaths=deaths)
        lines = [json.dumps({"number": one, "text": f"text {one}"}) for one in range(rows)]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        env = environment() | {"PYTHONPATH": os.pathsep.join(sys.path[:4])}
        plain = begun(PLAIN, name, env=env)
        spark = begun(PROGRAM, master, name, str(rows), env=env)
        for number in range(rounds):
            found["one process"].append(measure(server, rows, partial(told, plain, str(number))))
            found["Spark"].append(measure(server, rows, partial(told, spark, "plain", f"plain-{number}")))
            for one in folder.glob("died-*"):
                one.unlink()
            server.refused = {server.posts + rows // part for part in (5, 4, 3)}
            kills = partial(told, spark, "moderate", f"moderate-{number}")
            found["Spark, kills"].append(measure(server, rows, kills))
        for process in (plain, spark):
            process.communicate(timeout=60)
    PAGE.write_text(page(found, rows, rounds))
    print(PAGE.read_text())


def measure(server: CountingServer, rows: int, write) -> Measured:
    """Write, and count what arrived."""
    server.inputs.clear()
    before = server.posts
    seconds = write()
    assert len(server.inputs) == rows, f"{len(server.inputs)} of {rows} arrived"
    return Measured(seconds, server.posts - before, server.repeated)


def begun(program: str, *words: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a program that is ready to write, and wait until it says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def told(process: subprocess.Popen[str], *words: str) -> float:
    """Let a program write, and give the seconds that it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(" ".join(words) + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def page(found: dict[str, list[Measured]], rows: int, rounds: int) -> str:
    """Write the page."""
    text = HEAD.format(rows=rows)
    for what, runs in found.items():
        speed = statistics.median(rows / one.seconds for one in runs)
        ratio = statistics.median(
            first.seconds / one.seconds for first, one in zip(found["one process"], runs, strict=True)
        )
        requests, repeated = (sorted(values)[len(runs) // 2] for values in ([one.requests for one in runs], [one.repeated for one in runs]))  # fmt: skip
        text += f"| {what} | {speed:,.0f} | {ratio:.2f} | {requests:,} | {repeated} |\n"
    return text + TAIL.format(
        rounds=rounds, spark=version("pyspark"), python=platform.python_version(), cores=os.cpu_count(), load=os.getloadavg()[1]
    )  # fmt: skip


if __name__ == "__main__":
    main()
