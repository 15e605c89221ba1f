"""Whether memory grows with the records: the same run with few and with many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.speed.comparing import run, say
from benchmarks.speed.environments import UnavailableError
from benchmarks.speed.tools import chat_tools
from benchmarks.speed.workloads import Workload

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.speed.served import Served

COUNTS = [10_000, 100_000, 1_000_000]


def measure_memory(server: Served, folder: Path, *, scale: float) -> list[dict[str, Any]]:
    """Send so many chats of 1 KB and give the peak of each run."""
    workload = Workload("memory", "Peak memory by the number of records", "chat", COUNTS[-1], chat_tools)
    tool = workload.tools()[0]
    rows: list[dict[str, Any]] = []
    for whole in COUNTS:
        count = max(100, int(whole * scale))
        try:
            spent = run(workload, tool, count, server, folder)
        except UnavailableError as error:
            say(f"memory: {error}")
            break
        rows.append(
            {"records": count, "mebibytes": round(spent.mebibytes, 1), "wall_s": round(spent.wall, 1)}
        )
        say(f"memory: {rows[-1]}")
        for source in folder.glob(f"*-{count}.jsonl"):
            source.unlink()
    return rows
