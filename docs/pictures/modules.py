"""The engine's modules and who imports whom, as a picture: rows from the import contract, lines from the code."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import grimp
from drawing import Drawing

PYPROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
WIDTH, LEFT, HEIGHT, GAP, BETWEEN, LETTER = 1000, 20, 26, 10, 30, 7.4


def rows() -> list[list[str]]:
    """Give the rows of the import contract, the highest first."""
    tool = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]
    contract = next(one for one in tool["contracts"] if one["id"] == "layers")
    return [[name.strip(" ()") for name in row.split("|")] for row in contract["layers"]]


@cache
def imports() -> frozenset[tuple[str, str]]:
    """Give who imports whom, as the code says, a package with all that is in it."""
    graph = grimp.build_graph("connectory", cache_dir=None)
    found: set[tuple[str, str]] = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = (_module(importer), _module(imported))
            if all(pair) and pair[0] != pair[1]:
                found.add(pair)
    return frozenset(found)


def _module(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def drawn() -> frozenset[tuple[str, str]]:
    """Leave out what follows from other lines: who imports a thing by way of another needs no line of its own."""
    below: dict[str, set[str]] = {}
    for importer, imported in imports():
        below.setdefault(importer, set()).add(imported)

    @cache
    def reached(name: str) -> frozenset[str]:
        direct = below.get(name, set())
        return frozenset(direct).union(*(reached(one) for one in direct))

    return frozenset(
        (importer, imported)
        for importer, imported in imports()
        if not any(imported in reached(other) for other in below[importer] if other != imported)
    )


def draw() -> str:
    """Give the picture."""
    one = Drawing(
        WIDTH,
        0,
        "The modules of the engine in the rows of the import contract; lines lead down to what is imported",
    )
    places: dict[str, tuple[float, float, float]] = {}
    y = 30.0
    for row in rows():
        y = _row(row, y, places) + BETWEEN
    for importer, imported in sorted(drawn()):
        x, top, width = places[importer]
        to_x, to_top, to_width = places[imported]
        start, end = (x + width / 2, top + HEIGHT), (to_x + to_width / 2, to_top)
        bend = (end[1] - start[1]) / 2
        one.parts.append(
            f'<path class="arrow" opacity=".38" d="M{start[0]:g} {start[1]:g}C{start[0]:g} {start[1] + bend:g} '
            f'{end[0]:g} {end[1] - bend:g} {end[0]:g} {end[1]:g}"/>'
        )
    for name, (x, top, width) in places.items():
        one.parts.append(
            f'<rect class="plain" x="{x:g}" y="{top:g}" width="{width:g}" height="{HEIGHT}" rx="5"/>'
        )
        one.text(x + width / 2, top + 18, name, size=13.5, anchor="middle")
    one.height = y
    return one.svg()


def _row(row: list[str], y: float, places: dict[str, tuple[float, float, float]]) -> float:
    """Place the modules of a row, on several lines where they are many; give where it ends."""
    lines: list[list[tuple[str, float]]] = [[]]
    used = 0.0
    for name in row:
        width = len(name) * LETTER + 18
        if used + width > WIDTH - 2 * LEFT:
            lines.append([])
            used = 0
        lines[-1].append((name, width))
        used += width + GAP
    for line in lines:
        x = (WIDTH - sum(width + GAP for _, width in line) + GAP) / 2
        for name, width in line:
            places[name] = (x, y, width)
            x += width + GAP
        y += HEIGHT + 8
    return y - 8
