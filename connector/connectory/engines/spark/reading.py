"""Batch reads: the driver finds out what can be read apart, and each task reads some of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceReader, InputPartition

from connectory.assembly import remembers
from connectory.connector import AsyncConnector
from connectory.engines.spark.columns import columns_of, raw_column, row_of
from connectory.errors import ConfigError
from connectory.requests.parameters import Given

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from pyspark.sql.types import StructType

    from connectory.config import Config
    from connectory.engines.spark.options import Options
    from connectory.reading.subscription import Portion
    from connectory.subscriber import Subscriber


@dataclass
class Share(InputPartition):
    """What one task reads; without portions all of the connection."""

    portions: Sequence[Portion]


class BatchReader(DataSourceReader):
    """Reads an incoming: for parents, records of its input and several sets of parameters with as many tasks as asked.

    The pages of one list follow each other, because each says where the next one begins: one task reads them.
    """

    def __init__(self, options: Options, schema: StructType) -> None:
        self.options, self.schema = options, schema

    def partitions(self) -> Sequence[Share]:
        """Find out what can be read apart, and deal it out; on the driver."""
        found = asyncio.run(_portions(self.options))
        number = min(self.options.partitions, len(found))
        return [Share(found[start::number]) for start in range(number)] or [Share([])]

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        """Give the rows of a task's share; on an executor."""
        portions: Sequence[Portion] = partition.portions if isinstance(partition, Share) else ()
        with asyncio.Runner() as runner:
            items = _items(self.options, portions)
            try:
                while (page := runner.run(_next(items))) is not None:
                    for item in page:
                        yield row_of(item, self.schema)
            finally:
                runner.run(items.aclose())


def schema_of(options: Options) -> StructType:
    """Give the columns of a connection's items: those of the catalogue, or only `raw` where a chain makes others."""
    config = options.load()
    connector = AsyncConnector(config)
    settings = connector.assembly.incoming(options.connection)
    shaped = settings.transformers or settings.keep_parent is not None or settings.save_to is not None
    if options.raw or shaped or settings.entity is None:
        return raw_column()
    return columns_of(connector.catalogue, connector.catalogue.find(settings.entity, "read"))


def refuse_disabled(config: Config, name: str) -> None:
    """Raise ConfigError for a connection that is left out of runs."""
    if name in config.incoming and config.incoming[name].disabled:
        raise ConfigError(f"incoming {name!r} is disabled in the configuration")


def given_of(options: Options) -> Given:
    """Give the request parameters of the options."""
    return Given(options.path, options.query)


async def _portions(options: Options) -> list[Portion]:
    async with (
        AsyncConnector(options.load()) as connector,
        aclosing(_subscriber(connector, options).portions()) as portions,
    ):
        return [one async for one in portions]


async def _items(options: Options, portions: Sequence[Portion]) -> AsyncGenerator[list[Any], None]:
    async with (
        AsyncConnector(options.load()) as connector,
        aclosing(_subscriber(connector, options).portion_pages(portions)) as pages,
    ):
        async for page in pages:
            if page.read:
                yield page.records


def _subscriber(connector: AsyncConnector, options: Options) -> Subscriber:
    refuse_disabled(connector.config, options.connection)
    if remembers(connector.assembly, options.connection):
        raise ConfigError(
            f"incoming {options.connection!r} has 'only' or 'incremental', which ask what was read before: read it by "
            "spark.readStream, which remembers that; spark.read reads everything each time"
        )
    return connector.subscriber(options.connection, given=given_of(options), client=options.client)


async def _next(items: AsyncGenerator[list[Any], None]) -> list[Any] | None:
    return await anext(items, None)
