"""Measure what a record costs, beside other tools: python tests/benchmarks/run.py [--only chat,list] [--quick] [--rounds N].

Everything that is compared is installed by this program, in environments below .venv-bench. It needs Linux, a C compiler and
uv. The tables go to stdout, the numbers to tests/benchmarks/results/latest.json; `--write-docs` writes docs/measured/performance.json,
its plot and the generated parts of docs/performance.md, and `--render` does only that, from the numbers that are there.
`--against REVISION` measures our own code beside that of another revision of git, and no other tools: is a change faster?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

from benchmarks.speed.comparing import PREPARED, compare  # noqa: E402 - the path comes first
from benchmarks.speed.environments import WANTED, UnavailableError, commit_of, versions  # noqa: E402 - the same
from benchmarks.speed.flatness import measure_memory  # noqa: E402 - the same
from benchmarks.speed.measuring import processors  # noqa: E402 - the same
from benchmarks.speed.plot import plot  # noqa: E402 - the same
from benchmarks.speed.reporting import filled, merged, read, terminal  # noqa: E402 - the same
from benchmarks.speed.served import serve  # noqa: E402 - the same
from benchmarks.speed.starting import measure_starts  # noqa: E402 - the same
from benchmarks.speed.workloads import WORKLOADS  # noqa: E402 - the same

if TYPE_CHECKING:
    from collections.abc import Sequence

LATEST = HERE / "results" / "latest.json"
MEASURED = ROOT / "docs" / "measured" / "performance.json"
DRAWN = MEASURED.with_suffix(".svg")
PAGE = ROOT / "docs" / "performance.md"
NAMES = [*(workload.name for workload in WORKLOADS), "start", "memory"]
COMPARED = {
    "aiohttp",
    "openai",
    "litellm",
    "dlt",
    "singer-sdk",
    "httpx",
    "httpx2",
    "orjson",
    "uvloop",
    "jsonschema-rs",
}
QUICK = 1 / 25


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"some of {', '.join(NAMES)}, with commas between", default="")
    parser.add_argument("--rounds", type=int, help="how often each tool runs (default: 5, with --quick 2)")
    parser.add_argument(
        "--quick", action="store_true", help="a twenty-fifth of the records: shows that it works"
    )
    parser.add_argument(
        "--scale", type=float, help="share of the records (default: all, with --quick a twenty-fifth)"
    )
    parser.add_argument("--write-docs", action="store_true", help="write the numbers, the plot and the page")
    parser.add_argument("--render", action="store_true", help="measure nothing; write plot and page anew")
    parser.add_argument(
        "--against", metavar="REVISION", help="only our own code, beside that of this revision"
    )
    options = parser.parse_args(words)
    if options.render:
        render(read(MEASURED))
        return
    chosen = options.only.split(",") if options.only else NAMES
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"--only {unknown[0]}: there is {', '.join(NAMES)}")
    scale = options.scale or (QUICK if options.quick else 1.0)
    if options.against and options.write_docs:
        parser.error("--write-docs writes down how we stand beside others: not with --against")
    if options.against and not (chosen := [one.name for one in WORKLOADS if one.name in chosen]):
        parser.error(f"--only {options.only}: --against measures what a record costs")
    try:
        commit = commit_of(options.against) if options.against else ""
        found = measure(chosen, options.rounds or (2 if options.quick else 5), scale, commit)
    except UnavailableError as error:
        sys.exit(f"nothing was measured: {error}")
    print(terminal(found))
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if options.write_docs:
        render(merged(read(MEASURED), found) if MEASURED.exists() else found)


def measure(chosen: Sequence[str], rounds: int, scale: float, commit: str = "") -> dict[str, Any]:
    """Start the server and measure what was chosen; with a commit, beside our own code of then."""
    pair = processors()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    if pair is None:
        pinned = "Server and clients share what processors there are: they can't be pinned here."
        print(pinned, file=sys.stderr)
    else:
        os.sched_setaffinity(0, {pair[1]})  # this process waits while its children run: they inherit it
        pinned = "The server has a core of its own, the client another."
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        serve(Path(name), processor=pair[0] if pair else None) as server,
    ):
        folder = Path(name)
        workloads = [
            compare(workload, server, folder, rounds=rounds, scale=scale, commit=commit)
            for workload in WORKLOADS
            if workload.name in chosen
        ]
        starts = measure_starts(folder, times=4 * rounds) if "start" in chosen else []
        memory = measure_memory(server, folder, scale=scale) if "memory" in chosen else []
        why_plain = server.why_plain
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": processor_name(),
        "load": load,
        "pinned": pinned,
    }
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine,
        "rounds": rounds,
        "scale": scale,
        "why_plain": why_plain,
        "versions": compared_versions(),
        "workloads": workloads,
        "starts": starts,
        "memory": memory,
    }


def compared_versions() -> dict[str, str]:
    """Versions of what is compared, of the environments that were used."""
    found: dict[str, str] = {}
    for name in WANTED:
        if name in PREPARED:
            found = {key: value for key, value in versions(name).items() if key in COMPARED} | found
    return found


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def render(found: dict[str, Any]) -> None:
    MEASURED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    DRAWN.write_text(plot(found))
    PAGE.write_text(filled(PAGE.read_text(), found))


if __name__ == "__main__":
    main()
