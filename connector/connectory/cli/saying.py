"""What the command line says on stderr: text for people or JSON for programs, as loud and as colourful as is wanted."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any

import click

from connectory.listeners.logs import FieldFilter, JsonFormatter, logger
from connectory.text.redaction import blank, visible

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
FORMATS = ("text", "json")
FORMAT_VARIABLE, LEVEL_VARIABLE = "CONNECTORY_LOG_FORMAT", "CONNECTORY_LOG_LEVEL"

_KINDS = {"error: ": (ERROR, "error", "red"), "note: ": (WARNING, "notice", "yellow")}
"""How a line begins that is no plain word: its level, its event in JSON, its colour."""


class Voice:
    """How this program speaks. `about` are fields of every line of JSON: the run of which it tells.

    `last` is what was said last, or the command that it named.
    """

    def __init__(self) -> None:
        self.json, self.level = False, INFO
        self.about: dict[str, Any] = {}
        self.last = ""
        self._handler: Handler | None = None
        self._closed = False

    def hears(self, level: int) -> bool:
        """Say whether lines of a level are wanted."""
        return level >= self.level

    def set(self, *, form: str | None = None, level: str | None = None) -> None:
        """Speak in another form, or louder; None leaves it. Raises click.UsageError."""
        for given, known, what in (
            (form, FORMATS, FORMAT_VARIABLE),
            (level, tuple(LEVELS), LEVEL_VARIABLE),
        ):
            if given is not None and given not in known:
                raise click.UsageError(f"{what}: {given!r} is none of {', '.join(known)}")
        self.json = self.json if form is None else form == "json"
        self.level = self.level if level is None else LEVELS[level]
        if self._handler is not None:
            self.take_logs()

    def take_logs(self) -> None:
        """Let everything that is logged come out here as well: a person is told events otherwise."""
        if self._handler is None:
            self._handler = Handler(self)
            self._handler.addFilter(FieldFilter())
            logging.getLogger().addHandler(self._handler)
        self._handler.setFormatter(JsonFormatter(self.about) if self.json else logging.Formatter())
        told = self.json or self.level < INFO  # else a person is spared what transformers log below a warning
        self._handler.setLevel(self.level if told else max(self.level, WARNING))
        logger.setLevel(min(self.level, WARNING))

    def say(
        self,
        message: str,
        *,
        lines: bool = False,
        level: int | None = None,
        event: str = "said",
        style: str | None = None,
        **fields: Any,
    ) -> None:
        """Write a line, or several: without secrets, and without what would steer a terminal."""
        found, known = next(
            ((len(head), known) for head, known in _KINDS.items() if message.startswith(head)), (0, None)
        )
        if known is not None:
            level, event, style = level or known[0], known[1] if event == "said" else event, style or known[2]
        level = level or INFO
        if not self.hears(level):
            return
        self.last = str(fields.get("next") or message)
        if self.json:
            self._log(message[found:], level, event, fields)
            return
        text = visible(blank(message), lines=lines)
        if style is not None and colours():
            text = click.style(text[: found or None], fg=style) + (text[found:] if found else "")
        self.write(text)

    def write(self, text: str) -> None:
        """Write what was made fit to be written; who has closed stderr wants to hear no more, and stops nothing."""
        if self._closed:
            return
        try:
            click.echo(text, err=True, color=colours())
        except (OSError, ValueError):
            self._closed = True
            with suppress(OSError, ValueError):  # the interpreter's last flush must not fail either
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _log(self, message: str, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._handler is None:
            self.take_logs()
        known = {name: value for name, value in fields.items() if value is not None}
        logging.getLogger("connectory.cli").log(level, "%s", message, extra={"event": event, **known})


class Handler(logging.Handler):
    """Lets a voice say what is logged."""

    def __init__(self, own: Voice) -> None:
        super().__init__()
        self._own = own

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            self._own.write(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)


voice = Voice()
"""The one voice of this program."""


def say(
    message: str,
    *,
    lines: bool = False,
    level: int | None = None,
    event: str = "said",
    style: str | None = None,
    **fields: Any,
) -> None:
    """Write a line to stderr, or several; `event` and the fields are for programs."""
    voice.say(message, lines=lines, level=level, event=event, style=style, **fields)


def colours() -> bool:
    """Say whether stderr takes colours: NO_COLOR and FORCE_COLOR decide, else whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


def from_environment() -> None:
    """Speak as the environment says. Raises click.UsageError."""
    voice.set(form=os.environ.get(FORMAT_VARIABLE) or None, level=os.environ.get(LEVEL_VARIABLE) or None)
