"""The pages of errors, exit codes and events."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, get_args

from cells import cell

import connectory
from connectory import errors as every
from connectory import events as told
from connectory.cli.outcome import exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = {
    "0": "done",
    "1": "some records failed; those of an outgoing are in the dead letters",
    "2": "wrong command line, a single request that cannot be made, or a deletion that was not confirmed",
    "3": "configuration, or a server or proxy that it has wrong: certificate, name, credentials of the proxy",
    "4": "credentials or permission",
    "5": "server unavailable or out of quota, a full disk, `max_dead` or `budget`; what was not sent is pending",
    "6": "another process works on the same job; nothing was done",
    "70": "a bug in connectory",
    "130, 143": "interrupted; what was under way is finished, and the same command goes on",
}
WHAT_TO_DO = {
    "0": "nothing",
    "1": "look at the dead letters, mend the cause, `connectory replay RUN`",
    "2": "correct the command; `--help` says what it takes; a deletion wants `--yes`",
    "3": "`connectory lint`, or `connectory check` where the server is meant",
    "4": "set the token; do not try again without",
    "5": "give the same command again, later; it goes on where it was",
    "6": "wait for the other process",
    "70": "report it, with the lines on stderr",
    "130, 143": "give the same command again",
}


def exit_codes() -> Iterator[str]:
    """Give the page of exit codes, with the errors behind each."""
    yield "# Exit codes"
    yield ""
    yield "Every command ends with one of these; they do not change."
    yield "The last line on stderr is the next command to type."
    yield ""
    yield "| exit code | meaning | what to do |"
    yield "|---|---|---|"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} | {WHAT_TO_DO[code]} |"
    yield from ("", "## Which error ends with which", "")
    yield "When a command ends by an error, its class decides. Below it stands for everything derived from it."
    yield from ("", "| error | exit code |", "|---|---|")
    for one in _classes():
        code, above = _code(one), _code(one.__base__) if one.__base__ in _classes() else None
        if code != above:
            yield f"| [`{one.__name__}`](errors.md#{one.__name__.lower()}) | {code} |"
    yield "| [`ApiError`](errors.md#apierror), of a single request, with the status 401 or 403 | 4 |"
    yield "| [`ApiError`](errors.md#apierror), of a single request, with the status 429, or 500 and above | 5 |"
    yield from ("", "## In a script", "")
    yield "A scheduler tries 5 again later, and calls somebody for 3 and 4:"
    yield from (
        "",
        "```sh",
        "connectory run incoming files --sandbox > files.jsonl || echo $?",
        "```",
    )


def errors() -> Iterator[str]:
    """Give the page of every exception, grouped by what the run does next."""
    lines = inspect.cleandoc(every.__doc__ or "").splitlines()
    yield "# Errors"
    yield ""
    yield "Everything that is raised on purpose is a `ConnectoryError`. The tree is ordered by what the run does next."
    yield from ("", "```text", *lines[2:], "```", "")
    yield "A message says what was being done, to what, what is wrong, and what to do, where that is known. Its words"
    yield "may change; class, `kind` and `code` do not. What becomes of a record is in [results](results.md#errors)."
    for one in _classes():
        yield from ("", f"## {one.__name__}", "")
        yield from inspect.cleandoc(one.__doc__ or "").splitlines()
        yield ""
        above = one.__base__.__name__ if one.__base__ is not None else ""
        facts = [f"derived from `{above}`"]
        if kind := one.__dict__.get("kind"):
            facts.append(f"the `class` of its result line is `{kind}`")
        facts.append(
            f"exit code {_code(one)}" if _code(one) != 1 else "exit code 1, with the records that went well"
        )
        if hasattr(connectory, one.__name__):
            facts.append(f"`from connectory import {one.__name__}`")
        yield f"- {'; '.join(facts)}"


def events() -> Iterator[str]:
    """Give the page of every event."""
    yield "# Events"
    yield ""
    yield "What a run tells while it goes on. The progress line, the log and your own listener hear the same."
    yield ""
    yield from ABOUT_LISTENING.splitlines()
    yield from ("", "```python", *LISTENING.strip().splitlines(), "```")
    for one in get_args(told.Event):
        yield from ("", f"## {one.__name__}", "")
        yield from inspect.cleandoc(one.__doc__ or "").splitlines()
        yield from ("", "| field | type | default |", "|---|---|---|")
        for field in dataclasses.fields(one):
            kind = cell(f"`{field.type}`")
            default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
            yield f"| `{field.name}` | {kind} | {default} |"


ABOUT_LISTENING = """\
A listener is a function that takes an event; `listen=` hands it to a connector. It is called in the connector's own
thread and should be quick. Without one, events go to the logger `connectory`. `RunStarted` and `RunFinished` are of
runs that write an output, as on the command line; records finish in the order in which answers come.
"""

LISTENING = """
from connectory import Connector
from connectory.events import RecordFinished
from connectory.sandbox import EmbeddedSandbox

finished = []


def listen(event):
    if isinstance(event, RecordFinished):
        finished.append(event.status)


config = {
    "version": 1,
    "clients": {"openai": {"token": "${OPENAI_API_KEY:-}"}},
    "outgoing": {"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}}},
}
with EmbeddedSandbox() as sandbox:
    config["clients"]["openai"] = {"token": sandbox.token, "base_uri": sandbox.base_uri}
    with Connector.from_dict(config, listen=listen) as connector:
        list(connector.outgoing("moderate", [{"text": "Good morning"}, {}]))
assert sorted(finished) == ["error", "ok"]
"""


def _classes() -> list[type[every.ConnectoryError]]:
    """Give the exceptions in the order in which they are written."""
    found = [one for one in vars(every).values() if inspect.isclass(one)]
    return [one for one in found if issubclass(one, every.ConnectoryError)]


def _code(one: Any) -> int:
    error = one.__new__(one)
    if isinstance(error, every.ApiError):
        error.status = 400
    return exit_code(error)
