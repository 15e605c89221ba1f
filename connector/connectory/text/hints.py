"""What an answer's headers say about time: how long to wait, how much is left, when it is full again."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_HINT = 86_400.0
"""Seconds; a server's wish to be left alone for longer than a day is not believed."""

MOST = 1e12
"""What no limit exceeds; larger numbers are not believed."""

_DURATION = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?"
    r"(?:(?P<ms>\d+(?:\.\d+)?)ms)?(?:(?P<us>\d+(?:\.\d+)?)[uµ]s)?",
    re.ASCII,
)
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


class Told(NamedTuple):
    """What the server says of one of its limits: so many a minute, and how many are left; None is not said."""

    per_minute: float | None
    remaining: float | None


NOTHING = Told(None, None)
_LIMIT, _REMAINING = "x-ratelimit-limit-", "x-ratelimit-remaining-"


def wait_hint(headers: Mapping[str, str]) -> float | None:
    """Give the seconds for which the server asks to be left alone, or None.

    Reads `retry-after-ms`, `retry-after` (seconds, or a date relative to the answer's own `date`); negative,
    unreadable and absurd values are no hint.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    hint = _believable(milliseconds / 1000 if milliseconds is not None else None)
    if hint is not None:
        return hint
    text = headers.get("retry-after")
    seconds = _number(text)
    return _believable(seconds if seconds is not None else _until(text, headers.get("date")))


def reset_hint(headers: Mapping[str, str]) -> float | None:
    """Give the seconds until what is used up is there again, or None: for a refusal without a wish of its own.

    Reads `x-ratelimit-reset-requests` and `-tokens`. A limit of which something is left is not the one that refused.
    """
    waits = [
        wait
        for kind in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{kind}")) in {None, 0.0}
        and (wait := duration(headers.get(f"x-ratelimit-reset-{kind}"))) is not None
    ]
    return max(waits, default=None)


def told(headers: Mapping[str, str]) -> tuple[Told, Told]:
    """Read the limits of requests and of tokens."""
    return _told(headers, "requests"), _told(headers, "tokens")


def duration(text: str | None) -> float | None:
    """Read a length of time, `6m0s`, `1h2m`, `12ms` or a bare number of seconds; None for anything else."""
    seconds = _number(text)
    if seconds is None and text:
        parts = _DURATION.fullmatch(text.strip())
        found = {unit: value for unit, value in parts.groupdict().items() if value} if parts else {}
        seconds = sum(_SECONDS[unit] * float(value) for unit, value in found.items()) if found else None
    return _believable(seconds)


def _told(headers: Mapping[str, str], kind: str) -> Told:
    said = headers.get(_LIMIT + kind)
    limit = None if said is None else _number(said)
    if limit is None or not 0 < limit <= MOST:
        return NOTHING
    remaining = _number(headers.get(_REMAINING + kind))
    return Told(limit, max(0.0, remaining) if remaining is not None and remaining <= MOST else None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is None or number == number else None  # noqa: PLR0124 - not a number


def _until(text: str | None, date: str | None) -> float | None:
    if text is None or date is None:
        return None
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def _believable(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_HINT else None
