"""Try again? After how long? Or stop the run? Decisions only: the client waits and sends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_HINT = 86_400.0
"""Seconds; a server's wish to be left alone for longer than a day is not believed."""

OUT_OF_MONEY = frozenset(
    {
        "access_terminated",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Error codes that no waiting mends: the run stops and its records stay pending."""

NOT_NOW = frozenset({409, 425, 429, 503})
"""The server did not start the work: sending again cannot do it twice."""

IN_DOUBT = frozenset({408, 500, 502, 504})
"""Worth another attempt, but the server, or one behind it, may have acted."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient to be: `attempts` in all, and the longest wait between two, in seconds."""

    attempts: int = 4
    max_wait: float = 60.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that gave no usable answer.

    `sent` is False only when it is certain that no byte left. `repeatable` says that doing the thing twice does no
    harm (reading, deleting, computing). `status` is None where there was no answer.
    """

    sent: bool
    repeatable: bool
    status: int | None = None
    code: str | None = None
    message: str = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Send again after `wait` seconds; `in_doubt` says that the server may have acted already."""

    wait: float
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Aside:
    """Set this record aside; `in_doubt` says that the server may have acted."""

    in_doubt: bool = False
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the whole run."""

    cause: Literal["credentials", "unavailable", "setup"]
    reason: str


Decision: TypeAlias = Again | Aside | Stop

ALIKE = 20
"""Records from the start of a run that fail in the same way before the run is stopped: it is not the records' fault."""


class Alarm:
    """Notices that the first records of a run all fail alike."""

    def __init__(self) -> None:
        self._signature: object = None
        self._heard = 0
        self._over = False
        self.rang = False

    @property
    def undecided(self) -> bool:
        """Say whether all that was heard so far was the same failure, or nothing was heard yet."""
        return not self._over

    def dismiss(self) -> None:
        """Let what was heard so far be the records' own fault."""
        self._over = True

    def hear(self, ok: bool, signature: object, message: str | None) -> str | None:  # noqa: FBT001 - an outcome
        """Hear of one outcome; give the reason to stop once the first twenty have failed alike."""
        if self._over:
            return None
        if ok or (self._heard and signature != self._signature):
            self._over = True
            return None
        self._signature = signature
        self._heard += 1
        if self._heard < ALIKE:
            return None
        self._over = self.rang = True
        return f"the first {ALIKE} records all failed alike: {message}"


def decide(failed: Failed, *, attempt: int, policy: Policy, luck: float) -> Decision:  # noqa: PLR0911 - a table
    """Decide what follows the `attempt`-th failed attempt (from 1); `luck` is a random number in [0, 1)."""
    if failed.status is None:
        return _after_no_answer(failed, attempt, policy, luck)
    stop = _hopeless(failed)
    if stop is not None:
        return stop
    doubtful = failed.status in IN_DOUBT or failed.status > 504  # noqa: PLR2004 - what gateways invent
    if not _worth_repeating(failed, doubtful=doubtful):
        return Aside(in_doubt=doubtful)
    if doubtful and not failed.repeatable:
        return Aside(in_doubt=True, retryable=True)
    hint = wait_hint(failed.headers or {})
    if hint is not None and hint > policy.max_wait:
        return Stop("unavailable", f"the server asks to wait {hint:g} s, longer than retry.max_wait")
    if attempt >= policy.attempts:
        return Aside(in_doubt=doubtful, retryable=True)
    return Again(max(hint or 0.0, backoff(attempt, policy, luck)), in_doubt=doubtful)


def backoff(attempt: int, policy: Policy, luck: float) -> float:
    """Give seconds to wait after the `attempt`-th failure: exponential from half a second, with jitter."""
    ceiling = min(policy.max_wait, 0.5 * 2.0 ** min(attempt - 1, 16))
    return ceiling * (0.5 + 0.5 * luck)


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


def _after_no_answer(failed: Failed, attempt: int, policy: Policy, luck: float) -> Decision:
    if failed.sent and not failed.repeatable:
        return Aside(in_doubt=True, retryable=True)
    if attempt < policy.attempts:
        return Again(backoff(attempt, policy, luck), in_doubt=failed.sent)
    if failed.sent:
        return Aside(in_doubt=True, retryable=True)
    return Stop("unavailable", failed.message)


def _hopeless(failed: Failed) -> Stop | None:
    if failed.code in OUT_OF_MONEY:
        return Stop("unavailable", failed.message)
    if failed.status == 401:  # noqa: PLR2004 - a status code is its own name
        return Stop("credentials", failed.message)
    return None


_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_COUNT = r"(\d[\d,]{0,18})"
_REQUESTED = re.compile(rf"limit:?\s+{_COUNT}.{{0,20}}?requested:?\s+{_COUNT}", re.IGNORECASE | re.DOTALL)


def _worth_repeating(failed: Failed, *, doubtful: bool) -> bool:
    status = failed.status or 0
    if status == 429 and _larger_than_the_limit(failed.message):  # noqa: PLR2004 - a status code
        return False
    wish = (failed.headers or {}).get("x-should-retry")
    if wish in {"true", "false"}:
        return wish == "true"
    return status in NOT_NOW or doubtful


def _larger_than_the_limit(message: str) -> bool:
    if _TOO_LARGE.search(message):
        return True
    found = _REQUESTED.search(message)
    if not found:
        return False
    limit, requested = (int(text.replace(",", "")) for text in found.groups())
    return requested > limit


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _until(text: str | None, date: str | None) -> float | None:
    if text is None or date is None:
        return None
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def _believable(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_HINT else None
