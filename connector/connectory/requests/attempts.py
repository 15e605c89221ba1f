"""What the attempts of one request came to: each failure as data, and the outcome in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectory.answers.meaning import meant_status
from connectory.errors import (
    ApiError,
    ConnectoryError,
    CredentialsError,
    NotSentError,
    OutcomeUnknownError,
    SetupError,
    UnavailableError,
)
from connectory.frozen import value
from connectory.retry import Aside, Failed, Stop

if TYPE_CHECKING:
    from connectory.answers.meaning import Answer


_STOPS = {"credentials": CredentialsError, "unavailable": UnavailableError, "setup": SetupError}


@value(frozen=True, slots=True)
class Outcome:
    """What became of a call: an answer or an error.

    `attempts` counts the requests that left or tried to; `in_doubt` says that the server may have acted without
    telling, so that what it did may have happened more than once.
    """

    answer: Answer | None
    error: ConnectoryError | None
    attempts: int
    in_doubt: bool = False
    retryable: bool = False

    def unwrap(self) -> Answer:
        """Give the answer, or raise the error."""
        if self.answer is None:
            raise self.error or ConnectoryError("there is neither an answer nor an error")
        return self.answer


@dataclass(slots=True)
class Progress:
    """How far the sending of a request has come: attempts, what the last one met, and whether any left a doubt.

    `status` is that of an answer which could not be used, None where there was none or it was a refusal.
    `asked_at` is when it began to wait for its turn, where somebody wants to know.
    """

    attempt: int = 0
    trouble: ConnectoryError | None = None
    doubt: bool = False
    status: int | None = None
    asked_at: float = 0.0

    def ended(self, decision: Aside | Stop) -> Outcome:
        """Give the outcome of a request that is not sent again."""
        error = self.trouble
        if isinstance(decision, Aside):
            doubt = self.doubt or decision.in_doubt
            return Outcome(None, error, self.attempt, in_doubt=doubt, retryable=decision.retryable)
        stopped = _STOPS[decision.cause](decision.reason)
        stopped.__cause__ = error
        return Outcome(None, stopped, self.attempt, in_doubt=self.doubt)

    def overtime(self, what: str, seconds: float) -> Outcome:
        """Give the outcome of a request whose time is over."""
        trouble, doubt = self.trouble, self.doubt
        if trouble is None:  # in the middle of an attempt, not while waiting for the next one
            doubt = True
            trouble = OutcomeUnknownError(f"{what}: no whole answer within timeout.total ({seconds:g} s)")
        return Outcome(None, trouble, self.attempt, in_doubt=doubt, retryable=True)


def failure(error: ConnectoryError, *, repeatable: bool, status: int | None) -> Failed:
    """Put what an attempt met into the words of the rules; `status` is that of an answer that nobody can use."""
    if isinstance(error, ApiError):
        code = error.code or error.type
        return Failed(True, repeatable, meant_status(error), code, str(error), error.headers)
    sent = not isinstance(error, NotSentError)
    return Failed(sent, repeatable, status, message=str(error), unusable=status is not None)
