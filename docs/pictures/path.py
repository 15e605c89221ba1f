"""The path of a record, as a picture: an incoming, and an outgoing."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from drawing import Drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, BOX, GAP, LEFT = 660, 62, 186, 32, 19
Step = tuple[str, str, str]
INCOMING: Sequence[Step] = (
    ("server", "the server's list", "read page by page"),
    ("plain", "client", "signed, limited, retried"),
    ("plain", "items", "and the next page"),
    ("own", "transformers", "shape each record"),
    ("own", "output", "written and flushed"),
    ("journal", "cursor", "committed only now"),
)
OUTGOING: Sequence[Step] = (
    ("own", "input", "a file, a table, a route"),
    ("journal", "journal", "passes over what is done"),
    ("own", "transformers", "none, one or many"),
    ("plain", "payload", "filled in and checked"),
    ("journal", "intent", "noted before it is sent"),
    ("server", "the server", "does it, once it is its turn"),
    ("journal", "result", "noted: never paid for again"),
    ("plain", "line", "shaped by result"),
    ("own", "output", "written; the record is done"),
)


def draw() -> str:
    """Give the picture."""
    one = Drawing(WIDTH, 700, "The path of a record: reading from the server, and sending to it")
    end = _lane(one, 40, "Incoming", "reads an entity", INCOMING)
    end = _lane(one, end + 48, "Outgoing", "creates or deletes, record by record", OUTGOING)
    one.box(LEFT, end + 34, BOX, HEIGHT, "bad", "dead letter", "set aside, with the reason")
    one.arrow((LEFT + BOX / 2, end), (LEFT + BOX / 2, end + 34), dashed=True)
    one.text(LEFT + BOX + 16, end + 58, "what fails at any step, after its attempts;", soft=True)
    one.text(LEFT + BOX + 16, end + 78, "the others go on, and replay sends it again", soft=True)
    legend = end + HEIGHT + 62
    for number, (kind, name) in enumerate(
        [("own", "yours"), ("plain", "Connectory"), ("journal", "on disk"), ("server", "the server")]
    ):
        x = LEFT + number * 158
        one.parts.append(f'<rect class="{kind}" x="{x}" y="{legend - 13}" width="18" height="18" rx="4"/>')
        one.text(x + 26, legend + 1, name, soft=True)
    one.height = legend + 24
    return one.svg()


def _lane(one: Drawing, top: float, name: str, about: str, steps: Sequence[Step]) -> float:
    """Draw steps in rows of three, each row in the other direction; give where the last row ends."""
    one.text(LEFT, top - 12, name, size=17, bold=True)
    one.text(LEFT + 92, top - 12, about, soft=True)
    places = []
    for number, (kind, title, below) in enumerate(steps):
        row, column = divmod(number, 3)
        x = LEFT + (column if row % 2 == 0 else 2 - column) * (BOX + GAP)
        y = top + row * (HEIGHT + GAP)
        places.append((x, y))
        one.box(x, y, BOX, HEIGHT, kind, f"{number + 1} {title}", below)
    for (x, y), (to_x, to_y) in pairwise(places):
        middle = HEIGHT / 2
        if to_y > y:
            one.arrow((x + BOX / 2, y + HEIGHT), (x + BOX / 2, to_y))
        elif to_x > x:
            one.arrow((x + BOX, y + middle), (to_x, y + middle))
        else:
            one.arrow((x, y + middle), (to_x + BOX, y + middle))
    return places[-1][1] + HEIGHT
