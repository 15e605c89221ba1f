"""The deliveries that are under way: a file of slots, each one delivery that is about to be sent or was.

A slot is written before the first byte of a request leaves and is never cleared: it says nothing any more once its
delivery has an outcome in the results log, and is then written over. One small write to the operating system is all
that stands before a request, and a process that is killed loses nothing of it.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from connectory.errors import StorageError
from connectory.files.storage import datasync, why
from connectory.record import Intent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

INTENTS = "intents"
"""Its name in the folder of a run."""

_SIZE = 192
"""Bytes of a slot: two keys of 24, a hash of 64, a checksum of 8 and three numbers, with room."""

_MORE = 64
"""Slots that are added when all are taken."""

_FIELDS = 6
_BLANK = b"\n".rjust(_SIZE)


class Intents:
    """The file. Raises StorageError when it takes no more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._free: list[int] = []
        self._taken: dict[str, int] = {}
        self._slots = 0

    def open(self) -> Iterator[Intent]:
        """Open the file, make it if it is not there, and give what its slots say; `forget` the ones that are over."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(self.path, flags, 0o600)
        data = _read(self._file)
        self._slots = len(data) // _SIZE
        self._free, self._taken = [], {}
        for slot in reversed(range(self._slots)):
            intent = decode(data[slot * _SIZE : (slot + 1) * _SIZE])
            if intent is None or intent.key in self._taken:
                self._free.append(slot)
            else:
                self._taken[intent.key] = slot
                yield intent

    def note(self, intent: Intent) -> None:
        """Write that a delivery is about to be sent."""
        slot = self._taken.get(intent.key)
        if slot is None:
            if not self._free:
                self._grow()
            slot = self._taken[intent.key] = self._free.pop()
        self._put(slot, encode(intent))

    def note_pack(self, intents: Sequence[Intent]) -> None:
        """Write that deliveries are about to be sent in one request, in as few pieces as their slots lie in."""
        while len(self._free) < len(intents):
            self._grow()
        self._free.sort(reverse=True)
        slots = [self._taken.get(one.key) for one in intents]
        placed: list[tuple[int, bytes]] = []
        for intent, taken in zip(intents, slots, strict=True):
            slot = self._taken[intent.key] = self._free.pop() if taken is None else taken
            placed.append((slot, encode(intent)))
        placed.sort()
        first = 0
        for place in range(1, len(placed) + 1):
            if place == len(placed) or placed[place][0] != placed[place - 1][0] + 1:
                self._put(placed[first][0], b"".join(text for _, text in placed[first:place]))
                first = place

    def forget(self, key: str) -> None:
        """Let a slot be written over: its delivery has an outcome in the results log."""
        slot = self._taken.pop(key, None)
        if slot is not None:
            self._free.append(slot)

    def withdraw(self, key: str) -> None:
        """Clear a slot: its delivery stays pending, and nothing of it is in doubt."""
        slot = self._taken.get(key)
        if slot is not None:
            self._put(slot, _BLANK)
            self.forget(key)

    def sync(self) -> None:
        """Make everything outlive the machine's power."""
        if self._file >= 0:
            datasync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def peek(self) -> list[Intent]:
        """Give what the slots say, of a file that another process may be writing."""
        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return []
        try:
            data = _read(file)
        finally:
            os.close(file)
        found = (decode(data[start : start + _SIZE]) for start in range(0, len(data), _SIZE))
        return [intent for intent in found if intent is not None]

    def _grow(self) -> None:
        """Add slots that take up their place on the disk, so that a full one is noticed here."""
        for slot in reversed(range(self._slots, self._slots + _MORE)):
            self._put(slot, _BLANK)
            self._free.append(slot)
        self._slots += _MORE

    def _put(self, slot: int, text: bytes) -> None:
        try:
            written = _write(self._file, text, slot * _SIZE)
            while written < len(text):  # a full disk takes what fits; the next write says why
                written += _write(self._file, text[written:], slot * _SIZE + written)
        except OSError as error:
            raise StorageError(f"cannot write to the journal {str(self.path)!r}: {why(error)}") from error


def encode(intent: Intent) -> bytes:
    """Give the text of a slot."""
    numbers = f"{intent.seq} {intent.part} {intent.lives}"
    text = f"{intent.key} {numbers} {intent.body or '-'} {intent.pack or '-'}".encode()
    return b"%-191b\n" % (b"%b %08x" % (text, zlib.crc32(text)))


def decode(slot: bytes) -> Intent | None:
    """Read a slot; None when it is blank, or was half written: then its request has not left."""
    text, _, checksum = slot.rstrip().rpartition(b" ")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        return None
    fields = text.decode("ascii", "replace").split(" ")
    if len(fields) != _FIELDS:
        return None
    key, seq, part, lives, body, pack = ("" if field == "-" else field for field in fields)
    return Intent(key, int(seq), int(part), body, int(lives), pack)


def _write(file: int, text: bytes, place: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, text, place)
    os.lseek(file, place, os.SEEK_SET)  # Windows
    return os.write(file, text)


def _read(file: int) -> bytes:
    data = b""
    os.lseek(file, 0, os.SEEK_SET)
    while chunk := os.read(file, 1 << 20):
        data += chunk
    return data
