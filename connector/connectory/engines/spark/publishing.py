"""Answers as columns: `publish` gives a DataFrame with what became of each row beside the row."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import StructField, StructType

from connectory.engines.spark.answers import SCHEMA, arrow_type, as_columns
from connectory.engines.spark.arrow import arrow
from connectory.engines.spark.options import WRITE, read_options
from connectory.engines.spark.rows import RowSource, refuse_absent
from connectory.engines.spark.sending import Task, answers_of, begin, sending
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame

    from connectory.delivery.publication import Part
    from connectory.engines.spark.arrow import Batch
    from connectory.engines.spark.location import WriteRun
    from connectory.engines.spark.options import Options
    from connectory.record import Record, Result

ENOUGH = 1000
"""Rows that are given at once, where so many are ready."""


def publish(
    df: DataFrame,
    outgoing: str,
    *,
    config: str | Path,
    results: str | Path,
    identifier: str | Iterable[str] = (),
    client: str | None = None,
    into: str = "answer",
    new: bool = False,
) -> DataFrame:
    """Send the rows of a DataFrame through a named outgoing connection; give them with what became of each.

    The column `into` is a struct of `id`, `key`, `partition`, `index`, `status` (ok, error or skipped), `http_status`,
    `request_id`, `attempts`, `in_doubt`, `usage`, `error` and `result`; `usage` and `result` are JSON
    (`from_json(col("answer.result"), "flagged boolean")`). A record of which the connection makes several gives several
    rows.

    Nothing is sent before an action asks for the rows, and Spark may ask for them more than once. `results` is a folder
    that all machines see: what is answered is kept there, and given from there when the rows are asked for again, also
    by another program that publishes to the same folder. `identifier` names the columns by which a row is known;
    without one it is known by what it holds and by the number of its partition, so give one where partitions may
    change. `new` begins anew. Raises ConfigError for what can be told before anything is sent.
    """
    names = [identifier] if isinstance(identifier, str) else [*identifier]
    given = {
        "config": str(config),
        "outgoing": outgoing,
        "results": str(results),
        "identifier": ",".join(names),
    }
    given |= {"new": str(new).lower()} | ({} if client is None else {"client": client})
    options = read_options(given, "outgoing", WRITE)
    refuse_absent(options.identifier, df.columns)
    if into in df.columns:
        raise ConfigError(
            f"the DataFrame has a column {into!r} already; give the answers another name with into=..."
        )
    run = begin(options, "publish")

    def answered(batches: Iterator[Batch]) -> Iterator[Batch]:
        yield from _Answering(options, run, into).rows(batches)

    schema = StructType([*df.schema.fields, StructField(into, StructType.fromDDL(SCHEMA))])
    return df.mapInArrow(answered, schema)  # pyright: ignore[reportUnknownMemberType]  # its batches come without types


@dataclass(slots=True, eq=False)
class _Kept:
    """A batch of rows some of which have no answer yet; `start` is the number of its first row."""

    start: int
    rows: Any
    left: int


class _Answering:
    """The rows of one partition, each with its answer."""

    def __init__(self, options: Options, run: WriteRun, into: str) -> None:
        self._options, self._run, self._into = options, run, into
        self._kept: deque[_Kept] = deque()
        self._read = 0
        self._ready: list[tuple[_Kept, int, Record]] = []

    def rows(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Give batches of rows; requests are under way while rows are taken in, not while Spark has those given."""
        partition = Task.current().partition
        source = RowSource(
            batches, partition, self._options.identifier, hear=self._keep, settled=self._settle
        )
        everywhere = bool(self._options.identifier)
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                begun = sending(self._options, self._run, partition, source, everywhere=everywhere)
                _, groups = runner.run(stack.enter_async_context(begun))
                while (group := runner.run(_next(groups))) is not None:
                    for part, result in group:
                        kept = self._of(part.delivery.seq)
                        place = part.delivery.seq - kept.start
                        self._ready += [(kept, place, one) for one in answers_of(part, result, partition)]
                    if len(self._ready) >= ENOUGH:
                        yield from self._give()
                yield from self._give()
            finally:
                runner.run(stack.aclose())

    def _keep(self, batch: Batch) -> None:
        """Keep a batch until all of its rows are settled."""
        self._kept.append(_Kept(self._read, batch, batch.num_rows))
        self._read += batch.num_rows

    def _settle(self, row: int) -> None:
        """Let go of a batch whose rows are all settled."""
        kept = self._of(row)
        kept.left -= 1
        if not kept.left:
            self._kept.remove(kept)

    def _of(self, row: int) -> _Kept:
        return next(one for one in reversed(self._kept) if one.start <= row)

    def _give(self) -> Iterator[Any]:
        """Give the rows that have answers, in the order of the answers."""
        ready, self._ready = self._ready, []
        fields = arrow_type()
        for kept, together in groupby(ready, key=lambda one: one[0]):
            rows = [(place, as_columns(answer)) for _, place, answer in together]
            taken = kept.rows.take(arrow.array([place for place, _ in rows], arrow.int64()))
            arrays = [*taken.columns, arrow.array([answer for _, answer in rows], fields)]
            yield arrow.RecordBatch.from_arrays(arrays, names=[*taken.schema.names, self._into])


async def _next(groups: Any) -> list[tuple[Part, Result]] | None:
    group: list[tuple[Part, Result]] | None = await anext(groups, None)
    return group
