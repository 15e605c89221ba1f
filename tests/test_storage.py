"""What the files of a run need of the system: one owner at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from connectory.files.storage import Lock, datasync, why

HOLDER = """
import sys, time
from pathlib import Path
from connectory.files.storage import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.take()
lock.write(b"held by another")
print("held", flush=True)
time.sleep(100)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.json"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.fault("X8", "a lock that another process holds is not taken; kill -9 frees it")
def test_a_lock_is_one_process_s_until_it_dies(path, holder):
    lock = Lock(path)

    assert (lock.take(), lock.take_soon(), lock.is_held()) == (False, False, True)
    assert lock.read().rstrip() == b"held by another"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (lock.is_held(), lock.take()) == (False, True)
    lock.release()


def test_a_lock_is_held_once_within_a_process_too(path):
    first, second = Lock(path), Lock(path)

    assert first.take()
    assert (second.take(), second.is_held()) == (False, True)
    first.release()
    first.release()
    assert second.take()
    second.release()


def test_looking_at_a_lock_neither_makes_nor_keeps_it(path):
    lock = Lock(path)

    assert (lock.is_held(), path.exists(), lock.read()) == (False, False, b"")
    assert lock.take()
    lock.release()
    assert not lock.is_held()
    assert lock.take()
    lock.release()


def test_the_text_of_a_lock_is_replaced_whole_by_one_write_of_the_same_length(path, monkeypatch):
    lock, writes, whole = Lock(path), list[bytes](), os.write
    assert lock.take()
    monkeypatch.setattr(os, "write", lambda file, data: writes.append(bytes(data)) or whole(file, data))
    lock.write(json.dumps({"run": "a" * 40}).encode())
    long = path.stat().st_size
    lock.write(json.dumps({"run": None}).encode())
    lock.release()

    assert json.loads(path.read_bytes()) == {"run": None}
    assert {len(data) for data in writes} == {long}
    assert len(writes) == 2


def test_only_its_owner_may_read_a_lock(path):
    previous = os.umask(0)
    try:
        lock = Lock(path)
        assert lock.take()
        lock.release()
    finally:
        os.umask(previous)

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.fault("X9", "a symbolic link in the place of a lock is refused")
@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system follows links")
def test_a_symbolic_link_is_no_lock(path, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Lock(path).take()


def test_a_reason_is_the_rest_of_a_sentence():
    assert why(OSError(28, "No space left on device")) == "no space left on device"
    assert why(OSError("Odd")) == "odd"


def test_waiting_for_the_disk_works_on_any_file(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        datasync(file.fileno())

    assert (tmp_path / "file").read_bytes() == b"x"
