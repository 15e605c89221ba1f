"""One run of a tool: a process, and what the system says that it used."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed.environments import UnavailableError

if TYPE_CHECKING:
    from benchmarks.speed.served import Served

LONGEST = 3600.0
"""Seconds after which a run is ended."""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONNECTORY"))}
"""What the tools see: nothing that changes what an environment imports."""


@dataclass(frozen=True)
class Spent:
    """What a run used: processor seconds of the process and its children, peak memory, and what the server saw of it."""

    cpu: float
    wall: float
    mebibytes: float
    requests: int = 0
    served_cpu: float = 0.0


def processors() -> tuple[int, int] | None:
    """Give a processor for the server and one for the client, or None where there are no two to be had."""
    try:
        usable = sorted(os.sched_getaffinity(0))
    except AttributeError:
        return None
    return (usable[0], usable[1]) if len(usable) > 1 else None


def spend(
    command: list[str],
    folder: Path,
    *,
    server: Served | None = None,
    environment: dict[str, str] | None = None,
) -> Spent:
    """Run it in the folder to its end, alone.

    The peak memory is at least that of the caller, from which a process is made: the caller must be small.
    """
    before = server.count() if server else (0, 0.0)
    log = folder / "log.txt"
    with log.open("wb") as said:
        begun = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**CLEAN, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        clock = threading.Timer(LONGEST, process.kill)
        clock.start()
        try:
            _, status, use = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            clock.cancel()
        wall = time.monotonic() - begun
    after = server.count() if server else (0, 0.0)
    if process.returncode:
        raise UnavailableError(
            f"it ended with {process.returncode}: {reason(log.read_text(errors='replace'))}"
        )
    return Spent(
        cpu=use.ru_utime + use.ru_stime,
        wall=wall,
        mebibytes=use.ru_maxrss / 1024,
        requests=after[0] - before[0],
        served_cpu=after[1] - before[1],
    )


def reason(said: str) -> str:
    """Give the line that tells most: a traceback's last, of other words the first."""
    lines = [line for line in said.splitlines() if line.strip()] or ["it said nothing"]
    return lines[-1 if any(line.startswith("Traceback") for line in lines) else 0][:300]


def lines_of(path: Path) -> int:
    """Count the lines of a file without holding it in memory."""
    count = 0
    with path.open("rb") as file:
        while block := file.read(1 << 18):
            count += block.count(b"\n")
    return count
