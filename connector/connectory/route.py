"""A route: what an incoming reads is handed to outgoings, step by step."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectory.adapters.jsonl import LineSink, LineSource
from connectory.adapters.memory import IterableSource
from connectory.publisher import dead_letter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from connectory.errors import RunStoppedError
    from connectory.interfaces import Sink, Source
    from connectory.publisher import Publisher
    from connectory.record import Record, Result
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
        try:
            await self.subscriber.run(sink)
        finally:
            await sink.close()
        source = LineSource(folder / "list.jsonl")
        stack.callback(source.close)
        return source

    def stop(self, reason: RunStoppedError) -> None:
        """Take nothing more; what is under way is finished."""
        for publisher in self.publishers:
            publisher.stop(reason)

    async def _items(self) -> AsyncGenerator[Record, None]:
        async with aclosing(self.subscriber.pages()) as pages:
            async for page in pages:
                for record in page.records:
                    yield record


async def _through(
    publisher: Publisher, source: Source, sink: Sink, dead_letters: Sink
) -> AsyncGenerator[Any, None]:
    """Send records through a step that is not the last; its failures leave the route here."""
    async with aclosing(publisher.deliver(source)) as groups:
        async for results in groups:
            for result in results:
                if result.error is not None:
                    await dead_letters.write([dead_letter(result)])
                    await sink.write(result.lines())
                for record in _onward(result):
                    yield record


def _onward(result: Result) -> list[Any]:
    """Give what the next step works on: of an ok result its shaped lines, or `{input, response}`."""
    if not result.ok:
        return []
    shaped = result.output
    return [{"input": result.record, "response": result.response}] if shaped is None else shaped
