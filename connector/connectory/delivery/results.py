"""Results, made from what the client says became of a request."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from connectory.answers.meaning import request_id
from connectory.errors import (
    ApiError,
    ConnectoryError,
    CredentialsError,
    ExpressionError,
    OutcomeUnknownError,
    RecordError,
    RequestError,
    RunStoppedError,
    TransformerError,
    TransportError,
    UnavailableError,
    WorkError,
)
from connectory.record import Failure, Record, Result
from connectory.text.json import dumps
from connectory.transport import Ready

if TYPE_CHECKING:
    import httpx

    from connectory.delivery.publication import Part
    from connectory.record import Intent
    from connectory.requests.attempts import Outcome
    from connectory.requests.building import Call
    from connectory.text.json import JsonTextError
    from connectory.text.redaction import Redactor

GONE = frozenset({404, 410})
"""What a server answers to the deletion of something that is not there."""

UNKNOWN_PATH = "unknown_url"
"""The API's code for a path it does not have: a wrong base URI deletes nothing, and must not look as if it had."""

POISON = 5
"""Lives of a run that may end while one delivery is under way, before that delivery is held to have ended them."""


def unsent(part: Part, error: RecordError | None) -> Result:
    """Begin the result of a part; without an error the chain dropped its record."""
    result = Result(part.index, part.id, "skipped", record=part.item.record)
    return failed(result, error, retryable=False) if error else result


def result_of(part: Part, call: Call, outcome: Outcome) -> Result:
    """Make the result of a request that was sent, or tried to be."""
    answer = outcome.answer
    if answer is not None:
        result = Result(
            part.index,
            part.id,
            "ok",
            answer.status,
            request_id(answer.headers),
            outcome.attempts,
            outcome.in_doubt,
            usage_of(answer.value),
            answer.value,
            None,
            answer.events if call.stream == "events" else None,
            None,
            part.item.record,
            None,
            answer.headers,
        )
        if answer.text is not None:
            result.raw = answer.value, answer.text
        return result
    result = unsent(part, None)
    result.status, result.attempts, result.in_doubt = "ok", outcome.attempts, outcome.in_doubt
    error = cast("ConnectoryError", outcome.error)
    if isinstance(error, ApiError):
        result.http_status, result.request_id = error.status, error.request_id
        if call.action.method == "DELETE" and _says_gone(error):
            result.response = {"already_gone": True}
            return result
    return failed(result, error, retryable=outcome.retryable)


def failed_shaping(result: Result, error: RecordError | JsonTextError) -> None:
    """Turn an ok result into one whose shaping failed: the response stays."""
    message = f"the request is done; shaping its result failed: {error}"
    result.status, result.error = "error", Failure("result", message)
    result.cause = error if isinstance(error, RecordError) else TransformerError(message)


def refused_lines(result: Result, why: str) -> None:
    """Turn an ok result into one whose lines the output does not take: the response stays."""
    message = f"the request is done; its result was not taken: {why}"
    result.status, result.error, result.output = "error", Failure("result", message), None
    result.cause = RecordError(message)


def failed_work(result: Result, error: WorkError, *, retryable: bool = False) -> None:
    """Turn the result of a creation into a failure of what was created: the response, its last state, stays."""
    failed(result, error, retryable=retryable)


def caused(result: Result) -> Result:
    """Give a result that was read back, with an error behind it again that can be raised."""
    if result.error is not None and result.cause is None:
        kinds = {one.kind: one for one in (ExpressionError, TransformerError, RequestError)}
        result.cause = kinds.get(result.error.kind, RecordError)(result.error.message)
    return result


def blank_error(result: Result, redactor: Redactor) -> None:
    """Blank secrets out of an error: what a transformer raises may quote the environment."""
    if result.error is not None:
        result.error = replace(result.error, message=redactor.text(result.error.message))
    if result.cause is not None:
        redactor.error(result.cause)


def held_back(part: Part, call: Call, doubt: Intent) -> Result | None:
    """Make the result of a delivery that an earlier life left under way, if it is not to be sent again."""
    if doubt.lives >= POISON:
        reason = (
            f"{doubt.lives} lives of the run ended while this record was under way; it was not sent again"
        )
    elif not call.repeatable:
        reason = (
            "the run broke off while this record was under way, so the server may have done it; "
            "it was not sent again (on_uncertain: hold)"
        )
    else:
        return None
    result = failed(unsent(part, None), OutcomeUnknownError(reason), retryable=True)
    result.in_doubt = True
    return result


def dead_letter(connection: str, part: Part, result: Result) -> Record:
    """Give the line of a delivery that was set aside.

    It is the result, where it belongs, the record as it was read, and the response that was paid for.
    """
    line = result.as_dict() | {
        "run": part.delivery.run,
        "connection": connection,
        "position": part.item.position,
        "part": None if part.whole else part.delivery.part,
        "key": part.delivery.key,
        "record": result.record,
    }
    return line | {"response": result.response} if result.response is not None else line


def text_of(result: Result) -> bytes:
    """Give the output lines of a result as JSON, each with its line feed."""
    texts = result.written()
    if texts is not None and len(texts) == 1:
        return texts[0] + b"\n"
    if texts is None:
        texts = [dumps(line) for line in result.lines()]
    return b"".join([text + b"\n" for text in texts])


def seen_http(result: Result) -> Record:
    """Give what a result's template sees of the answer besides its body; cookies are secrets."""
    headers = {name: value for name, value in result.headers.items() if name.lower() != "set-cookie"}
    return {"status": result.http_status, "headers": headers}


def _says_gone(error: ApiError) -> bool:
    """Tell the API's own "not found" from that of a proxy, or of a server that does not know the path at all."""
    body: Any = error.body
    envelope = body.get("error") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # any JSON
    return error.status in GONE and isinstance(envelope, dict) and error.code != UNKNOWN_PATH


def failed(result: Result, error: ConnectoryError, *, retryable: bool) -> Result:
    """Turn a result into an error, and give it."""
    kind = error.kind if isinstance(error, RecordError | TransportError) else "unknown"
    code = getattr(error, "code", None)
    result.status, result.cause = "error", error
    result.error = Failure(kind, str(error), code=code, retryable=retryable)
    return result


def cause_of(result: Result) -> type[RunStoppedError]:
    """Tell a run-level cause by what the records failed with: permission, the server, or the configuration."""
    if result.http_status in {401, 403}:
        return CredentialsError
    remote = result.error is not None and result.error.kind in {ApiError.kind, OutcomeUnknownError.kind}
    return UnavailableError if remote else RunStoppedError


def signature(result: Result) -> tuple[Any, ...]:
    """Give what two results have in common that failed alike."""
    return (result.error and result.error.kind, result.http_status, result.error and result.error.code)


def usage_of(value: Any) -> Record | None:
    """Give what an answer says it used."""
    usage: Any = cast("Record", value).get("usage") if type(value) is dict else None
    return cast("Record", usage) if type(usage) is dict else None


def fingerprint(request: httpx.Request) -> str:
    """Hash what is sent, so that a resend of something else under the same key is noticed."""
    if isinstance(request, Ready):
        return hashlib.sha256(
            b"%s %s\n%s" % (request.shared.verb, request.target, request.content)
        ).hexdigest()
    form = request.extensions.get("form")  # its boundary is new each time, and files are not read for a hash
    body = request.content if form is None else form.identity
    return hashlib.sha256(b"%s %s\n%s" % (request.method.encode(), request.url.raw_path, body)).hexdigest()
