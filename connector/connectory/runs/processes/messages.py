"""What the processes of a run tell each other: one JSON object a line, over the pipes between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from connectory import errors, events
from connectory.errors import ConnectoryError, RunInterruptedError, RunStoppedError
from connectory.record import Failure
from connectory.text.json import dumps, loads

if TYPE_CHECKING:
    from connectory.events import Event

_EVENTS = (events.RequestRetried, events.Held, events.Noticed, events.StateChanged, events.RecordFinished)
"""What is handed on one by one: it is told to a person. Of records only those that failed; the others are counted."""


class BrokenProcessError(Exception):
    """A process of a run died of an error that is no expected one: the message is its traceback."""


def written(**message: Any) -> bytes:
    """Write a message as a line."""
    return dumps(message) + b"\n"


def read(line: bytes) -> dict[str, Any]:
    """Read a message."""
    return cast("dict[str, Any]", loads(line))


def event_as(event: Event) -> list[Any] | None:
    """Give an event as JSON; None for one that is not handed on."""
    return [type(event).__name__, asdict(event)] if isinstance(event, _EVENTS) else None


def event_of(data: list[Any]) -> Event:
    """Make the event again."""
    name, fields = data
    if fields.get("error") is not None:
        fields = {**fields, "error": Failure(**fields["error"])}
    return cast("Event", getattr(events, name)(**fields))


def error_as(error: BaseException, text: str) -> dict[str, Any]:
    """Give an error as JSON; `text` stands for what it says."""
    known = isinstance(error, ConnectoryError)
    code = error.code if isinstance(error, RunInterruptedError) else None
    command = getattr(error, "command", "")
    return {"kind": type(error).__name__ if known else "", "text": text, "code": code, "command": command}


def error_of(data: dict[str, Any]) -> Exception:
    """Make the error again; of a kind that is not known here, one that stops the run."""
    kind: Any = getattr(errors, data["kind"], None) if data["kind"] else BrokenProcessError
    try:
        error = cast("Exception", (kind or RunStoppedError)(data["text"]))
    except TypeError:  # it is made of more than a text
        error = RunStoppedError(data["text"])
    for name in ("code", "command"):
        if data[name]:
            setattr(error, name, data[name])
    return error
