"""The tap: the pages of incomings as RECORD messages, and after them how far it has come."""

from __future__ import annotations

import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connectory.assembly import remembers
from connectory.events import Noticed
from connectory.singer.messages import record_line, schema_line, state_line
from connectory.singer.streams import suits, widen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectory.adapters.linesink import LineSink
    from connectory.connector import AsyncConnector
    from connectory.errors import RecordError
    from connectory.events import Listener
    from connectory.record import Record
    from connectory.singer.catalog import Selected
    from connectory.singer.state import TapState

SILENCE = 5.0
"""Seconds after which a state is written that is larger than what was read since the last one."""


SMALL = 4096
"""Bytes of a state that is written after every page."""


class Tap:
    """Reads streams and writes messages; a STATE follows what it speaks of.

    A state may be large where a stream has many parents: one that is not small is written when as much as its own size
    has been written beside it, after some seconds, and at the end of a stream. `counts` are the records of each stream
    that was read; `fail` hears of what could not be read or shaped.
    """

    def __init__(
        self,
        made: AsyncConnector,
        selected: Sequence[Selected],
        state: TapState,
        out: LineSink,
        *,
        client: str | None = None,
        listen: Listener,
        fail: Callable[[RecordError], None],
    ) -> None:
        self._made, self._selected, self._state, self._out = made, selected, state, out
        self._client, self._listen, self._fail = client, listen, fail
        self._size, self._since, self._at = 0, 0, time.monotonic()
        self.counts: dict[str, int] = {}
        self.errors = 0

    async def run(self) -> None:
        """Read every selected stream that an earlier run had not come to the end of."""
        if self._state.given is not None:  # who reads knows by it from where the records begin
            await self._out.add(state_line(self._state.given))
            await self._out.flush()
        done = self._state.done
        for one in self._selected:
            if one.stream.name not in done:
                await self._sync(one)
        self._state.finish()
        await self._tell_state(due=True)

    async def _sync(self, chosen: Selected) -> None:
        name = chosen.stream.name
        progress, marks, lost = self._state.begin(chosen.stream)
        if lost:
            what = "what is read has changed since the run that broke off"
            self._listen(Noticed(f"stream {name!r}: {what}; it is read from its beginning"))
        subscriber = self._made.subscriber(
            name,
            client=self._client,
            journal=progress,
            on_error=self._fail,
            seen=marks if remembers(self._made.assembly, name) else None,
        )
        schema = chosen.schema
        told = bool(schema["properties"])
        if told:
            await self._write(schema_line(name, schema, chosen.keys, _bookmarks(chosen, schema)))
        self.counts[name] = 0
        async with aclosing(subscriber.pages()) as pages:
            async for page in pages:
                records = [chosen.of(record) for record in page.records] if page.read else []
                wide = _widened(schema, records, adds=not chosen.left_out)
                if wide is not schema or (records and not told):
                    schema, told = wide, True
                    keys = [key for key in chosen.keys if key in schema["properties"]]
                    await self._write(schema_line(name, schema, keys, _bookmarks(chosen, schema)))
                at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
                await self._write(b"".join([record_line(name, record, at) for record in records]))
                self.counts[name] += len(records)
                await subscriber.commit(page)
                progress.note(page, marks)
                await self._tell_state()
        self.errors += subscriber.counts.errors
        self._state.end()
        await self._tell_state(due=True)

    async def _write(self, lines: bytes) -> None:
        self._since += len(lines)
        await self._out.add(lines)

    async def _tell_state(self, *, due: bool = False) -> None:
        """Write how far everything has come that was written before, if it is time."""
        now = time.monotonic()
        if due or self._size <= max(self._since, SMALL) or now - self._at >= SILENCE:
            line = state_line(self._state.value)
            await self._out.add(line)
            self._size, self._since, self._at = len(line), 0, now
        await self._out.flush()


def _bookmarks(chosen: Selected, schema: Record) -> list[str]:
    key = chosen.stream.replication_key
    return [key] if key is not None and key in schema["properties"] else []


def _widened(schema: Record, records: Sequence[Record], *, adds: bool) -> Record:
    """Give a schema that all of the records fit; the same one where they do already."""
    for record in records:
        if not suits(schema, record):
            seen: dict[str, Any] = (
                record if adds else {k: v for k, v in record.items() if k in schema["properties"]}
            )
            schema = widen(schema, seen)
    return schema
