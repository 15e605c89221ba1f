"""Events as lines of the log: one set of fields for all of them, as text or as JSON, and no secret passes."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from connectory.events import (
    BatchChanged,
    Held,
    Noticed,
    PageRead,
    RecordFinished,
    RecordRefused,
    RequestEnded,
    RequestRetried,
    RunBroken,
    RunFinished,
    RunStarted,
    StateChanged,
)
from connectory.text.redaction import LogFilter, blank, trace, visible

if TYPE_CHECKING:
    from connectory.events import Event

FIELDS = {
    "time": "when, in UTC, to the millisecond",
    "level": "`debug`, `info`, `warning` or `error`",
    "logger": "`connectory`, `connectory.cli`, `connectory.transformers`, or another library's",
    "message": "the line for people",
    "event": "what happened; the other fields follow from it",
    "run": "the run's id, as `connectory runs list` shows it",
    "connection": "the incoming or outgoing",
    "kind": "`incoming` or `outgoing`",
    "client": "the client of the configuration",
    "entity": "the entity of the catalogue",
    "record": "the record's id",
    "index": "the record's place in the input, from 0",
    "status": "of a record: `ok`, `error` or `skipped`; of a batch or a created item its state at the server",
    "request_id": "the id that the server gave the request: its operator finds it by that",
    "http_status": "the status of the answer",
    "method": "the request's method",
    "path": "the template of its path, never a value",
    "attempt": "which attempt it was, from 1",
    "attempts": "how many there were",
    "seconds": "how long it took",
    "waited": "seconds that the request stood in line, for a limit or after a refusal",
    "wait": "seconds until the next attempt",
    "error_class": "the class of failure, as in a result's `error`, or the name of the exception",
    "error_code": "the API's own word for it",
    "tokens": "the tokens that the answer says it used",
    "ok": "records or deliveries that went well",
    "failed": "those that failed",
    "skipped": "those that nothing had to be done for",
    "retries": "attempts that were made again",
    "items": "items that the server gave",
    "records": "records that came of them",
    "pages": "pages that were read",
    "total": "how many there are to do, where that is known",
    "rate": "records a second of late",
    "seconds_left": "how long the rest takes at that rate",
    "limit": "what holds the requests back now",
    "item": "the id of what was created",
    "batch": "the batch's id at the server",
    "part": "which of the run's batches it is",
    "causes": "what failed, as a list of objects: class, code, message, count, records, next",
    "next": "the command to type next",
    "code": "the exit code",
    "exception": "the traceback",
}
"""Every field that a line can have; there is no other."""

EVENTS = {
    "run_started": "info: a connection of a run begins",
    "run_finished": "info: it came to its end; with the counts",
    "run_broken": "warning: it did not; info where nobody read on",
    "page": "debug: a page of an incoming was read",
    "record": "debug: an outgoing record is done; warning where it failed",
    "request": "debug: an attempt of a request came to its end",
    "retry": "info: an attempt failed, and another follows",
    "held": "info: all requests of a client wait: the server refuses for pace, or is away",
    "state": "info: what was created, and is waited for, has another state",
    "batch": "info: a batch of the Batch API has another state, or is further",
    "notice": "warning: something that stops nothing",
    "progress": "info: how far a run is, every ten seconds",
    "summary": "info: what became of all records; warning where some could not be read",
    "causes": "warning: why records failed, alike ones together",
    "pending": "warning: what a run left that broke off, and the command that goes on",
    "next": "error: the command to type next",
    "error": "error: what ended the command, its exit code, and the command to type next",
    "said": "anything else that the command line says",
}
"""Every event, its level and when there is one; from `progress` on only the command line has them."""

_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})
_EXTRA = tuple(name for name in FIELDS if name not in _RESERVED)

logger = logging.getLogger("connectory")
logger.addHandler(logging.NullHandler())  # a library is silent until its program wants to hear it
transformers_logger = logging.getLogger("connectory.transformers")


class FieldFilter(LogFilter):
    """Blanks the secrets of a line, those of its fields too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what is about to be written."""
        for name in _EXTRA:
            if isinstance(value := getattr(record, name, None), str):
                setattr(record, name, visible(blank(value)))
        return super().filter(record)


logger.addFilter(FieldFilter())
transformers_logger.addFilter(FieldFilter())  # a filter is asked for the logger's own lines only


class Line(NamedTuple):
    """What an event is in the log; a message with arguments is only put together where somebody reads it."""

    level: int
    message: str
    arguments: tuple[Any, ...]
    fields: dict[str, Any]


def line_of(event: Event) -> Line | None:  # noqa: C901, PLR0911 - one for each event
    """Give the line of an event; None for what another event has told already."""
    match event:
        case RecordFinished():
            return _record_line(event)
        case RecordRefused(connection, index):
            message = "%s: the output does not take the lines of record %d"
            return _line(logging.WARNING, "record", {"connection": connection}, message, connection, index)
        case PageRead(connection, items, records, run):
            fields = {"run": run, "connection": connection, "items": items, "records": records}
            return _line(
                logging.DEBUG,
                "page",
                fields,
                "%s: a page of %d items, %d records",
                connection,
                items,
                records,
            )
        case RequestEnded():
            return _request_line(event)
        case RequestRetried():
            return None if event.held else _retry_line(event)
        case Noticed(message, run, connection):
            return _line(logging.WARNING, "notice", {"run": run, "connection": connection}, message)
        case Held(wait, reason, client):
            fields = {"client": client, "wait": round(wait, 3)}
            return _line(logging.INFO, "held", fields, "all requests wait for %.1f s: %s", wait, reason)
        case StateChanged(connection, index, name, item, state, run):
            fields = {"run": run, "connection": connection, "record": name, "index": index, "item": item}
            fields["status"] = state
            message = "%s: %s of record %r is %s"
            return _line(logging.INFO, "state", fields, message, connection, item, name, state)
        case BatchChanged():
            return _batch_line(event)
        case RunStarted() | RunFinished() | RunBroken():
            return _run_line(event)


def _record_line(event: RecordFinished) -> Line:
    fields: dict[str, Any] = {
        "run": event.run,
        "connection": event.connection,
        "entity": event.entity,
        "record": event.id,
        "index": event.index,
        "status": event.status,
        "http_status": event.http_status,
        "request_id": event.request_id,
        "attempts": event.attempts,
        "tokens": tokens_of(event.usage),
    }
    error = event.error
    if error is None:
        return _line(
            logging.DEBUG, "record", fields, "%s: record %r is %s", event.connection, event.id, event.status
        )
    fields |= {"error_class": error.kind, "error_code": error.code}
    message = "%s: record %r failed: %s"
    return _line(logging.WARNING, "record", fields, message, event.connection, event.id, error.message)


def _asked(event: RequestEnded | RequestRetried) -> dict[str, Any]:
    """Give what is known of one attempt of a request."""
    method, _, path = event.what.partition(" ")
    return {
        "client": event.client,
        "entity": event.entity,
        "method": method,
        "path": path,
        "http_status": event.status,
        "request_id": event.request_id,
        "attempt": event.attempt,
    }


def _request_line(event: RequestEnded) -> Line:
    fields: dict[str, Any] = {
        **_whose(*event.whose),
        **_asked(event),
        "seconds": round(event.seconds, 6),
        "waited": round(event.waited, 6),
        "tokens": tokens_of(event.usage),
        "error_class": event.error,
    }
    outcome = event.status or event.error
    return _line(logging.DEBUG, "request", fields, "%s: %s in %.3f s", event.what, outcome, event.seconds)


def _retry_line(event: RequestRetried) -> Line:
    fields: dict[str, Any] = {
        **_whose(event.run, event.connection, event.record),
        **_asked(event),
        "wait": round(event.wait, 3),
    }
    message = "%s: attempt %d failed, next in %.1f s: %s"
    return _line(logging.INFO, "retry", fields, message, event.what, event.attempt, event.wait, event.reason)


def _batch_line(event: BatchChanged) -> Line:
    fields = {
        "run": event.run,
        "connection": event.connection,
        "part": event.part,
        "batch": event.batch,
        "status": event.state,
        "ok": event.completed,
        "failed": event.failed,
        "total": event.total,
    }
    told = event.connection, event.part, event.batch, event.state, event.completed, event.total, event.failed
    message = "%s: part %d, batch %s: %s, %d of %d done, %d failed"
    return _line(logging.INFO, "batch", fields, message, *told)


def _run_line(event: RunStarted | RunFinished | RunBroken) -> Line:
    fields: dict[str, Any] = {"run": event.run, "connection": event.connection}
    if isinstance(event, RunStarted):
        fields |= {"kind": event.kind, "entity": event.entity, "total": event.total}
        return _line(logging.INFO, "run_started", fields, "%s: run %s begins", event.connection, event.run)
    counts = {("failed" if name in {"error", "errors"} else name): one for name, one in event.counts.items()}
    told = ", ".join(f"{one} {name}" for name, one in counts.items())
    fields |= counts | {"seconds": round(event.seconds, 3)}
    if isinstance(event, RunFinished):
        message = "%s: run %s is done: %s"
        return _line(logging.INFO, "run_finished", fields, message, event.connection, event.run, told)
    fields["error_class"] = event.error or None
    level, reason = (logging.WARNING, event.reason) if event.error else (logging.INFO, "nobody reads on")
    message = "%s: run %s breaks off, with %s: %s"
    return _line(level, "run_broken", fields, message, event.connection, event.run, told, reason)


def _whose(run: str, connection: str, record: str | None) -> dict[str, Any]:
    return {"run": run, "connection": connection, "record": record}


def _line(level: int, event: str, fields: dict[str, Any], message: str, *arguments: Any) -> Line:
    """Put a line together, without the fields that nothing is known of."""
    known = {name: value for name, value in fields.items() if value is not None and value != ""}
    return Line(level, message, arguments, {"event": event, **known})


def tokens_of(usage: dict[str, Any] | None) -> int | None:
    """Give the tokens that an answer says it used, in all."""
    if usage is None:
        return None
    if isinstance(total := usage.get("total_tokens"), int):
        return total
    for names in (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")):
        found = [value for name in names if isinstance(value := usage.get(name), int)]
        if found:
            return sum(found)
    return None


class LogListener:
    """Hands events to the logger `connectory`."""

    def __call__(self, event: Event) -> None:
        """Write the line of an event, if anybody reads lines of its level."""
        if type(event) is RecordFinished and event.error is None and not logger.isEnabledFor(logging.DEBUG):
            return  # one for each record: nothing is made of it that nobody reads
        line = line_of(event)
        if line is not None and logger.isEnabledFor(line.level):
            logger.log(line.level, line.message, *line.arguments, extra=line.fields)

    def hears_requests(self) -> bool:
        """Say whether anybody reads the lines of requests."""
        return logger.isEnabledFor(logging.DEBUG)


log_event = LogListener()
"""The default listener."""


class JsonFormatter(logging.Formatter):
    """Writes a line as one JSON object, with the fields of FIELDS and no others.

    `about` are fields for the lines that do not have them: the run of a program that has only one.
    """

    def __init__(self, about: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.about: dict[str, Any] = {} if about is None else about

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without a line end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": {"critical": "error"}.get(level := record.levelname.lower(), level),
            "logger": record.name,
            "message": visible(blank(record.getMessage())),
        }
        for name in _EXTRA:
            value = getattr(record, name, self.about.get(name))
            if value is not None:
                line[name] = visible(blank(value)) if isinstance(value, str) else value
        text: str | None = getattr(record, "exception", record.exc_text)
        if text is None and record.exc_info and record.exc_info[1] is not None:
            text = trace(record.exc_info[1])
        if text is not None:
            line["exception"] = visible(blank(text), lines=True)
        return json.dumps(line, ensure_ascii=False, default=str)
