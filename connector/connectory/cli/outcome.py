"""How a command ends: one message for each kind of error, and its exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import click

from connectory.cli.saying import ERROR, say, voice
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
    RunStoppedError,
    SetupError,
    StorageError,
    TransportError,
    UnavailableError,
    UnknownNameError,
)
from connectory.redaction import trace

__all__ = ["BUG", "DONE", "INTERRUPTED", "SOME_FAILED", "Ended", "exit_code", "next_command", "report", "say"]

DONE, SOME_FAILED, USAGE, CONFIGURATION, CREDENTIALS, UNAVAILABLE, BUSY = range(7)
BUG, INTERRUPTED = 70, 130


class Ended(Exception):  # noqa: N818 - a signal: the command has said everything, only the code is left
    """A command ends with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


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
            _usage(error)
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
    code, follows = exit_code(error), next_command(error)
    kind: dict[str, Any] = {
        "event": "error",
        "error_class": type(error).__name__,
        "code": code,
        "next": follows,
    }
    if isinstance(error, ConfigError):
        say(str(error), lines=True, level=ERROR, **kind)
    else:
        say(f"error: {error}", **kind)
    if not voice.json:
        say(follows, level=ERROR)
    return code


def _usage(error: click.ClickException) -> None:
    """Say what is wrong with the command line."""
    if not voice.json:
        error.show()
        return
    context = getattr(error, "ctx", None)
    help_of = f"{context.command_path} --help" if context is not None else "connectory --help"
    say(error.format_message(), level=ERROR, event="error", code=error.exit_code, next=help_of)


def next_command(error: ConnectoryError) -> str:
    """Give what to type next: the last line of a failure."""
    code = exit_code(error)
    if isinstance(error, UnknownNameError) and error.kind in {"entity", "transformer"}:
        return f"connectory {'entities' if error.kind == 'entity' else 'transformers'} list"
    if isinstance(error, InputError | RunStoppedError) and error.command:
        return error.command
    if isinstance(error, ConfigError):
        files = (problem.file for problem in error.problems if not problem.file.startswith("--"))
        file = next(filter(None, files), "")
        return f"connectory lint {file}".rstrip()
    if isinstance(error, StorageError | GuardError | JobBusyError | ProcessLostError):
        return "connectory runs list"
    return "connectory check" if code in {CONFIGURATION, CREDENTIALS, UNAVAILABLE} else "connectory --help"


def _bug(error: BaseException) -> int:
    told = "this is a bug in connectory, not in your data; please report it with the lines above"
    if voice.json:
        say(told, level=ERROR, event="error", code=BUG, exception=trace(error))
    else:
        say(trace(error), lines=True, level=ERROR)
        say(told, level=ERROR)
    return BUG


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
