"""`${NAME}` and `${NAME:-default}` in the configuration's values: read once, after the file is parsed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.config.shapes import is_list, is_map, is_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.config.shapes import Path

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<has_default>:-(?P<default>[^{}]*))?\})?"
)
_HALF = re.compile("[\ud800-\udfff]")
_EXPRESSION = re.compile(r"[&?]\{")


@dataclass(frozen=True, slots=True)
class Environment:
    """The data with the variables' values in it, and what could not be put in.

    `inserted` has the variables' values by the places they went to; a default stands for none.
    """

    data: Any = field(repr=False)
    inserted: Mapping[Path, tuple[str, ...]] = field(
        default_factory=dict["Path", tuple[str, ...]], repr=False
    )
    unset: tuple[tuple[Path, str], ...] = ()
    wrong: tuple[tuple[Path, str], ...] = ()


@dataclass(slots=True)
class _Substitution:
    environ: Mapping[str, str] = field(repr=False)
    inserted: dict[Path, tuple[str, ...]] = field(default_factory=dict["Path", tuple[str, ...]], repr=False)
    # used as ordered sets: what a text repeats is noted once
    unset: dict[tuple[Path, str], None] = field(default_factory=dict[tuple["Path", str], None])
    wrong: dict[tuple[Path, str], None] = field(default_factory=dict[tuple["Path", str], None])

    def value(self, value: Any, path: Path) -> Any:
        if is_map(value):
            whole = {self.whole(key, path): one for key, one in value.items()}
            return {key: self.value(one, (*path, key)) for key, one in whole.items()}
        if is_list(value) or is_tuple(value):
            return [self.value(one, (*path, index)) for index, one in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value) and path[:1] != ("clients",):
            self.wrong[path, "is no number that JSON can hold; put it in quotes if it is text"] = None
            return None
        value = self.whole(value, path)
        return self.text(value, path) if isinstance(value, str) and "${" in value else value

    def whole(self, value: Any, path: Path) -> Any:
        """Refuse half a character: no file, header or body could hold it."""
        if not isinstance(value, str) or value.isascii() or not _HALF.search(value):
            return value
        self.wrong[path, "has half a character in it (a lone surrogate)"] = None
        return _HALF.sub("\ufffd", value)

    def text(self, text: str, path: Path) -> str:
        """Put the variables' values into one text."""
        parts: list[tuple[str, bool]] = []  # the text in pieces, and whether each comes from outside the file
        end = 0
        for match in _REFERENCE.finditer(text):
            parts += [(text[end : match.start()], False), self.piece(match, path)]
            end = match.end()
        parts.append((text[end:], False))
        if any(from_outside for _, from_outside in parts):
            self.inserted.setdefault(path, ())
        if path[:1] == ("clients",):
            return "".join(piece for piece, _ in parts)
        return self.escaped(parts, path)

    def piece(self, match: re.Match[str], path: Path) -> tuple[str, bool]:
        """Give what replaces one reference."""
        if match[0] == "$${":
            return "${", False
        name = match["name"]
        if name is None:
            message = "has a '${' that is not ${NAME} or ${NAME:-default}; for a literal '${' write '$${'"
            self.wrong[path, message] = None
            return match[0], False
        value = self.environ.get(name)
        if match["has_default"] and not value:
            return match["default"], True
        if value is None:
            self.unset[path, name] = None
            return match[0], False
        self.inserted[path] = (*self.inserted.get(path, ()), value)
        return value, True

    def escaped(self, parts: list[tuple[str, bool]], path: Path) -> str:
        """Join the pieces so that no expression comes, even in part, from the environment."""
        text = "".join(piece for piece, _ in parts)
        outside = "".join(("1" if from_outside else "0") * len(piece) for piece, from_outside in parts)
        result, end = "", 0
        for match in _EXPRESSION.finditer(text):
            start = match.start()
            if "1" in outside[start : match.end()]:
                result += text[end:start] + text[start]
                end = start
            elif start and text[start - 1] == text[start] and outside[start - 1] == "1":
                # the value's last character would turn the file's own expression into literal text
                message = f"has a variable whose value ends with {text[start]!r} right before an expression"
                self.wrong[path, message] = None
        return result + text[end:]


def substitute(data: Any, environ: Mapping[str, str]) -> Environment:
    """Put the environment into every value, never into a key; what is put in is not looked at again.

    Outside `clients` the signs `&{` and `?{` in what is put in are escaped: data is never an expression.
    """
    work = _Substitution(environ)
    changed = work.value(data, ())
    return Environment(changed, work.inserted, tuple(work.unset), tuple(work.wrong))


def references(value: Any, path: Path = ()) -> Iterator[tuple[Path, str, str | None]]:
    """Give every reference to a variable below a value: its place, its name, and its default where it has one."""
    if is_map(value):
        for key, one in value.items():
            yield from references(one, (*path, key))
    elif is_list(value) or is_tuple(value):
        for index, one in enumerate(value):
            yield from references(one, (*path, index))
    elif isinstance(value, str) and "${" in value:
        for match in _REFERENCE.finditer(value):
            if match["name"]:
                yield path, match["name"], match["default"] if match["has_default"] else None
