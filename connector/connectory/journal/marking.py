"""A change to one cursor of a run that nobody works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.journal.store import DATABASE, Change, DamagedError, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def change_cursor(folder: Path, stream: str, change: Callable[[Any], Any]) -> None:
    """Replace the cursor of a stream by what `change` makes of it; who calls it holds the job. Raises ConfigError."""
    store = Store(folder / DATABASE)
    try:
        store.open(make=False)
    except DamagedError as error:
        raise ConfigError(f"the journal of run {folder.name} is damaged: {error}") from None
    try:
        _, cursors = store.load()
        store.commit(Change({}, cursors=[(stream, change(cursors.get(stream)))]))
    finally:
        store.close()
