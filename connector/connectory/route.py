"""A route: what an incoming reads is handed to outgoings, step by step."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from connectory.adapters.jsonl import LineSink, LineSource
from connectory.adapters.memory import IterableSource
from connectory.publisher import dead_letter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connectory.errors import RunStoppedError
    from connectory.interfaces import Sink, Source
    from connectory.publisher import Publisher
    from connectory.record import Record
    from connectory.subscriber import Subscriber


class Route:
    """An incoming and the outgoings that follow it.

    Each ok result is the next step's record: its shaped lines, or `{input, response}`. A route that deletes reads its
    whole list before the first deletion, so that deleting cannot move the pages under the reading.
    """

    def __init__(self, subscriber: Subscriber, publishers: Sequence[Publisher]) -> None:
        self.subscriber, self.publishers = subscriber, publishers

    @property
    def deletes(self) -> bool:
        """Say whether any step deletes."""
        return any(publisher.publication.deletes for publisher in self.publishers)

    async def run(self, sink: Sink, dead_letters: Sink) -> dict[str, int]:
        """Read and send everything; the last step's results go to the sink, with the failures of every step."""
        with ExitStack() as stack:
            source: Source = await self.spooled(stack) if self.deletes else IterableSource(self._items())
            return await self.send(source, sink, dead_letters)

    async def send(self, source: Source, sink: Sink, dead_letters: Sink) -> dict[str, int]:
        """Send what a source holds through every step."""
        *steps, last = self.publishers
        for step in steps:
            source = IterableSource(_through(step, source, sink, dead_letters))
        counts = await last.run(source, sink, dead_letters)
        failed = sum(step.counts["error"] for step in steps)
        return {**counts, "error": counts["error"] + failed}

    async def spooled(self, stack: ExitStack) -> LineSource:
        """Read the whole list into a temporary file that lives as long as the stack."""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connectory-")))
        sink = LineSink(folder / "list.jsonl")
        await self.subscriber.run(sink)
        await sink.close()
        source = LineSource(folder / "list.jsonl")
        stack.callback(source.close)
        return source

    def stop(self, reason: RunStoppedError) -> None:
        """Take nothing more; what is under way is finished."""
        for publisher in self.publishers:
            publisher.stop(reason)

    async def _items(self) -> AsyncIterator[Record]:
        async for page in self.subscriber.pages():
            for record in page.records:
                yield record


async def _through(
    publisher: Publisher, source: Source, sink: Sink, dead_letters: Sink
) -> AsyncIterator[Record]:
    async for settled in publisher.deliver(source):
        for _, result in settled:
            if result.error is not None:
                await dead_letters.write([dead_letter(result)])
                await sink.write(result.lines())
            elif result.ok:
                shaped = result.output
                for record in (
                    [{"input": result.record, "response": result.response}] if shaped is None else shaped
                ):
                    yield record
