"""A regular expression of a user's: no text makes it search for ever."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import regex

from connectory.errors import ConfigError, TransformerError
from connectory.expressions import CompiledOption

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 1_000_000
"""Characters of a text that a pattern is tried on; one that repeats without a bound takes a tenth of that."""

SECONDS = 1.0
"""Processor time that a pattern may take for a text."""

_LARGEST = 100_000
"""Signs that a pattern may stand for when its counted repetitions are written out, as the engine does."""

_TOKEN = re.compile(
    r"""\\.                                     # an escape
      | \[\^?\]?(?:\\.|[^\]\\])*\]              # a class
      | \((?:\?(?:[aiLmsux-]*:|P?<\w+>|<?[=!]|>|\#[^)]*|[aiLmsux-]+|P=\w+|\(\w+\)))?   # a group begins
      | \) | \|
      | (?:[*+?]|\{\d*,?\d*\})[+?]?             # a quantifier, perhaps possessive or lazy
      | .""",
    re.VERBOSE | re.DOTALL,
)
_MANY = 4
"""Repetitions up to which a counted quantifier cannot take long."""


T = TypeVar("T")


class Pattern(CompiledOption):
    """A regular expression in Python's syntax.

    A repetition of something that itself repeats, or of alternatives that may begin alike, can take for ever on a
    short text: it is refused, and the message says what to write. No such rule finds all of them: whatever is left has
    a second for a text, and is then an error of the record.
    """

    __slots__ = ("_compiled", "_longest", "text")
    written = str

    def __init__(self, text: str, *, flags: int = 0) -> None:
        try:
            re.compile(text, flags)  # the syntax is Python's: the engine below would take more
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"cannot read the pattern {text!r}: {error}") from None
        whole = _read(text)
        if whole.trouble:
            raise ConfigError(
                f"the pattern {text!r} may take for ever: {whole.trouble!r} repeats what can be split in "
                "many ways; write a '+' behind the last sign, as in '(...)*+', or leave out the inner repetition"
            )
        if whole.size > _LARGEST:
            raise ConfigError(
                f"the pattern {text!r} repeats too much: written out it has more than {_LARGEST} signs"
            )
        self._compiled = regex.compile(text, flags | regex.V0)
        self.text = text
        self._longest = LONGEST // 10 if whole.repeats else LONGEST

    def search(self, text: str) -> regex.Match[str] | None:
        """Give the first match. Raises TransformerError for a text that is too long, or takes too long."""
        bounded = self._bounded(text)
        return self._timed(lambda: self._compiled.search(bounded, timeout=SECONDS))

    def replace(self, text: str, by: str) -> str:
        r"""Replace every match; `\1` and `\g<name>` in `by` are its groups. Raises TransformerError."""
        try:
            bounded = self._bounded(text)
            return self._timed(lambda: self._compiled.sub(by, bounded, timeout=SECONDS))
        except (regex.error, IndexError) as error:
            raise TransformerError(f"cannot replace by {by!r}: {error}") from None

    def _timed(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except TimeoutError:
            raise TransformerError(
                f"the pattern {self.text!r} takes more than {SECONDS:g} s for this text; "
                "write it so that there is one way to match"
            ) from None

    def _bounded(self, text: str) -> str:
        if len(text) > self._longest:
            raise TransformerError(
                f"the text has {len(text)} characters; the pattern {self.text!r} is tried on {self._longest} at most"
            )
        return text

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


class _Group:
    """What was seen of a group, or of the whole pattern."""

    def __init__(self, start: int, *, safe: bool) -> None:
        self.start, self.safe = start, safe
        self.repeats = False
        self.size, self.last = 0, 0
        self.firsts: list[str] = []
        self.fresh = True
        self.trouble = ""


def _read(pattern: str) -> _Group:
    """Read a pattern as a group: its `trouble` is a part that repeats ambiguously."""
    groups = [_Group(0, safe=False)]
    closed: tuple[_Group, int] | None = None
    for found in _TOKEN.finditer(pattern):
        sign, group = found[0], groups[-1]
        if sign[0] == "(":
            inner = _Group(found.start(), safe=sign.startswith("(?>"))
            _begin(group, "")
            if not re.fullmatch(r"\(\?(#.*|[aiLmsux-]+|P=\w+)", sign, re.DOTALL):
                groups.append(inner)
            closed = None
            continue
        if sign == ")":
            if len(groups) > 1:
                closed = (groups.pop(), found.end())
                groups[-1].repeats |= closed[0].repeats and not closed[0].safe
                _count(groups[-1], closed[0].size)
            continue
        if sign == "|":
            group.fresh = True
        elif re.fullmatch(r"([*+?]|\{\d*,?\d*\})[+?]?", sign) and not group.fresh:
            if _unbounded(sign) and not sign.endswith("+", 1):
                if closed is not None and _ambiguous(closed[0]):
                    groups[0].trouble = pattern[closed[0].start : found.end()]
                group.repeats = True
            group.size += group.last * (_times(sign) - 1)
        else:
            _begin(group, sign)
            _count(group, 1)
        closed = None
    return groups[0]


def _begin(group: _Group, sign: str) -> None:
    if group.fresh:
        group.firsts.append(sign)
        group.fresh = False


def _count(group: _Group, size: int) -> None:
    group.size, group.last = group.size + size, size


def _times(quantifier: str) -> int:
    """Say how often something is repeated at least, or at most where that is said."""
    found = [int(one) for one in re.findall(r"\d+", quantifier)]
    return max([*found, 1])


def _ambiguous(group: _Group) -> bool:
    if group.safe:
        return False
    plain = all(re.fullmatch(r"\w|\\[^\w]|[^\w\\.\[^$]", one) for one in group.firsts)
    distinct = plain and len({one.lower() for one in group.firsts}) == len(group.firsts)
    return group.repeats or (len(group.firsts) > 1 and not distinct)


def _unbounded(quantifier: str) -> bool:
    if quantifier[0] != "{":
        return quantifier[0] != "?"
    most: Any = re.fullmatch(r"\{(\d*)(,?)(\d*)\}[+?]?", quantifier)
    if most[2] and not most[3]:
        return True
    return int(most[3] or most[1] or 0) > _MANY
