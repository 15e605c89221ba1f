"""The options that say what is told of a run, to whom: lines for people or for programs, traces and metrics."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from connectory.cli.saying import DEBUG, FORMAT_VARIABLE, FORMATS, LEVEL_VARIABLE, LEVELS, say, voice
from connectory.events import PageRead, RecordFinished, RequestEnded, RunStarted
from connectory.listeners.logs import line_of, log_event
from connectory.listeners.telling import together

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from connectory.events import Event, Listener

F = TypeVar("F", bound="Callable[..., Any]")

TELEMETRY_VARIABLE = "CONNECTORY_TELEMETRY"


def log_options(command: F) -> F:
    """Add `--log-format`, `--log-level`, `--verbose`, `--quiet` and `--telemetry`."""

    @wraps(command)
    def spoken(
        *arguments: Any,
        log_format: str | None = None,
        log_level: str | None = None,
        verbose: bool = False,
        quiet: bool = False,
        telemetry: bool = False,
        **options: Any,
    ) -> Any:
        if verbose and quiet:
            raise click.UsageError("--verbose and --quiet exclude each other")
        short = "debug" if verbose else "error" if quiet else None
        voice.set(form=log_format, level=log_level or short)
        if telemetry:
            telemetry_on()
        return command(*arguments, **options)

    made: Any = spoken
    for option in (
        click.option(
            "--telemetry",
            is_flag=True,
            envvar=TELEMETRY_VARIABLE,
            help="Send traces and metrics as the OTEL_* variables say (extra `otel`).",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors: --log-level error."),
        click.option(
            "-v", "--verbose", is_flag=True, help="Tell each request and record: --log-level debug."
        ),
        click.option(
            "--log-level",
            type=click.Choice([*LEVELS]),
            help=f"How much is said on stderr (default: ${LEVEL_VARIABLE}, else info).",
        ),
        click.option(
            "--log-format",
            type=click.Choice(FORMATS),
            help=f"What is said on stderr: text, or JSON Lines (default: ${FORMAT_VARIABLE}, else text).",
        ),
    ):
        made = option(made)
    return cast("F", made)


_switches = {"telemetry": False}


def telemetry_on() -> None:
    """Send traces and metrics from now on."""
    _switches["telemetry"] = True


@contextmanager
def observed(tell: Listener) -> Generator[Listener, None, None]:
    """Give what hears of everything: who tells a person, the log, and telemetry as far as it is wanted."""
    voice.take_logs()
    listeners: list[Listener] = [_about, log_event] if voice.json else []
    if not voice.json and voice.hears(DEBUG):
        listeners.append(_Whisper())
    if not _switches["telemetry"]:
        yield together(tell, *listeners)
        return
    from connectory.listeners.telemetry import sending

    context = click.get_current_context(silent=True)
    name = "connectory" if context is None else f"connectory {context.command_path.partition(' ')[2]}"
    with sending(lambda problem: say(f"note: {problem}"), name.rstrip()) as telemetry:
        yield together(tell, *listeners, telemetry)


def about(**fields: Any) -> None:
    """Put fields on every line of JSON from now on."""
    voice.about.update(fields)


def carried_on() -> dict[str, str] | None:
    """Give the variables by which another process of this run goes on with the trace; None without telemetry."""
    if not _switches["telemetry"]:
        return None
    from connectory.listeners.telemetry import carried

    return carried()


def _about(event: Event) -> None:
    """Put the run on every line, where there is one run and not the steps of a route."""
    if isinstance(event, RunStarted) and "run" not in voice.about:
        about(run=event.run, connection=event.connection)


class _Whisper:
    """Tells a person each request, page and record, which is too much for most."""

    def __call__(self, event: Event) -> None:
        """Say it, if it is one of these."""
        if isinstance(event, RequestEnded | PageRead | RecordFinished):
            line = line_of(event)
            if line is not None and line.level == DEBUG:
                say(f"debug: {line.message % line.arguments}{_found_by(event)}", level=DEBUG)

    def hears_requests(self) -> bool:
        """Say that it tells of requests."""
        return True


def _found_by(event: Event) -> str:
    given = event.request_id if isinstance(event, RequestEnded) else None
    return f" ({given})" if given else ""
