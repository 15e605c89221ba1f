"""The answer that a stream of events was about, put together again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

DONE = "[DONE]"
_SET = frozenset({"id", "index", "type", "role", "name", "object", "call_id", "expires_at"})
"""Texts of a delta that are whole each time; any other is the next piece."""


class Family(Protocol):
    """How one kind of stream is put together."""

    complete: bool
    by_mark: bool
    """Whether the closing mark ends it, or an event of its own alone."""

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take the next event."""
        ...

    def value(self) -> Any:
        """Give the answer as if it had not been streamed."""
        ...


class Rebuilding:
    """One stream. The kind is seen from its first event, so that a server of another make works as well."""

    def __init__(self) -> None:
        self.count = 0
        self._done = False
        self._family: Family | None = None

    @property
    def complete(self) -> bool:
        """Say whether the event came that ends it: without, the stream was cut off."""
        return self._done or (self._family is not None and self._family.complete)

    def feed(self, name: str | None, data: Any) -> None:
        """Take the next event; `data` is parsed JSON, or the mark that ends many streams."""
        self.count += 1
        if data == DONE:
            self._done = self._family is None or self._family.by_mark
        elif isinstance(data, dict):
            fields = cast("dict[str, Any]", data)
            if self._family is None:
                self._family = _family(name, fields)
            self._family.feed(name, fields)

    def value(self) -> Any:
        """Give the answer as if it had not been streamed; None of a stream without events."""
        return None if self._family is None else self._family.value()


def error_of(event: dict[str, Any]) -> Any:
    """Give the error that an event tells of, or None."""
    data: Any = event["data"]
    if not isinstance(data, dict):
        return data if event["event"] == "error" else None
    fields = cast("dict[str, Any]", data)
    if (
        event["event"] == "error"
        or fields.get("type") == "error"
        or (fields.get("error") and "id" not in fields)
    ):
        inner: Any = fields.get("error")
        return {"error": inner or fields}
    return None


def _family(name: str | None, fields: dict[str, Any]) -> Family:
    kind = str(fields.get("type") or name or "")
    if fields.get("object") == "chat.completion.chunk":
        return Chat()
    if fields.get("object") == "text_completion":
        return Completions()
    for prefix, make in _KINDS.items():
        if kind.startswith(prefix):
            return make()
    return Last()


class Choices(ABC):
    """What `chat/completions` and `completions` have in common: frames with pieces of several choices."""

    by_mark = True

    def __init__(self) -> None:
        self.complete = False
        self._frame: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def feed(self, name: str | None, data: dict[str, Any]) -> None:  # noqa: ARG002 - its frames have no names
        """Take a frame."""
        for key, value in data.items():
            if key != "choices" and (value is not None or key not in self._frame):
                self._frame[key] = value
        for piece in data.get("choices") or ():
            self._take(self._choices.setdefault(piece.get("index", 0), {}), piece)

    @abstractmethod
    def _take(self, choice: dict[str, Any], piece: dict[str, Any]) -> None: ...

    def _ended(self, choice: dict[str, Any], piece: dict[str, Any]) -> None:
        """Take what closes a choice, and what is told of its tokens."""
        for key, value in piece.items():
            if key in {"delta", "text"}:
                continue
            if key == "logprobs" and value is not None:
                choice[key] = _merged(choice.get(key), value)
            elif value is not None or key not in choice:
                choice[key] = value

    def _in_order(self) -> list[dict[str, Any]]:
        return [self._choices[index] for index in sorted(self._choices)]


class Chat(Choices):
    """Chunks of `chat/completions`."""

    def _take(self, choice: dict[str, Any], piece: dict[str, Any]) -> None:
        self._ended(choice, piece)
        message = choice.setdefault("message", {"role": "assistant", "content": None, "refusal": None})
        delta: dict[str, Any] = piece.get("delta") or {}
        for key, value in delta.items():
            if value is not None:
                message[key] = value if key == "role" else _merged(message.get(key), value)

    def value(self) -> Any:
        """Give the completion."""
        for choice in self._choices.values():
            for called in choice.get("message", {}).get("tool_calls") or ():
                called.pop("index", None)
        frame = self._frame | {"object": "chat.completion", "choices": self._in_order()}
        frame.pop("obfuscation", None)  # padding of each chunk
        return _settled(frame)


class Completions(Choices):
    """Chunks of `completions`."""

    def _take(self, choice: dict[str, Any], piece: dict[str, Any]) -> None:
        self._ended(choice, piece)
        choice["text"] = _merged(choice.get("text"), piece.get("text") or "")

    def value(self) -> Any:
        """Give the completion."""
        return _settled(self._frame | {"choices": self._in_order()})


class Responses:
    """Events of `responses`: the last one holds all; without it the items that were finished are put in place."""

    _ENDS = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})

    by_mark = False

    def __init__(self) -> None:
        self.complete = False
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._deltas: dict[tuple[int, int | None], list[str]] = {}

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take an event."""
        kind, place = data.get("type") or name or "", data.get("output_index", 0)
        if isinstance(data.get("response"), dict):
            self._response = data["response"]
        if kind in {"response.output_item.added", "response.output_item.done"}:
            self._items[place] = data["item"]
            if kind.endswith(".done"):
                self._deltas = {key: value for key, value in self._deltas.items() if key[0] != place}
        elif kind == "response.output_text.delta":
            self._deltas.setdefault((place, data.get("content_index", 0)), []).append(data["delta"])
        elif kind == "response.function_call_arguments.delta":
            self._deltas.setdefault((place, None), []).append(data["delta"])
        self.complete = self.complete or kind in self._ENDS

    def value(self) -> Any:
        """Give the response."""
        if self._response.get("output") or not self._items:
            return self._response
        for (place, content), texts in sorted(
            self._deltas.items(), key=lambda one: (one[0][0], one[0][1] or 0)
        ):
            item = self._items.get(place)
            if item is not None and content is None:
                item["arguments"] = "".join(texts)
            elif item is not None:
                part: dict[str, Any] = {"type": "output_text", "text": "".join(texts), "annotations": []}
                item["content"] = [*(item.get("content") or ())[:content], part]
        return self._response | {"output": [self._items[place] for place in sorted(self._items)]}


class Images:
    """Events of a picture that is drawn: the partial ones are steps, each completed one is a picture."""

    by_mark = False

    def __init__(self) -> None:
        self.complete = False
        self._frame: dict[str, Any] = {}
        self._data: list[dict[str, Any]] = []

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take an event."""
        if not str(data.get("type") or name).endswith(".completed"):
            return
        self.complete = True
        picture: dict[str, Any] = {
            key: data[key] for key in ("b64_json", "url", "revised_prompt") if key in data
        }
        self._data.append(picture)
        self._frame |= {
            key: data[key]
            for key in ("background", "output_format", "quality", "size", "usage")
            if key in data
        }
        self._frame["created"] = data.get("created_at")

    def value(self) -> Any:
        """Give the answer with its pictures."""
        return self._frame | {"data": self._data}


class Speech:
    """Pieces of a sound."""

    by_mark = False

    def __init__(self) -> None:
        self.complete = False
        self._sound: list[bytes] = []
        self._usage: Any = None

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take an event."""
        kind = data.get("type") or name
        if kind == "speech.audio.delta":
            self._sound.append(b64decode(data.get("audio") or ""))
        elif kind == "speech.audio.done":
            self.complete, self._usage = True, data.get("usage")

    def value(self) -> Any:
        """Give the sound like any other binary answer; its events do not say which kind of sound it is."""
        sound = {
            "content_type": "application/octet-stream",
            "base64": b64encode(b"".join(self._sound)).decode(),
        }
        return sound if self._usage is None else sound | {"usage": self._usage}


class Transcript:
    """Pieces of a transcript; the last event holds all of it."""

    by_mark = False

    def __init__(self) -> None:
        self.complete = False
        self._segments: list[Any] = []
        self._done: dict[str, Any] = {}

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take an event."""
        kind = data.get("type") or name
        if kind == "transcript.text.segment":
            self._segments.append({key: value for key, value in data.items() if key != "type"})
        elif kind == "transcript.text.done":
            self.complete = True
            self._done = {key: value for key, value in data.items() if key != "type"}

    def value(self) -> Any:
        """Give the transcript."""
        return self._done | ({"segments": self._segments} if self._segments else {})


class Runs:
    """Events of a run of a thread: the newest state of the run is the answer."""

    by_mark = True

    def __init__(self) -> None:
        self.complete = False
        self._run: Any = None

    def feed(self, name: str | None, data: dict[str, Any]) -> None:
        """Take an event."""
        if name == "done":
            self.complete = True
        elif data.get("object") == "thread.run":
            self._run = data

    def value(self) -> Any:
        """Give the run."""
        return self._run


class Last:
    """A stream of no known kind: its last event is the answer, and only the closing mark ends it."""

    by_mark = True

    def __init__(self) -> None:
        self.complete = False
        self._value: Any = None

    def feed(self, name: str | None, data: dict[str, Any]) -> None:  # noqa: ARG002 - names say nothing here
        """Take an event."""
        self._value = data

    def value(self) -> Any:
        """Give the last event."""
        return self._value


_KINDS: dict[str, Callable[[], Family]] = {
    "response.": Responses,
    "image_": Images,
    "speech.": Speech,
    "transcript.": Transcript,
    "thread.": Runs,
}


class _Text(list[str]):
    """A text that still grows: joined once, at the end."""


def _merged(old: Any, new: Any) -> Any:
    """Add a delta to what was there: texts and lists grow, objects key by key, items of a list by their `index`."""
    if isinstance(new, str):
        text = old if isinstance(old, _Text) else _Text()
        text.append(new)
        return text
    if isinstance(new, dict):
        kept: dict[str, Any] = cast("dict[str, Any]", old) if isinstance(old, dict) else {}
        for key, value in cast("dict[str, Any]", new).items():
            if value is None or (key in _SET and kept.get(key) and not value):
                kept.setdefault(key, None)
            else:
                kept[key] = value if key in _SET else _merged(kept.get(key), value)
        return kept
    if isinstance(new, list):
        return _merged_list(old if isinstance(old, list) else [], new)  # pyright: ignore[reportUnknownArgumentType]  # any JSON
    return new


def _merged_list(kept: list[Any], new: list[Any]) -> list[Any]:
    for one in new:
        index = _index(one)
        place = next((place for place, item in enumerate(kept) if _index(item) == index), None)
        if index is None or place is None:
            kept.append(_merged(None, one))
        else:
            kept[place] = _merged(kept[place], one)
    return kept


def _index(item: Any) -> Any:
    return cast("dict[str, Any]", item).get("index") if isinstance(item, dict) else None


def _settled(value: Any) -> Any:
    """Join every text that grew."""
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _settled(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_settled(one) for one in cast("list[object]", value)]
    return value
