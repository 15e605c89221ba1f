"""The costs as bars on a logarithmic scale: SVG, written by hand."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TITLE = 860, 270, 70, 16, 6, 44
OURS, OTHERS = "#1f6feb", "#9aa4b1"


def plot(found: dict[str, Any]) -> str:
    """Draw processor time a record of every tool, a panel a workload, all on one scale."""
    panels = [one for one in found["workloads"] if one["rows"]]
    costs = [max(row["cpu_us"], 0.1) for one in panels for row in one["rows"]] or [1.0]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs) * 1.01))
    scale = (WIDTH - LEFT - RIGHT) / max(1, high - low)
    drawn, top = [], 10.0
    for one in panels:
        piece, top = panel(one, top, low, high, scale)
        drawn.append(piece)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 24:.0f}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(drawn)}'
        f'<text x="{LEFT}" y="{top + 14:.0f}">processor microseconds of the client a record or item; shorter is better</text></svg>\n'
    )


def panel(one: dict[str, Any], top: float, low: int, high: int, scale: float) -> tuple[str, float]:
    rows = sorted(one["rows"], key=lambda row: row["cpu_us"])
    end = top + TITLE + len(rows) * (BAR + GAP)
    marks = "".join(
        f'<path d="M{LEFT + (power - low) * scale:.1f},{top + TITLE - 6:.0f} V{end:.0f}" stroke="#e3e6ea"/>'
        f'<text x="{LEFT + (power - low) * scale:.1f}" y="{top + TITLE - 10:.0f}" text-anchor="middle" fill="#667">{10**power:,}</text>'
        for power in range(low, high + 1)
    )
    bars = "".join(bar(row, top + TITLE + at * (BAR + GAP), low, scale) for at, row in enumerate(rows))
    title = f'<text x="10" y="{top + 14:.0f}" font-weight="bold">{escape(one["title"])}</text>'
    return title + marks + bars, end + 10


def bar(row: dict[str, Any], top: float, low: int, scale: float) -> str:
    cost = max(row["cpu_us"], 0.1)
    length = max(1.0, (math.log10(cost) - low) * scale)
    colour = OURS if row["tool"].startswith("connectory") else OTHERS
    said = f"{cost:,.0f}" if cost >= 10 else f"{cost:.1f}"
    return (
        f'<text x="{LEFT - 8}" y="{top + 12:.0f}" text-anchor="end">{escape(row["tool"])}</text>'
        f'<rect x="{LEFT}" y="{top:.0f}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{LEFT + length + 6:.1f}" y="{top + 12:.0f}">{said}</text>'
    )
