"""The lines of a run's shards, put together in the order of the input."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from connectory.files.private import open_private
from connectory.files.storage import datasync
from connectory.interfaces import TakesText
from connectory.text.json import loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from connectory.interfaces import Sink
    from connectory.journal import Run, Shard

LINES, LETTERS = "output.jsonl", "dead_letters.jsonl"
"""The files of a shard: its part of the output, and the records that were set aside."""

CHUNK = 1024 * 1024


async def join(run: Run, shards: Sequence[Shard], sink: Sink) -> None:
    """Give the output's lines to the sink. It can be interrupted anywhere: the next life goes on where this one was."""
    journal = run.journal
    journal.guard(sink.sync)
    mark = journal.state.mark or {"shard": 0, "offset": 0}
    if run.resumed and not sink.restore(journal.state.output):
        sink.restart()
        mark = {"shard": 0, "offset": 0}
    for place, shard in enumerate(shards):
        path = shard.folder(run.folder) / LINES
        if place < mark["shard"] or not path.exists():
            continue
        with path.open("rb") as file:
            file.seek(mark["offset"] if place == mark["shard"] else 0)
            for chunk in _whole_lines(file):
                await _give(sink, chunk)
                await sink.flush()
                journal.state.mark = {"shard": place, "offset": file.tell()}
                journal.place(sink.position, None)
                await journal.flush()


def gather(run: Path, shards: Sequence[Shard]) -> None:
    """Put together what was set aside until now, as one file; doing it again gives the same. Raises OSError."""
    files = [path for shard in shards if (path := shard.folder(run) / LETTERS).exists()]
    if not files:
        return
    draft = run / f"{LETTERS}.part"
    with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as whole:
        for path in files:
            with path.open("rb") as file:
                shutil.copyfileobj(file, whole, CHUNK)
        whole.flush()
        datasync(whole.fileno())
    draft.replace(run / LETTERS)


async def _give(sink: Sink, chunk: bytes) -> None:
    if isinstance(sink, TakesText):
        await sink.add(chunk)
        return
    values: list[Any] = [loads(line) for line in chunk.split(b"\n") if line]
    await sink.write(values)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Give the rest of a file in pieces that end with a line; the file stands behind each."""
    while piece := file.read(CHUNK):
        if not piece.endswith(b"\n"):
            piece += file.readline()
        yield piece
