"""A configuration's text with something written into it; every other character stays as it was."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.config.document import LINE_BREAK, Node, parse
from connectory.config.shapes import is_map
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.config.document import Document

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_STEP = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value, as data and as lines of YAML, which may have comments in them."""

    name: str
    data: Any
    lines: tuple[str, ...]


@dataclass(slots=True)
class Text:
    """A text that is a configuration, and where in it its values stand. Raises ConfigError where it is none."""

    text: str = field(repr=False)
    file: str = ""
    document: Document = field(init=False, repr=False)
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.document = parse(self.text, file=self.file)
        if self.document.problems:
            raise ConfigError(self.document.problems)
        self._starts = [0, *(found.end() for found in LINE_BREAK.finditer(self.text))]

    @property
    def line_end(self) -> str:
        """How the lines of this text end."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def start(self, node: Node) -> int:
        """Give where a value begins in the text."""
        return self._starts[node.line] + node.column

    def end(self, node: Node) -> int:
        """Give where a value ends in the text."""
        return self._starts[node.end_line] + node.end_column

    def node(self, path: tuple[str, ...]) -> Node | None:
        """Give the value at a path, or None."""
        found = self.document.root
        for key in path:
            entry = (found.entries or {}).get(key) if found is not None else None
            found = entry[1] if entry else None
        return found

    def line(self, number: int) -> str:
        """Give a line, without its end."""
        return self.document.lines[number]

    def line_start(self, number: int) -> int:
        """Give where a line begins; one after the last is the end of the text."""
        return self._starts[number] if number < len(self._starts) else len(self.text)


def insert(text: str, path: tuple[str, ...], entry: Entry, *, file: str = "") -> str:
    """Write an entry into the mapping at a path; a section that is missing is made, at the end.

    Raises ConfigError where that cannot be done without touching what stands there.
    """
    before = Text(text, file)
    made = _inserted(before, path, entry)
    wanted = before.document.data if is_map(before.document.data) else {}
    place = wanted
    for key in path:
        if not is_map(place.get(key)):
            place[key] = {}
        place = place[key]
    place[entry.name] = entry.data
    try:
        is_right = made is not None and parse(made, file=file).data == wanted
    except ConfigError:
        is_right = False
    if made is None or not is_right:
        where = f"below {'.'.join(path)!r}" if path else "at the top"
        by_hand = "\n".join(entry.lines)
        message = (
            f"the way this file is written, nothing can be added {where}; write it there by hand:\n{by_hand}"
        )
        raise ConfigError(before.document.place(path, key=True).problem(message))
    return made


def _inserted(before: Text, path: tuple[str, ...], entry: Entry) -> str | None:
    root, node = before.document.root, before.node(path)
    if root is None or (root.value is None and root.entries is None and root.items is None):
        return _appended(before, path, entry)
    if node is None:
        return _as_section(before, path, entry)
    if node.entries is None:
        return _into_nothing(before, path, entry) if node.value is None and node.items is None else None
    if not _is_flow(before, node):
        return _into_block(before, node, entry)
    emptied = not node.entries and path and not _is_flow(before, before.node(path[:-1]))
    return _into_nothing(before, path, entry) if emptied else _into_flow(before, node, entry)


def _as_section(before: Text, path: tuple[str, ...], entry: Entry) -> str | None:
    """Put an entry in with the section that it belongs to, which is missing."""
    parent = before.node(path[:-1])
    if len(path) == 1 and not _is_flow(before, parent):
        return _appended(before, path, entry)
    inner = Entry(path[-1], {entry.name: entry.data}, (f"{path[-1]}:", *_indented(entry.lines, _STEP)))
    return None if parent is None else _inserted(before, path[:-1], inner)


def _is_flow(before: Text, node: Node | None) -> bool:
    return node is not None and before.text[before.start(node)] in "{["


def _appended(before: Text, path: tuple[str, ...], entry: Entry) -> str:
    """Put a section at the end of the text."""
    end, text = before.line_end, before.text
    lines = entry.lines
    for key in reversed(path):
        lines = (f"{key}:", *_indented(lines, _STEP))
    gap = "" if not text.strip() else end if text.endswith(("\n", "\r")) else end * 2
    return text + gap + "".join(line + end for line in lines)


def _into_nothing(before: Text, path: tuple[str, ...], entry: Entry) -> str | None:
    """Put the first entry below a key that has nothing yet, an empty mapping or null."""
    parent, node = before.node(path[:-1]), before.node(path)
    if not path or parent is None or node is None or _is_flow(before, parent):
        return None
    key = (parent.entries or {})[path[-1]][0]
    start, end = before.start(node), before.end(node)
    colon = before.text.index(":", before.end(key)) + 1
    if start == end:  # where an empty value stands is not told
        end = colon
    text = before.text[:colon] + before.text[end:]
    shorter = Text(text, before.file)
    line = _after_comments(shorter, key.line + 1, key.column + 1)
    return _with_lines(shorter, line, _indented(entry.lines, key.column + _STEP))


def _into_flow(before: Text, node: Node, entry: Entry) -> str:
    """Put an entry behind the last one of a mapping in braces."""
    text = before.text
    keys = list((node.entries or {}).values())
    json_file = before.file.endswith(".json")
    quoted = json_file or any(text[before.start(key)] == '"' for key, _ in keys)
    is_plain = _PLAIN.fullmatch(entry.name) and entry.name.lower() not in _WORDS
    name = entry.name if is_plain and not quoted else json.dumps(entry.name, ensure_ascii=False)
    short = _short(entry.data, quoted=quoted)
    if not keys:
        at = before.start(node) + 1
        return f"{text[:at]}{name}: {short}{text[at:]}"
    last_key, last = keys[-1]
    at = max(before.end(last_key), before.end(last) if last.line >= last_key.line else 0)
    if last_key.line == node.line:
        return f"{text[:at]}, {name}: {short}{text[at:]}"
    shift = re.match(r"\s*", before.line(last_key.line))
    indent = shift[0] if shift else ""
    step = "\t" if indent.startswith("\t") else _STEP
    value = json.dumps(entry.data, ensure_ascii=False, indent=step).replace("\n", before.line_end + indent)
    return f"{text[:at]},{before.line_end}{indent}{name}: {value}{text[at:]}"


def _short(data: Any, *, quoted: bool) -> str:
    is_plain = isinstance(data, str) and _PLAIN.fullmatch(data) and data.lower() not in _WORDS
    return str(data) if is_plain and not quoted else json.dumps(data, ensure_ascii=False)


def _into_block(before: Text, node: Node, entry: Entry) -> str:
    """Put an entry behind the last one of a mapping, and behind the comments that belong to it."""
    keys = [key for key, _ in (node.entries or {}).values() if node.line <= key.line <= node.end_line]
    if not keys:
        return ""
    column = keys[0].column
    last = max(_last_lines(before, node, node.line, node.end_line))
    while last > keys[-1].line and not before.line(last).strip():
        last -= 1
    line = _after_comments(before, last + 1, max(column, 1))
    lines = _indented(entry.lines, column)
    if len(keys) > 1 and _has_gap(before, keys):
        lines = ("", *lines)
    return _with_lines(before, line, lines)


def _has_gap(before: Text, keys: list[Node]) -> bool:
    """Say whether an empty line stands between the last two entries."""
    return any(not before.line(number).strip() for number in range(keys[-2].line + 1, keys[-1].line))


def _last_lines(before: Text, node: Node, first: int, end: int) -> Iterator[int]:
    """Give the lines on which something of a value stands; the last of them is where it ends."""
    yield node.line
    if (node.entries is None and node.items is None) or _is_flow(before, node):
        is_block = node.end_line > node.line and node.end_column == 0
        yield node.end_line - is_block
        return
    for one in [*(one for pair in (node.entries or {}).values() for one in pair), *(node.items or ())]:
        if first <= one.line <= end:  # not what an alias stands for
            yield from _last_lines(before, one, first, end)


def _after_comments(before: Text, line: int, column: int) -> int:
    """Give the line behind the comments that begin here and stand as deep as the entries."""
    lines = before.document.lines
    while line < len(lines):
        bare = lines[line].lstrip(" ")
        if not bare.startswith("#") or len(lines[line]) - len(bare) < column:
            break
        line += 1
    return line


def _with_lines(before: Text, line: int, lines: tuple[str, ...]) -> str:
    at, end = before.line_start(line), before.line_end
    head = before.text[:at]
    if head and not head.endswith(("\n", "\r")):
        head += end
    return head + "".join(one + end for one in lines) + before.text[at:]


def _indented(lines: tuple[str, ...], by: int) -> tuple[str, ...]:
    return tuple(" " * by + line if line else line for line in lines)
