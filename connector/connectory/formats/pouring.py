"""Files that are written whole: lines of JSON, poured into CSV, Parquet, Arrow or gzip when all of them are there."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from connectory.formats.arrow import VALUE, Shape, arrow
from connectory.text.json import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

ROWS = 20_000
"""Rows that are in memory at once, and make a row group, at most."""

LARGE = 32 * 1024 * 1024
"""Bytes of lines after which a row group ends, however few they are."""

_CSV = re.compile(r"\.(csv|tsv|tab)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pouring:
    """How a file is made of lines; `appends` says whether one that is there may get another one's bytes at its end."""

    pour: Callable[[Path, BinaryIO], None]
    appends: bool = False


def pouring_of(name: str) -> Pouring | None:
    """Find how a file of this name is made; None for lines as they are. Raises ConfigError where pyarrow is missing."""
    lower = name.lower()
    if found := _CSV.search(lower):
        return Pouring(partial(_pour_csv, between="," if found[1] == "csv" else "\t", packed=bool(found[2])))
    if lower.endswith(".parquet"):
        arrow()
        return Pouring(_pour_parquet)
    if lower.endswith((".arrow", ".feather")):
        arrow()
        return Pouring(_pour_arrow)
    return Pouring(_pack, appends=True) if lower.endswith(".gz") else None


def _pack(lines: Path, file: BinaryIO) -> None:
    with lines.open("rb") as plain, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        shutil.copyfileobj(plain, packed, LARGE)


def _pour_csv(lines: Path, file: BinaryIO, *, between: str, packed: bool) -> None:
    columns = dict[str, None]()
    for record in _records(lines):
        columns.update(dict.fromkeys(_columns(record)))
    with _packing(file, packed=packed) as end:
        text = io.TextIOWrapper(end, "utf-8", "replace", newline="")
        writer = csv.writer(text, delimiter=between, lineterminator="\n")
        if columns:
            writer.writerow(columns)
        for record in _records(lines):
            fields = _columns(record)
            writer.writerow([_cell(fields.get(name)) for name in columns])
        text.detach()  # which writes what it holds, and leaves the file open


@contextmanager
def _packing(file: BinaryIO, *, packed: bool) -> Generator[Any, None, None]:
    if not packed:
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as end:
        yield end


def _pour_parquet(lines: Path, file: BinaryIO) -> None:
    shape = _shape(lines)
    with import_module("pyarrow.parquet").ParquetWriter(file, shape.schema, compression="zstd") as writer:
        for group in _groups(lines):
            writer.write_batch(shape.batch(group, shape.schema))


def _pour_arrow(lines: Path, file: BinaryIO) -> None:
    shape = _shape(lines)
    with import_module("pyarrow.ipc").new_file(file, shape.schema) as writer:
        for group in _groups(lines):
            writer.write_batch(shape.batch(group, shape.schema))


def _shape(lines: Path) -> Shape:
    shape = Shape()
    for group in _groups(lines):
        shape.learn(group)
    return shape


def _groups(lines: Path) -> Iterator[list[Any]]:
    """Give the records of a file in lists that memory can hold."""
    group, size = list[Any](), 0
    with lines.open("rb") as file:
        for line in file:
            group.append(loads(line))
            size += len(line)
            if len(group) == ROWS or size > LARGE:
                yield group
                group, size = [], 0
    if group:
        yield group


def _records(lines: Path) -> Iterator[Any]:
    with lines.open("rb") as file:
        yield from map(loads, file)


def _columns(record: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", record) if isinstance(record, dict) else {VALUE: record}


def _cell(value: Any) -> str:
    """Write a value into a row: a text as it is, nothing for null, everything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else dumps(value).decode()
