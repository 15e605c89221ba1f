"""A journal for who keeps none: batches need a place on the disk, and what they leave there ends with the process."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from secrets import token_hex

from connectory.journal import DiskJournal, new_run_id


class ScratchJournal(DiskJournal):
    """A journal in a folder of the system's, made when the run begins and deleted at its end."""

    durable = False  # pyright: ignore[reportAssignmentType]  # the other one always is

    def __init__(self) -> None:
        run = new_run_id()
        folder = Path(tempfile.gettempdir()) / f"connectory-{run}-{token_hex(4)}"
        super().__init__(folder, run, started_at=int(time.time()))

    def begin_here(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700)
        self.open(make=True)

    async def aclose(self) -> None:
        """Close everything, and delete it."""
        try:
            await super().aclose()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
