"""Answers that become files: where they may go, and written so that no half file has the final name."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import mimetypes
import os
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PureWindowsPath
from secrets import token_hex
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from connectory.errors import RequestError, SaveError
from connectory.files.private import make_folder, open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from connectory.placeholders import Template

LONGEST_NAME = 255
"""Bytes of one part of a path: more no usual file system takes."""

LARGEST_FILE = 64 * 1024**3
"""Bytes of one saved answer, unpacked."""

INDEX = "{index}"
"""What stands in the name of a file for the number of a picture, where an answer may hold several."""

_GATHERED = 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OPENING = re.compile(r"[&?]\{")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one answer goes. `root` is the folder that it must not leave, also not through a link."""

    root: Path
    path: Path
    numbered: bool = False
    _claim: Callable[[Path], str | None] | None = field(default=None, compare=False)

    @classmethod
    def at(cls, path: str | Path) -> Self:
        """Make one of a path that the program's user wrote."""
        whole = Path(path).expanduser().absolute()
        return cls(whole.parent, whole, INDEX in whole.name)

    def one_of(self, number: int, count: int) -> Target:
        """Give the file of one of several things that the answer holds, counted from 1.

        Raises SaveError for one that another record has.
        """
        name = self.path.name
        if self.numbered:
            name = name.replace(INDEX, str(number))
        elif count > 1:
            name = f"{self.path.stem}-{number}{self.path.suffix}"
        path = self.path.with_name(name)
        if self._claim is not None and (owner := self._claim(path)) is not None:
            raise SaveError(f"save_to gives {name!r}, which is the file of record {owner!r} already")
        return Target(self.root, path)


@dataclass(frozen=True, slots=True)
class SaveTo:
    """The option `save_to`: a template of names below a folder, and which record has which name.

    What stands before the first placeholder is the user's own and may lie anywhere; what data adds stays below it.
    """

    template: Template
    folder: Path
    _taken: dict[str, tuple[str, str]] = field(default_factory=dict[str, "tuple[str, str]"])

    def target(self, root: Any, scope: Mapping[str, Any], *, key: str, owner: str) -> Target:
        """Give the file of a record. `key` is the delivery's own, `owner` what people call it.

        Raises RequestError for a name that is none, that leads elsewhere, or that another record has.
        """
        name = self.template.render(root, scope)
        if not isinstance(name, str):
            raise RequestError(f"save_to gives {name!r}, which is no text")
        fixed = _constant_folder(str(self.template.source))
        below = (self.folder / Path(fixed).expanduser()).absolute()
        own = name.removeprefix(fixed)
        path = below.joinpath(*_segments(own, name))
        if (first := self._claim(path, key, owner)) is not None:
            raise RequestError(f"save_to gives {name!r}, which is the file of record {first!r} already")
        numbered = INDEX in str(self.template.source).rpartition("/")[2]  # what data says is only a name
        return Target(below, path, numbered, partial(self._claim, key=key, owner=owner))

    def _claim(self, path: Path, key: str, owner: str) -> str | None:
        """Note whose file it is; give the owner when it is another record."""
        first = self._taken.setdefault(os.path.normcase(path), (key, owner))
        return None if first[0] == key else first[1]


@dataclass(frozen=True, slots=True)
class FixedTarget:
    """A single file, chosen by the program's user."""

    file: Target

    def target(self, _root: Any, _scope: Mapping[str, Any], *, key: str, owner: str) -> Target:  # noqa: ARG002 - SaveTo's words
        """Give the file."""
        return self.file


def _constant_folder(template: str) -> str:
    opening = _OPENING.search(template)
    fixed = template[: opening.start()] if opening else template
    return fixed[: fixed.rfind("/") + 1]


def _segments(text: str, name: str) -> list[str]:
    """Split a name that data made. Raises RequestError for what is no name everywhere."""
    what = f"save_to gives {name!r}"
    if not text:
        raise RequestError(f"{what}, which names no file")
    if text.startswith("/") or PureWindowsPath(text).drive:
        raise RequestError(f"{what}, which leaves its folder; a name from data must be relative")
    segments = text.split("/")
    for one in segments:
        if one in {"", ".", ".."} or "\\" in one:
            raise RequestError(f"{what}; a name from data has no '..', no '\\' and no empty part")
        if _CONTROL.search(one):
            raise RequestError(f"{what}, which has a control character in it")
        if _RESERVED.match(one) or one != one.rstrip(" ."):
            raise RequestError(f"{what}; {one!r} is no name for a file on every system")
        if len(one.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
            raise RequestError(f"{what[:LONGEST_NAME]}..., which is longer than {LONGEST_NAME} bytes")
    return segments


def has_pictures(value: Any) -> bool:
    """Say whether an answer holds pictures as text."""
    return any(isinstance(one, dict) and "b64_json" in one for one in _data_of(value))


async def save_pictures(value: Any, target: Target, what: str) -> Any:
    """Save each picture of an answer to a file of its own; give the answer with what they are in their place.

    Raises SaveError.
    """
    data = _data_of(value)
    saved: list[Any] = []
    for number, one in enumerate(data, 1):
        picture = cast("dict[str, Any]", one)
        if not isinstance(one, dict) or "b64_json" not in one:
            saved.append(one)
            continue
        try:
            content = base64.b64decode(picture["b64_json"], validate=True)
        except (TypeError, binascii.Error, ValueError):
            raise SaveError(f"{what}: picture {number} of the answer is no base64") from None
        async with Saving(target.one_of(number, len(data)), what) as saving:
            await saving.write(content)
            form = value.get("output_format")
            made = await saving.commit(f"image/{form}" if form else "")
        saved.append(made | {name: item for name, item in picture.items() if name != "b64_json"})
    return {**value, "data": saved}


def _data_of(value: Any) -> list[Any]:
    data: Any = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        return []
    items: list[Any] = data  # pyright: ignore[reportUnknownVariableType]  # any JSON
    return items


class Saving:
    """One answer on its way to its file: an async context manager; without `commit` nothing is left behind."""

    def __init__(self, target: Target, what: str) -> None:
        self.target, self._what = target, what
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._room = 0
        self.size = 0

    async def __aenter__(self) -> Self:
        try:
            self._file, self._temporary = (
                self._begin()
            )  # in no thread: cancelled there, it would leave a file
        except (OSError, ValueError) as error:
            raise self._failed(error) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if self.size > LARGEST_FILE:
            raise SaveError(f"{self._what}: the answer is larger than {LARGEST_FILE} bytes")
        self._waiting.append(chunk)
        self._room += len(chunk)
        if self._room >= _GATHERED:
            await self._flush()

    async def commit(self, content_type: str) -> dict[str, Any]:
        """Give the file its name, and say what it is."""
        await self._flush()
        try:
            await asyncio.to_thread(self._finish)
        except OSError as error:
            raise self._failed(error) from None
        path = self.target.path
        return {
            "name": path.name,
            "path": str(path),
            "url": path.as_uri(),
            "mime_type": content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "bytes": self.size,
            "sha256": self._digest.hexdigest(),
        }

    def _begin(self) -> tuple[BinaryIO, Path]:
        root, path = self.target.root, self.target.path
        make_folder(path.parent)
        if not path.parent.resolve().is_relative_to(root.resolve()):
            raise OSError(None, "a link in it leads out of its folder")
        if path.exists() and not path.is_file():
            raise OSError(None, "there is something that is no ordinary file")
        temporary = path.with_name(f".{path.name[:60]}.{token_hex(6)}.part")
        return os.fdopen(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb"), temporary

    async def _flush(self) -> None:
        waiting, self._waiting, self._room = self._waiting, [], 0
        try:
            await asyncio.to_thread(self._append, waiting)
        except OSError as error:
            raise self._failed(error) from None

    def _append(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._digest.update(chunk)
            self._file.write(chunk)

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self.target.path)

    def _failed(self, error: Exception) -> SaveError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return SaveError(
            f"{self._what}: cannot save the answer as {str(self.target.path)!r}: {reason.lower()}"
        )
