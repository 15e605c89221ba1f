"""What was found, as tables for the terminal and for the page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

BUSY = 0.7
"""Programs that ran on average in the minute before, from which on the page says so."""
PART = re.compile(r"(<!-- measured: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def table(found: dict[str, Any]) -> str:
    """One workload: a row a tool, the cheapest first."""
    unit = found["unit"]
    one = f"an {unit}" if unit == "item" else f"a {unit}"
    lines = [
        f"| tool | CPU µs {one}; least | ratio | {unit}s a second | start-up, CPU s | peak MiB | server busy | {unit}s sent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    if unit == "item":
        lines[0] = lines[0].replace("items sent", "items read")
    for row in sorted(found["rows"], key=lambda row: row["cpu_us"]):
        name = f"**{row['tool']}**" if row["tool"].startswith("connectory") else row["tool"]
        lines.append(
            f"| {name} | {row['cpu_us']:,.1f}; {row['cpu_us_min']:,.1f} | {row['ratio']:.2f} | {'?' if row['rate'] is None else format(row['rate'], ',')} "
            f"| {row['start_s']:.2f} | {row['mebibytes']:,} | {row['server_busy']:.0%} | {row['records']:,} |"
        )
    lines += [
        f"| {tool} | not measured: {plain(why)} | | | | | | |" for tool, why in found["missing"].items()
    ]
    return "\n".join(lines)


def plain(words: str) -> str:
    return re.sub(r"[|\n]", " ", words.partition(";")[0])[:160]


def starts(found: list[dict[str, Any]]) -> str:
    lines = ["| what | wall ms, median; least | CPU ms |", "|---|---|---|"]
    lines += [
        f"| `{one['what']}` | {one['wall_ms']}; {one['wall_ms_min']} | {one['cpu_ms']} |" for one in found
    ]
    return "\n".join(lines)


def memory(found: list[dict[str, Any]]) -> str:
    lines = ["| records | peak MiB | seconds |", "|---|---|---|"]
    lines += [f"| {one['records']:,} | {one['mebibytes']:.1f} | {one['wall_s']:.1f} |" for one in found]
    return "\n".join(lines)


def ceilings(found: dict[str, Any]) -> str:
    """What the server could have served by itself: one over its own processor time a request."""
    lines = [
        "| work | server's CPU µs a request, under the least busy client | requests a second it could serve |"
    ]
    lines.append("|---|---|---|")
    for workload in found["workloads"]:
        if workload["rows"]:
            costs = min(row["server_us"] for row in workload["rows"])
            lines.append(f"| {workload['title']} | {costs:.1f} | {1e6 / max(costs, 0.1):,.0f} |")
    return "\n".join(lines)


def tools(found: dict[str, Any]) -> str:
    """What each tool does, once for each thing it does."""
    said: dict[tuple[str, str], None] = {}
    for workload in found["workloads"]:
        for row in workload["rows"]:
            said.setdefault((row["tool"], row["does"]))
    return "\n".join(
        ["| tool | what it does |", "|---|---|", *(f"| {tool} | {does} |" for tool, does in said)]
    )


def conditions(found: dict[str, Any]) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()))
    others = [
        f"{one['name']} on {one['date']}, {pace(one)}"
        for one in found["workloads"]
        if (one["date"], pace(one)) != (found["date"], pace(found))
    ]
    lines = [
        f"Measured on {found['date']} with Python {machine['python']} on {machine['cores']} cores ({machine['processor']}); "
        f"load before: {machine['load']}. {machine['pinned']} {pace(found)}; medians."
        + (f" Measured apart: {'; '.join(others)}." if others else "")
        + (f" Without TLS: {found['why_plain']}." if found["why_plain"] else "")
        + (" **Other programs ran at the same time: even the ratios are rough.**" if busy(machine) else ""),
        f"Versions: {versions}.",
    ]
    return "\n".join(lines)


def busy(machine: dict[str, Any]) -> bool:
    """Say whether the machine had other work when the measuring began."""
    return float(machine["load"].partition(",")[0]) > BUSY


def pace(measured: dict[str, Any]) -> str:
    """Say how often, and how much of the work."""
    share = "" if measured["scale"] == 1 else f" with {measured['scale']:.0%} of the records"
    return f"{measured['rounds']} rounds{share}"


def parts(found: dict[str, Any]) -> dict[str, str]:
    """Every generated part of the page by its name."""
    made = {one["name"]: table(one) for one in found["workloads"] if one["rows"] or one["missing"]}
    made |= {"conditions": conditions(found), "ceilings": ceilings(found), "tools": tools(found)}
    if found["starts"]:
        made["starts"] = starts(found["starts"])
    if found["memory"]:
        made["memory"] = memory(found["memory"])
    return made


def filled(page: str, found: dict[str, Any]) -> str:
    """The page with its generated parts made anew; what was not measured stays."""
    made = {name: f"\n{text}\n\n" for name, text in parts(found).items()}
    return PART.sub(lambda part: part[1] + made.get(part[2], part[3]) + part[4], page)


def merged(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found now, and what was found before of the rest."""
    now = {one["name"]: one for one in found["workloads"]}
    known = [one["name"] for one in before["workloads"]]
    workloads = [now.pop(one["name"], one) for one in before["workloads"]] + list(now.values())
    order = {name: at for at, name in enumerate(known)}
    workloads.sort(key=lambda one: order.get(one["name"], len(order)))
    return {
        **found,
        "workloads": workloads,
        "starts": found["starts"] or before["starts"],
        "memory": found["memory"] or before["memory"],
        "versions": {**before["versions"], **found["versions"]},
    }


def terminal(found: dict[str, Any]) -> str:
    """All tables, one after the other."""
    pieces = [conditions(found)]
    pieces += [f"\n{one['title']} (ratio: to {one['against']})\n\n{table(one)}" for one in found["workloads"]]
    if found["starts"]:
        pieces.append(f"\nStart-up\n\n{starts(found['starts'])}")
    if found["memory"]:
        pieces.append(f"\nMemory\n\n{memory(found['memory'])}")
    if found["workloads"]:
        pieces.append(f"\nThe server's ceiling\n\n{ceilings(found)}")
    return "\n".join(pieces)


def read(path: Path) -> dict[str, Any]:
    """What an earlier run wrote down."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found
