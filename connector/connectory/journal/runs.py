"""The runs of a project: one folder each, found again by the job that they work on."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, JobBusyError, StorageError, UnknownNameError
from connectory.files.private import make_folder
from connectory.files.storage import Lock, why
from connectory.journal import mending
from connectory.journal.disk import DiskJournal
from connectory.journal.facts import FACTS, Facts, Job, read_facts, write_facts
from connectory.journal.log import LOG
from connectory.journal.shard import is_worked_on, repair_shards
from connectory.journal.store import DamagedError
from connectory.journal.summary import Summary, is_untouched, summarise, summarise_all

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from connectory.journal.seen import Seen

DEAD_LETTERS = "dead_letters.jsonl"
BALLAST = 4 * 1024 * 1024
"""Bytes that are kept free for the answers under way when the disk is full."""


class Run:
    """A run that this process works on: its folder, its facts and its journal. Close it to let others have the job."""

    def __init__(
        self, folder: Path, facts: Facts, journal: DiskJournal, lock: Lock | None, *, resumed: bool
    ) -> None:
        self.folder, self.facts, self.journal, self.resumed = folder, facts, journal, resumed
        self.seen: Seen | None = None
        self.given_up = False
        """Whether it is gone again: its input was refused before anything was sent."""
        self._lock, self._ballast = lock, folder / "ballast"
        if not self._ballast.exists():
            with suppress(OSError):  # a disk that is full now says so where it matters
                _reserve(self._ballast)
        journal.make_room = self.make_room

    def make_room(self) -> None:
        """Give the ballast back to a full disk."""
        self._ballast.unlink(missing_ok=True)

    async def finish(self) -> None:
        """Note that the run is at its end: the same command begins a new one, which knows what this one has read."""
        if self.seen is not None:
            self.seen.share()
        await self.journal.finish()
        self.make_room()
        if self._lock is not None:
            _point(self._lock, None)

    @contextmanager
    def preparing(self) -> Generator[None, None, None]:
        """Let go of everything where what the run needs cannot be made: nothing of it is under way yet."""
        try:
            yield
        except BaseException:
            self.journal.let_go()
            if self.seen is not None:
                self.seen.close()
            if self._lock is not None:
                self._lock.release()
            raise

    async def aclose(self, *, refused: bool = False) -> None:
        """Write what is left and let go of everything; of a run whose input was `refused` nothing stays.

        One of which anything was sent, settled or read stays all the same.
        """
        try:
            await self.journal.aclose()
            if refused and self._lock is not None and _is_untouched(self.folder):
                _forget(self.folder, self._lock)
                self.given_up = True
        finally:
            if self.seen is not None:
                self.seen.close()
            if self._lock is not None:
                self._lock.release()


class Runs:
    """The folder of all runs, `.connectory` beside the configuration. Files in it are for their owner alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, job: Job, facts: Facts, *, new: bool = False, power: bool = False) -> Run:
        """Take up the unfinished run of a job, or begin one with these facts.

        An unfinished run of which nothing was sent gives way when the input or the target is another one. Raises
        JobBusyError when another process works on it, ConfigError when the journal is damaged, or when the run has
        another target or input, StorageError when nothing can be written.
        """
        lock = self._locked(job)
        try:
            earlier = None if new else self._unfinished(job.id, lock)
            if earlier is not None:
                return self._take_up(earlier, facts, lock, power=power)
            return self._start(facts, lock, power=power)
        except BaseException:
            lock.release()
            raise

    def has_unfinished(self, job: Job) -> bool:
        """Say whether `begin` would take up a run."""
        return self._unfinished(job.id, Lock(self._job_file(job.id))) is not None

    def refuse_busy(self, job: Job) -> None:
        """Raise JobBusyError when another process works on a job."""
        lock = Lock(self._job_file(job.id))
        if lock.is_held():
            raise _busy(job.id, lock)

    def step(self, route: Run, number: int, connection: str, *, power: bool = False, **known: Any) -> Run:
        """Take up, or begin, the run of a step of a route: it belongs to the route's job, without a lock of its own."""
        run = f"{route.facts.run}.{number}"
        folder = self.path(run)
        if (folder / FACTS).exists():
            return self._reopened(folder, read_facts(folder), None, power=power)
        facts = replace(
            route.facts, run=run, kind="outgoing", connection=connection, route=route.facts.run, **known
        )
        return self._made(facts, None, power=power)

    def find(self, name: str) -> Facts:
        """Look a run up by its id, or by a beginning of it that only one has. Raises UnknownNameError."""
        ids = self.ids()
        found = [one for one in ids if one == name] or [one for one in ids if name and one.startswith(name)]
        found = [one for one in found if "." not in one] or found  # a route before its steps
        if len(found) != 1:
            raise UnknownNameError("run", name, ids, hint="`connectory runs list` shows them")
        return read_facts(self.path(found[0]))

    def ids(self) -> list[str]:
        """Give the ids of all runs, oldest first."""
        folder = self.folder / "runs"
        return sorted(one.parent.name for one in folder.glob(f"*/{FACTS}"))

    def path(self, run: str) -> Path:
        """Give the folder of a run."""
        return self.folder / "runs" / run

    def summary(self, run: str, *, usage: bool = False) -> Summary:
        """Say what a run has come to, and on demand what it used. Raises ConfigError when its journal is damaged."""
        facts = self.find(run)
        lock = Lock(self._job_file(facts.job))
        pointer = _read_pointer(lock)
        current = pointer.get("run") == (facts.route or facts.run) and lock.is_held()
        try:
            return summarise_all(
                self.path(facts.run), pid=pointer.get("pid") if current else None, usage=usage
            )
        except DamagedError as error:
            raise _damaged(facts.run, self.path(facts.run), error) from None

    def repair(self, run: str) -> None:
        """Make the journal of a run again from its results log."""
        facts = self.find(run)
        with self.held(facts):
            mending.repair(self.path(facts.run))
            repair_shards(self.path(facts.run))

    def remove(self, run: str) -> None:
        """Delete what is kept of a run and its steps: results logs, journals, dead letters. Raises ConfigError."""
        facts = self.find(run)
        if facts.route is not None:  # without it the route would send everything again
            raise ConfigError(f"run {facts.run} is a step of run {facts.route}; remove that one")
        lock = self._lock(facts.job)
        try:
            self._refuse_left(facts.run)
            if _read_pointer(lock).get("run") == facts.run:
                _point(lock, None)
            for one in self.ids():
                if one == facts.run or one.startswith(f"{facts.run}."):
                    shutil.rmtree(self.path(one))
        finally:
            lock.release()

    @contextmanager
    def held(self, facts: Facts) -> Generator[None, None, None]:
        """Keep every other process from the job of a run. Raises JobBusyError."""
        lock = self._lock(facts.job)
        try:
            self._refuse_left(facts.run)
            yield
        finally:
            lock.release()

    def recount(self, run: str, revived: int) -> None:
        """Note that so many records of a run were dead and are done now; who calls it holds the job."""
        mending.recount(self.path(run), revived)

    def prepare(self) -> None:
        """Make the folders. Raises StorageError."""
        try:
            for name in ("jobs", "runs", "known"):
                make_folder(self.folder / name)
            self.folder.chmod(0o700)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
                ignore.chmod(0o600)
        except OSError as error:
            raise StorageError(
                f"cannot keep the state of runs in {str(self.folder)!r}: {why(error)}; "
                "`journal` in the configuration names another folder"
            ) from error

    def _locked(self, job: Job) -> Lock:
        self.prepare()
        return self._lock(job.id)

    def _lock(self, job: str) -> Lock:
        lock = Lock(self._job_file(job))
        try:
            taken = lock.take() or lock.take_soon()
        except OSError as error:
            raise StorageError(f"cannot lock {str(lock.path)!r}: {why(error)}") from error
        if not taken:
            raise _busy(job, lock)
        return lock

    def _job_file(self, job: str) -> Path:
        return self.folder / "jobs" / f"{job}.json"

    def _unfinished(self, job: str, lock: Lock) -> str | None:
        pointer = _read_pointer(lock)
        run = pointer["run"] if "run" in pointer else self._newest(job)
        return run if isinstance(run, str) and self._began(run) else None

    def _began(self, run: str) -> bool:
        """Say whether a run came as far as its facts; results without them are damage, which must be noticed."""
        folder = self.path(run)
        log = folder / LOG
        return (folder / FACTS).exists() or (log.exists() and log.stat().st_size > 0)

    def _newest(self, job: str) -> str | None:
        """Find the last run of a job without its pointer, if it is not at its end."""
        for run in reversed(self.ids()):
            with suppress(ConfigError):
                facts = read_facts(self.path(run))
                if (facts.job, facts.route) == (job, None):
                    return run if not self._is_finished(run) else None
        return None

    def _is_finished(self, run: str) -> bool:
        try:
            return summarise(self.path(run), pid=None).state == "finished"
        except DamagedError:
            return False

    def _take_up(self, run: str, facts: Facts, lock: Lock, *, power: bool) -> Run:
        folder = self.path(run)
        earlier = read_facts(folder)
        self._refuse_left(run)
        if problem := _changed(earlier, facts):
            if not _is_untouched(folder):
                raise ConfigError(f"{problem}, or start anew with --new")
            _forget(folder, lock)
            return self._start(facts, lock, power=power)
        _point(lock, run)
        return self._reopened(folder, earlier, lock, power=power)

    def _refuse_left(self, run: str) -> None:
        """Raise JobBusyError while processes that outlived their run's own one finish what they have under way."""
        if is_worked_on(self.path(run)):
            raise JobBusyError(
                f"processes of run {run} are still finishing what was under way; try again in a moment"
            )

    def _reopened(self, folder: Path, earlier: Facts, lock: Lock | None, *, power: bool) -> Run:
        journal = DiskJournal(folder, earlier.run, started_at=earlier.started_at, power=power)
        try:
            journal.open(make=False)
        except DamagedError as error:
            raise _damaged(earlier.run, folder, error) from None
        return Run(folder, earlier, journal, lock, resumed=True)

    def _start(self, facts: Facts, lock: Lock, *, power: bool) -> Run:
        # First: a run that began and is not named here would never be found again.
        _point(lock, facts.run)
        return self._made(facts, lock, power=power)

    def _made(self, facts: Facts, lock: Lock | None, *, power: bool) -> Run:
        """Make the folder of a run; its facts come last: without them there is no run."""
        folder = self.path(facts.run)
        journal = DiskJournal(folder, facts.run, started_at=facts.started_at, power=power)
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            journal.open(make=True)
            write_facts(folder, facts)
        except (OSError, StorageError) as error:
            journal.close()
            shutil.rmtree(folder, ignore_errors=True)
            reason = why(error) if isinstance(error, OSError) else str(error)
            raise StorageError(f"cannot keep the state of the run in {str(folder)!r}: {reason}") from error
        return Run(folder, facts, journal, lock, resumed=False)


def _changed(earlier: Facts, facts: Facts) -> str:
    """Say why an unfinished run cannot go on with what is given now, and what would let it; nothing if it can."""
    run = earlier.run
    if earlier.processes != facts.processes:
        return (
            f"the unfinished run {run} was begun with --processes {earlier.processes}; "
            "give that again to finish it"
        )
    if earlier.target != facts.target:
        return (
            f"the unfinished run {run} sends {earlier.target}, and the configuration now says {facts.target}; "
            "put it back to finish that run"
        )
    if earlier.fingerprint != facts.fingerprint:
        return (
            f"{earlier.input!r} is not the file that the unfinished run {run} began with; "
            "put it back to finish that run"
        )
    return ""


def _is_untouched(folder: Path) -> bool:
    """Say whether nothing came of a run and its steps."""
    return all(map(is_untouched, [folder, *_steps(folder)]))


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f"{folder.name}.*"))


def _forget(folder: Path, lock: Lock) -> None:
    """Delete what is kept of a run of which nothing was sent, and of its steps."""
    _point(lock, None)
    for one in [*_steps(folder), folder]:
        shutil.rmtree(one, ignore_errors=True)


def _damaged(run: str, folder: Path, error: DamagedError) -> ConfigError:
    return ConfigError(
        f"the journal of run {run} in {str(folder)!r} is damaged: {error}. `connectory runs repair {run}` makes it "
        f"again from {LOG}; what was under way is then sent again and marked in_doubt"
    )


def _busy(job: str, lock: Lock) -> JobBusyError:
    pid = _read_pointer(lock).get("pid")
    return JobBusyError(
        f"another process{f' ({pid})' if pid else ''} is working on this job ({job}); nothing was done"
    )


def _point(lock: Lock, run: str | None) -> None:
    """Note which run of a job is not at its end, and who works on it."""
    text = json.dumps({"run": run, "pid": os.getpid(), "at": int(time.time())})
    try:
        lock.write(text.encode())
    except OSError as error:
        raise StorageError(f"cannot write {str(lock.path)!r}: {why(error)}") from error


def _read_pointer(lock: Lock) -> dict[str, Any]:
    try:
        pointer = json.loads(lock.read() or b"{}")
    except (OSError, ValueError):  # the machine died in the middle of writing it
        return {}
    return pointer if isinstance(pointer, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # any JSON


def _reserve(path: Path) -> None:
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, BALLAST)
        else:
            file.write(bytes(BALLAST))
