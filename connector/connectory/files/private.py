"""Files and folders that only their owner may read: what a run writes holds other people's data."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_IS_LINK = frozenset({errno.ELOOP, errno.EMLINK})  # FreeBSD's own word is the second


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its owner alone whatever the umask says."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path, flags: int) -> int:
    """Open a file for writing; a new one is its owner's alone, and one that is there keeps its permissions.

    A link is followed only where the user, or the system, made it: in a folder that others write to, somebody else's
    link would lead to any of the user's files. Raises OSError.
    """
    try:
        return os.open(path, flags | _FLAGS | _NO_LINK, 0o600)
    except OSError as error:
        if error.errno not in _IS_LINK or not path.is_symlink():
            raise
    refuse_link(path)
    return os.open(path, flags | _FLAGS, 0o600)


def refuse_link(path: Path) -> None:
    """Raise PermissionError for a link that somebody else made."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    own = os.geteuid() if hasattr(os, "geteuid") else found.st_uid  # Windows has no such word
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in {own, 0}:
        raise PermissionError(errno.EPERM, "it is a link that belongs to somebody else")
