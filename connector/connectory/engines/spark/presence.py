"""Who is at work: each attempt of a task keeps a file fresh that the others look at.

It is how tasks on many machines divide limits, how a new attempt knows that an earlier one is over, and how an earlier
one notices that a new one has begun.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from connectory.errors import RunStoppedError

if TYPE_CHECKING:
    from connectory.engines.spark.location import Attempt

TICK = 0.5
"""Seconds between two signs of life."""

STALE = 4.0
"""Seconds without a sign after which an attempt of another machine counts as dead."""

_SYSTEM = ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid")
"""What tells one system's processes from those of another; where they are not, nothing is known of processes."""


class LostError(RunStoppedError):
    """Another attempt at the same partition has begun: this one must not send anything more."""


class Company(Protocol):
    """How many share the limits, and what they have used."""

    @property
    def live(self) -> int:
        """Count the tasks at work, this one included."""
        ...

    def note(self, **counts: int) -> None:
        """Tell the others what this task has used."""
        ...

    def of_others(self, name: str) -> int:
        """Sum up what the other attempts of the run have used."""
        ...


class Presence:
    """The sign of life of one attempt, kept fresh by a thread; `close` it when the attempt is over."""

    def __init__(self, attempt: Attempt) -> None:
        self._path, self._owner = attempt.presence, attempt.owner
        self._token = attempt.token.rpartition("-")[2].encode()
        self._counts: dict[str, int] = {}
        self._others: dict[str, dict[str, Any]] = {}
        self._system = _system()
        self._lost, self._over = False, threading.Event()
        self.live = 1
        self._looked = 0.0
        self._look()
        self._thread = threading.Thread(target=self._stay, name="connectory-presence", daemon=True)
        self._thread.start()

    def note(self, **counts: int) -> None:
        """Tell the others what this task has used."""
        self._counts = {**self._counts, **counts}

    def of_others(self, name: str) -> int:
        """Sum up what the other attempts of the run have used, as far as it was told."""
        return sum(one.get(name, 0) for one in self._others.values())

    def check(self) -> None:
        """Raise LostError where a new attempt at the partition has begun."""
        if time.monotonic() - self._looked > STALE / 2:  # this process stood still: it may count as dead
            self._look()
        if self._lost:
            raise LostError(
                "another attempt at this partition has begun; this one stops, and that one goes on"
            )

    def close(self) -> None:
        """Say that the attempt is over."""
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._write(over=True)

    def _stay(self) -> None:
        while not self._over.wait(TICK):
            self._look()

    def _look(self) -> None:
        """Give a sign of life, and look for those of the others; a file system that fails shows elsewhere."""
        with suppress(OSError):
            self._write()
            self._lost = self._lost or self._owner.read_bytes() != self._token
            fresh = fresh_in(self._path.parent)
            self._others = {
                name: one for name, one in _all(self._path.parent).items() if name != self._path.name
            }
            self.live = max(1, len(fresh))
            self._looked = time.monotonic()

    def _write(self, *, over: bool = False) -> None:
        _put(self._path, {**self._counts, "over": over, "pid": os.getpid(), "system": self._system})


def fresh_in(folder: Path) -> set[str]:
    """Name the attempts that have given a sign of life lately, by the clock of the file system."""
    if not folder.is_dir():
        return set()
    probe = folder / f".{uuid4().hex[:12]}"
    probe.touch(mode=0o600)
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    fresh = set[str]()
    for one in folder.iterdir():
        with suppress(OSError, ValueError):
            if not one.name.startswith(".") and now - _seen(one) < STALE and not _is_over(_read(one)):
                fresh.add(one.name)
    return fresh


def _seen(path: Path) -> float:
    """Say when a file was written, as its server knows it: opening it asks again."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(file).st_mtime
    finally:
        os.close(file)


def _is_over(said: dict[str, Any]) -> bool:
    """Say whether an attempt said that it is over, or is a process of this system that is gone."""
    if said["over"] or said["system"] is None or said["system"] != _system():
        return bool(said["over"])
    try:
        os.kill(said["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is somebody else's
        return False
    return False


def _system() -> str | None:
    """Name this system, and its numbers of processes."""
    try:
        return Path(_SYSTEM[0]).read_text().strip() + Path(_SYSTEM[1]).readlink().name
    except OSError:
        return None


def _all(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in folder.iterdir():
        if not one.name.startswith("."):
            with suppress(OSError, ValueError):
                found[one.name] = _read(one)
    return found


def _read(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(path.read_bytes())
    return said


def _put(path: Path, said: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(json.dumps(said).encode())
    draft.replace(path)
