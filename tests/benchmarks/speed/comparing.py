"""Side by side: rounds in which every tool runs twice, and what a record costs by the difference."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.speed.environments import UnavailableError, environment
from benchmarks.speed.measuring import lines_of, spend
from benchmarks.speed.tools import Ours, Place, Tool
from benchmarks.speed.workloads import write_sources

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.speed.measuring import Spent
    from benchmarks.speed.served import Served
    from benchmarks.speed.workloads import Workload

PREPARED: dict[str, Path] = {}
"""The environments that this process has brought up to date."""


@dataclass
class Measured:
    """A tool and its runs: a pair (smaller, larger) a round."""

    tool: Tool
    small: int
    large: int
    pairs: list[tuple[Spent, Spent]] = field(default_factory=list)

    def costs(self) -> list[float]:
        """Processor microseconds a record, a round each."""
        return [(more.cpu - less.cpu) / (self.large - self.small) * 1e6 for less, more in self.pairs]

    def rate(self) -> int | None:
        """Records a second, by the medians of the time on the clock; None where that says nothing."""
        fewer, longer = (median(pair[at].wall for pair in self.pairs) for at in (0, 1))
        return round((self.large - self.small) / (longer - fewer)) if longer > fewer else None

    def row(self, against: Measured) -> dict[str, Any]:
        """Say it as it is written down; ratios are of the same round."""
        costs, larger = self.costs(), [more for _, more in self.pairs]
        start = [
            less.cpu - cost * self.small / 1e6 for (less, _), cost in zip(self.pairs, costs, strict=True)
        ]
        ratios = [mine / max(theirs, 0.01) for mine, theirs in zip(costs, against.costs(), strict=False)]
        return {
            "tool": self.tool.label,
            "does": self.tool.does,
            "records": self.large,
            "cpu_us": round(median(costs), 1),
            "cpu_us_min": round(min(costs), 1),
            "ratio": round(median(ratios), 2),
            "rate": self.rate(),
            "start_s": round(max(median(start), 0), 2),
            "wall_s": round(median(one.wall for one in larger), 2),
            "mebibytes": round(median(one.mebibytes for one in larger)),
            "requests": round(median(one.requests for one in larger)),
            "server_busy": round(median(one.served_cpu / one.wall for one in larger), 2),
            "server_us": round(median(one.served_cpu / max(1, one.requests) * 1e6 for one in larger), 1),
        }


def compare(
    workload: Workload, server: Served, folder: Path, *, rounds: int, scale: float, commit: str = ""
) -> dict[str, Any]:
    """Run all tools of a workload, interleaved; a tool that fails is left out, with the reason.

    With a commit they are our own alone, each as it is and as it was then.
    """
    missing: dict[str, str] = {}
    measured: list[Measured] = []
    for tool in own_tools(workload, commit) if commit else workload.tools():
        say(f"{workload.name}: {tool.label}: preparing")
        try:
            ready(tool, place_for(workload, tool, server, folder, {}))
        except UnavailableError as error:
            missing[tool.label] = str(error)
            say(f"{workload.name}: {tool.label}: {error}")
            continue
        measured.append(Measured(tool, *workload.sizes(tool.share * scale)))
    for number in range(rounds):
        for one in [*measured[number % max(1, len(measured)) :], *measured[: number % max(1, len(measured))]]:
            if one.tool.label in missing:
                continue
            try:
                small, large = (
                    run(workload, one.tool, count, server, folder) for count in (one.small, one.large)
                )
            except UnavailableError as error:
                missing[one.tool.label] = str(error)
                say(f"{workload.name}: {one.tool.label}: {error}")
                continue
            one.pairs.append((small, large))
            say(f"{workload.name}: {one.tool.label}: {one.costs()[-1]:.1f} µs")
    whole = [one for one in measured if one.tool.label not in missing]
    against = next((one for one in whole if isinstance(one.tool, Ours)), whole[0] if whole else None)
    return {
        "name": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "secure": workload.secure and server.secure is not None,
        "concurrency": workload.concurrency,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "rounds": rounds,
        "scale": scale,
        "against": against.tool.label if against else None,
        "rows": [one.row(against) for one in whole] if against else [],
        "missing": missing,
    }


def own_tools(workload: Workload, commit: str) -> list[Tool]:
    """Give the tools that are ours, each beside itself of a commit."""
    ours = [tool for tool in workload.tools() if isinstance(tool, Ours)]
    return [
        one
        for tool in ours
        for one in (
            tool,
            replace(tool, label=f"{tool.label} @{commit}", environment=f"{tool.environment}@{commit}"),
        )
    ]


def ready(tool: Tool, place: Place) -> None:
    """See that a tool can run; of our own the configuration is asked of the loader itself."""
    if not isinstance(tool, Ours):
        return
    folder = place.folder
    folder.mkdir(exist_ok=True)
    try:
        tool.write(place)
        spend([str(place.python.with_name("connectory")), "lint"], folder)
    finally:
        shutil.rmtree(folder)


def run(workload: Workload, tool: Tool, count: int, server: Served, folder: Path) -> Spent:
    """Run a tool once in a folder of its own, and look at what came out."""
    sources = write_sources(folder, workload, count)
    place = place_for(workload, tool, server, folder, sources)
    server.set(delay_ms=workload.delay_ms, items=count if workload.kind == "list" else 0)
    place.folder.mkdir()
    try:
        authorities = (
            {"SSL_CERT_FILE": place.ca_file, "REQUESTS_CA_BUNDLE": place.ca_file} if place.ca_file else {}
        )
        spent = spend(tool.command(place), place.folder, server=server, environment=authorities)
        lines = lines_of(place.output)
        if lines < count:
            raise UnavailableError(f"{lines} lines came out of {count}")
        return spent
    finally:
        shutil.rmtree(place.folder)


def place_for(
    workload: Workload, tool: Tool, server: Served, folder: Path, sources: dict[str, Path]
) -> Place:
    python = environment_once(tool.environment)
    secure = server.secure if workload.secure else None
    origin, ca_file = (secure, server.ca_file) if secure else (server.plain, "")
    return Place(folder / "run", python, origin, ca_file, sources, workload.concurrency)


def environment_once(name: str) -> Path:
    if name not in PREPARED:
        PREPARED[name] = environment(name)
    return PREPARED[name]


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
