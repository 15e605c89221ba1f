"""How a command ends: one message for each kind of error, and its exit code."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.saying import ERROR, say, voice
from connectory.errors import (
    ApiError,
    ConfigError,
    ConnectoryError,
    CredentialsError,
    GuardError,
    JobBusyError,
    ProcessLostError,
    RecordError,
    RequestError,
    RunInterruptedError,
    RunStoppedError,
    SetupError,
    StorageError,
    TransportError,
    UnavailableError,
    UnknownNameError,
    did_you_mean,
)
from connectory.text.redaction import trace

__all__ = ["BUG", "DONE", "INTERRUPTED", "SOME_FAILED", "Ended", "exit_code", "next_command", "report", "say"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.errors import Problem

DONE, SOME_FAILED, USAGE, CONFIGURATION, CREDENTIALS, UNAVAILABLE, BUSY = range(7)
BUG, INTERRUPTED = 70, 130


class Ended(Exception):  # noqa: N818 - a signal: the command has said everything, only the code is left
    """A command ends with this exit code; not `failed`, where the code is an answer: two documents differ."""

    def __init__(self, code: int, *, failed: bool = True) -> None:
        super().__init__(code)
        self.code, self.failed = code, failed


_typed: list[str] = []
"""The words after `connectory`."""
_HELP: tuple[type[BaseException], ...] = tuple(
    filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)])
)
"""Raised by a command without its words, which then prints its help; an older click ends with `Exit` instead."""
_followed = [False]
"""Whether it was said already what to type next, be it another program's command."""
_COMMAND = re.compile(r"(?:connectory|pip|export) \S")
_LONGEST = 400


def begin(words: Sequence[str]) -> None:
    """Remember what was typed: a failure may have to be told in these words."""
    _typed[:] = words
    voice.last = ""
    _followed[0] = False


def end(error: BaseException) -> int:
    """Say what went wrong, at last the command to type next, and give the exit code."""
    code = report(error)
    is_failure = code != DONE and not (isinstance(error, Ended) and not error.failed)
    helped = isinstance(error, (*_HELP, click.exceptions.Exit, SystemExit))
    if is_failure and not helped and not _followed[0] and not _COMMAND.match(voice.last.rpartition("\n")[2]):
        follows = "connectory doctor" if code == BUG else typed_again()
        say(follows, level=ERROR, event="next", next=follows)
    return code


def typed_again(*more: str) -> str:
    """Give what was typed, for after what is wrong was mended; its help where that is too long to read."""
    line = join(["connectory", *_typed, *more])
    return line if len(line) <= _LONGEST else f"connectory {join(_typed[:1])} --help"


def typed_without(word: str) -> str:
    """Give what was typed without a word that does not belong there."""
    return join(["connectory", *(one for one in _typed if one != word)])


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
    path = context.command_path if context is not None else "connectory"
    wrong = re.fullmatch(r"No such command '(.+)'\.", error.message)
    if wrong and context is not None and isinstance(context.command, click.Group):
        hint = did_you_mean(wrong[1], context.command.list_commands(context))
        error = click.UsageError(error.message.rstrip(".") + hint, context)
    follows = f"{path} --help"
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
    _followed[0] = True
    return code


def next_command(error: ConnectoryError) -> str:  # noqa: PLR0911 - one line for each kind of error
    """Give what to type next: the last line of a failure."""
    code = exit_code(error)
    match error:
        case ConfigError(command=str(command)) | RunStoppedError(command=str(command)) if command:
            return command
        case RunInterruptedError():
            return typed_again()
        case UnknownNameError(kind=kind):
            return _where_listed(kind)
        case ConfigError():
            return after_problems(error.problems)
        case StorageError() | GuardError() | JobBusyError() | ProcessLostError():
            return "connectory runs list"
        case _ if code in {CONFIGURATION, CREDENTIALS, UNAVAILABLE}:
            return "connectory check"
        case RecordError() if _typed[:1] and _typed[0] in {"create", "delete", "read"}:
            return f"connectory entities show {join(_typed[1:2])}"
        case _:
            return f"connectory {join(_typed[:1])} --help".replace("  ", " ")


def _where_listed(kind: str) -> str:
    """Give the command that lists the names of a kind."""
    if kind in {"entity", "operation"}:
        return "connectory entities list"
    if kind == "transformer":
        return "connectory transformers list"
    if kind in {"client", "incoming", "outgoing", "route"}:
        return f"connectory config show{_config_option()}"
    return "connectory runs list" if kind == "run" else typed_again()


def _config_option() -> str:
    """Give the option by which another configuration was named."""
    for number, word in enumerate(_typed):
        if word in {"-c", "--config"}:
            return " " + join(_typed[number : number + 2])
        if word.startswith("--config="):
            return f" {join([word])}"
    return ""


def after_problems(problems: Sequence[Problem]) -> str:
    """Give what to type next about a configuration that has problems."""
    files = [problem.file for problem in problems if problem.file and not problem.file.startswith("--")]
    if files and not Path(files[0]).exists():
        return "connectory init"
    if any(problem.path == "version" for problem in problems):
        is_newer = any("install a newer" in problem.message for problem in problems)
        return (
            "pip install --upgrade connectory"
            if is_newer
            else f"connectory migrate {join(files[:1])}".rstrip()
        )
    return f"connectory lint {join(files[:1])}".rstrip()


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
