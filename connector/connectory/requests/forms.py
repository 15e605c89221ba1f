"""A multipart form: fields and files, of which those on disk are read only while they are sent."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence


class OnDisk(Protocol):
    """A file that is not read yet."""

    @property
    def size(self) -> int: ...  # noqa: D102 - said above
    @property
    def identity(self) -> str: ...  # noqa: D102 - said above
    def pieces(self) -> AsyncGenerator[bytes, None]: ...  # noqa: D102 - said above


Part: TypeAlias = "tuple[str, str | None, bytes | OnDisk, str | None]"
"""Name, filename (None: a part without one), content, content type (None: not said)."""

_ESCAPES = {code: f"%{code:02X}" for code in (*range(0x20), 0x7F, ord('"'))} | {ord("\\"): "\\\\"}


class Form:
    """The body of a multipart request.

    Iterating gives it in pieces, anew each time: a file is opened then, and closed at its end or when the iteration
    is left. `identity` stands for the content in a hash and reads no file; the boundary is not in it.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        boundary = token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._pieces: list[bytes | OnDisk] = []
        for name, filename, content, media in parts:
            self._pieces += [_head(boundary, name, filename, media), content, b"\r\n"]
        self._pieces.append(f"--{boundary}--\r\n".encode())

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return sum(len(one) if isinstance(one, bytes) else one.size for one in self._pieces)

    @property
    def whole(self) -> bytes | None:
        """All of it, where nothing lies on disk."""
        pieces = [one for one in self._pieces if isinstance(one, bytes)]
        return b"".join(pieces) if len(pieces) == len(self._pieces) else None

    @property
    def identity(self) -> bytes:
        """A hash of what it says, without the content of files on disk."""
        digest = hashlib.sha256()
        for name, filename, content, media in self.parts:
            own = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else content.identity
            digest.update(repr((name, filename, media, own)).encode())
        return digest.digest()

    @property
    def shown(self) -> dict[str, str | list[str]]:
        """The files by the payload's key, each in a few words."""
        shown: dict[str, str | list[str]] = {}
        for name, filename, content, _ in self.parts:
            if filename is None:
                continue
            size = len(content) if isinstance(content, bytes) else content.size
            text = f"<file {filename}, {size} bytes>"
            key = name.removesuffix("[]")
            earlier = shown.get(key, [])
            shown[key] = [*earlier, text] if name != key and isinstance(earlier, list) else text
        return shown

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for one in self._pieces:
            if isinstance(one, bytes):
                yield one
                continue
            async with aclosing(one.pieces()) as pieces:
                async for piece in pieces:
                    yield piece


def _head(boundary: str, name: str, filename: str | None, media: str | None) -> bytes:
    line = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
    if filename is not None:
        line += f'; filename="{filename.translate(_ESCAPES)}"'
    if media is not None:
        line += f"\r\nContent-Type: {media}"
    return f"{line}\r\n\r\n".encode()
