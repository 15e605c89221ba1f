"""How a command ends: one message for each kind of error, and its exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from connectory.errors import (
    ApiError,
    ConfigError,
    ConnectoryError,
    CredentialsError,
    GuardError,
    InputError,
    JobBusyError,
    ProcessLostError,
    RequestError,
    RunInterruptedError,
    SetupError,
    StorageError,
    TransportError,
    UnavailableError,
    UnknownNameError,
)
from connectory.redaction import blank, trace, visible

DONE, SOME_FAILED, USAGE, CONFIGURATION, CREDENTIALS, UNAVAILABLE, BUSY = range(7)
BUG, INTERRUPTED = 70, 130


class Ended(Exception):  # noqa: N818 - a signal: the command has said everything, only the code is left
    """A command ends with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def say(message: str, *, lines: bool = False) -> None:
    """Write a line to stderr, or several: without secrets, and without what would steer a terminal."""
    click.echo(visible(blank(message), lines=lines), err=True)


def report(error: BaseException) -> int:  # noqa: PLR0911 - one line for each way to end
    """Say what went wrong and give the exit code."""
    match error:
        case Ended():
            return error.code
        case SystemExit():
            return error.code if isinstance(error.code, int) else 0
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            say("interrupted")
            return INTERRUPTED
        case BrokenPipeError():
            _silence_stdout()
            return DONE
        case ConnectoryError():
            return _expected(error)
        case _:
            return _bug(error)


def exit_code(error: ConnectoryError) -> int:  # noqa: PLR0911 - a table
    """Give the exit code that stands for an error's consequence."""
    match error:
        case ConfigError() | SetupError():
            return CONFIGURATION
        case RequestError():  # of a single call: what was typed makes no request
            return USAGE
        case CredentialsError():
            return CREDENTIALS
        case UnavailableError() | TransportError() | StorageError() | GuardError() | ProcessLostError():
            return UNAVAILABLE
        case JobBusyError():
            return BUSY
        case RunInterruptedError():
            return error.code
        case ApiError(status=401 | 403):
            return CREDENTIALS
        case ApiError(status=status) if status == 429 or status >= 500:  # noqa: PLR2004 - HTTP's own classes
            return UNAVAILABLE
        case _:
            return SOME_FAILED


def _expected(error: ConnectoryError) -> int:
    code = exit_code(error)
    say(
        f"error: {error}" if not isinstance(error, ConfigError) else str(error),
        lines=isinstance(error, ConfigError),
    )
    say(_next_command(error, code))
    return code


def _next_command(error: ConnectoryError, code: int) -> str:
    """Give what to type next: the last line of a failure."""
    if isinstance(error, UnknownNameError) and error.kind in {"entity", "transformer"}:
        return f"connectory {'entities' if error.kind == 'entity' else 'transformers'} list"
    if isinstance(error, InputError | GuardError | SetupError) and error.command:
        return error.command
    if isinstance(error, ConfigError):
        files = (problem.file for problem in error.problems if not problem.file.startswith("--"))
        file = next(filter(None, files), "")
        return f"connectory lint {file}".rstrip()
    if isinstance(error, StorageError | GuardError | JobBusyError | ProcessLostError):
        return "connectory runs list"
    return "connectory check" if code in {CONFIGURATION, CREDENTIALS, UNAVAILABLE} else "connectory --help"


def _bug(error: BaseException) -> int:
    say(trace(error), lines=True)
    say("this is a bug in connectory, not in your data; please report it with the lines above")
    return BUG


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
