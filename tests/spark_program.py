"""A program of a user of Spark: reads, writes, streams and publishes, and says on its last line what it found."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from markdown_blocks import blocks
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - what everybody calls it

from connectory.engines.spark import publish, register

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "spark.md"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="+")
    parser.add_argument("--master", default="local[2,2]")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--partitions", type=int, default=4)
    asked = parser.parse_args()
    spark = session(asked.master)
    register(spark)
    program = Program(spark, asked.folder, asked.rows, asked.partitions)
    found = {}
    for step in asked.steps:
        begun = time.monotonic()
        found[step] = getattr(program, step.replace("-", "_"))()
        print(f"{step}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
    spark.stop()
    print(json.dumps(found), file=sys.__stdout__, flush=True)


def session(master: str) -> SparkSession:
    """Make a session that says little and needs little."""
    builder = SparkSession.builder.master(master).appName("connectory")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "500m",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


class Program:
    """What is done with one folder, which has the configuration."""

    def __init__(self, spark: SparkSession, folder: Path, rows: int, partitions: int) -> None:
        self.spark, self.folder, self.rows, self.partitions = spark, folder, rows, partitions

    def read(self) -> Any:
        """Read a list, and a list for each parent."""
        files = self._reader("files").load()
        events = self._reader("events").option("partitions", "2").load()
        moments = self._reader("files").schema("id string, created_at timestamp, raw string").load()
        return {
            "columns": files.columns,
            "ids": sorted(one.id for one in files.collect()),
            "bytes": files.agg(F.sum("bytes")).first()[0],
            "events": sorted(one.id for one in events.collect()),
            "partitions": [files.rdd.getNumPartitions(), events.rdd.getNumPartitions()],
            "moment": moments.orderBy("id").first().created_at.timestamp(),
        }

    def write(self) -> Any:
        """Write rows; two tasks are killed once each by a transformer."""
        return self._written("moderate", "results")

    def write_parquet(self) -> Any:
        """Write rows with a refused one among them, as Parquet."""
        writer = self._writer(self._rows().limit(12).coalesce(1), "plain").option("layout", "parquet")
        writer.mode("append").save(str(self.folder / "columns"))
        made = self.spark.read.parquet(str(self.folder / "columns" / "results"))
        letters = self.spark.read.json(str(self.folder / "columns" / "dead_letters"))
        return {
            "rows": made.count(),
            "flagged": made.where(F.get_json_object("result", "$.flagged") == "true").count(),
            "errors": [one.error.code for one in made.where("status = 'error'").collect()],
            "letters": [one.record.text for one in letters.collect()],
        }

    def go_on(self) -> Any:
        """Write, fail for good, and give the same command again with other partitions."""
        failed = ""
        rows = self._rows().coalesce(1)
        for _ in range(2):
            writer = self._writer(rows, "breaking").option("identifier", "number")
            try:
                writer.mode("append").save(str(self.folder / "again"))
                failed += "done"
            except Exception as error:  # noqa: BLE001 - which one says the test
                failed += f"{type(error).__name__} "
            rows = self._rows().repartition(3)
        made = self.spark.read.json(str(self.folder / "again" / "results"))
        return {"ended": failed, "rows": made.count(), "distinct": made.select("id").distinct().count()}

    def publish(self) -> Any:
        """Publish rows, and ask for them twice."""
        made = publish(
            self._rows().limit(30),
            "plain",
            config=str(self.folder / "connectory.yaml"),
            results=self.folder / "published",
            identifier="number",
        )
        first = {one.number: one.answer.result for one in made.collect()}
        right = made.where("answer.id = cast(number as string)").count()
        return {
            "rows": len(first),
            "right": right,
            "flagged": sorted(k for k, v in first.items() if v and "true" in v),
        }

    def stream_write(self) -> Any:
        """Write a stream of files, then go on with it from its checkpoint."""
        source = self.folder / "arriving"
        source.mkdir()
        counts = []
        for number in range(2):
            lines = [
                json.dumps({"number": one, "text": f"stream {one}"})
                for one in range(number * 10, number * 10 + 10)
            ]
            (source / f"{number}.json").write_text("\n".join(lines))
            arriving = self.spark.readStream.schema("number long, text string").json(str(source))
            query = self._stream(arriving.writeStream, "plain", "streamed")
            query.awaitTermination()
            counts.append(self.spark.read.json(str(self.folder / "streamed" / "results")).count())
        left = sorted(one.name[-6:] for one in (self.folder / "streamed" / "_connectory").iterdir())
        return {"rows": counts, "left": left}

    def stream_read(self) -> Any:
        """Read what is new, twice from one checkpoint; the server gets an item in between by a marker file."""
        seen = []
        target = self.folder / "stream-read"
        for number in range(2):
            query = (
                self._reader("arriving", self.spark.readStream)
                .option("state", str(self.folder / "state"))
                .option("every", "0")
                .load()
                .writeStream.format("json")
                .option("checkpointLocation", str(self.folder / "checkpoint-read"))
                .trigger(availableNow=True)
                .start(str(target))
            )
            query.awaitTermination()
            seen.append(
                sorted(one.id for one in self.spark.read.schema("id string").json(str(target)).collect())
            )
            if not number:
                (self.folder / "more").touch()
                while (self.folder / "more").exists():
                    time.sleep(0.05)
        kept = sorted((self.folder / "state" / "items").iterdir())
        return {"seen": seen, "kept": len(kept)}

    def document(self) -> Any:
        """Run the programs of the how-to page one after the other."""
        shared = self.folder / "shared"
        known: dict[str, Any] = {}
        for block in blocks(PAGE):
            if block.language == "python":
                exec(block.text.replace("/shared", str(shared)), known)  # noqa: S102 - the project's own documents
        flagged = self.spark.read.json(str(shared / "moderated" / "results"))
        streamed = self.spark.read.json(str(shared / "file-names" / "results"))
        return {"rows": flagged.count(), "names": streamed.count(), "columns": known["moderated"].columns}

    def _written(self, outgoing: str, results: str) -> Any:
        self._writer(self._rows(), outgoing).mode("append").save(str(self.folder / results))
        made = self.spark.read.json(str(self.folder / results / "results"))
        return {
            "rows": made.count(),
            "distinct": made.select("key").distinct().count(),
            "in_doubt": made.where("in_doubt").count(),
            "partitions": made.select("partition").distinct().count(),
            "state": sorted(one.name for one in (self.folder / results / "_connectory").iterdir()),
        }

    def _rows(self) -> DataFrame:
        numbers = self.spark.range(0, self.rows, 1, self.partitions).withColumnRenamed("id", "number")
        return numbers.withColumn("text", F.concat(F.lit("text "), F.col("number")))

    def _reader(self, incoming: str, reader: Any = None) -> Any:
        made = (reader or self.spark.read).format("connectory")
        return made.option("config", str(self.folder / "connectory.yaml")).option("incoming", incoming)

    def _writer(self, rows: DataFrame, outgoing: str) -> Any:
        made = rows.write.format("connectory").option("config", str(self.folder / "connectory.yaml"))
        return made.option("outgoing", outgoing)

    def _stream(self, writer: Any, outgoing: str, results: str) -> Any:
        made = writer.format("connectory").option("config", str(self.folder / "connectory.yaml"))
        made = made.option("outgoing", outgoing).option("results", str(self.folder / results))
        made = made.option("checkpointLocation", str(self.folder / f"checkpoint-{results}"))
        return made.trigger(availableNow=True).start()


if __name__ == "__main__":
    main()
