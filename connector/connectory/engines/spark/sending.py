"""One attempt at a partition: its rows go through the outgoing connection, and nothing that was answered goes again."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark import TaskContext

from connectory.connector import AsyncConnector
from connectory.engines.spark.journal import TaskJournal
from connectory.engines.spark.location import Location
from connectory.engines.spark.presence import Presence
from connectory.engines.spark.sharing import TaskShare
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncGenerator

    from connectory.config import OutgoingConfig
    from connectory.delivery.publication import Part
    from connectory.engines.spark.location import Attempt, WriteRun
    from connectory.engines.spark.options import Options
    from connectory.engines.spark.rows import RowSource
    from connectory.record import Record, Result

SPECULATION = "spark.speculation"


@dataclass(frozen=True, slots=True)
class Task:
    """Which task of Spark this is; `batch` names the query and the micro-batch of a stream."""

    partition: int
    batch: str | None

    @classmethod
    def current(cls) -> Task:
        """Ask Spark. Raises ConfigError where it runs a task twice at the same time."""
        context = TaskContext.get()
        if context is None:
            return cls(0, None)
        if (context.getLocalProperty(SPECULATION) or "").lower() == "true":
            raise ConfigError(
                f"{SPECULATION} runs a slow task a second time beside the first, and both would send the same rows; "
                "switch it off for this job"
            )
        query = context.getLocalProperty("sql.streaming.queryId")
        batch = context.getLocalProperty("streaming.sql.batchId")
        return cls(context.partitionId(), f"{query}-{int(batch):06}" if query and batch else None)


@asynccontextmanager
async def sending(
    options: Options, run: WriteRun, partition: int, source: RowSource, *, everywhere: bool
) -> AsyncGenerator[tuple[Attempt, AsyncGenerator[list[tuple[Part, Result]], None]], None]:
    """Begin an attempt, and give what becomes of its rows in groups; who asks for the next has dealt with this one.

    `everywhere`: what other partitions were answered counts too, because an identifier names a row wherever it is.
    """
    config = options.load()
    settings = config.outgoing[options.connection]
    attempt = Location(options.place).claim(run.run, partition, all_partitions=everywhere)
    presence = Presence(attempt)
    try:
        journal = TaskJournal(
            attempt.folder,
            run.run,
            started_at=run.started_at,
            earlier=attempt.earlier,
            check=presence.check,
            power=settings.durability == "power",
        )
        try:
            async with AsyncConnector(config, shared=_shares(settings, presence)) as connector:
                publisher = connector.publisher(options.connection, client=options.client, journal=journal)
                async with aclosing(publisher.deliver(source)) as groups:
                    yield attempt, groups
        finally:
            journal.close()
    finally:
        presence.close()


def _shares(settings: OutgoingConfig, presence: Presence) -> TaskShare:
    most = settings.concurrency
    return TaskShare(presence, most if isinstance(most, int) else 2**31)


def begin(options: Options, kind: str) -> WriteRun:
    """Check what can be checked before the first task, and begin or take up the write. Raises ConfigError."""
    config = options.load()
    connector = AsyncConnector(config)
    settings = connector.assembly.outgoing(options.connection)
    for name, wanted in (("delivery", settings.delivery == "batch"), ("only", settings.only is not None)):
        if wanted:
            raise ConfigError(config.problem(("outgoing", options.connection, name), _NOT_HERE[name]))
    if settings.disabled:
        raise ConfigError(f"outgoing {options.connection!r} is disabled in the configuration")
    publication = connector.assembly.publication(options.connection, run={})
    connector.client(options.client or settings.client)
    location = Location(options.place)
    if kind == "stream":
        return location.stream(options.connection, publication.target)
    return location.begin(kind, options.connection, publication.target, new=options.new)


_NOT_HERE = {
    "delivery": "a batch of the Batch API belongs to one process: send it with `connectory run`",
    "only": "what earlier runs did is in no place that all tasks see; in Spark, .option('identifier', COLUMN) and the "
    "same results location keep a row from being sent again",
}


def answers_of(part: Part, result: Result, partition: int) -> list[Record]:
    """Give what became of a delivery: one for each line of its result, an event of a stream, or a failure."""
    values: list[Any] = [*(result.events or ())]
    values += [result.response if result.ok else None] if result.output is None else result.output
    known: Record = {
        "id": result.id,
        "key": part.delivery.key,
        "partition": partition,
        "index": result.index,
        "status": result.status,
        "http_status": result.http_status,
        "request_id": result.request_id,
        "attempts": result.attempts,
        "in_doubt": result.in_doubt,
        "usage": result.usage,
        "error": None if result.error is None else result.error.as_dict(),
    }
    return [{**known, "result": value} for value in values]


def count(counts: Counter[str], group: list[tuple[Part, Result]]) -> None:
    """Count deliveries by what became of them."""
    counts.update(result.status for _, result in group)
