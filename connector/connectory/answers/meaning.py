"""What an answer means: its value when it is usable, the error that explains it when it is not."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from connectory.answers.unpacking import BombError, PackedError, Unpacker
from connectory.errors import ApiError, OutcomeUnknownError, TooLargeError
from connectory.frozen import value
from connectory.text.headers import AnswerHeaders
from connectory.text.json import JsonTextError, is_one_line, loads
from connectory.text.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LARGEST_BODY = 512 * 1024 * 1024
"""Bytes of one answer, decoded; a larger one ends in an error instead of the memory."""

WORTH_KEEPING = 4096
"""Bytes of an answer from which on it is cheaper to write it as it came than to write its value again."""

SNIPPET = 200
"""Characters of an unusable answer that are quoted."""

_JSON = "application/json"
_TEXT_FORMATS = ("text", "srt", "vtt")
_STATUSES = {str(status): status for status in range(400, 600)} | {
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
}
"""What the codes of errors mean that come with a status of success."""
_KEY_REUSED = 422

LONGEST_MESSAGE = 2000
"""Characters of a server's own explanation that are passed on."""


@value(frozen=True, slots=True)
class Answer:
    """A whole, usable answer.

    `value` is the parsed JSON where the entity answers with JSON, None for an empty body, and
    `{content_type, text}` or `{content_type, base64}` for any other. `events` are those of a stream, where they were
    asked for. `text` is the value as JSON in one line, where it came like that and is worth being kept.
    """

    status: int
    headers: Mapping[str, str]
    value: Any
    events: Sequence[dict[str, Any]] | None = None
    text: bytes | None = field(default=None, repr=False)

    @property
    def request_id(self) -> str | None:
        """Give the id by which the server's operator finds the request."""
        return request_id(self.headers)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller expects: the kind of body the catalogue names, and how the request is called in messages.

    `strict` says that nothing but JSON can be meant where JSON is due: no transcript as text, no unknown server.
    The redactor knows which secrets the server may send back.
    """

    what: str
    kind: str = "json"
    empty: bool = False
    strict: bool = False
    redactor: Redactor = field(default_factory=Redactor, repr=False)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Give the request id that OpenAI (`x-request-id`) or Azure (`apim-request-id`) sends."""
    return headers.get("x-request-id") or headers.get("apim-request-id")


def interpret(expected: Expected, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Give the usable answer.

    Raises ApiError for a refusal, OutcomeUnknownError for what cannot be understood, TooLargeError.
    """
    content_type = media_type(headers)
    try:
        if headers.get("content-encoding") is not None:
            body = decoded(expected, headers, body)
    except (OutcomeUnknownError, TooLargeError):
        if accepted(status):
            raise
        body = b""  # the status says what to do; only its explanation is lost
    if not accepted(status):
        raise _refusal(expected, status, headers, content_type, body)
    echoed = expected.redactor.seen_in(body)
    value, is_json = _value(expected, status, content_type, body)
    if echoed:
        value = expected.redactor.value(value)
    if _is_error_alone(value):
        raise _refusal(expected, status, headers, content_type, body)
    kept = is_json and not echoed and len(body) >= WORTH_KEEPING and is_one_line(body)
    return Answer(status, blanked(expected, headers), value, text=body if kept else None)


def blanked(expected: Expected, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Give an answer's headers without secrets; nearly always they are the very same."""
    if isinstance(headers, AnswerHeaders):
        block = headers.block()
    else:
        block = "\n".join(headers.values()).encode("utf-8", "surrogatepass")
    if expected.redactor.seen_in(block):
        return {name.lower(): expected.redactor.text(value) for name, value in headers.items()}
    return headers


def media_type(headers: Mapping[str, str]) -> str:
    """Give the content type without its parameters."""
    written = headers.get("content-type", "")
    return _JSON if written == _JSON else written.partition(";")[0].strip().lower()


def accepted(status: int) -> bool:
    """Say whether a status is one of success."""
    return 200 <= status < 300  # noqa: PLR2004 - the success class of HTTP


def asks_for_text(payload: Any) -> bool:
    """Say whether a payload asks for a transcript as text where otherwise JSON is due."""
    asked = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
    return asked.get("response_format") in _TEXT_FORMATS


def meant_status(error: ApiError) -> int:
    """Give the status that the server had in mind: behind a gateway an error may come with 200, and say it itself."""
    if not accepted(error.status):
        return error.status
    return _STATUSES.get(error.code or error.type or "", error.status)


def is_key_reused(error: ApiError) -> bool:
    """Say whether the server knows the delivery's key from a request with another body."""
    said = f"{error.code} {error.type} {error}".lower()
    return error.status == _KEY_REUSED and "idempotency" in said


def _is_error_alone(value: Any) -> bool:
    """Say whether a body is an error and nothing else: an entity may have an `error` among its fields."""
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if not fields.get("error"):
        return False
    others = {name: one for name, one in fields.items() if name != "error" and one}
    is_entity = "id" in others or others.get("object", "error") != "error"
    return not is_entity and not any(isinstance(one, dict | list) for one in others.values())


def _value(expected: Expected, status: int, content_type: str, body: bytes) -> tuple[Any, bool]:
    """Give the value, and say whether the body is its JSON."""
    if not body:
        if expected.kind == "json" and not expected.empty and status != 204:  # noqa: PLR2004 - no content
            raise OutcomeUnknownError(f"{expected.what}: the server answered {status} with an empty body")
        return None, False
    if expected.kind in {"binary", "text"}:  # a file keeps its bytes, also where they happen to be JSON
        return _other(expected, content_type, body), False
    unnamed = expected.kind == "json" and (expected.strict or content_type in {"", "text/html"})
    if unnamed or content_type.endswith(("/json", "+json")):
        try:
            return loads(body), True
        except JsonTextError as error:
            raise OutcomeUnknownError(
                f"{expected.what}: the server answered {status} with {content_type or 'no content type'} "
                f"that is not JSON ({error}): {_snippet(body)!r}"
            ) from None
    return _other(expected, content_type, body), False


def _other(expected: Expected, content_type: str, body: bytes) -> dict[str, str]:
    body = expected.redactor.content(body)
    if content_type.startswith("text/") or content_type.endswith(("json", "jsonl", "sdp")):
        try:
            return {"content_type": content_type, "text": body.decode("utf-8")}
        except UnicodeDecodeError:
            pass
    return {
        "content_type": content_type or "application/octet-stream",
        "base64": base64.b64encode(body).decode("ascii"),
    }


def _refusal(
    expected: Expected, status: int, headers: Mapping[str, str], content_type: str, body: bytes
) -> ApiError:
    value = _lenient(content_type, body)
    return refusal(expected, status, headers, value, told=_told(content_type, body))


def _told(content_type: str, body: bytes) -> str:
    return f"{content_type or 'no content type'}: {_snippet(body)!r}" if body else "an empty body"


def refusal(
    expected: Expected, status: int, headers: Mapping[str, str], value: Any, *, told: str
) -> ApiError:
    """Make the error of a body that explains one; `told` stands in for an explanation that is missing."""
    error = _error_object(value)
    said = error.get("message") if error else None
    if not isinstance(said, str) or not said:
        said = told
    if 300 <= status < 400:  # noqa: PLR2004 - the redirection class of HTTP
        said = f"a redirect{_whither(headers)}, which is never followed; check base_uri ({said})"
    code = error.get("code") if error else None
    return ApiError(
        f"{expected.what}: the server answered {status}: {said[:LONGEST_MESSAGE]}",
        status=status,
        code=str(code) if code is not None else None,
        type=_text_or_none(error, "type"),
        param=_text_or_none(error, "param"),
        request_id=request_id(headers),
        headers=headers,
        body=value,
    )


def _whither(headers: Mapping[str, str]) -> str:
    """Name the host of a redirect and nothing else of it: the rest may hold a secret."""
    try:
        host = urlsplit(headers.get("location", "")).netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return f" to {host!r}" if host else ""


def _error_object(value: Any) -> dict[str, Any] | None:
    """Find the API's error, wrapped in `error` or bare; some servers send a text instead of an object."""
    if not isinstance(value, dict):
        return None
    body = cast("dict[str, Any]", value)
    inner = body.get("error", body)
    if isinstance(inner, dict):
        return cast("dict[str, Any]", inner)
    return {"message": inner} if isinstance(inner, str) else None


def _text_or_none(error: dict[str, Any] | None, name: str) -> str | None:
    value = error.get(name) if error else None
    return value if isinstance(value, str) else None


def _lenient(content_type: str, body: bytes) -> Any:
    if content_type.endswith("json") or body[:1] in {b"{", b"["}:
        try:
            return loads(body)
        except JsonTextError:
            pass
    return _snippet(body) or None


def _snippet(body: bytes) -> str:
    return body[: SNIPPET * 4].decode("utf-8", "replace")[:SNIPPET]


def decoded(expected: Expected, headers: Mapping[str, str], body: bytes) -> bytes:
    """Undo the content encoding of a whole body. Raises OutcomeUnknownError, TooLargeError."""
    if not body or not is_packed(expected, headers):
        return body
    parts: list[bytes] = []
    room = LARGEST_BODY
    for piece in unpacked(expected, Unpacker(), body, last=True):
        room -= len(piece)
        if room < 0:
            raise TooLargeError(f"{expected.what}: the answer unpacks to more than {LARGEST_BODY} bytes")
        parts.append(piece)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_packed(expected: Expected, headers: Mapping[str, str]) -> bool:
    """Say whether a body is gzip. Raises OutcomeUnknownError for every other encoding, and for one upon another."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise OutcomeUnknownError(
            f"{expected.what}: the answer is encoded as {encoding!r}, which was not asked for"
        )
    return "gzip" in encoding


def unpacked(expected: Expected, unpacker: Unpacker, chunk: bytes, *, last: bool = False) -> Iterator[bytes]:
    """Give what a part of a body unpacks to. Raises OutcomeUnknownError for broken gzip, TooLargeError for a bomb."""
    try:
        yield from unpacker.feed(chunk)
        if last:
            unpacker.finish()
    except BombError as error:
        raise TooLargeError(f"{expected.what}: the answer {error}") from None
    except PackedError as error:
        raise OutcomeUnknownError(f"{expected.what}: the answer cannot be unpacked: {error}") from None
