"""How a command ends: one message for each kind of error, and its exit code."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from connectory.cli import following
from connectory.cli.saying import ERROR, say, voice
from connectory.errors import (
    ApiError,
    ConfigError,
    ConnectoryError,
    CredentialsError,
    GuardError,
    JobBusyError,
    ProcessLostError,
    RequestError,
    RunInterruptedError,
    SetupError,
    StorageError,
    TransportError,
    UnavailableError,
    did_you_mean,
    it_is,
)
from connectory.text.redaction import trace

__all__ = ["BUG", "DONE", "INTERRUPTED", "SOME_FAILED", "Ended", "exit_code", "report", "say"]

if TYPE_CHECKING:
    from collections.abc import Sequence


DONE, SOME_FAILED, USAGE, CONFIGURATION, CREDENTIALS, UNAVAILABLE, BUSY = range(7)
BUG, INTERRUPTED = 70, 130


class Ended(Exception):  # noqa: N818 - a signal: the command has said everything, only the code is left
    """A command ends with this exit code; not `failed`, where the code is an answer: two documents differ."""

    def __init__(self, code: int, *, failed: bool = True) -> None:
        super().__init__(code)
        self.code, self.failed = code, failed


_HELP: tuple[type[BaseException], ...] = tuple(
    filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)])
)
"""Raised by a command without its words, which then prints its help; an older click ends with `Exit` instead."""
_followed = [False]
"""Whether it was said already what to type next, be it another program's command."""
_COMMAND = re.compile(r"(?:connectory|pip|export) \S")


def begin(words: Sequence[str]) -> None:
    """Remember what was typed, and that nothing was said yet."""
    following.begin(words)
    voice.last = ""
    _followed[0] = False


def end(error: BaseException) -> int:
    """Say what went wrong, at last the command to type next, and give the exit code."""
    code = report(error)
    is_failure = code != DONE and not (isinstance(error, Ended) and not error.failed)
    helped = isinstance(error, (*_HELP, click.exceptions.Exit, SystemExit))
    if is_failure and not helped and not _followed[0] and not _COMMAND.match(voice.last.rpartition("\n")[2]):
        follows = "connectory doctor" if code == BUG else following.typed_again()
        say(follows, level=ERROR, event="next", next=follows)
    return code


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
            _show(error)
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


def _show(error: click.ClickException) -> None:
    """Show what is wrong with a command line, and where it is said how it is written."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, _HELP):
        error.show()
        return
    follows = f"{context.command_path if context is not None else 'connectory'} --help"
    wrong = re.fullmatch(r"No such command '(.+)'\.", error.message)
    if wrong and context is not None and isinstance(context.command, click.Group):
        known = context.command.list_commands(context)
        kind = following.kind_of(wrong[1], known)
        hint = it_is(kind) if kind else did_you_mean(wrong[1], known)
        error = click.UsageError(error.message.rstrip(".") + hint, context)
        follows = following.typed_before(wrong[1], kind) if kind else follows
    if voice.json:
        say(error.format_message(), level=ERROR, event="error", code=error.exit_code, next=follows)
        return
    error.show()
    say(follows, level=ERROR)


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
    code, follows = exit_code(error), following.next_command(error)
    kind: dict[str, Any] = {
        "event": "error",
        "error_class": type(error).__name__,
        "code": code,
        "next": follows,
    }
    if isinstance(error, ConfigError):
        say(str(error), lines=True, level=ERROR, **kind)
    else:
        say(f"error: {following.as_typed(str(error))}", **kind)
    if not voice.json:
        say(follows, level=ERROR)
    _followed[0] = True
    return code


def _bug(error: BaseException) -> int:
    told = "this is a bug in connectory, not in your data; please report it with the lines above, and with those of:"
    if voice.json:
        say(told, level=ERROR, event="error", code=BUG, exception=trace(error), next="connectory doctor")
    else:
        say(trace(error), lines=True, level=ERROR)
        say(told, level=ERROR)
    return BUG


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
