"""Server-sent events: bytes in, events out, wherever the bytes were split."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

LONGEST_EVENT = 256 * 1024 * 1024
"""Characters of one event that are collected; a server that never ends one ends in an error, not in the memory."""


class EventStreamError(ValueError):
    """The bytes are no stream of events."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `name` is empty where the stream gave none."""

    name: str
    data: str


class Parser:
    """Reads one stream. Comments, ids and retry times are left out: this API resumes nothing by them.

    `feed` gives the events that are complete. An event at the end without its empty line never happened.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._size = 0
        self._begun = False
        self._after_return = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes. Raises EventStreamError for an event without end."""
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._after_return and text:
            self._after_return = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):  # its line feed may come with the next bytes
            self._after_return = True
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        events: list[Event] = []
        for line in lines[:-1]:
            self._line.append(line)
            self._take("".join(self._line), events)
            self._line.clear()
        self._line += lines[-1:] if lines[-1] else []
        self._bound(lines[-1])
        return events

    def _take(self, line: str, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._name, "\n".join(self._data)))
            self._name, self._data, self._size = "", [], 0
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._bound(value)
        elif field == "event":
            self._name = value

    def _bound(self, more: str) -> None:
        self._size += len(more)
        if self._size > LONGEST_EVENT:
            raise EventStreamError(f"an event is longer than {LONGEST_EVENT} characters")
