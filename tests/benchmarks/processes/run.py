"""Measure a run in 1, 2 and more processes: python tests/benchmarks/processes/run.py [RECORDS [ROUNDS]].

It writes docs/measured/processes.md.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PAGE = ROOT / "docs" / "measured" / "processes.md"
SERVER = HERE.parent / "transports" / "server.py"
PROCESSES = (1, 2, 4)
FEW = max(PROCESSES)
"""Records of the short file: one for each process, so that all of them start."""

CONFIG = """version: 1
clients:
  api:
    base_uri: http://127.0.0.1:{port}/v1
    token: made-up-token
    limits: {{requests_per_minute: 100000000, tokens_per_minute: {tokens}, concurrency: 32}}
outgoing:
  out:
    request: {{method: POST, path: /things}}
    payload: {{model: m, messages: [{{role: user, content: "&{{text}}"}}]}}
    result: {{id: "&{{input.id}}", text: "&{{response.choices[0].message.content}}"}}
"""

HEAD = """# Measured: one run in several processes

`connectory run outgoing out --processes N` over {records:,} records of a JSON Lines file, against a server in a process
of its own that answers each request with the same kilobyte at once. The limits are set, and so high that they never
bind: what is shared is looked at for each request all the same. *Starting* is the time for a file of {few} records: what
the Python processes, the configuration and the catalogue take. The rest is the time for the other records.

    python tests/benchmarks/processes/run.py

| processes | starting | the rest | records/s | against 1 | processor time a record | the server's share |
|---|---|---|---|---|---|---|
"""


@dataclass
class Measured:
    """What one run took: seconds on the clock, and seconds of processors, its own and the server's."""

    seconds: float
    used: float
    server: float


def main():
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            (folder / "connectory.yaml").write_text(
                CONFIG.format(port=int(server.stdout.readline()), tokens=10**9)
            )
            for count in (FEW, records):
                lines = (json.dumps({"id": str(one), "text": "x" * 200}) for one in range(count))
                (folder / f"{count}.jsonl").write_text("\n".join(lines) + "\n")
            load, found = [], {number: ([], []) for number in PROCESSES}
            for _ in range(rounds):
                for number in PROCESSES:
                    load.append(os.getloadavg()[0])
                    for place, count in enumerate((FEW, records)):
                        found[number][place].append(measured(folder, count, number, server.pid))
        finally:
            server.stdin.close()
            server.wait()
    PAGE.write_text(page(records, rounds, found, load))
    print(PAGE.read_text())


def measured(folder, count, number, server):
    before, since, begun = spent(), of_server(server), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "connectory", "run", "outgoing", "out", "--input", f"{count}.jsonl",
         "--output", "out.jsonl", "--processes", str(number), "--new"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / one) for one in ("connector", "schemas", "transformers"))},
        check=True,
        capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    with (folder / "out.jsonl").open("rb") as lines:
        assert sum(1 for _ in lines) == count
    return Measured(seconds, spent() - before, of_server(server) - since)


def spent():
    """Seconds of processors that ended processes have used, their own children included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_server(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def page(records, rounds, found, load):
    rows, first = [], 0.0
    for number, (short, long) in found.items():
        starting, whole = (statistics.median(one.seconds for one in some) for some in (short, long))
        rest = whole - starting
        rate = (records - FEW) / rest
        first = first or rate
        used = statistics.median(one.used for one in long) - statistics.median(one.used for one in short)
        served = statistics.median(one.server for one in long)
        rows.append(
            f"| {number} | {starting:.1f} s | {rest:.1f} s | {rate:,.0f} | {rate / first:.2f} | "
            f"{used / (records - FEW) * 1e6:,.0f} µs | {served / rest:.0%} of a core |"
        )
    cores = len(os.sched_getaffinity(0))
    told = f"""\
Medians of {rounds} rounds with Python {platform.python_version()} on {cores} shared cores ({platform.machine()}).
The load just before a run, the run before it included, was {statistics.mean(load):.1f} on average. What that means:

- *Processor time a record* is what can be trusted. It says what sharing costs: the difference between the rows.
- The records a second are only good to be held against each other: on a machine that is busy with other things two
  processes get a larger share of it than one, which can make more than twice as many records a second of them.
- The server takes its part of the same {cores} cores, so two processes could not have all of them on an idle machine either.
- With more processes than cores there is nothing to be gained, which is what the last row is there to show.
- Nothing here says how it goes on with more cores; that was not measured.
"""
    return HEAD.format(records=records, few=FEW) + "\n".join(rows) + "\n\n" + told


if __name__ == "__main__":
    main()
