"""What could not be read: told as it happens, up to so many, and grouped at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectory.cli.causes import MOST_SHOWN, Causes
from connectory.cli.following import next_command
from connectory.cli.saying import ERROR, WARNING, say, voice

if TYPE_CHECKING:
    from connectory.errors import RecordError


class Failures:
    """The errors of an incoming: of items that could not be shaped, and of requests that failed."""

    def __init__(self) -> None:
        self.first: RecordError | None = None
        self._count = self._told = 0
        self._causes = Causes()

    def hear(self, error: RecordError) -> None:
        """Take in an error; the first one of each kind is told at once."""
        self.first = self.first or error
        self._count += 1
        code = getattr(error, "code", None)
        letter = {"error": {"class": error.kind, "code": code, "message": str(error)}, "id": ""}
        if self._causes.add(letter) and self._told < MOST_SHOWN:
            self._told += 1
            say(f"error: {error}")

    def say_all(self, preview: str, *, alone: bool) -> None:
        """Say what failed how often, and what to type next; `alone`: nothing was read at all."""
        self._causes.preview = preview
        follows = next_command(self.first) if alone and self.first is not None else f"{preview} --steps"
        if voice.json:
            causes = self._causes.told()
            say("some of it could not be read", event="causes", level=WARNING, causes=causes, next=follows)
            return
        if self._count > self._told:
            for line in self._causes.lines():
                say(line, level=WARNING)
        say(follows, level=ERROR)
