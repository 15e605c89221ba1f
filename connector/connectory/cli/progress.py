"""How far a run is, on stderr: two moving lines on a terminal, now and then a line elsewhere, a summary at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from connectory.adapters.jsonl import LineSource
from connectory.cli.meter import Meter
from connectory.cli.saying import INFO, colours, say, voice
from connectory.events import (
    BatchChanged,
    Event,
    Held,
    Noticed,
    PageRead,
    RecordFinished,
    RecordRefused,
    RequestRetried,
    StateChanged,
)
from connectory.listeners.logs import tokens_of
from connectory.pace.lanes import Standing

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Mapping
    from types import TracebackType

    from connectory.connector import AsyncConnector
    from connectory.interfaces import NamedSource

MOST_TOLD = 20
"""Kinds of retry that get a line each; the end of the run counts all of them."""

FIRST, REFRESH = 0.3, 0.125
"""Seconds before anything is drawn, so that what is soon done does not flicker, and between two drawings."""

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

HELD_AGAIN = 10.0
"""Seconds before it is said again that all requests wait."""

STATES_SHOWN = 200
"""Changes of state that are told, one line each: a run may wait for many thousand items."""

LONG = 60.0
"""Seconds from which on the summary says how long it took."""


class Progress:
    """Listens to a run; use it as a context manager around the run.

    `alone`: records go to the same terminal, and nothing moves between them.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.meter = Meter()
        self.alone = False
        self._connection = title
        self._count: Callable[[], int | None] | None = None
        self._told: set[tuple[str, int, str]] = set()
        self._states = 0
        self._batches: dict[int, BatchChanged] = {}
        self._said: dict[int, tuple[str, int]] = {}
        self._held_at = -HELD_AGAIN
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def shown(self) -> bool:
        """Say whether it is drawn: on a terminal that can do that, before somebody who looks at it."""
        dumb = "CI" in os.environ or os.environ.get("TERM") == "dumb" or voice.json or not voice.hears(INFO)
        return not (self.alone or dumb) and sys.stderr.isatty()

    @property
    def told(self) -> bool:
        """Say whether it is told in lines instead."""
        return voice.hears(INFO) and not self.alone and not self.shown

    @property
    def counts(self) -> Counter[str]:
        """Count the records by what became of them."""
        return self.meter.counts

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case RecordFinished():
                meter, usage = self.meter, event.usage
                step = meter.steps.get(event.connection) or meter.step(event.connection)
                step.counts[event.status] += 1
                if usage is not None:
                    meter.tokens += tokens_of(usage) or 0
            case RecordRefused():
                step = self.meter.step(event.connection)
                step.counts.subtract({"ok": 1, "error": -1})
            case PageRead(connection, _, records):
                step = self.meter.step(connection)
                step.records, step.pages = step.records + records, step.pages + 1
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
        self.meter.tokens += counts.get("tokens", 0)
        statuses = {name: count for name, count in counts.items() if name != "tokens"}
        if statuses:
            self.meter.step(self._connection).counts.update(statuses)

    def follow(self, made: AsyncConnector, output: str | None) -> None:
        """Show what holds this connector back; records that go to this terminal are shown instead of anything."""
        self.meter.standing = made.standing
        self.alone = output in {None, "-"} and sys.stdout.isatty()

    def count(self, source: NamedSource) -> None:
        """Count what there is to do: at once where it is drawn, else when it is first told, and of files alone."""
        if self.shown:
            self.meter.total = source.count()
        elif isinstance(source, LineSource):
            self._count = source.count

    def __enter__(self) -> Self:
        self.meter.count_before()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @contextmanager
    def hidden(self) -> Generator[None, None, None]:
        """Draw nothing meanwhile: a question is asked."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def start_at(self, counts: Mapping[str, int], connection: str | None = None) -> None:
        """Count on from what earlier lives of the run have done."""
        self._connection = connection or self.title
        found = {status: counts[status] for status in ("ok", "error", "skipped") if counts.get(status)}
        if found:
            self.meter.step(self._connection).counts.update(found)

    def summary(self) -> None:
        """Say what became of the records."""
        meter, counts = self.meter, self.counts
        parts = [f"{counts['ok']} ok", f"{counts['error']} failed"]
        parts += [f"{counts['skipped']} skipped"] if counts["skipped"] else []
        parts += [f"{meter.retries} retries"] if meter.retries else []
        parts += [f"{meter.tokens:,} tokens"] if meter.tokens else []
        parts += [f"{meter.seconds:,.0f} s"] if meter.seconds >= LONG else []
        fields = {name: value for name, value in meter.fields().items() if name not in _OF_THE_MOMENT}
        seconds = round(meter.seconds, 3)
        style = "red" if counts["error"] else "green"
        said = f"{self.title}: {', '.join(parts)}"
        say(said, event="summary", style=style, seconds=seconds, **fields)

    def _retried(self, event: RequestRetried) -> None:
        self.meter.retries += 1
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
        """Say a batch's state and, in tenths, how far it is; what is drawn tells of all of them."""
        self._batches[event.part] = event
        done = event.completed + event.failed
        told = event.state, 10 * done // max(1, event.total)
        if self._said.get(event.part) != told:
            self._said[event.part] = told
            self._change(
                f"{event.connection}: part {event.part} ({event.batch}) is {event.state}: "
                f"{event.completed} of {event.total} done, {event.failed} failed"
            )

    def _held(self, event: Held) -> None:
        now = time.monotonic()
        if now - self._held_at > HELD_AGAIN:
            self._held_at = now
            self._line(f"all requests wait for {event.wait:.1f} s: {event.reason}")

    def _line(self, text: str) -> None:
        if not voice.json:  # the log tells it
            say(text)

    def described(self) -> str:
        """Name what is run; of batches under way how far they are, which the number of results does not tell."""
        batches = [*self._batches.values()]
        if not batches:
            return self.title
        done = sum(one.completed + one.failed for one in batches)
        total = sum(one.total for one in batches)
        return f"{self.title} ({done} of {total} answered in {len(batches)} batches)"

    def _begin(self) -> None:
        self._over = threading.Event()
        work = self._draw if self.shown else self._tell if self.told else None
        self._thread = None
        if work is not None:
            self._thread = threading.Thread(target=work, name="connectory-progress", daemon=True)
            self._thread.start()

    def _end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _tell(self) -> None:
        """Say now and then how far it is."""
        while not self._over.wait(EVERY):
            if self._count is not None:
                with suppress(OSError):
                    self.meter.total = self._count()
                self._count = None
            words = ", ".join([self.meter.share(), *self.meter.words()])
            fields = self.meter.fields() if voice.json else {}
            say(f"{self.described()}: {words}", event="progress", **fields)

    def _draw(self) -> None:
        """Draw, until it is over; what else is said meanwhile comes above."""
        if self._over.wait(FIRST):
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, force_terminal=True, no_color=not colours())
        with Live(
            self._picture(), console=console, transient=True, auto_refresh=False, redirect_stdout=False
        ) as live:
            while not self._over.wait(REFRESH):
                live.update(self._picture(), refresh=True)

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        meter = self.meter
        bar = ProgressBar(total=meter.total, completed=meter.done, width=24, pulse=not meter.total, **_BAR)
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(self.described(), style="bold"), bar, Text(meter.share()))
        words = Text(", ".join(meter.words()), style="cyan")
        words.pad_left(2)
        return Group(head, words)


_BAR: Any = {"complete_style": "cyan", "finished_style": "green", "pulse_style": "cyan"}
_OF_THE_MOMENT = ("rate", "seconds_left", "limit", "total")


def stand_of(numbers: Mapping[int, Standing]) -> Standing:
    """Take the standings of several processes together."""
    found = [*numbers.values()]
    held_by = next((one.held_by for one in found if one.held_by), "")
    return Standing(sum(one.busy for one in found), held_by)
