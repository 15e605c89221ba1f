"""A configuration of an older version, or in older words, rewritten as today's; comments and order stay."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.config.document import parse
from connectory.config.problems import STEP_KEYS
from connectory.config.shapes import is_list, is_map
from connectory.config.splicing import Text
from connectory.config.versions import CURRENT, newer
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from connectory.config.document import Node

STEPS: Mapping[int, Callable[[str, str], str]] = {}
"""What makes a text of one version one of the next: given the text and its file's name. Version 1 is the first."""

RENAMED_KEYS: Mapping[tuple[str, str], str] = {("incoming", "transformer"): "input_transformers"}
"""Keys of connections that have another name too, by section: the other name stays legal, and this one is written."""

RENAMED_TRANSFORMERS: Mapping[str, str] = {"parse": "parse_json"}
"""Built-in transformers that had another name; a transformer of one's own may be called so."""

_PLAIN = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Change:
    """One place that is written anew: its line in the old text, and what became of what."""

    line: int
    message: str


@dataclass(slots=True)
class Migration:
    """The text as it is today, and what was changed for it."""

    text: str = field(repr=False)
    changes: list[Change] = field(default_factory=list[Change])


def migrate(
    text: str,
    *,
    file: str = "",
    own: Collection[str] = (),
    steps: Mapping[int, Callable[[str, str], str]] = STEPS,
) -> Migration:
    """Rewrite a configuration as one of the current version, in the current words.

    `own` are the transformers of one's own, whose names stay. Raises ConfigError for what is no configuration, or one
    of a version that is not known.
    """
    made = Migration(text)
    version = _version(made, file)
    for number in range(version, max([version, *(known + 1 for known in steps)])):
        if number not in steps:
            raise ConfigError(f"nothing is known that makes version {number + 1} of version {number}")
        made.text = steps[number](made.text, file)
        made.changes.append(Change(1, f"version {number} is now version {number + 1}"))
    _respell(made, file, own)
    return made


def _version(made: Migration, file: str) -> int:
    """Give the version of a text; where it says none it is the first, and says so from now on."""
    before = Text(made.text, file)
    root = before.document.root
    if root is None or root.entries is None:
        raise ConfigError(before.document.place(()).problem("the configuration is no mapping"))
    node = before.node(("version",))
    if node is None:
        is_flow = before.text[before.start(root)] == "{"
        at = before.start(root) + is_flow
        comma = ", " if root.entries else ""
        word = f'"version": {CURRENT}{comma}' if is_flow else f"version: 1{before.line_end}"
        made.text = before.text[:at] + word + before.text[at:]
        made.changes.append(Change(root.line + 1, "'version: 1' was missing"))
        return 1
    version = node.value
    if isinstance(version, str) and version.isdecimal():
        made.text = before.text[: before.start(node)] + version + before.text[before.end(node) :]
        made.changes.append(Change(node.line + 1, "the version is a number, without quotes"))
        version = int(version)
    place = before.document.place(("version",))
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(place.problem(f"the version must be {CURRENT}", path=("version",)))
    if version > CURRENT:
        raise ConfigError(place.problem(newer(version), path=("version",)))
    return version


def _respell(made: Migration, file: str, own: Collection[str]) -> None:
    """Write what has two spellings in the current one."""
    before = Text(made.text, file)
    work = _Respelling(before, {old: new for old, new in RENAMED_TRANSFORMERS.items() if old not in own})
    work.all()
    text = before.text
    for start, end, new in sorted(work.edits, reverse=True):
        text = text[:start] + new + text[end:]
    renamed = work.renamed
    if _meant(parse(text, file=file).data, renamed) != _meant(before.document.data, renamed):
        message = "the way this file is written, its words cannot be changed without touching the rest"
        raise ConfigError(before.document.place(()).problem(message))
    made.text = text
    shift = any("was missing" in one.message for one in made.changes)  # a line that was not there
    made.changes += [Change(one.line - shift, one.message) for one in work.changes]


@dataclass(slots=True)
class _Respelling:
    """The places of a text that are written in another way, each looked at once: an alias stands for one of them."""

    before: Text
    renamed: Mapping[str, str]
    edits: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    changes: list[Change] = field(default_factory=list[Change])
    _seen: set[int] = field(default_factory=set[int])

    def all(self) -> None:
        for section in ("incoming", "outgoing"):
            for _, (_, connection) in self.entries(("", self.before.node((section,)))):
                for key, (key_node, value) in self.entries((section, connection)):
                    new = RENAMED_KEYS.get((section, key))
                    if new is not None and self.is_new(key_node):
                        self.replace(key_node, key_node, new)
                        self.tell(key_node, f"{key!r} is now {new!r}")
                    for step in (value.items or ()) if key in STEP_KEYS else ():
                        self.step(step)
        for _, (_, chain) in self.entries(("", self.before.node(("transformers",)))):
            for step in chain.items or ():
                self.step(step)

    def entries(self, place: tuple[str, Node | None]) -> Iterator[tuple[str, tuple[Node, Node]]]:
        node = place[1]
        yield from (node.entries or {}).items() if node is not None else ()

    def is_new(self, node: Node) -> bool:
        is_new = id(node) not in self._seen
        self._seen.add(id(node))
        return is_new

    def replace(self, first: Node, last: Node, new: str) -> None:
        self.edits.append((self.before.start(first), self.before.end(last), new))

    def tell(self, node: Node, message: str) -> None:
        self.changes.append(Change(node.line + 1, message))

    def step(self, node: Node) -> None:
        if not self.is_new(node):
            return
        entries = node.entries or {}
        if "prototype" in entries and entries.keys() <= {"prototype", "parameters"}:
            self.long_form(node, entries)
        elif isinstance(node.value, str) and node.value in self.renamed:
            self.replace(node, node, self.renamed[node.value])
            self.tell(node, f"transformer {node.value!r} is now {self.renamed[node.value]!r}")
        elif len(entries) == 1 and (name := next(iter(entries))) in self.renamed:
            self.replace(entries[name][0], entries[name][0], self.renamed[name])
            self.tell(node, f"transformer {name!r} is now {self.renamed[name]!r}")

    def long_form(self, node: Node, entries: Mapping[str, tuple[Node, Node]]) -> None:
        """Write `{prototype: name, parameters: {...}}` as `{name: {...}}`."""
        key, value = entries["prototype"]
        if not isinstance(value.value, str) or not value.value:
            return
        name = self.renamed.get(value.value, value.value)
        word = name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        text, is_flow = self.before.text, self.before.text[self.before.start(node)] == "{"
        self.tell(node, f"'prototype: {value.value}' with 'parameters' is now '{name}' with its options")
        if "parameters" not in entries:
            self.replace(node if is_flow else key, node if is_flow else value, word)
            return
        options = entries["parameters"][0]
        if self.before.start(key) < self.before.start(options):
            between = text[self.before.end(value) : self.before.start(options)]
            between = between.replace(",", "", 1) if is_flow else between
            kept = between.lstrip() if between.strip() else ""
            self.replace(key, options, kept + word)
            return
        self.replace(options, options, word)
        start, end = self.before.start(key), self.before.end(value)
        if is_flow:
            start = len(text[:start].rstrip().removesuffix(","))
        elif not text[end : self.before.line_start(value.end_line + 1)].strip():
            start, end = self.before.line_start(key.line), self.before.line_start(value.end_line + 1)
        self.edits.append((start, end, ""))


def _meant(data: Any, renamed: Mapping[str, str]) -> Any:
    """Bring a configuration into one spelling, so that two can be compared."""
    if not is_map(data):
        return data
    made = dict(data)
    for section in ("incoming", "outgoing"):
        if is_map(data.get(section)):
            made[section] = {
                name: {
                    RENAMED_KEYS.get((section, key), key): _chain(value, renamed)
                    if key in STEP_KEYS
                    else value
                    for key, value in one.items()
                }
                if is_map(one)
                else one
                for name, one in data[section].items()
            }
    if is_map(data.get("transformers")):
        made["transformers"] = {name: _chain(one, renamed) for name, one in data["transformers"].items()}
    return made


def _chain(steps: Any, renamed: Mapping[str, str]) -> Any:
    return [_step(one, renamed) for one in steps] if is_list(steps) else steps


def _step(step: Any, renamed: Mapping[str, str]) -> Any:
    """Give a step as its name and its options."""
    if isinstance(step, str):
        return renamed.get(step, step), None
    if not is_map(step):
        return step
    if "prototype" in step and step.keys() <= {"prototype", "parameters"}:
        return renamed.get(step["prototype"], step["prototype"]), step.get("parameters")
    if len(step) == 1:
        [(name, options)] = step.items()
        return renamed.get(name, name), options
    return step
