"""A YAML or JSON text as plain data with the place of every key and value; nobody else knows ruamel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from connectory.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.config.shapes import Path

MAX_BYTES = 1024 * 1024
MAX_VALUES = 200_000
MAX_DEPTH = 100
_LONGEST_EXCERPT = 160
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_STRANGE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SECRET = re.compile(
    r"sk-[\w-]{4,}|(?<=://)[^/\s@]+(?=@)"
    r"""|(?<=\?)(?=[\w.~-]+=)[^\s"'}]+"""
    r"|(?<=:-)[^{}]{8,}(?=\})|(?<=\$\{)(?![A-Za-z_]\w*(?:\}|:-))[^{}]+(?=\})"
    r"""|\b(?i:bearer )(?!\$\{)[^\s"',}]+"""
    r"""|(?i:(?:token|secret|password|api[-_]?key|authorization)["']?\s*[:=]\s*["']?(?:bearer )?)"""
    r"""(?!\$\{)(?P<value>[^\s"',}][^"',}]*)"""
)


@dataclass(slots=True)
class Node:
    """One value and where it stands; lines and columns count from 0."""

    line: int
    column: int
    end_line: int
    end_column: int
    value: Any = field(default=None, repr=False)
    quoted: bool = False
    items: list[Node] | None = field(default=None, repr=False)
    entries: dict[str, tuple[Node, Node]] | None = field(default=None, repr=False)
    """The node of the key and the node of the value, by key."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line; lines and columns count from 1, 0 where the configuration came as data."""

    file: str
    line: int = 0
    column: int = 0
    excerpt: str = ""
    width: int = 1

    def problem(self, message: str, *, path: Path = (), severity: str = "error") -> Problem:
        """Make a problem of this place."""
        return Problem(
            message,
            path=dotted(path),
            file=self.file,
            line=self.line,
            column=self.column,
            excerpt=self.excerpt,
            width=self.width,
            severity=severity,
        )


@dataclass(slots=True)
class Document:
    """What a text says and where it says it."""

    file: str
    lines: list[str] = field(repr=False)
    root: Node | None = None
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def data(self) -> Any:
        """The plain data: dict, list, str, int, float, bool and None."""
        return None if self.root is None else self._plain(self.root, [MAX_VALUES], depth=0)

    def place(self, path: Path, *, key: bool = False, offset: int = 0, width: int = 0) -> Place:
        """Find a value, or its key; of a path that leads nowhere the key of the last part that exists.

        `offset` and `width` point inside a text that stands on one line just as it is.
        """
        node, key_node = self.root, None
        for part in path:
            found = _child(node, part)
            if found is None:
                key = True
                break
            key_node, node = found
        if node is None:
            return Place(self.file)
        if key_node is not None and (key or _is_far(key_node, node)):
            node, offset, width = key_node, 0, 0
        return self._place_of(node, offset=offset, width=width)

    def hide(self, path: Path) -> None:
        """Put stars over a value, so that no excerpt shows it."""
        node: Node | None = self.root
        for part in path:
            found = _child(node, part)
            if found is None:
                return
            node = found[1]
        if node is not None:
            self._cover(node)

    def _cover(self, node: Node) -> None:
        for index in range(node.line, min(node.end_line + 1, len(self.lines))):
            line = self.lines[index]
            start = node.column if index == node.line else 0
            end = min(node.end_column if index == node.end_line else len(line), len(line))
            self.lines[index] = line[:start] + re.sub(r"\S", "*", line[start:end]) + line[end:]

    def at(self, line: int, column: int, *, width: int = 1) -> Place:
        """Make a place of a line and a column that count from 0."""
        excerpt = ""
        if 0 <= line < len(self.lines) and column + width <= _LONGEST_EXCERPT:
            # a little more than is shown, so that a secret is seen as one
            excerpt = masked(self.lines[line][: 4 * _LONGEST_EXCERPT])
            excerpt = "".join(character if character.isprintable() else " " for character in excerpt)
        if len(excerpt) > _LONGEST_EXCERPT:
            excerpt = excerpt[: _LONGEST_EXCERPT - 1] + "…"
        return Place(self.file, line + 1, column + 1, excerpt.rstrip(), max(1, width))

    def _place_of(self, node: Node, *, offset: int, width: int) -> Place:
        whole = (
            node.end_column - node.column
            if node.end_line == node.line
            else len(self.lines[node.line]) - node.column
        )
        if offset or width:
            start = node.column + node.quoted
            written = self.lines[node.line][start : node.end_column]
            if (
                isinstance(node.value, str)
                and node.end_line == node.line
                and written.startswith(node.value[:offset])
            ):
                return self.at(
                    node.line, start + offset, width=width or max(1, whole - offset - 2 * node.quoted)
                )
        return self.at(node.line, node.column, width=whole)

    def _plain(self, node: Node, budget: list[int], *, depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or depth > MAX_DEPTH:
            bound = f"{MAX_VALUES} values" if budget[0] < 0 else f"{MAX_DEPTH} levels"
            raise ConfigError(Place(self.file).problem(f"more than {bound}, with every alias written out"))
        if node.entries is not None:
            entries = node.entries
            return {key: self._plain(value, budget, depth=depth + 1) for key, (_, value) in entries.items()}
        if node.items is not None:
            return [self._plain(item, budget, depth=depth + 1) for item in node.items]
        return node.value


def dotted(path: Path) -> str:
    """Write a path as one text."""
    return ".".join(str(part) for part in path)


def parse(text: str, *, file: str = "") -> Document:
    """Read a text; what stops the reading raises ConfigError, the rest is in the document's `problems`."""
    document = Document(file, LINE_BREAK.split(text))
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # JSON has tabs between its values only, and there YAML is stricter
    if strange := _STRANGE.search(text):
        line = len(LINE_BREAK.findall(text, 0, strange.start()))
        column = strange.start() - max(
            (found.end() for found in LINE_BREAK.finditer(text, 0, strange.start())), default=0
        )
        message = f"the character U+{ord(strange[0]):04X} is not allowed; write an escape in double quotes"
        raise ConfigError(document.at(line, column).problem(message))
    _Reader(document, text).read()
    return document


def scalar(text: str) -> Any:
    """Give what a plain, unquoted text means in YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 1000:  # noqa: PLR2004 - Python refuses to read much longer ones
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Reader:
    """Builds the nodes of a document from ruamel's events."""

    def __init__(self, document: Document, text: str) -> None:
        from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import, needed only when a file is read

        self._document = document
        loader: Any = YAML(typ="safe", pure=True)
        self._events: Iterator[Any] = loader.parse(text)
        self._anchors: dict[str, Node] = {}
        self._values = 0

    def read(self) -> None:
        from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415 - as above

        from connectory.config.syntax import explain  # noqa: PLC0415 - only a broken file needs it

        try:
            self._read()
            return
        except MarkedYAMLError as error:
            problems = explain(self._document, error)
        except YAMLError as error:
            problem = Place(self._document.file).problem(f"no YAML: {str(error).splitlines()[0]}")
            problems = [*self._document.problems, problem]
        raise ConfigError(
            problems
        )  # out here, where ruamel's error, which quotes the file, is not its context

    def _read(self) -> None:
        for event in self._events:
            kind = _kind(event)
            if kind == "DocumentStart":
                if self._document.root is not None:
                    self._stop(event, "a second document begins here, and a configuration is one")
                self._document.root = self._node(next(self._events), depth=0)

    def _node(self, event: Any, *, depth: int) -> Node:
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} levels of nesting")
        kind = _kind(event)
        if kind == "Alias":
            return self._alias(event)
        if getattr(event, "tag", None) not in (None, "tag:yaml.org,2002:str"):
            self._note(
                event, "a tag ('!…') makes no value here; put quotes around a text that begins with '!'"
            )
        start = event.start_mark
        node = Node(start.line, start.column, event.end_mark.line, event.end_mark.column)
        if kind == "Scalar":
            node.quoted = event.style in ("'", '"')
            node.value = self._scalar(event)
        else:
            end = self._sequence(node, depth) if kind == "SequenceStart" else self._mapping(node, depth)
            node.end_line, node.end_column = end.end_mark.line, end.end_mark.column
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            name = event.anchor
            self._stop(event, f"no '&{name}' above for '*{name}'; put quotes around a text with '*' in front")
        return self._anchors[event.anchor]

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0] or event.tag:
            return _joined(text)
        return scalar(text)

    def _sequence(self, node: Node, depth: int) -> Any:
        items: list[Node] = []
        node.items = items
        while _kind(event := next(self._events)) != "SequenceEnd":
            items.append(self._node(event, depth=depth + 1))
        return event

    def _mapping(self, node: Node, depth: int) -> Any:
        entries: dict[str, tuple[Node, Node]] = {}
        merged: list[Node] = []
        while _kind(event := next(self._events)) != "MappingEnd":
            if _kind(event) != "Scalar":
                self._stop(
                    event,
                    "a key must be plain text; put quotes around a value that begins with '{', '[' or '*'",
                )
            self._entry(event, entries, merged, depth=depth)
        for other in merged:
            others = other.entries or {}
            self._count(event, len(others))
            for key, entry in others.items():
                entries.setdefault(key, entry)
        node.entries = entries
        return event

    def _entry(
        self, event: Any, entries: dict[str, tuple[Node, Node]], merged: list[Node], *, depth: int
    ) -> None:
        key = _joined(event.value)
        start, end = event.start_mark, event.end_mark
        key_node = Node(start.line, start.column, end.line, end.column, value=key)
        value_event = next(self._events)
        value = self._node(value_event, depth=depth + 1)
        if key == "<<" and event.implicit[0]:
            parts = [value] if value.items is None else value.items
            if any(part.entries is None for part in parts):
                self._stop(value_event, "'<<' takes a mapping, or a list of mappings")
            merged.extend(parts)
        elif key in entries:
            first = entries[key][0].line + 1
            self._note(event, f"the key {key!r} stands here twice, first in line {first}")
        else:
            entries[key] = key_node, value

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._stop(event, f"more than {MAX_VALUES} values")

    def _note(self, event: Any, message: str) -> None:
        start, end = event.start_mark, event.end_mark
        width = end.column - start.column if end.line == start.line else 1
        self._document.problems.append(
            self._document.at(start.line, start.column, width=width).problem(message)
        )

    def _stop(self, event: Any, message: str) -> NoReturn:
        self._note(event, message)
        raise ConfigError(self._document.problems)


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _child(node: Node | None, part: str | int) -> tuple[Node | None, Node] | None:
    """Give the key's node and the value's node of one step down."""
    if node is None:
        return None
    if node.entries is not None and isinstance(part, str):
        return node.entries.get(part)
    if node.items is not None and isinstance(part, int) and 0 <= part < len(node.items):
        return None, node.items[part]
    return None


def _joined(text: str) -> str:
    """Make one character of the two escapes with which JSON writes one beyond the first 65,536."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_far(key: Node, value: Node) -> bool:
    """Say whether a value is better shown by its key: it is empty, a block below it, or at an anchor."""
    return value.line != key.line or (value.value is None and value.end_column == value.column)


def masked(text: str) -> str:
    """Put stars over what looks like a secret: where nothing is known of a text but its characters."""
    return _SECRET.sub(_stars, text)


def _stars(match: re.Match[str]) -> str:
    start = match.start("value") - match.start() if match["value"] else 0
    return match[0][:start] + "*" * (len(match[0]) - start)
