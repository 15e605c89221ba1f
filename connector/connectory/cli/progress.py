"""How far a run is, on stderr: a bar on a terminal, a summary at the end."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from connectory.cli.outcome import say
from connectory.events import (
    BatchChanged,
    Event,
    Held,
    Noticed,
    RecordFinished,
    RecordRefused,
    RequestRetried,
    StateChanged,
)
from connectory.redaction import blank, visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

MOST_TOLD = 20
"""Kinds of retry that get a line each; the end of the run counts all of them."""

REFRESH = 0.1
"""Seconds between two drawings: more often would cost more than it tells."""

HELD_AGAIN = 10.0
"""Seconds before it is said again that all requests wait."""

STATES_SHOWN = 200
"""Changes of state that are told, one line each: a run may wait for many thousand items."""


class Progress:
    """Listens to a run; use it as a context manager around the run."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.total: int | None = None
        self.counts: Counter[str] = Counter()
        self.retries = 0
        self._told: set[tuple[str, int, str]] = set()
        self.shown = sys.stderr.isatty() and "CI" not in os.environ and os.environ.get("TERM") != "dumb"
        self._bar: Any = None
        self._task: Any = None
        self._drawn = 0.0
        self._states = 0
        self._batches: dict[int, BatchChanged] = {}
        self._said: dict[int, tuple[str, int]] = {}
        self._held_at = -HELD_AGAIN

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RecordFinished(_, _, status):
                self.counts[status] += 1
                self._draw()
            case RecordRefused():
                self.counts.subtract({"ok": 1, "error": -1})
            case RequestRetried():
                self._retried(event)
            case Held():
                self._held(event)
            case StateChanged():
                self._state(event)
            case BatchChanged():
                self._batch(event)
            case Noticed(message):
                self._line(f"note: {message}")
            case _:
                pass

    def add(self, counts: Mapping[str, int]) -> None:
        """Take in what became of records in another process."""
        self.counts.update(counts)
        self._draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def start_at(self, counts: Mapping[str, int]) -> None:
        """Count on from what earlier lives of the run have done."""
        for status in ("ok", "error", "skipped"):
            self.counts[status] += counts.get(status, 0)

    def summary(self) -> None:
        """Say what became of the records."""
        counts = self.counts
        parts = [f"{counts['ok']} ok", f"{counts['error']} failed"]
        parts += [f"{counts['skipped']} skipped"] if counts["skipped"] else []
        parts += [f"{self.retries} retries"] if self.retries else []
        say(f"{self.title}: {', '.join(parts)}")

    def _retried(self, event: RequestRetried) -> None:
        self.retries += 1
        if event.held:  # everybody waits, which is told once for all
            return
        line = (event.what, event.attempt, event.reason)
        if (
            line not in self._told and len(self._told) < MOST_TOLD
        ):  # many fail alike: one line for all of them
            self._told.add(line)
            named = event.reason.startswith(event.what.partition(" ")[0])
            what = "" if named else f"{event.what}: "
            self._line(
                f"{what}attempt {event.attempt} failed, the next in {event.wait:.1f} s: {event.reason}"
            )

    def _state(self, event: StateChanged) -> None:
        self._change(f"{event.connection}: {event.item} of record {event.id!r} is {event.state}")

    def _change(self, text: str) -> None:
        """Tell a change of state, up to so many."""
        self._states += 1
        if self._states <= STATES_SHOWN:
            self._line(text)
        elif self._states == STATES_SHOWN + 1:
            self._line("more changes of state are not shown")

    def _batch(self, event: BatchChanged) -> None:
        """Say a batch's state and, in tenths, how far it is; on a terminal the bar tells of all of them."""
        self._batches[event.part] = event
        done = event.completed + event.failed
        told = event.state, 10 * done // max(1, event.total)
        if self._said.get(event.part) != told:
            self._said[event.part] = told
            self._change(
                f"{event.connection}: part {event.part} ({event.batch}) is {event.state}: "
                f"{event.completed} of {event.total} done, {event.failed} failed"
            )
        if self.shown:
            self._draw(batches=True)

    def _held(self, event: Held) -> None:
        now = time.monotonic()
        if now - self._held_at > HELD_AGAIN:
            self._held_at = now
            self._line(f"all requests wait for {event.wait:.1f} s: {event.reason}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(visible(blank(text)), markup=False, highlight=False)
        else:
            say(text)

    def _draw(self, *, batches: bool = False) -> None:
        now = time.monotonic()
        if self.shown and (batches or now - self._drawn > REFRESH):
            self._drawn = now
            bar = self._bar = self._bar or self._started()  # not before: a question may be asked until then
            bar.update(self._task, completed=self.counts.total(), description=self._described())

    def _described(self) -> str:
        """Name what is run; of batches under way how far they are, which the number of results does not tell."""
        if not self._batches:
            return self.title
        done = sum(one.completed + one.failed for one in self._batches.values())
        total = sum(one.total for one in self._batches.values())
        return f"{self.title} ({done} of {total} answered in {len(self._batches)} batches)"

    def _started(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = bar.add_task(self.title, total=self.total)
        bar.start()
        return bar
