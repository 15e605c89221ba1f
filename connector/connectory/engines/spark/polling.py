"""Stream reads: the driver asks the server for what is new and keeps it as a file, which the tasks read.

A file is whole before its offset is given, and stays until Spark has noted that it is done with it. So a query that
breaks off reads the same items again, also where the server has forgotten them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceStreamReader, InputPartition

from connectory.adapters.linesink import PART, LineSink
from connectory.assembly import input_above, remembers
from connectory.connector import AsyncConnector
from connectory.engines.spark.columns import row_of
from connectory.engines.spark.reading import given_of, refuse_disabled
from connectory.files.private import make_folder
from connectory.journal import Job, Runs, new_facts
from connectory.runs.remembered import open_seen
from connectory.runs.running import run_incoming
from connectory.text.json import loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql.types import StructType

    from connectory.config import Config
    from connectory.engines.spark.options import Options

ITEMS = "items"
"""The folder of the files; the journal of the reading lies beside it."""


@dataclass
class Lines(InputPartition):
    """A file of items that one task reads."""

    path: str


class Poller(DataSourceStreamReader):
    """Reads what is new in an incoming.

    A connection with `incremental` or `only` says itself what is new; another one gives each item once, by its
    identifier. An offset is the name of a file, and later files have later names.
    """

    def __init__(self, options: Options, schema: StructType) -> None:
        self.options, self.schema = options, schema
        self._asked = 0.0

    def initialOffset(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        """Begin before the first file."""
        return {"after": ""}

    def latestOffset(self, start: dict[str, str], limit: object = None) -> dict[str, str]:  # noqa: N802, ARG002 - Spark's names
        """Ask the server, not more often than `every` so many seconds, and give the newest file."""
        if time.monotonic() - self._asked >= self.options.every or not self._asked:
            asyncio.run(self._poll(start["after"]))
            self._asked = time.monotonic()
        return {"after": max([start["after"], *self._files()])}

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[Lines]:
        """Give the files between two offsets."""
        return [
            Lines(str(self._items / one)) for one in self._files() if start["after"] < one <= end["after"]
        ]

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        """Give the rows of a file; on an executor."""
        if isinstance(partition, Lines):
            with Path(partition.path).open("rb") as lines:
                for line in lines:
                    yield row_of(loads(line), self.schema)

    def commit(self, end: dict[str, str]) -> None:
        """Delete the files that Spark has noted to be done with."""
        for one in self._files():
            if one <= end["after"]:
                (self._items / one).unlink(missing_ok=True)

    @property
    def _items(self) -> Path:
        return self.options.place / ITEMS

    def _files(self) -> list[str]:
        return sorted(one.name for one in self._items.glob("*.jsonl"))

    def _name(self, run: str, after: str) -> str:
        """Name the file of a reading: the one that it has begun, else one that comes after all others."""
        begun = [one.name.removesuffix(PART) for one in self._items.glob(f"*-{run}.jsonl*")]
        if begun:
            return begun[0]
        last = max([after, *self._files()])
        number = int(last.partition("-")[0]) + 1 if last else 1
        return f"{number:012}-{run}.jsonl"

    async def _poll(self, after: str) -> None:
        """Read what is new into a file; a reading that broke off goes on where it was, and gives no item twice."""
        config = remembering(self.options)
        make_folder(self._items)
        async with AsyncConnector(config) as connector:
            name, given = self.options.connection, given_of(self.options)
            runs = Runs(self.options.place / "_connectory")
            named = {"path": dict(given.path), "query": dict(given.query), "client": self.options.client}
            job = Job("incoming", name, named)
            target = connector.assembly.subscription(name, run={}, given=given).target
            read = input_above(connector.assembly, name)
            source = None if read is None else read.open()
            run = runs.begin(job, new_facts(job, target=target, input=read and read.name))
            if source is not None:
                source.keep_in(run.folder)
            file = self._items / self._name(run.facts.run, after)
            subscriber = connector.subscriber(
                name,
                given=given,
                client=self.options.client,
                journal=run.journal,
                source=source,
                seen=open_seen(connector.assembly, runs, run, named),
            )
            await run_incoming(run, subscriber, LineSink(file))
            if not file.stat().st_size:
                file.unlink()
            runs.remove(run.facts.run)  # what it has read is noted for those that follow


def remembering(options: Options) -> Config:
    """Give the configuration, in which the connection remembers what it gave, whether or not it says how."""
    config = options.load()
    refuse_disabled(config, options.connection)
    if remembers(AsyncConnector(config).assembly, options.connection):
        return config
    return config.with_options(("incoming", options.connection), {"only": "new"})
