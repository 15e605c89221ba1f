"""How the records of a file are dealt out to several processes: each has a range of them, and a folder of its own."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.files.storage import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from connectory.formats.lines import Line

SHARDS, PLAN = "shards", "plan.json"

MOST_KEPT = 4096
"""Places in a file that are remembered while it is cut, however large it is."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of a run's records: `count` of them after the first `start`; `mark` is where the file is read on."""

    number: int
    start: int
    count: int
    mark: Any = None

    @property
    def end(self) -> int:
        """Count the records up to the end of the range."""
        return self.start + self.count

    def folder(self, run: Path) -> Path:
        """Give the folder of the shard in that of its run."""
        return run / SHARDS / str(self.number)


def cut(lines: Iterable[Line], processes: int) -> tuple[Shard, ...]:
    """Cut the lines of a file into ranges of as many records each; fewer where there are not enough.

    Of a long file every so many lines is a place where it can be cut: the ranges differ by less than a thousandth.
    """
    step, count = 1, 0
    kept: list[tuple[int, Any]] = [(0, None)]
    for count, line in enumerate(lines, 1):
        if not count % step:
            kept.append((count, line.mark))
            if len(kept) > MOST_KEPT:
                del kept[1::2]
                step *= 2
    starts = [start for start, _ in kept]
    chosen = {bisect_right(starts, count * part // processes) - 1 for part in range(processes)}
    begins = [kept[place] for place in sorted(chosen)]
    ends = [start for start, _ in begins[1:]] + [count]
    ranges = [
        (start, end - start, mark) for (start, mark), end in zip(begins, ends, strict=True) if end > start
    ]
    return tuple(Shard(number, *one) for number, one in enumerate(ranges, 1))


def write_plan(run: Path, shards: Sequence[Shard]) -> None:
    """Note how the records of a run are dealt out. Raises OSError."""
    (run / SHARDS).mkdir(mode=0o700, exist_ok=True)
    write_whole(run / SHARDS / PLAN, json.dumps([asdict(one) for one in shards]).encode() + b"\n")


def read_plan(run: Path) -> tuple[Shard, ...] | None:
    """Read how the records of a run are dealt out; None where one process has all of them. Raises ConfigError."""
    path = run / SHARDS / PLAN
    try:
        return tuple(Shard(**one) for one in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error}; start anew with --new") from None
