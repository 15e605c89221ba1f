"""Try again? After how long? Or stop the run? Decisions only: the client waits and sends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from connectory.text.hints import reset_hint, wait_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

UNUSABLE_ATTEMPTS = 3
"""Attempts at most where the server says that all is well and sends what cannot be read."""

FailureClass: TypeAlias = Literal[
    "unreached",
    "lost",
    "unusable",
    "money",
    "credentials",
    "too_large",
    "slow_down",
    "pace",
    "conflict",
    "busy",
    "doubtful",
    "refused",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient to be: `attempts` in all, the longest wait between two, and the longest outage, in seconds."""

    attempts: int = 4
    max_wait: float = 60.0
    outage: float = 300.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that gave no usable answer.

    `sent` is False only when it is certain that no byte left. `repeatable` says that doing the thing twice does no
    harm (reading, deleting, computing). `status` is None where there was no answer; `unusable` says that there was
    one, of success, that nobody can read.
    """

    sent: bool
    repeatable: bool
    status: int | None = None
    code: str | None = None
    message: str = ""
    headers: Mapping[str, str] | None = None
    unusable: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Send again after at least `wait` seconds; `in_doubt` says that the server may have acted already.

    `held` says that the wait is everybody's and that this attempt does not count: the server refuses for pace or is
    away, which is no fault of the record.
    """

    wait: float
    in_doubt: bool = False
    held: bool = False


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


@dataclass(frozen=True, slots=True)
class Rule:
    """What a failure has to look like to be of a class; what a rule leaves open fits everything."""

    kind: FailureClass
    answered: bool | None = None
    sent: bool | None = None
    unusable: bool | None = None
    codes: frozenset[str] | None = None
    statuses: frozenset[int] | range | None = None
    says: Callable[[str], bool] | None = None

    def fits(self, failed: Failed) -> bool:
        """Say whether the failure is of this class."""
        return (
            (self.answered is None or self.answered is (failed.status is not None))
            and (self.sent is None or self.sent is failed.sent)
            and (self.unusable is None or self.unusable is failed.unusable)
            and (self.codes is None or failed.code in self.codes)
            and (self.statuses is None or failed.status in self.statuses)
            and (self.says is None or self.says(failed.message))
        )


_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_COUNT = r"(\d[\d,]{0,18})"
_REQUESTED = re.compile(rf"limit:?\s+{_COUNT}.{{0,40}}?requested:?\s+{_COUNT}", re.IGNORECASE | re.DOTALL)


def _larger_than_the_limit(message: str) -> bool:
    if _TOO_LARGE.search(message):
        return True
    limit, requested = limit_and_requested(message) or (0, 0)
    return requested > limit


def limit_and_requested(message: str) -> tuple[int, int] | None:
    """Read how much a refusal says there is, and how much the request wanted."""
    found = _REQUESTED.search(message)
    if not found:
        return None
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


RULES = (
    Rule("unreached", answered=False, sent=False),
    Rule("lost", answered=False),
    Rule("unusable", unusable=True),
    Rule("money", codes=OUT_OF_MONEY),
    Rule("credentials", statuses=frozenset({401})),
    Rule("too_large", statuses=frozenset({429}), says=_larger_than_the_limit),
    Rule("slow_down", codes=frozenset({"slow_down"}), statuses=frozenset({429, 503})),
    Rule("pace", statuses=frozenset({429})),
    Rule("conflict", statuses=frozenset({409, 425})),
    Rule("busy", statuses=frozenset({503})),
    Rule("doubtful", statuses=frozenset({408, 500, 502, 504})),
    Rule("doubtful", statuses=range(505, 1000)),  # what gateways invent
    Rule("refused"),
)
"""The classes of failure; the first rule that fits decides: the error's code before the status."""

AWAY: frozenset[FailureClass] = frozenset({"unreached", "lost", "unusable", "busy", "doubtful"})
"""Classes that are the server's fault and not the record's: an outage looks like this."""

HELD: frozenset[FailureClass] = frozenset({"unreached", "slow_down", "pace"})
"""Classes that use up no attempt: everybody waits, and the server has not begun the work."""

_AGAIN: frozenset[FailureClass] = AWAY | HELD | frozenset[FailureClass]({"conflict"})
_IN_DOUBT: frozenset[FailureClass] = frozenset({"lost", "unusable", "doubtful"})


def classify(failed: Failed) -> FailureClass:
    """Give the class of a failure."""
    return next(rule.kind for rule in RULES if rule.fits(failed))


def decide(  # noqa: PLR0911 - a table
    failed: Failed, *, attempt: int, policy: Policy, luck: float, patient: bool = False
) -> Decision:
    """Decide what follows a failed attempt, the `attempt`-th that counts (from 1).

    `luck` is a random number in [0, 1). `patient` says that the server is known to be away: no attempts are counted.
    """
    kind = classify(failed)
    if kind == "money":
        return Stop("unavailable", failed.message)
    if kind == "credentials":
        return Stop("credentials", failed.message)
    doubt = kind in _IN_DOUBT and failed.sent
    again = kind in _AGAIN
    wish = (failed.headers or {}).get("x-should-retry")
    if wish in {"true", "false"} and kind != "too_large":
        again = wish == "true"
    if not again:
        return Aside(in_doubt=doubt)
    if doubt and not failed.repeatable:
        return Aside(in_doubt=True, retryable=True)
    hint = wait_hint(failed.headers or {})
    if hint is not None and hint > policy.max_wait:
        return Stop("unavailable", f"the server asks to wait {hint:g} s, longer than retry.max_wait")
    if kind in HELD:
        return Again(_pause(failed, hint, policy), in_doubt=doubt, held=True)
    if patient:
        return Again(hint or 0.0, in_doubt=doubt, held=True)
    most = min(policy.attempts, UNUSABLE_ATTEMPTS) if kind == "unusable" else policy.attempts
    if attempt >= most:
        return Aside(in_doubt=doubt, retryable=True)
    return Again(max(hint or 0.0, backoff(attempt, policy, luck)), in_doubt=doubt)


def backoff(attempt: int, policy: Policy, luck: float) -> float:
    """Give seconds to wait after the `attempt`-th failure: up to a ceiling that doubles from half a second.

    And a quarter of it at least: a record must not use up its attempts in an instant.
    """
    return ceiling(attempt, policy.max_wait) * (0.25 + 0.75 * luck)


def ceiling(attempt: int, most: float) -> float:
    """Give the longest wait after the `attempt`-th failure in a row."""
    return min(most, 0.5 * 2.0 ** min(max(attempt, 1) - 1, 16))


def _pause(failed: Failed, hint: float | None, policy: Policy) -> float:
    if hint is not None:
        return hint
    return min(policy.max_wait, reset_hint(failed.headers or {}) or 0.0)


class Budget:
    """Keeps sending again from becoming the load: a fifth of what is sent, and ten a second beside it.

    A hundred are in reserve, ten seconds' worth. Beyond that a retry has to wait for its turn: it is slowed down and
    never refused, since a record is given up for its own attempts only.
    """

    SHARE, FLOOR, RESERVE = 0.2, 10.0, 100.0

    def __init__(self) -> None:
        self._left, self._seen = self.RESERVE, 0.0

    def earn(self) -> None:
        """Hear of a request that is sent for the first time."""
        if self._left < self.RESERVE:
            self._left = min(self.RESERVE, self._left + self.SHARE)

    def spend(self, now: float) -> float:
        """Take one retry, and give the seconds until it may leave."""
        self._left = min(self.RESERVE, self._left + max(0.0, now - self._seen) * self.FLOOR) - 1
        self._seen = max(self._seen, now)
        return max(0.0, -self._left / self.FLOOR)


ALIKE = 20
"""Records in a row that fail in the same way before it is taken for the server's fault and no longer the records'."""


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

    def ring(self) -> None:
        """Take what was heard so far for the fault of what stops the run."""
        self._over = self.rang = True

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
        self.ring()
        return f"the first {ALIKE} records all failed alike: {message}"
