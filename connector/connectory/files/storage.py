"""What the files of a run need of the system: one owner at a time, and their bytes on the disk."""

from __future__ import annotations

import contextlib
import os
import time
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_WINDOWS = os.name == "nt"
_system: Any = import_module("msvcrt" if _WINDOWS else "fcntl")
_FAR = 1 << 30
"""Where the byte lies that is locked on Windows: beyond what is written, because a locked byte cannot be read."""

SAMPLE = 64 * 1024
"""Bytes at both ends of a file by which it is known again."""

_LENGTH = 512
"""Bytes of a lock's text, filled with spaces."""


class Lock:
    """A file that at most one process holds. Its text is for who finds it held, and for who holds it next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def take(self) -> bool:
        """Take the lock; False when another process has it. Raises OSError when the file cannot be opened."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        file = os.open(self.path, flags, 0o600)
        if not lock(file):
            os.close(file)
            return False
        self._file = file
        return True

    def take_soon(self) -> bool:
        """Try for a moment: who only looks whether the lock is held has it no longer."""
        for _ in range(5):
            time.sleep(0.02)
            if self.take():
                return True
        return False

    def read(self) -> bytes:
        """Read the text, which may be of another process."""
        with contextlib.suppress(FileNotFoundError):
            return self.path.read_bytes()
        return b""

    def is_held(self) -> bool:
        """Say whether another process has the lock now."""
        if not self.path.exists():
            return False
        if not self.take():
            return True
        self.release()
        return False

    def write(self, text: bytes) -> None:
        """Replace the text; only who holds the lock may. Raises OSError.

        It is one write of always the same length: who dies in the middle leaves the old text or the new one. So does a
        machine that loses its power.
        """
        text = text.ljust(_LENGTH - 1) + b"\n"
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, text)
        os.ftruncate(self._file, len(text))
        os.fsync(self._file)
        _sync_folder(self.path.parent)

    def release(self) -> None:
        """Let another process have it."""
        if self._file >= 0:
            os.close(self._file)  # which gives up the lock
            self._file = -1


def known_by(path: Path) -> dict[str, Any]:
    """Say by what a file is known again: its size, and a hash of both its ends. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = blake2b(file.read(SAMPLE), digest_size=16)
        file.seek(max(0, size - SAMPLE))
        digest.update(file.read(SAMPLE))
    return {"size": size, "hash": digest.hexdigest()}


def lock(file: int) -> bool:
    """Lock an open file for this process, without waiting; False when another one has it."""
    try:
        _lock(file)
    except OSError:
        return False
    return True


def hold(file: int) -> None:
    """Lock an open file for a moment, waiting for who has it."""
    if _WINDOWS:
        while not lock(file):
            time.sleep(0.0005)
    else:
        _system.flock(file, _system.LOCK_EX)


def let_go(file: int) -> None:
    """Let another process lock a file that this one holds."""
    if _WINDOWS:
        os.lseek(file, _FAR, os.SEEK_SET)
        _system.locking(file, _system.LK_UNLCK, 1)
    else:
        _system.flock(file, _system.LOCK_UN)


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in its place at once and for good, also where the machine loses its power. Raises OSError."""
    draft = path.with_name(f"{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        datasync(file.fileno())
    if mode != 0o600:  # noqa: PLR2004 - what it was made with
        draft.chmod(mode)
    draft.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive the machine's power."""
    if not _WINDOWS:
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def datasync(file: int) -> None:
    """Wait until what was written to a file is on the disk."""
    getattr(os, "fdatasync", os.fsync)(file)


def why(error: OSError) -> str:
    """Give the system's reason for an error, as the rest of a sentence."""
    return (error.strerror or str(error)).lower()


def _lock(file: int) -> None:
    if _WINDOWS:
        os.lseek(file, _FAR, os.SEEK_SET)
        _system.locking(file, _system.LK_NBLCK, 1)
    else:
        _system.flock(file, _system.LOCK_EX | _system.LOCK_NB)
