"""Pictures of a terminal: the real commands, run in one against the sandbox: `python docs/pictures/terminal.py`.

Needs the groups `test` (pyte reads what a terminal would show) and the extra `sandbox`. Each picture is an SVG that
moves as the screen did. Speeds and run ids differ each time, so there is no `--check`: run it again when the words of
the command line have changed, and look at the pictures.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte

FOLDER = Path(__file__).parent
ROOTS = [str(FOLDER.parent.parent / name) for name in ("connector", "schemas", "transformers")]
COLUMNS, ROWS = 104, 12
CELL, LINE, EDGE, BAR = 8.4, 19, 16, 30
STEP, LAST = 0.25, 6.0
"""Seconds between two frames, and for which the last one stays."""

COLOURS = {"default": "#d7dae0", "red": "#ff7b72", "green": "#7ee787", "yellow": "#e3b341", "cyan": "#79c0ff"}
NBSP = "\N{NO-BREAK SPACE}"
"""Browsers put other spaces together."""

BACKGROUND, HEAD, PROMPT = "#12161d", "#1d232d", "#7ee787"

CONFIG = """\
version: 1
clients:
  openai:
    token: "${OPENAI_API_KEY}"
    limits: {requests_per_minute: 3000, concurrency: 16}
outgoing:
  moderate:
    entity: moderations
    payload: {model: omni-moderation-latest, input: "&{text}"}
    result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
"""
MISTAKEN = CONFIG.replace("moderations", "moderatons").replace("concurrency", "concurency")


@dataclass(frozen=True)
class Picture:
    """One command, and the folder in which it runs."""

    name: str
    title: str
    command: str
    config: str = CONFIG


PICTURES = (
    Picture(
        "terminal-run",
        "A run on a terminal: how far it is, then its summary",
        "connectory run outgoing moderate --input posts.jsonl --output flagged.jsonl --sandbox",
    ),
    Picture(
        "terminal-lint",
        "A configuration with mistakes: each with its line and the nearest name",
        "connectory lint",
        MISTAKEN,
    ),
)

Frame = list[list[tuple[str, str, bool]]]
"""Lines of stretches: text, colour, and whether it is bold."""


def prepare(folder: Path, config: str) -> None:
    """Write what the commands work on: four hundred posts, of which three have no text."""
    (folder / "connectory.yaml").write_text(config, encoding="utf-8")
    posts: list[dict[str, Any]] = [
        {"id": f"post-{number}", "text": "Good morning"} for number in range(1, 401)
    ]
    for number in (41, 160, 307):
        posts[number] = {"id": f"post-{number + 1}"}
    (folder / "posts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in posts), encoding="utf-8")


def frame_of(screen: pyte.Screen) -> Frame:
    """Take what a screen shows."""
    lines: Frame = []
    for row in range(ROWS):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        stretches = groupby(cells, key=lambda cell: (cell.fg, bool(cell.bold)))
        line = [("".join(cell.data for cell in found), colour, bold) for (colour, bold), found in stretches]
        lines.append([*line[:-1], (line[-1][0].rstrip(), *line[-1][1:])])
    while lines and not "".join(text for text, _, _ in lines[-1]).strip():
        lines.pop()
    return lines


def frames_of(folder: Path, command: str) -> list[tuple[float, Frame]]:
    """Run a command in a terminal; give what it shows, and when."""
    words = [sys.executable, "-m", "connectory", *command.split()[1:]]
    known = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        environ = {**known, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(ROOTS)}
        os.execve(sys.executable, words, environ)  # noqa: S606 - this project's own program
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, frames, taken = pyte.ByteStream(screen), list[tuple[float, Frame]](), 0.0
    began = time.monotonic()
    while True:
        if select.select([terminal], [], [], 0.02)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # it is over
                break
            if not data:
                break
            stream.feed(data)
        now = time.monotonic() - began
        frame = frame_of(screen)
        if now - taken >= STEP and frame and (not frames or frame != frames[-1][1]):
            frames.append((now, frame))
            taken = now
    os.waitpid(child, 0)
    frames.append((time.monotonic() - began, frame_of(screen)))
    first = frames[0][0]
    return [(at - first, frame) for at, frame in frames]


def drawn(line: list[tuple[str, str, bool]], y: float) -> str:
    """Draw a line; each stretch is as wide as its cells, whatever the font."""
    out, x = [], float(EDGE)
    for text, colour, bold in line:
        width = len(text) * CELL
        if text.strip():
            fill = COLOURS.get(colour, f"#{colour}")
            weight = ' font-weight="bold"' if bold else ""
            place = f'x="{x:.1f}" y="{y}" textLength="{width:.1f}" fill="{fill}"{weight}'
            out.append(f"<text {place}>{escape(text).replace(' ', NBSP)}</text>")
        x += width
    return "".join(out)


def svg(picture: Picture, frames: list[tuple[float, Frame]]) -> str:
    """Put the frames together: each is seen in its time; who wants no motion sees the last one."""
    whole = frames[-1][0] + LAST
    height = BAR + EDGE + (max(len(frame) for _, frame in frames) + 1) * LINE + EDGE
    width = COLUMNS * CELL + 2 * EDGE
    styles, groups = [], []
    for number, (at, frame) in enumerate(frames):
        until = frames[number + 1][0] if number + 1 < len(frames) else whole
        begin, end = 100 * at / whole, 100 * until / whole
        last = number + 1 == len(frames)
        times = f"0%,{begin:.2f}%{{visibility:visible}}{end:.2f}%,100%{{visibility:hidden}}"
        if begin:
            after = "" if last else f"{end:.2f}%,100%{{visibility:hidden}}"
            times = f"0%{{visibility:hidden}}{begin:.2f}%{{visibility:visible}}{after}"
        styles.append(
            f"@keyframes f{number}{{{times}}}#f{number}{{animation:f{number} {whole:.2f}s step-end infinite}}"
        )
        lines = "".join(drawn(line, BAR + EDGE + (row + 2) * LINE - 6) for row, line in enumerate(frame))
        groups.append(f'<g id="f{number}" class="{"last" if last else "frame"}">{lines}</g>')
    still = "@media (prefers-reduced-motion:reduce){g{animation:none!important}.frame{visibility:hidden}}"
    dots = "".join(
        f'<circle cx="{EDGE + 6 + 20 * place}" cy="15" r="6" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    prompt = drawn([("$ ", PROMPT[1:], False), (picture.command, "default", False)], BAR + EDGE + LINE - 6)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img" '
        f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14" '
        f'xml:space="preserve">\n<title>{escape(picture.title)}</title>\n<style>{"".join(styles)}{still}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>'
        f'<path d="M0 8a8 8 0 0 1 8-8h{width - 16:.0f}a8 8 0 0 1 8 8v{BAR - 8}H0z" fill="{HEAD}"/>{dots}\n'
        f"{prompt}\n" + "\n".join(groups) + "\n</svg>\n"
    )


def main() -> None:
    """Make the pictures."""
    for picture in PICTURES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, picture.config)
            frames = frames_of(folder, picture.command)
        path = FOLDER / f"{picture.name}.svg"
        path.write_text(svg(picture, frames), encoding="utf-8")
        print(f"{path.name}: {len(frames)} frames, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
