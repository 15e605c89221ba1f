"""The files of a run: who may read them, and a place or a disk that takes none."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pytest
from lives import JOB, facts, lived, settle

from connectory.errors import StorageError
from connectory.journal import Run, Runs
from connectory.journal import runs as runs_module
from connectory.journal.runs import BALLAST


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / ".connectory")


@pytest.mark.fault(
    "X9", "whatever the umask: folders are for their owner alone, and so is every file in them"
)
def test_only_their_owner_may_look_into_the_files_of_runs(runs):
    async def work(run: Run) -> None:
        await settle(run, 0)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [runs.folder, *runs.folder.rglob("*")]}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if not path.is_dir()} == {0o600}
        assert len(modes) > 10

    previous = os.umask(0)
    try:
        lived(runs, work)
    finally:
        os.umask(previous)


def test_version_control_does_not_see_the_files_of_runs(runs):
    lived(runs)

    assert (runs.folder / ".gitignore").read_text() == "*\n"


@pytest.mark.fault(
    "X9", "a folder that cannot be written is refused, and the message names the key that moves it"
)
def test_a_place_that_cannot_hold_the_state_is_told_with_advice(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        StorageError, match=r"cannot keep the state of runs in .*`journal` in the configuration"
    ):
        Runs(tmp_path / "file" / ".connectory").begin(JOB, facts())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told_with_advice(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied; `journal`"):
        Runs(tmp_path / ".connectory").begin(JOB, facts())
    tmp_path.chmod(0o700)


def test_a_job_whose_lock_cannot_be_opened_is_told(runs):
    (runs.folder / "jobs" / f"{JOB.id}.json").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot lock"):
        runs.begin(JOB, facts())


def test_a_run_that_cannot_be_made_leaves_nothing_behind(runs, monkeypatch):
    def refuse(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runs_module, "write_facts", refuse)
        with pytest.raises(
            StorageError, match=r"cannot keep the state of the run in .*: no space left on device"
        ):
            runs.begin(JOB, facts())
    assert list((runs.folder / "runs").iterdir()) == []
    assert lived(runs)


@pytest.mark.parametrize("begun", [False, True])
def test_a_pointer_that_cannot_be_written_is_told_and_the_run_is_not_lost(runs, monkeypatch, begun: bool):
    before = lived(runs) if begun else None

    def refuse(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runs_module.Lock, "write", refuse)
        with pytest.raises(StorageError, match=r"cannot write .*no space left"):
            runs.begin(JOB, facts())
    assert runs.ids() == ([before] if before else [])
    assert lived(runs) == before or not begun


@pytest.mark.fault("X4", "a run keeps some room free, gives it back to a full disk, and at its end")
def test_a_run_keeps_ballast_until_the_disk_is_full_or_it_ends(runs):
    async def work(run: Run) -> None:
        ballast = run.folder / "ballast"
        assert ballast.stat().st_size == BALLAST
        run.journal.make_room()
        assert not ballast.exists()
        run.journal.make_room()

    run = lived(runs, work)
    lived(runs, finish=True)
    assert not (runs.path(run) / "ballast").exists()


def test_a_disk_without_room_for_the_ballast_does_not_keep_a_run_from_beginning(runs, monkeypatch):
    def refuse(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs_module, "_reserve", refuse)
    assert lived(runs)


def test_where_the_system_cannot_reserve_ballast_it_is_written(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    runs_module._reserve(tmp_path / "ballast")

    assert (tmp_path / "ballast").stat().st_size == BALLAST


@pytest.mark.fault(
    "X13", "a clock that was set back changes no run, no order and no resume: time is only shown"
)
def test_a_clock_that_was_set_back_changes_nothing(runs, monkeypatch):
    first = lived(runs, lambda run: settle(run, 0))
    monkeypatch.setattr(runs_module.time, "time", lambda: 86_400.0)

    async def work(run: Run) -> None:
        assert (run.resumed, run.journal.life, run.journal.is_shown(0)) == (True, 2, True)
        assert run.journal.started_at > 86_400  # as the run began, not as the clock says now

    assert lived(runs, work) == first
    pointer = json.loads((runs.folder / "jobs" / f"{JOB.id}.json").read_bytes())
    assert (pointer["run"], pointer["at"]) == (first, 86_400)
