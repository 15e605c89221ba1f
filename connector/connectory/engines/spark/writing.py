"""Writes: each task sends the rows of its partition, and the driver puts the lines in place when all have done so."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceArrowWriter, DataSourceStreamArrowWriter, WriterCommitMessage

from connectory.adapters.linesink import LineSink
from connectory.delivery.results import dead_letter
from connectory.engines.spark.answers import SUFFIXES, answer_sink
from connectory.engines.spark.location import LETTERS, RESULTS, Location, part_name
from connectory.engines.spark.rows import RowSource
from connectory.engines.spark.sending import Task, answers_of, count, sending
from connectory.listeners.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.engines.spark.arrow import Batch
    from connectory.engines.spark.location import WriteRun
    from connectory.engines.spark.options import Options


@dataclass
class Done(WriterCommitMessage):
    """What a task has done: its partition, the folder of the attempt that won, and its counts."""

    run: str
    partition: int
    folder: str
    letters: bool
    counts: dict[str, int]


class BatchWriter(DataSourceArrowWriter):
    """Writes a DataFrame: one run, which a later write to the same location takes up if this one fails."""

    def __init__(self, options: Options, run: WriteRun, *, overwrite: bool) -> None:
        self.options, self.run, self.overwrite = options, run, overwrite

    def write(self, iterator: Iterator[Batch]) -> Done:
        """Send the rows of a partition; on an executor."""
        everywhere = bool(self.options.identifier) and self.run.lives > 1
        return asyncio.run(
            _write(self.options, self.run, Task.current().partition, iterator, everywhere=everywhere)
        )

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Put the lines of all partitions in place; on the driver."""
        location = Location(self.options.place)
        _publish(location, self.options, messages, overwrite=self.overwrite)
        location.finish()

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:  # noqa: ARG002 - Spark's
        """Keep what was answered: writing to the same location again goes on from there."""
        logger.error(
            "outgoing %r: the write failed; what was answered is kept in %r, and the same write goes on from there",
            self.options.connection,
            self.options.folder,
        )


class StreamWriter(DataSourceStreamArrowWriter):
    """Writes a stream: each micro-batch is a run of its own, known by the query and its number, whoever runs it."""

    def __init__(self, options: Options, run: WriteRun) -> None:
        self.options, self.run = options, run

    def write(self, iterator: Iterator[Batch]) -> Done:
        """Send the rows of a partition of a micro-batch; on an executor."""
        task = Task.current()
        run = replace(self.run, run=task.batch or self.run.run)
        return asyncio.run(_write(self.options, run, task.partition, iterator, everywhere=False))

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's name
        """Put the lines of a micro-batch in place; Spark may repeat it, and none before it, so those are forgotten."""
        location = Location(self.options.place)
        _publish(location, self.options, messages, overwrite=False)
        for run in {one.run for one in messages if isinstance(one, Done)}:
            query = run.rpartition("-")[0]
            for number in range(max(0, batchId - KEPT), batchId):
                location.forget(f"{query}-{number:06}")

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: ARG002, N803 - Spark's
        """Keep what was answered: Spark repeats the micro-batch when the query is started again."""
        logger.error(
            "outgoing %r: micro-batch %d failed; start the query again, and it goes on from what was answered",
            self.options.connection,
            batchId,
        )


KEPT = 3
"""Micro-batches before this one that may have left something to forget."""


async def _write(
    options: Options, run: WriteRun, partition: int, batches: Iterator[Batch], *, everywhere: bool
) -> Done:
    source, counts = RowSource(batches, partition, options.identifier), Counter[str]()
    async with sending(options, run, partition, source, everywhere=everywhere) as (attempt, groups):
        sink = answer_sink(attempt.folder, options.layout)
        letters = LineSink(attempt.folder / "letters.jsonl", staged=False, lazy=True)
        try:
            async for group in groups:
                count(counts, group)
                await sink.write(
                    line for part, result in group for line in answers_of(part, result, partition)
                )
                await letters.write(
                    dead_letter(options.connection, part, result) for part, result in group if result.error
                )
            await letters.flush()
        finally:
            await sink.close()
            opened = letters.opened
            await letters.close()
    return Done(run.run, partition, str(attempt.folder), opened, dict(counts))


def _publish(
    location: Location, options: Options, messages: list[WriterCommitMessage | None], *, overwrite: bool
) -> None:
    done = [one for one in messages if isinstance(one, Done)]
    suffix, parts, counts = SUFFIXES[options.layout], list[tuple[Path, str]](), Counter[str]()
    for one in done:
        folder = Path(one.folder)
        parts.append((folder / f"lines.{suffix}", part_name(RESULTS, one.run, one.partition, suffix)))
        if one.letters:
            parts.append((folder / "letters.jsonl", part_name(LETTERS, one.run, one.partition, "jsonl")))
        counts.update(one.counts)
    known: dict[str, Any] = {"ok": 0, "error": 0, "skipped": 0, **counts}
    if done:
        location.publish(done[0].run, parts, overwrite=overwrite)
    logger.info(
        "outgoing %r: %d ok, %d in error, %d skipped; the lines are in %r",
        options.connection, known["ok"], known["error"], known["skipped"], options.folder,
    )  # fmt: skip
