"""Undoes gzip a bounded piece at a time, and gives up a bomb early."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 * 1024
"""Bytes of one piece, unpacked."""

HARMLESS = 64 * 1024 * 1024
"""Bytes that may come out of however few."""

MOST_TIMES = 200
"""How often its own size an answer above that may unpack to: records reach 50, and only a bomb a thousand."""


class PackedError(ValueError):
    """What is wrong with a packed answer."""


class BombError(PackedError):
    """It unpacks to absurdly more than it is."""


class Unpacker:
    """Unpacks gzip, which may be several members one after the other."""

    def __init__(self) -> None:
        self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._open = False
        self._packed = self._unpacked = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give what these bytes unpack to. Raises PackedError."""
        while chunk:
            self._open = True
            yield from self._pieces(chunk)
            chunk = b""
            if self._unzip.eof:
                chunk = self._unzip.unused_data
                self._unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
                self._open = False

    def finish(self) -> None:
        """Hear that there is no more. Raises PackedError for what ends too early."""
        if self._open:
            raise PackedError("gzip ends too early")

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        piece = self._unpack(chunk)
        while piece:
            yield piece
            if self._unzip.eof or (len(piece) < PIECE and not self._unzip.unconsumed_tail):
                return
            piece = self._unpack(self._unzip.unconsumed_tail)  # or what zlib itself still holds back

    def _unpack(self, chunk: bytes) -> bytes:
        try:
            piece = self._unzip.decompress(chunk, PIECE)
        except zlib.error as error:
            raise PackedError(f"broken gzip ({error})") from None
        self._packed += len(chunk) - len(self._unzip.unconsumed_tail) - len(self._unzip.unused_data)
        self._unpacked += len(piece)
        if self._unpacked > HARMLESS and self._unpacked > MOST_TIMES * self._packed:
            raise BombError(f"unpacks to more than {MOST_TIMES} times its size")
        return piece
