"""A text that matches a regular expression."""

from __future__ import annotations

import re
from typing import cast

from connectory.schemas.examples.terms import NoValueError

_REPEAT = re.compile(r"(\*|\+|\?|\{(\d+)(,(\d*))?\})?[?+]?")
_GROUP = re.compile(r"\((\?:|\?P<\w+>)?")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_ANCHORS = {"^", "$", r"\b", r"\A", r"\Z", r"\z"}
_SIGNS = "a0A" + "".join(map(chr, range(32, 127)))


def matching(pattern: str, extra: int) -> str:
    """Give a text that matches the pattern, with `extra` more of whatever may repeat."""
    try:
        text, _ = _sequence(pattern, 0, extra)
    except re.error as error:
        raise NoValueError(f"the pattern {pattern!r} cannot be read: {error}") from None
    if not fits(pattern, text):
        raise NoValueError(f"no text was found for the pattern {pattern!r}")
    return text


def fits(pattern: str, text: str) -> bool:
    """Say whether the pattern is found in the text."""
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        raise NoValueError(f"the pattern {pattern!r} cannot be read: {error}") from None


def _sequence(pattern: str, at: int, extra: int) -> tuple[str, int]:
    """Read up to the end of a group; of alternatives the first counts, the others are read past."""
    alternatives = [""]
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            alternatives.append("")
            at += 1
            continue
        piece, at = _atom(pattern, at, extra)
        found = cast("re.Match[str]", _REPEAT.match(pattern, at))
        at = found.end()
        alternatives[-1] += piece * _times(found, extra)
    return alternatives[0], at + 1


def _times(found: re.Match[str], extra: int) -> int:
    sign, least, comma, most = found.groups()
    if sign is None or sign == "?":
        return 1
    if sign in "*+":
        return (sign == "+") + extra
    wanted = int(least) + (extra if comma else 0)
    return min(wanted, int(most)) if most else wanted


def _atom(pattern: str, at: int, extra: int) -> tuple[str, int]:
    if pattern[at] == "(":
        return _sequence(pattern, at + len(cast("re.Match[str]", _GROUP.match(pattern, at))[0]), extra)
    atom = cast("re.Match[str]", _ATOM.match(pattern, at))[0]
    if atom in _ANCHORS:
        return "", at + len(atom)
    fitting = (sign for sign in _SIGNS if re.fullmatch(atom, sign))
    return next(fitting, ""), at + len(atom)
