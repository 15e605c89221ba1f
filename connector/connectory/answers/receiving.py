"""The body of an answer: taken whole, as events, or straight to a file, always within bounds."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from connectory.answers.meaning import (
    LARGEST_BODY,
    Answer,
    accepted,
    blanked,
    decoded,
    interpret,
    is_packed,
    media_type,
    refusal,
    unpacked,
)
from connectory.answers.sse import EventStreamError, Parser
from connectory.answers.streaming import Rebuilding, error_of
from connectory.answers.unpacking import Unpacker
from connectory.errors import OutcomeUnknownError, TooLargeError
from connectory.files.saving import Saving, has_pictures, save_pictures
from connectory.text.json import JsonTextError, dumps, loads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from connectory.answers.meaning import Expected
    from connectory.files.saving import Target

EVENTS = "text/event-stream"


class Stream(Protocol):
    """Bytes that come, and that somebody has to close."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...  # noqa: D102 - said above


def whole(stream: Stream, headers: Mapping[str, str], save: Target | None) -> bytes | None:
    """Give the body of an answer that only has to be understood: it came with the head, and nothing is open."""
    body: bytes | None = getattr(stream, "content", None)
    if body is None or save is not None or len(body) > LARGEST_BODY or media_type(headers) == EVENTS:
        return None
    return body


async def receive(
    expected: Expected,
    status: int,
    headers: Mapping[str, str],
    stream: Stream,
    *,
    save: Target | None = None,
    events: bool = False,
) -> Answer:
    """Take an answer's body and give what it means. `events` keeps those of a stream beside the value.

    Raises ApiError for a refusal, OutcomeUnknownError for what is cut off or cannot be understood, TooLargeError for
    what does not fit into memory, SaveError.
    """
    try:
        if accepted(status):
            if media_type(headers) == EVENTS:
                answer = await _events(expected, status, headers, stream, keep=events)
                return answer if save is None else await _save_value(expected, answer, save)
            if save is not None and expected.kind in {"binary", "text"}:
                saved = await _save(expected, headers, stream, save)
                return Answer(status, blanked(expected, headers), saved)
        body = await _whole(expected, headers, stream)
    finally:
        await stream.aclose()
    answer = interpret(expected, status, headers, body)
    if save is None:
        return answer
    if has_pictures(answer.value):
        return replace(answer, value=await save_pictures(answer.value, save, expected.what))
    async with Saving(save, expected.what) as saving:
        await saving.write(decoded(expected, headers, body))
        return Answer(status, headers, await saving.commit(media_type(headers)))


async def _whole(expected: Expected, headers: Mapping[str, str], stream: Stream) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > LARGEST_BODY:  # not one byte of it is taken
        raise _too_large(expected, "answer")
    came: bytes | None = getattr(stream, "content", None)  # with the head
    if came is not None and len(came) <= LARGEST_BODY:
        return came
    parts: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _too_large(expected, "answer")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(expected: Expected, thing: str) -> TooLargeError:
    advice = "; save_to takes files of any size" if expected.kind in {"binary", "text"} else ""
    return TooLargeError(f"{expected.what}: the {thing} is larger than {LARGEST_BODY} bytes{advice}")


async def _save(
    expected: Expected, headers: Mapping[str, str], stream: Stream, target: Target
) -> dict[str, Any]:
    async with Saving(target, expected.what) as saving:
        async for chunk in _plain(expected, headers, stream):
            await saving.write(chunk)
        return await saving.commit(media_type(headers))


async def _save_value(expected: Expected, answer: Answer, target: Target) -> Answer:
    """Save what a stream was about: a sound as itself, pictures as files, anything else as JSON."""
    made: Any = answer.value
    if has_pictures(made):
        return replace(answer, value=await save_pictures(made, target, expected.what))
    value = cast("dict[str, Any]", made) if isinstance(made, dict) else {}
    content_type = "" if "base64" in value else "application/json"
    body = b64decode(value["base64"]) if "base64" in value else dumps(made)
    async with Saving(target, expected.what) as saving:
        await saving.write(body)
        return replace(answer, value=await saving.commit(content_type))


async def _events(
    expected: Expected, status: int, headers: Mapping[str, str], stream: Stream, *, keep: bool
) -> Answer:
    parser, rebuilding, kept, size = Parser(), Rebuilding(), list[dict[str, Any]](), 0
    async for chunk in _plain(expected, headers, stream):
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _too_large(expected, "stream")
        for event in _parsed(expected, parser, chunk):
            if (error := error_of(event)) is not None:
                raise refusal(expected, status, headers, error, told="an error within the stream")
            try:
                rebuilding.feed(event["event"], event["data"])
            except (AttributeError, KeyError, TypeError, ValueError) as problem:
                raise OutcomeUnknownError(
                    f"{expected.what}: an event has another shape: {problem!r}"
                ) from None
            if keep:
                kept.append(event)
    if not rebuilding.complete:
        raise OutcomeUnknownError(
            f"{expected.what}: the stream ended after {rebuilding.count} events, before its last"
        )
    value = rebuilding.value()
    if value is None and expected.strict:
        raise OutcomeUnknownError(f"{expected.what}: the stream ended without an answer in it")
    whole = expected.redactor.value(value)  # a secret may have come in several events
    return Answer(status, blanked(expected, headers), whole, kept if keep else None)


def _parsed(expected: Expected, parser: Parser, chunk: bytes) -> Iterator[dict[str, Any]]:
    try:
        for event in parser.feed(chunk):
            data = event.data if event.data == "[DONE]" else loads(event.data)
            if expected.redactor.seen_in(event.data.encode("utf-8", "surrogatepass")):
                data = expected.redactor.value(data)
            yield {"event": event.name or None, "data": data}
    except EventStreamError as error:
        raise OutcomeUnknownError(f"{expected.what}: {error}") from None
    except JsonTextError as error:
        raise OutcomeUnknownError(f"{expected.what}: the stream holds what is not JSON ({error})") from None


async def _plain(expected: Expected, headers: Mapping[str, str], stream: Stream) -> AsyncIterator[bytes]:
    """Give the bytes without their content encoding, in pieces of a bounded size."""
    if not is_packed(expected, headers):
        async for chunk in stream:
            yield chunk
        return
    unpacker = Unpacker()
    async for chunk in stream:
        for piece in unpacked(expected, unpacker, chunk):
            yield piece
    for piece in unpacked(expected, unpacker, b"", last=True):
        yield piece
