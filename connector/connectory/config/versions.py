"""Which version of the configuration's format this program reads, and what to do about a newer one."""

from __future__ import annotations

CURRENT = 1
"""The version of the format that is read and written."""


def newer(version: int) -> str:
    """Say what to do about a file of a version that is not known yet."""
    return (
        f"this file is of version {version}, and this program reads version {CURRENT}; install a newer one of it, "
        f"or write 'version: {CURRENT}' if nothing newer is used"
    )
