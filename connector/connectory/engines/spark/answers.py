"""Answers as files and columns: the same fields in JSON Lines, in Parquet and in a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.adapters.linesink import LineSink
from connectory.engines.spark.arrow import arrow, parquet
from connectory.interfaces import Sink
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from connectory.record import Record

SUFFIXES = {"json": "jsonl", "parquet": "parquet"}
ROWS = 5000
"""Rows of a group in a Parquet file."""

ERROR = "class string, code string, message string, retryable boolean"
SCHEMA = (
    "id string, key string, partition int, index long, status string, http_status int, request_id string, "
    f"attempts int, in_doubt boolean, usage string, error struct<{ERROR.replace(' ', ': ').replace(',: ', ', ')}>, "
    "result string"
)
"""What is known of an answer, as Spark writes it; `usage` and `result` are JSON."""


def arrow_type() -> Any:
    """Give the same fields as Arrow has them."""
    text, whole, truth = arrow.string(), arrow.int32(), arrow.bool_()
    error = [("class", text), ("code", text), ("message", text), ("retryable", truth)]
    return arrow.struct(
        [
            ("id", text), ("key", text), ("partition", whole), ("index", arrow.int64()), ("status", text),
            ("http_status", whole), ("request_id", text), ("attempts", whole), ("in_doubt", truth), ("usage", text),
            ("error", arrow.struct(error)), ("result", text),
        ]
    )  # fmt: skip


def as_columns(answer: Record) -> Record:
    """Give an answer with its JSON parts as text."""
    texts = {name: _text(answer[name]) for name in ("usage", "result")}
    return {**answer, **texts}


def answer_sink(folder: Path, layout: str) -> Sink:
    """Make the file of an attempt's answers."""
    path = folder / f"lines.{SUFFIXES[layout]}"
    return ParquetSink(path) if layout == "parquet" else LineSink(path, staged=False)


class ParquetSink(Sink):
    """Write answers to a Parquet file, which is whole once it is closed."""

    def __init__(self, path: Path) -> None:
        self._fields = arrow_type()
        self._file: Any = parquet.ParquetWriter(path, arrow.schema(list(self._fields)))
        self._waiting: list[Record] = []

    async def write(self, lines: Iterable[Any]) -> None:
        """Take answers; they leave when enough for a group have gathered."""
        self._waiting += [as_columns(one) for one in lines]
        while len(self._waiting) >= ROWS:
            self._put(self._waiting[:ROWS])
            del self._waiting[:ROWS]

    async def flush(self) -> None:
        """Need nothing: an attempt that dies makes the file anew."""

    async def close(self) -> None:
        """Write the rest, and the end of the file."""
        if self._waiting:
            self._put(self._waiting)
        self._file.close()

    def _put(self, answers: list[Record]) -> None:
        self._file.write_batch(arrow.RecordBatch.from_struct_array(arrow.array(answers, self._fields)))


def _text(value: Any) -> str | None:
    return None if value is None else dumps(value).decode()
