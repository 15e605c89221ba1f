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
import time
from dataclasses import dataclass
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
a core each, beside `connectory run outgoing` with the same rows in one process. The server counts the requests that it
takes; it is a Python program with threads, so it bounds all rows alike. The session runs and has written some rows before;
the time is that of the write, and of the command without that for one record. With *kills* two tasks are killed in the middle and three requests are answered 429.

    python tests/benchmarks/engines/spark.py

| what | rows/s | against one process | requests | of them repeated |
|---|---|---|---|---|
"""
TAIL = """
Medians of {rounds} rounds with Spark {spark}, Python {python} on {cores} shared cores; the load was {load:.1f}. **Other programs
ran at the same time: trust the ratios, and not much.** The client's processes, the server and Spark's own four Java
processes share these cores, so nothing here says how it goes on with more machines; that was not measured.
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
        spark = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, master, name, str(rows)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env,
        )  # fmt: skip
        assert spark.stdin is not None
        assert spark.stdout is not None
        assert spark.stdout.readline() == "ready\n"
        for number in range(rounds):
            starting = one_process(folder, env, 1)  # it is not what is compared
            alone = measure(server, rows, lambda: one_process(folder, env, rows))
            alone.seconds -= starting
            found["one process"].append(alone)
            for what, outgoing in (("Spark", "plain"), ("Spark, kills", "moderate")):
                if outgoing == "moderate":
                    for one in folder.glob("died-*"):
                        one.unlink()
                    server.refused = {server.posts + rows // part for part in (5, 4, 3)}

                def write(outgoing: str = outgoing, number: int = number) -> float:
                    spark.stdin.write(f"{outgoing} {outgoing}-{number}\n")
                    spark.stdin.flush()
                    return float(spark.stdout.readline())

                found[what].append(measure(server, rows, write))
        spark.stdin.close()
        spark.wait(60)
    PAGE.write_text(page(found, rows, rounds))
    print(PAGE.read_text())


def measure(server: CountingServer, rows: int, write) -> Measured:
    """Write, and count what arrived."""
    server.inputs.clear()
    before = server.posts
    seconds = write()
    assert len(server.inputs) == rows, f"{len(server.inputs)} of {rows} arrived"
    return Measured(seconds, server.posts - before, server.repeated)


def one_process(folder: Path, env: dict[str, str], limit: int) -> float:
    """Run the command with so many records, and give its time."""
    begun = time.perf_counter()
    words = ["run", "outgoing", "plain", "--input", "rows.jsonl", "--output", "out.jsonl", "--new"]
    words += ["--limit", str(limit)]
    subprocess.run(
        [sys.executable, "-m", "connectory", *words], cwd=folder, env=env, check=True, capture_output=True
    )
    return time.perf_counter() - begun


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
