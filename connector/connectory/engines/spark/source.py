"""The data source `connectory`: what Spark asks for a reader or a writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.datasource import DataSource

from connectory.engines.spark.options import POLL, READ, WRITE, read_options
from connectory.engines.spark.polling import Poller
from connectory.engines.spark.reading import BatchReader, schema_of
from connectory.engines.spark.rows import refuse_absent
from connectory.engines.spark.sending import begin
from connectory.engines.spark.writing import BatchWriter, StreamWriter

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType


def register(spark: SparkSession) -> None:
    """Let a session know the format `connectory`, for reading and writing, in batches and streams."""
    spark.dataSource.register(ConnectorySource)


class ConnectorySource(DataSource):
    """Connections of a Connectory configuration as a data source of Spark.

    Options of every read and write: `config` (the configuration file) and `incoming` or `outgoing` (the connection's
    name); `client` names another client. Option names are not sensitive to case.

    spark.read: `raw` ("true": one column with JSON), `partitions` (tasks at most, 32), `query.NAME` and `path.NAME`
    (request parameters).

    spark.readStream: those but `partitions`, and `state` (a folder that all machines see), `every` (seconds between two
    questions to the server at least, 10).

    write and writeStream: `results` or `.save(PATH)` (a folder that all machines see), `identifier` (columns by which a
    row is known, with commas), `layout` (`json` or `parquet`), `new` ("true" begins anew).
    """

    @classmethod
    def name(cls) -> str:
        """Give the name of the format."""
        return "connectory"

    def schema(self) -> StructType:
        """Give the columns of an incoming."""
        given = dict(self.options)
        return schema_of(read_options(given, "incoming", POLL if "state" in given else READ))

    def reader(self, schema: StructType) -> BatchReader:
        """Make what reads a batch."""
        return BatchReader(read_options(dict(self.options), "incoming", READ), schema)

    def streamReader(self, schema: StructType) -> Poller:  # noqa: N802 - Spark's name
        """Make what reads a stream."""
        return Poller(read_options(dict(self.options), "incoming", POLL), schema)

    def writer(self, schema: StructType, overwrite: bool) -> BatchWriter:  # noqa: FBT001 - Spark's
        """Make what writes a batch; a write to the same location that failed is taken up."""
        options = read_options(dict(self.options), "outgoing", WRITE)
        refuse_absent(options.identifier, schema.names)
        return BatchWriter(options, begin(options, "write"), overwrite=overwrite)

    def streamWriter(self, schema: StructType, overwrite: bool) -> StreamWriter:  # noqa: ARG002, FBT001, N802 - Spark's
        """Make what writes a stream."""
        options = read_options(dict(self.options), "outgoing", WRITE)
        refuse_absent(options.identifier, schema.names)
        return StreamWriter(options, begin(options, "stream"))
