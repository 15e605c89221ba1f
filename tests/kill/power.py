"""The kill test with power cuts: after each kill the files are cut to what was certain to be on the disk, or later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kill.harness import EARLIER, OUTPUT, Plan, Programs, Trial

NOTES = "synced.txt"


class PowerCuts(Trial):
    """A trial whose endings are power cuts: what was not synced is gone, in part or at all, or is garbage.

    SQLite's own files are left as they are: with `synchronous=FULL` a commit is on the disk when it returns, and what
    follows the last commit is no part of the database.
    """

    kinds: tuple[str, ...] = ("cut", "zeros", "garbage", "flipped")
    """What may come back instead of the bytes that were not on the disk; `flipped` are bits here and there."""

    def __init__(self, plan: Plan, folder: Path, programs: Programs) -> None:
        environ = {**plan.environ, "KILL_SYNCED": str(folder / NOTES)}
        super().__init__(
            replace(plan, durability="power", runner=plan.runner or "synced", environ=environ),
            folder,
            programs,
        )
        self.cuts = 0

    def killed(self) -> None:
        """Do to the files what a power cut may do."""
        certain = self.certain()
        for path in [
            *self.folder.glob(".connectory/jobs/*.json"),
            *self.folder.glob(".connectory/runs/*/*.json*"),
            *self.parts,
            self.folder / OUTPUT,
        ]:
            if path.read_bytes() != EARLIER:
                self.cut(path, certain.get(path.stat().st_ino, 0))

    def certain(self) -> dict[int, int]:
        """Read how much of each file, by its inode, was synced."""
        notes = self.folder / NOTES
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        return {int(inode): int(size) for inode, size in (line.split() for line in lines)}

    def cut(self, path: Path, certain: int) -> None:
        """Cut a file somewhere after its certain end; what the file system had promised may come back as garbage."""
        data = path.read_bytes()
        length = self.luck.randint(min(certain, len(data)), len(data))
        rest = len(data) - length
        flipped = bytearray(data[length:])
        for place in range(self.luck.randrange(400), rest, 400):  # about one in each line
            flipped[place] ^= 1
        kind = self.luck.choice(self.kinds)
        tails = {"cut": b"", "zeros": bytes(rest), "garbage": self.luck.randbytes(rest), "flipped": flipped}
        self.cuts += rest > 0
        with path.open("r+b") as file:
            file.truncate(length)
            file.seek(length)
            file.write(tails[kind])


class Damage(PowerCuts):
    """Power cuts that always flip bits in what was not on the disk."""

    kinds = ("flipped",)
