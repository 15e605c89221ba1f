"""Drawings as SVG that can be read on light and on dark pages: boxes, arrows and texts on a card of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

STYLE = """
:root{--card:#fff;--edge:#d0d7de;--ink:#1f2328;--soft:#57606a;--line:#6e7781;--plain:#f3f5f7;
--server:#dbeafe;--own:#dcfce7;--journal:#ffedd5;--bad:#fee2e2}
@media (prefers-color-scheme:dark){:root{--card:#161b22;--edge:#30363d;--ink:#e6edf3;--soft:#9da7b1;--line:#8b949e;
--plain:#21262d;--server:#1c3357;--own:#173a24;--journal:#4a2f12;--bad:#4c1d1f}}
text{fill:var(--ink);font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.soft{fill:var(--soft)}.card{fill:var(--card);stroke:var(--edge)}
.plain{fill:var(--plain)}.server{fill:var(--server)}.own{fill:var(--own)}
.journal{fill:var(--journal)}.bad{fill:var(--bad)}
rect{stroke:var(--line)}rect.card{stroke:var(--edge)}
.arrow{stroke:var(--line);fill:none;stroke-width:1.6}.head{fill:var(--line)}.dashed{stroke-dasharray:5 4}
""".replace("\n", "")


@dataclass
class Drawing:
    """An SVG that grows; `title` is what a reader hears who does not see it."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str) -> None:
        """Draw a box; its first line is bold."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        )
        first = y + height / 2 - (len(lines) - 1) * 9 + 5
        for number, line in enumerate(lines):
            self.text(
                x + width / 2,
                first + number * 18,
                line,
                size=15 if number == 0 else 13,
                bold=number == 0,
                soft=number > 0,
                anchor="middle",
            )

    def text(
        self,
        x: float,
        y: float,
        line: str,
        *,
        size: float = 14,
        bold: bool = False,
        soft: bool = False,
        anchor: str = "start",
    ) -> None:
        """Write a line."""
        weight = ' font-weight="600"' if bold else ""
        kind = ' class="soft"' if soft else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"{weight}{kind}>'
            f"{escape(line)}</text>"
        )

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """Draw a line through points, with a head at the last one."""
        path = " ".join(f"{'M' if number == 0 else 'L'}{x:g} {y:g}" for number, (x, y) in enumerate(points))
        self.parts.append(f'<path class="arrow{" dashed" if dashed else ""}" d="{path}"/>')
        (from_x, from_y), (x, y) = points[-2:]
        if abs(x - from_x) >= abs(y - from_y):
            back = -7 if x > from_x else 7
            head = f"M{x:g} {y:g}l{back} -4.5v9z"
        else:
            back = -7 if y > from_y else 7
            head = f"M{x:g} {y:g}l-4.5 {back}h9z"
        self.parts.append(f'<path class="head" d="{head}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str = "arrow") -> None:
        """Draw a bare line."""
        self.parts.append(f'<path class="{kind}" d="M{x:g} {y:g}L{to_x:g} {to_y:g}"/>')

    def svg(self) -> str:
        """Give the whole file."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
            f'<rect class="card" x="0.5" y="0.5" width="{self.width - 1:g}" height="{self.height - 1:g}" rx="10"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )
