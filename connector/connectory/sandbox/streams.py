"""Answers as server-sent events, for requests that ask for a stream."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any, cast

from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DONE = b"data: [DONE]\n\n"


def event(data: Any, name: str = "") -> bytes:
    """Write one event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dumps(data) + b"\n\n"


def pieces(text: str) -> list[str]:
    """Split a text into the pieces that a stream sends: words with the space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def events(entity: str, answer: Any, body: Mapping[str, Any]) -> Iterator[bytes]:
    """Give an answer as the events of its entity; entities without a form of their own send it in one."""
    if entity == "chat.completions":
        return _chat(answer, body)
    if entity == "completions":
        return _completions(answer)
    if entity.removeprefix("beta.") in {"responses", "response"}:
        return _responses(answer)
    if isinstance(answer, bytes):
        return _speech(answer)
    if entity == "audio.transcriptions":
        return _transcript(answer if isinstance(answer, str) else answer["text"])
    return iter([event(answer), DONE])


def _speech(sound: bytes) -> Iterator[bytes]:
    for start in range(0, len(sound), 1024):
        part = b64encode(sound[start : start + 1024]).decode()
        yield event({"type": "speech.audio.delta", "audio": part})
    yield event({"type": "speech.audio.done"})


def _transcript(text: str) -> Iterator[bytes]:
    for piece in pieces(text):
        yield event({"type": "transcript.text.delta", "delta": piece})
    yield event({"type": "transcript.text.done", "text": text})


def _chat(answer: dict[str, Any], body: Mapping[str, Any]) -> Iterator[bytes]:
    frame = {key: answer[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in answer["choices"]:
        message = choice["message"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in pieces(message["content"] or "")]
        deltas += [
            {"tool_calls": [{"index": place, **one}]}
            for place, one in enumerate(message.get("tool_calls", ()))
        ]
        ends: list[tuple[dict[str, Any], str | None]] = [
            *((delta, None) for delta in deltas),
            ({}, choice["finish_reason"]),
        ]
        for delta, reason in ends:
            part = {"index": choice["index"], "delta": delta, "logprobs": None, "finish_reason": reason}
            yield event({**frame, "choices": [part]})
    options: Mapping[str, Any] = body.get("stream_options") or {}
    if options.get("include_usage"):
        yield event({**frame, "choices": [], "usage": answer["usage"]})
    yield DONE


def _completions(answer: dict[str, Any]) -> Iterator[bytes]:
    frame = {key: answer[key] for key in ("id", "created", "model", "object")}
    for choice in answer["choices"]:
        for piece in pieces(choice["text"]):
            yield event({**frame, "choices": [{**choice, "text": piece, "finish_reason": None}]})
        yield event({**frame, "choices": [{**choice, "text": ""}]})
    yield DONE


def _responses(answer: dict[str, Any]) -> Iterator[bytes]:
    for number, (name, fields) in enumerate(_response_events(answer)):
        yield event({"type": name, "sequence_number": number, **fields}, name)


def _response_events(answer: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    begun: dict[str, Any] = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(cast("list[dict[str, Any]]", answer["output"])):
        yield "response.output_item.added", {"output_index": index, "item": item | {"status": "in_progress"}}
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            yield from _text_events(item, place)
        else:
            yield "response.function_call_arguments.delta", {**place, "delta": item["arguments"]}
            yield (
                "response.function_call_arguments.done",
                {**place, "arguments": item["arguments"], "name": item["name"]},
            )
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": answer}


def _text_events(
    item: Mapping[str, Any], item_place: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, part in enumerate(item["content"]):
        place = {**item_place, "content_index": number}
        yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**place, "part": part}
