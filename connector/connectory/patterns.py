"""A regular expression of a user's, refused where a text could make it search for ever."""

from __future__ import annotations

import re
from typing import Any

from connectory.errors import ConfigError, TransformerError
from connectory.expressions import CompiledOption

LONGEST = 1_000_000
"""Characters of a text that a pattern is tried on; one that repeats without a bound takes a tenth of that."""

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


class Pattern(CompiledOption):
    """A regular expression in Python's syntax.

    A repetition of something that itself repeats, or of alternatives that may begin alike, can take for ever on a
    short text: it is refused, and the message says what to write.
    """

    __slots__ = ("_compiled", "_longest", "text")
    written = str

    def __init__(self, text: str, *, flags: int = 0) -> None:
        try:
            self._compiled = re.compile(text, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"cannot read the pattern {text!r}: {error}") from None
        whole = _read(text)
        if whole.trouble:
            raise ConfigError(
                f"the pattern {text!r} may take for ever: {whole.trouble!r} repeats what can be split in "
                "many ways; write a '+' behind the last sign, as in '(...)*+', or leave out the inner repetition"
            )
        self.text = text
        self._longest = LONGEST // 10 if whole.repeats else LONGEST

    def search(self, text: str) -> re.Match[str] | None:
        """Give the first match. Raises TransformerError for a text that is too long."""
        return self._compiled.search(self._bounded(text))

    def replace(self, text: str, by: str) -> str:
        r"""Replace every match; `\1` and `\g<name>` in `by` are its groups. Raises TransformerError."""
        try:
            return self._compiled.sub(by, self._bounded(text))
        except (re.error, IndexError) as error:
            raise TransformerError(f"cannot replace by {by!r}: {error}") from None

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
            continue
        if sign == "|":
            group.fresh = True
        elif re.fullmatch(r"([*+?]|\{\d*,?\d*\})[+?]?", sign) and not group.fresh:
            if _unbounded(sign) and not sign.endswith("+", 1):
                if closed is not None and _ambiguous(closed[0]):
                    groups[0].trouble = pattern[closed[0].start : found.end()]
                group.repeats = True
        else:
            _begin(group, sign)
        closed = None
    return groups[0]


def _begin(group: _Group, sign: str) -> None:
    if group.fresh:
        group.firsts.append(sign)
        group.fresh = False


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
