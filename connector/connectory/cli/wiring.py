"""Where a run's records come from and go to: what the command line and the configuration say, put together."""

from __future__ import annotations

import os
import stat
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectory.adapters.jsonl import LineSink
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from connectory.config import Config, WebhookConfig
    from connectory.connector import AsyncConnector
    from connectory.interfaces import Sink
    from connectory.record import Record

MOST_SHOWN = 5
"""Kinds of failure that the summary names."""


def place(config: Config, given: str | None, configured: str | WebhookConfig | None) -> str:
    """Choose a file: the command line's, relative to here; the configuration's, relative to it; else `-`."""
    if given is not None:
        return given
    return str(config.file(configured)) if isinstance(configured, str) and configured != "-" else "-"


def refuse_same(source: str, destination: str) -> None:
    """Refuse to write over the records that are being read."""
    read, written = _identity(source, 0), _identity(destination, 1)
    if read is not None and read == written:
        raise ConfigError(f"input and output are the same file, {source!r}; give the results another name")


def _identity(path: str, standard: int) -> tuple[int, int] | None:
    """Tell a regular file from every other, whatever its name; None for pipes, terminals and what is not there."""
    try:
        status = os.fstat(standard) if path == "-" else Path(path).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


@asynccontextmanager
async def opened(
    made: AsyncConnector, given: str | None, configured: str | WebhookConfig | None
) -> AsyncGenerator[Sink, None]:
    """Open a connection's output, or the file that was given instead, for as long as the block lasts."""
    sink: Sink
    if given is None and configured is not None and not isinstance(configured, str):
        sink = made.webhook(configured)
    else:
        sink = LineSink(place(made.config, given, configured))
    try:
        yield sink
    except BaseException:
        await (sink.abandon() if isinstance(sink, LineSink) else sink.close())
        raise
    await sink.close()


class DeadLetters:
    """The file of records that were set aside: made when the first one is, and counted by what went wrong.

    `again` counts those that can be sent again: the others were done, or may have been.
    """

    def __init__(self, config: Config, configured: str | None, run: str) -> None:
        default = config.folder / ".connectory" / "runs" / run / "dead_letters.jsonl"
        self.path = str(config.file(configured)) if configured else _short(default)
        self.reasons: Counter[str] = Counter()
        self.again = 0
        self._sink = LineSink(self.path, lazy=True)

    async def write(self, lines: Iterable[Record]) -> None:
        """Take the lines of records that failed."""
        kept = list(lines)
        for line in kept:
            self.reasons[_reason(line)] += 1
            self.again += not line["in_doubt"] and line.get("response") is None
        await self._sink.write(kept)

    async def flush(self) -> None:
        """Write them down."""
        await self._sink.flush()

    async def close(self) -> None:
        """Close the file, if there is one."""
        await self._sink.close()

    def summary(self) -> list[str]:
        """Say what went wrong how often, most frequent first."""
        lines = [f"  {count} x {reason}" for reason, count in self.reasons.most_common(MOST_SHOWN)]
        more = len(self.reasons) - MOST_SHOWN
        return lines + ([f"  and {more} other reasons"] if more > 0 else [])


def _reason(line: dict[str, Any]) -> str:
    return str(line["error"]["message"])


def _short(path: Path) -> str:
    """Write a path below the current folder without the folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
