"""The shop's orders: a source; and the drawer that the answers go to: a sink."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from connectory import Record, Sink


def orders(*, count: int = 3) -> Iterator[Record]:
    """Give orders, the oldest first; the same ones when the run is taken up again."""
    for number in range(1, count + 1):
        yield {"id": f"order-{number}", "email": f"customer-{number}@example.org"}


class Drawer(Sink):
    """Keep the id of each answer in a file; the lines of failed records are not for it."""

    failures = False

    def __init__(self, *, file: str) -> None:
        self._file, self._lines = Path(file), list[Any]()

    async def write(self, lines: Iterable[Any]) -> None:
        """Take lines; nothing is kept yet."""
        self._lines += lines

    async def flush(self) -> None:
        """Write them down: from here on they are the drawer's."""
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line["id"]) + "\n" for line in self._lines)
        self._lines = []

    async def close(self) -> None:
        """Write the last ones down."""
        await self.flush()
