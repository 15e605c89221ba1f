"""Where a run can be killed, as a picture: the steps of a delivery, and what the next life does."""

from __future__ import annotations

import ast
from pathlib import Path

from drawing import Drawing

PLACES = Path(__file__).parent.parent.parent / "tests" / "kill" / "crashing.py"
STEPS = ("read", "prepare", "intent", "send", "record", "output", "show")
"""The steps of one delivery, by the labels of the kill test: before, in and after each is a place to die at."""
BETWEEN = (
    (("read", "prepare"), ("plain", "nothing has happened", "the record is read again")),
    (
        ("intent", "send"),
        ("bad", "in doubt: the server may have acted", "reading, computing, deleting: sent again, marked"),
    ),
    (("record",), ("own", "paid for and kept: nothing is sent", "its line is made from the results log")),
    (("output",), ("own", "the output may have a torn line", "cut back, and made again from the log")),
    (("show",), ("own", "done", "passed over")),
)
NOTE = "creating, updating: set aside, for you to look"
WIDTH, LEFT, BOX, HEIGHT, GAP, RIGHT = 660, 19, 214, 50, 26, 292


def labels() -> dict[str, str]:
    """Give what is true after each step, in the words of the kill test."""
    for statement in ast.parse(PLACES.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "LABELS":
            found: dict[str, str] = ast.literal_eval(statement.value)
            return found
    raise SystemExit(f"{PLACES} has no LABELS")


def draw() -> str:
    """Give the picture."""
    said = labels()
    one = Drawing(WIDTH, 0, "Where an outgoing run can be killed, and what the same command then does")
    one.text(LEFT, 32, "a delivery, step by step", size=16, bold=True)
    one.text(RIGHT, 32, "killed after it", size=16, bold=True)
    y = {name: 50 + number * (HEIGHT + GAP) for number, name in enumerate(STEPS)}
    for number, name in enumerate(STEPS):
        kind = "server" if name == "send" else "journal" if name in {"intent", "record", "show"} else "plain"
        one.box(LEFT, y[name], BOX, HEIGHT, kind, said[name])
        if number:
            one.arrow((LEFT + BOX / 2, y[name] - GAP), (LEFT + BOX / 2, y[name]))
    for names, (kind, title, below) in BETWEEN:
        top, bottom = y[names[0]] + 4, y[names[-1]] + HEIGHT + 4
        lines = 3 if "send" in names else 2
        height = max(bottom - top, 30 + 18 * (lines - 1))
        one.parts.append(
            f'<rect class="{kind}" x="{RIGHT}" y="{top:g}" width="{WIDTH - RIGHT - LEFT}" height="{height:g}" rx="6"/>'
        )
        middle = top + height / 2 - (lines - 1) * 8
        one.text(RIGHT + 12, middle + 4, title, bold=True)
        one.text(RIGHT + 12, middle + 22, below, size=12.5, soft=True)
        if lines > 2:  # noqa: PLR2004 - the one with a note
            one.text(RIGHT + 12, middle + 38, NOTE, size=12.5, soft=True)
        for name in names:
            line = y[name] + HEIGHT - 8
            one.line(LEFT + BOX, line, RIGHT, line, "arrow dashed")
    bottom = y[STEPS[-1]] + HEIGHT
    one.text(
        LEFT,
        bottom + 34,
        "Every moment before, in and after each step is a place where the kill test kills.",
        soft=True,
    )
    one.height = bottom + 52
    return one.svg()
