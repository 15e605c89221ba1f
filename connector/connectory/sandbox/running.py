"""Runs of threads: a message is added when one completes, with the step that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.answers import reply, texts, tokens
from connectory.sandbox.living import Kept, move
from connectory.sandbox.store import Stored
from connectory.sandbox.streams import event, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connectory.catalogue import Action
    from connectory.sandbox.checking import Received
    from connectory.sandbox.items import Items
    from connectory.sandbox.places import Place

ENTITIES = frozenset({"thread.runs", "threads.runs"})
"""Where runs are made."""

_MINUTES = 600
_FROM_ASSISTANT = ("model", "instructions", "tools", "temperature", "top_p", "response_format")


def begun(items: Items, kept: Kept) -> None:
    """Complete a new run by what its assistant says, and add the messages that it brings along."""
    assistant = items.store.get("/assistants", str(kept.facts.get("assistant_id")))
    for name in _FROM_ASSISTANT if assistant is not None else ():
        if kept.facts.get(name) is None and (value := assistant.facts.get(name)) is not None:  # type: ignore[union-attr]  # the loop is empty without one
            kept.facts[name] = value
    kept.facts["tools"] = kept.facts.get("tools") or []
    kept.facts["instructions"] = kept.facts.get("instructions") or ""
    kept.facts["expires_at"] = int(items.clock()) + _MINUTES
    for message in cast("Iterable[Mapping[str, Any]]", kept.facts.get("additional_messages") or ()):
        items.add_at("thread.messages", {"thread_id": kept.facts["thread_id"]}, message)
    items.store.open(f"{kept.item_path}/steps")


def started(items: Items, kept: Kept) -> None:
    """Note when the run started."""
    kept.facts["started_at"] = int(items.clock())


def completed(items: Items, kept: Kept) -> None:
    """Answer the last message of the user with a message of the assistant."""
    thread, now = kept.facts["thread_id"], int(items.clock())
    said = _last_said(items, thread)
    answer = reply(said, kept.facts.get("response_format"))
    whose = {"thread_id": thread, "run_id": kept.name, "assistant_id": kept.facts["assistant_id"]}
    message = {"role": "assistant", "content": answer, **whose}
    made = items.add_at("thread.messages", {"thread_id": thread}, message).facts["id"]
    used = {"prompt_tokens": tokens(said), "completion_tokens": tokens(answer)}
    used["total_tokens"] = sum(used.values())
    name = items.store.new_id("step_")
    details = {"type": "message_creation", "message_creation": {"message_id": made}}
    facts: dict[str, Any] = {**whose, "id": name, "created_at": now, "completed_at": now, "usage": used}
    facts |= {"type": "message_creation", "status": "completed", "step_details": details}
    items.store.add(f"{kept.item_path}/steps", name, Stored(0, facts))
    kept.facts.update({"usage": used, "expires_at": None})


def _last_said(items: Items, thread: str) -> str:
    messages = items.store.collections.get(f"/threads/{thread}/messages")
    if messages is None:
        return ""
    for stored in reversed(messages.items.values()):
        if stored.facts.get("role") == "user":
            parts = cast("list[dict[str, Any]]", stored.facts["content"])
            return " ".join(texts([_plain(one) for one in parts]))
    return ""


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    text = part.get("text")
    return {"text": cast("dict[str, Any]", text).get("value")} if isinstance(text, dict) else part


def thread_and_run(items: Items, place: Place, action: Action, received: Received) -> Any:
    """Make a thread, and a run of it."""
    items.check_named(place.entity, received.body)
    thread = items.add_at("threads", {}, received.body.get("thread") or {}).facts["id"]
    body = {name: value for name, value in received.body.items() if name != "thread"}
    return items.made_at("thread.runs", {"thread_id": thread}, body, action)


def events(items: Items, run: Mapping[str, Any]) -> Iterator[bytes]:
    """Give a run as events, and go through its states on the way."""
    path = f"/threads/{run['thread_id']}/runs"
    stored = items.store.collections[path].items[run["id"]]
    kept = Kept(path, run["id"], stored, items.lives["thread.runs"])
    schema = items.catalogue["thread.run"].actions["read"].response.schema or {}
    yield event(run, "thread.run.created")
    yield event(run, "thread.run.queued")
    while not kept.is_over:
        move(items, kept)
        shown = items.shaped(stored, schema)
        if kept.is_over:
            yield from _message(items, run["thread_id"])
        yield event(shown, f"thread.run.{shown['status']}")
    yield b"event: done\ndata: [DONE]\n\n"


def _message(items: Items, thread: str) -> Iterator[bytes]:
    *_, stored = items.store.collections[f"/threads/{thread}/messages"].items.values()
    schema = items.catalogue["thread.message"].actions["read"].response.schema or {}
    message: dict[str, Any] = items.shaped(stored, schema)
    yield event({**message, "content": []}, "thread.message.created")
    for index, part in enumerate(message["content"]):
        for piece in pieces(part["text"]["value"]):
            text = {"index": index, "type": "text", "text": {"value": piece}}
            delta = {"id": message["id"], "object": "thread.message.delta", "delta": {"content": [text]}}
            yield event(delta, "thread.message.delta")
    yield event(message, "thread.message.completed")
