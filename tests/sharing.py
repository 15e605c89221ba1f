"""A folder whose outgoing several processes share, and what is looked at in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from wall import Processes, ThreadedWall

from connectory.record import Delivery

COUNT = 60


class Sharing(Processes):
    """Runs the outgoing in two processes, unless the words say another number."""

    def __init__(
        self, folder: Path, wall: ThreadedWall, *, settings: str = "", limits: str = "", **options: Any
    ):
        super().__init__(folder, wall, **{"count": COUNT, **options})
        config = folder / "connectory.yaml"
        text = (
            config.read_text().replace("retry:", f"limits: {{{limits}}}, retry:")
            if limits
            else config.read_text()
        )
        config.write_text(text + settings)

    def start(self, *words: str, **options: Any) -> Any:
        shared = () if "--processes" in words else ("--processes", "2")
        return super().start(*words, *shared, **options)

    def give(self, data: bytes, name: str = "in.jsonl") -> None:
        (self.folder / name).write_bytes(data)

    @property
    def run_folder(self) -> Path:
        return self.runs.path(self.runs.ids()[-1])


def children(process: Any) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def gone(pids: list[int]) -> None:
    """Wait until processes have ended."""
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.05)
    pytest.fail("a process outlived its work")


def everything_once(project: Sharing, wall: ThreadedWall, *, count: int = COUNT) -> None:
    assert [int(line["id"]) for line in project.lines] == list(range(count)), "in the order of the input"
    assert [line["index"] for line in project.lines] == list(range(count))
    assert set(wall.times()) == set(range(count))
    run = project.runs.ids()[-1]
    assert set(wall.keys) == {Delivery(run, str(line), 0).key for line in range(1, count + 1)}
    summary = project.summary
    assert (summary.state, summary.done, summary.dead, summary.pending) == ("finished", count, 0, 0)
