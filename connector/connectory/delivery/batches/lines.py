"""What one line of a batch's answers says, and the result that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from connectory.answers.meaning import Expected, accepted, refusal
from connectory.delivery.batches.spool import OWN
from connectory.delivery.results import failed, unsent, usage_of
from connectory.errors import ApiError, WorkError
from connectory.retry import Again, Failed, Policy, Stop, decide
from connectory.text.json import JsonTextError, dumps, loads

if TYPE_CHECKING:
    from connectory.delivery.publication import Part
    from connectory.record import Result
    from connectory.text.redaction import Redactor

NOT_ANSWERED = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of lines whose requests were never begun."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a request: `final` it is answered, `again` it is sent once more, `stop` all of them wait."""

    kind: Literal["final", "again", "missing", "stop"]
    reason: str = ""


FINAL, AGAIN, MISSING = Verdict("final"), Verdict("again"), Verdict("missing")


def read_line(line: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is no object that names its request."""
    try:
        value: Any = loads(line)
    except JsonTextError:
        return None
    found = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return found if isinstance(found.get("custom_id"), str) else None


def judge(line: dict[str, Any], *, attempt: int, policy: Policy) -> Verdict:
    """Decide by a line what becomes of its request, as the same answer would decide in direct delivery."""
    response: Any = line.get("response")
    if not isinstance(response, dict):
        code = _code(line.get("error"))
        return MISSING if code in NOT_ANSWERED or attempt < policy.attempts else FINAL
    status = _status(cast("dict[str, Any]", response))
    if accepted(status):
        return FINAL
    error = _refused(cast("dict[str, Any]", response), "a request of a batch")
    decision = decide(
        Failed(True, True, status, error.code or error.type, str(error)),
        attempt=attempt,
        policy=policy,
        luck=0.0,
    )
    if isinstance(decision, Stop):
        return Verdict("stop", decision.reason)
    return AGAIN if isinstance(decision, Again) and attempt < policy.attempts else FINAL


def own_line(key: str, message: str, *, code: str | None, retryable: bool) -> bytes:
    """Make the line of a request that the API gave none for."""
    return (
        dumps({"custom_id": key, "failure": {"message": message, "code": code, "retryable": retryable}})
        + b"\n"
    )


def result_of_line(
    part: Part, line: bytes, *, kind: int, attempt: int, doubt: bool, what: str, redactor: Redactor
) -> Result:
    """Make the result of a record whose request has its answer."""
    said = read_line(line) or {}
    if redactor.seen_in(line):
        said = cast("dict[str, Any]", redactor.value(said))
    result = unsent(part, None)
    result.attempts, result.in_doubt = attempt, doubt
    if kind == OWN:
        told: dict[str, Any] = said.get("failure") or {}
        error = WorkError(f"{what}: {told.get('message')}", code=told.get("code"))
        failed(result, error, retryable=bool(told.get("retryable")))
        return result
    response: Any = said.get("response")
    if not isinstance(response, dict):
        message = _message(said.get("error")) or "the batch gives no answer for it"
        error = WorkError(f"{what}: {message}", code=_code(said.get("error")))
        failed(result, error, retryable=True)
        return result
    answer = cast("dict[str, Any]", response)
    result.http_status, request_id = _status(answer), answer.get("request_id")
    result.request_id = request_id if isinstance(request_id, str) else None
    if accepted(result.http_status):
        result.status, result.response = "ok", answer.get("body")
        result.usage = usage_of(result.response)
        return result
    refused = _refused(answer, what)
    retryable = refused.status >= 500 or refused.status == 429  # noqa: PLR2004 - HTTP's own classes
    failed(result, refused, retryable=retryable)
    return result


def _status(response: dict[str, Any]) -> int:
    status: Any = response.get("status_code")
    return status if isinstance(status, int) else 0


def _refused(response: dict[str, Any], what: str) -> ApiError:
    body: Any = response.get("body")
    return refusal(Expected(what), _status(response), {}, body, told=repr(body)[:200])


def _code(error: Any) -> str | None:
    code: Any = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _message(error: Any) -> str:
    message: Any = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else ""
