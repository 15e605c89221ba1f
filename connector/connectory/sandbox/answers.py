"""Answers that are computed: the same request gives the same bytes, and nothing is remembered."""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from hashlib import sha256, shake_256
from math import sqrt
from sys import byteorder
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError
from connectory.sandbox.details import EPOCH
from connectory.sandbox.media import audio, picture
from connectory.sandbox.refusal import RefusedError
from connectory.schemas.examples import minimal
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connectory.sandbox.checking import Received

CATEGORIES = (
    "hate",
    "hate/threatening",
    "harassment",
    "harassment/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_WORDS = {
    "hate": "hate",
    "despise": "hate",
    "stupid": "harassment",
    "idiot": "harassment",
    "steal": "illicit",
    "bomb": "illicit/violent",
    "suicide": "self-harm",
    "porn": "sexual",
    "attack": "violence",
    "kill": "violence",
    "murder": "violence",
    "gore": "violence/graphic",
}
_WORD = re.compile(r"\b(" + "|".join(_WORDS) + r")\b")
_CALM = dict.fromkeys(CATEGORIES, False)
_READ_AS = {category: ["text"] for category in CATEGORIES}
_DIMENSIONS = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536
_MOST_DIMENSIONS = 1 << 14
_MOST_TOKENS, _MOST_TOKENS_OF_ONE = 300_000, 8192


def digest(value: Any) -> str:
    """Give 24 hexadecimal digits that belong to the value."""
    return sha256(dumps(value)).hexdigest()[:24]


def tokens(text: str) -> int:
    """Guess how many tokens a text has."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)


def texts(content: Any) -> list[str]:
    """Give the texts in a message's content, whether it is a text or a list of parts."""
    if isinstance(content, str):
        return [content]
    found = [
        cast("dict[str, Any]", one).get("text") if isinstance(one, dict) else one for one in listed(content)
    ]
    return [one for one in found if isinstance(one, str)]


def listed(value: Any) -> list[Any]:
    """Give a list as it is, and anything else as a list of one."""
    return [*cast("Iterable[Any]", value)] if isinstance(value, list) else [value]


def moderations(request: Received) -> dict[str, Any]:
    """Flag a text for the words in it; each input of a list of texts has its own result."""
    inputs = listed(request.body.get("input"))
    if inputs and isinstance(inputs[0], dict):
        inputs = [" ".join(texts(inputs))]
    results = [_moderated(str(one)) for one in inputs]
    model = request.body.get("model") or "omni-moderation-latest"
    return {"id": f"modr-{digest(request.body)}", "model": model, "results": results}


def _moderated(text: str) -> dict[str, Any]:
    noise = sha256(text.encode("utf-8", "replace")).digest()
    scores = {name: noise[place] / 100_000 for place, name in enumerate(CATEGORIES)}
    found = {_WORDS[word] for word in _WORD.findall(text.lower())}
    for category in found:
        scores[category] = 0.9 + scores[category]
    return {
        "flagged": bool(found),
        "categories": {**_CALM, **dict.fromkeys(found, True)},
        "category_scores": scores,
        "category_applied_input_types": _READ_AS,
    }


def embeddings(request: Received) -> dict[str, Any]:
    """Give each input a unit vector that its text decides."""
    body = request.body
    model = str(body.get("model", ""))
    inputs = listed(body.get("input"))
    if all(isinstance(one, int) for one in inputs):
        inputs = [inputs]
    size = body.get("dimensions") or _DIMENSIONS.get(model, _DEFAULT_DIMENSIONS)
    if size > _MOST_DIMENSIONS:
        raise RefusedError(
            400, f"Invalid value for 'dimensions': the most is {_MOST_DIMENSIONS}.", param="dimensions"
        )
    used = _counted(inputs)
    as_text = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, size, as_text=as_text)}
        for index, text in enumerate(inputs)
    ]
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _counted(inputs: list[Any]) -> int:
    """Count the tokens of all inputs; refuse an empty one, and more than one or all of them may have."""
    counts: list[int] = []
    for number, text in enumerate(inputs):
        if not text:
            message = f"Invalid 'input[{number}]': an empty text has no embedding."
            raise RefusedError(400, message, code="empty_string", param="input")
        counts.append(tokens(text) if isinstance(text, str) else len(text))
    if max(counts, default=0) > _MOST_TOKENS_OF_ONE:
        message = f"An input has {max(counts)} tokens; the model reads at most {_MOST_TOKENS_OF_ONE}."
        raise RefusedError(400, message, param="input")
    if sum(counts) > _MOST_TOKENS:
        message = f"The inputs have {sum(counts)} tokens together; a request takes at most {_MOST_TOKENS}."
        raise RefusedError(400, message, code="max_tokens_per_request", param="input")
    return sum(counts)


def _vector(text: Any, size: int, *, as_text: bool) -> Any:
    raw = array("h", shake_256(dumps(text)).digest(size * 2))
    if byteorder == "big":
        raw.byteswap()
    length = sqrt(sum(value * value for value in raw)) or 1.0
    vector = array("f", [value / length for value in raw])
    if not as_text:
        return vector.tolist()
    if byteorder == "big":
        vector.byteswap()
    return b64encode(vector.tobytes()).decode()


def reply(said: str, wanted: Any) -> str:
    """Answer a text: an example of the wanted JSON Schema, a JSON object, or the text itself."""
    form = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {}
    if form.get("type") == "json_object":
        return dumps({"answer": said}).decode()
    if form.get("type") != "json_schema":
        return f"You said: {said}" if said else "You said nothing."
    schema: Mapping[str, Any] = form.get("schema") or form.get("json_schema", {}).get("schema") or {}
    return dumps(example(schema)).decode()


def example(schema: Mapping[str, Any]) -> Any:
    """Give an example of a schema that came with a request."""

    def resolve(part: Any) -> Any:
        if "$ref" not in part:
            return part
        found: Any = schema
        for key in str(part["$ref"]).removeprefix("#").strip("/").split("/"):
            found = found.get(key, {}) if key else found
        return found

    try:
        return minimal(schema, resolve)
    except ConfigError as error:
        raise RefusedError(400, f"Invalid schema: {error}", code="invalid_json_schema") from None


def chat(request: Received) -> dict[str, Any]:
    """Answer the last message of the user, or call the tool that must be called."""
    body = request.body
    messages = cast("list[dict[str, Any]]", body.get("messages", []))
    said = next(
        (" ".join(texts(one.get("content"))) for one in reversed(messages) if one.get("role") == "user"), ""
    )
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    called = _called(body)
    if called is None:
        message["content"] = reply(said, body.get("response_format"))
    else:
        arguments = dumps(example(called.get("parameters") or {"type": "object"})).decode()
        function = {"name": called.get("name", ""), "arguments": arguments}
        message["tool_calls"] = [{"id": f"call_{digest(called)}", "type": "function", "function": function}]
    reason = "stop" if called is None else "tool_calls"
    count = body.get("n") or 1
    asked = sum(tokens(" ".join(texts(one.get("content")))) for one in messages)
    return {
        "id": f"chatcmpl-{digest(body)}",
        "object": "chat.completion",
        "created": EPOCH,
        "model": body.get("model", ""),
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index in range(count)
        ],
        "usage": _usage(asked, count * tokens(message["content"] or "")),
    }


def _called(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the function that a request insists on: any, or the one it names."""
    choice, tools = body.get("tool_choice"), cast("list[dict[str, Any]]", body.get("tools") or [])
    functions = [
        cast("dict[str, Any]", one.get("function", one)) for one in tools if one.get("type") == "function"
    ]
    if choice == "required":
        return functions[0] if functions else None
    if not isinstance(choice, dict):
        return None
    chosen = cast("dict[str, Any]", choice)
    name = chosen.get("name") or chosen.get("function", {}).get("name")
    return next((one for one in functions if one.get("name") == name), None)


def _usage(asked: int, said: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def completions(request: Received) -> dict[str, Any]:
    """Answer each prompt."""
    body = request.body
    prompts = listed(body.get("prompt"))
    if not all(isinstance(one, str) for one in prompts):
        prompts = [" ".join(map(str, prompts))]
    said = [reply(str(one or ""), None) for one in prompts for _ in range(body.get("n") or 1)]
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
        for index, text in enumerate(said)
    ]
    return {
        "id": f"cmpl-{digest(body)}",
        "object": "text_completion",
        "created": EPOCH,
        "model": body.get("model", ""),
        "choices": choices,
        "usage": _usage(sum(tokens(str(one)) for one in prompts), sum(map(tokens, said))),
    }


def responses(request: Received) -> dict[str, Any]:
    """Give the fields of a response's answer that its input decides."""
    body = request.body
    given = [
        {"role": "user", "content": one} if isinstance(one, str) else one for one in listed(body.get("input"))
    ]
    messages = [cast("dict[str, Any]", one) for one in given if isinstance(one, dict)]
    said = next(
        (" ".join(texts(one.get("content"))) for one in reversed(messages) if one.get("role") == "user"), ""
    )
    called = _called(body)
    name = digest(body)
    text = ""
    if called is None:
        form: Mapping[str, Any] = body.get("text") or {}
        text = reply(said, form.get("format"))
        part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        output: dict[str, Any] = {
            "type": "message",
            "id": f"msg_{name}",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
    else:
        arguments = dumps(example(called.get("parameters") or {"type": "object"})).decode()
        output = {
            "type": "function_call",
            "id": f"fc_{name}",
            "call_id": f"call_{name}",
            "status": "completed",
        }
        output |= {"name": called.get("name", ""), "arguments": arguments}
    asked = sum(tokens(" ".join(texts(one.get("content")))) for one in messages)
    usage = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens(text),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + tokens(text),
    }
    return {**_RESPONSE, **body, "status": "completed", "error": None, "output": [output], "usage": usage}


_RESPONSE: Mapping[str, Any] = {
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "text": {"format": {"type": "text"}},
}


def images(request: Received) -> dict[str, Any]:
    """Give as many small pictures as were asked for, as data or as addresses."""
    body = request.body
    seed = digest(body)
    by_address = body.get("response_format") == "url"
    made = [f"{seed}{number}" for number in range(int(body.get("n") or 1))]
    address = "https://sandbox.invalid/images/"
    data = [
        {"url": f"{address}{one}.png"} if by_address else {"b64_json": b64encode(picture(one)).decode()}
        for one in made
    ]
    return {"created": EPOCH, "data": data}


def transcription(request: Received) -> dict[str, Any] | str:
    """Give a text for a recording: what it would be called."""
    spoken = f"This is a transcript of {request.uploads[0].filename if request.uploads else 'nothing'}."
    match request.body.get("response_format"):
        case "text":
            return f"{spoken}\n"
        case "srt":
            return f"1\n00:00:00,000 --> 00:00:01,000\n{spoken}\n"
        case "vtt":
            return f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{spoken}\n"
        case "verbose_json":
            return {
                "task": "transcribe",
                "language": "english",
                "duration": 1.0,
                "text": spoken,
                "segments": [],
            }
        case _:
            return {"text": spoken}


def speech(request: Received) -> tuple[bytes, str]:
    """Give a sound for a text, and its media type."""
    return audio(request.body.get("response_format") or "mp3", digest(request.body))


COMPUTED: Mapping[str, Callable[[Received], Any]] = {
    "moderations": moderations,
    "embeddings": embeddings,
    "chat.completions": chat,
    "completions": completions,
    "images.generations": images,
    "images.edits": images,
    "images.variations": images,
    "audio.transcriptions": transcription,
    "audio.translations": transcription,
    "audio.speech": speech,
}
