"""A gzip stream undone piece by piece: whatever it grows to, only a piece of it is in memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from connectory.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x1f\x8b"
PIECE = 256 * 1024
"""Bytes that come out at once."""

_GZIP = 16 + zlib.MAX_WBITS


class Unpacker:
    """Gives a stream as it is, or what it holds where it is a gzip stream.

    `packed` says which of the two; None until the first two bytes have come. An empty chunk ends the stream, and an
    empty piece says so. Raises RunStoppedError for a gzip stream that is damaged or cut off: what came before it was
    given.
    """

    def __init__(self, name: str) -> None:
        self.packed: bool | None = None
        self._name = name
        self._held = b""
        self._work = zlib.decompressobj(_GZIP)
        self._given = 0

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Give what a chunk holds, a bounded piece at a time."""
        if self.packed is None:
            held, self._held = self._held + chunk, b""
            if chunk and len(held) < len(MAGIC) and MAGIC.startswith(held):
                self._held = held
                return
            self.packed = held.startswith(MAGIC)
            if held and not chunk:
                yield from self._next(held)
                held = b""
            yield from self._next(held)
        else:
            yield from self._next(chunk)

    def _next(self, chunk: bytes) -> Iterator[bytes]:
        if not self.packed:
            yield chunk
        elif chunk:
            yield from self._unpacked(chunk)
        elif self._work.eof:
            yield b""
        else:
            raise self._broken("it ends in the middle")

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._work.eof:
                chunk = chunk.lstrip(b"\0")  # some programs fill the last block of a file
                if not chunk:
                    return
                self._work = zlib.decompressobj(_GZIP)  # several gzip files one after the other are one
            try:
                piece = self._work.decompress(chunk, PIECE)
            except zlib.error as error:
                raise self._broken(str(error).rpartition(": ")[2]) from None
            chunk = self._work.unused_data if self._work.eof else self._work.unconsumed_tail
            self._given += len(piece)
            if piece:
                yield piece

    def _broken(self, why: str) -> RunStoppedError:
        good = f"{self._given} bytes came out of it before"
        return RunStoppedError(f"the gzip stream of {self._name!r} is damaged: {why}; {good}")
