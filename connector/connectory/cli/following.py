"""What to type next, after what was typed has failed."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING

import click

from connectory.errors import (
    ApiError,
    ConfigError,
    ConnectoryError,
    CredentialsError,
    GuardError,
    JobBusyError,
    ProcessLostError,
    RecordError,
    RunInterruptedError,
    RunStoppedError,
    SetupError,
    StorageError,
    TransportError,
    UnavailableError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.errors import Problem

_typed: list[str] = []
"""The words after `connectory`."""
_LONGEST = 400
_SHORTEST = 3
_BY_ENTITY = {"create", "delete", "read"}
_UNSET = re.compile(r"the environment variable '(\w+)' is not set")
_NAMED = re.compile(r"`(connectory [a-z][^`{}]*)`|(pip install (?:'[^']+'|\S+))")
"""A command that a message itself tells to type."""
_FORM = re.compile(r"input: (\{csv: .+\})$")
_MISSING = re.compile(r"give it as path: \{(\w+): \.\.\.\}")
_UNFINISHED = re.compile(r"the unfinished run (\d{8}T\S+)")


def begin(words: Sequence[str]) -> None:
    """Remember what was typed: a failure may have to be told in these words."""
    _typed[:] = words


def typed_again(*more: str) -> str:
    """Give what was typed, for after what is wrong was mended; its help where that is too long to read."""
    line = join(["connectory", *_typed, *more])
    return line if len(line) <= _LONGEST else typed_help()


def typed_without(word: str) -> str:
    """Give what was typed without a word that does not belong there."""
    return join(["connectory", *(one for one in _typed if one != word)])


def typed_help() -> str:
    """Give the help of the command that was typed."""
    from connectory.cli import main

    words: list[str] = ["connectory"]
    command: click.Command = main
    context = click.Context(main)
    for word in _typed:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            break
        words.append(word)
        command = found
    return join([*words, "--help"])


def typed_before(word: str, kind: str) -> str:
    """Give what was typed with the kind of a connection before its name."""
    at = _typed.index(word)
    return join(["connectory", *_typed[:at], kind, *_typed[at:]])


def _typed_as(kind: str, right: str) -> str:
    """Give what was typed of another kind of connection."""
    words = [*_typed]
    if kind in words:
        words[words.index(kind)] = right
    return join(["connectory", *words])


def kind_of(name: str, kinds: Sequence[str]) -> str:
    """Say what the configuration has under a name, where commands for that are known: `run describe` leaves it out."""
    if not {"incoming", "outgoing"} <= {*kinds}:
        return ""
    from connectory.cli.setup import config_path
    from connectory.config import load_config

    try:
        found = load_config(config_path(_value_of("-c", "--config"))).runnable
    except ConfigError:
        return ""
    return next((kind for kind in kinds if name in found.get(kind, ())), "")


def as_typed(message: str) -> str:
    """Say what is missing as it stands on a command line, where it was typed and stands in no configuration."""
    return (
        _MISSING.sub(r"give it as --path \1=...", message)
        if _typed[:1] and _typed[0] in _BY_ENTITY
        else message
    )


def next_command(error: ConnectoryError) -> str:  # noqa: PLR0911 - one line for each kind of error
    """Give what to type next: the last line of a failure."""
    match error:
        case ConfigError(command=str(command)) | RunStoppedError(command=str(command)) if command:
            return command
        case RunInterruptedError():
            return typed_again()
        case UnknownNameError(kind=kind, elsewhere=str(right)) if right:
            return _typed_as(kind, right)
        case UnknownNameError():
            return _where_listed(error)
        case ConfigError():
            return after_problems(error.problems)
        case StorageError() | GuardError() | JobBusyError() | ProcessLostError():
            return f"connectory runs list{config_option()}"
        case SetupError() | CredentialsError() | UnavailableError() | TransportError():
            return f"connectory check{config_option()}"
        case ApiError(status=status) if status in {401, 403, 429} or status >= 500:  # noqa: PLR2004 - HTTP's own classes
            return f"connectory check{config_option()}"
        case RecordError() if _typed[:1] and _typed[0] in _BY_ENTITY:
            return _entity()
        case _:
            return typed_help()


def _where_listed(error: UnknownNameError) -> str:
    """Give the command that lists the names of a kind, of entities those that begin alike."""
    kind, name = error.kind, error.name.lower()
    if kind == "operation":
        return "connectory entities list"
    if kind == "entity":
        sizes = range(len(name), _SHORTEST - 1, -1)
        alike = next((name[:size] for size in sizes if any(name[:size] in one for one in error.known)), "")
        search = f" --search {join([alike])}" if alike else ""
        return f"connectory entities list{search}{config_option()}"
    if kind == "transformer":
        return "connectory transformers list"
    if kind in {"client", "incoming", "outgoing", "route"}:
        return f"connectory config show{config_option()}"
    return f"connectory runs list{config_option()}" if kind == "run" else _after_words(error.problems)


def _entity() -> str:
    return f"connectory entities show {join(_typed[1:2])}"


def config_option() -> str:
    """Give the option by which another configuration was named, with a space before it."""
    config = None if _typed[:1] == ["singer"] else _value_of("-c", "--config")  # there it names settings
    return f" --config {join([config])}" if config else ""


def _value_of(*names: str) -> str | None:
    """Give the value of an option as it was typed."""
    for number, word in enumerate(_typed):
        name, equals, value = word.partition("=")
        if name in names and (equals or number + 1 < len(_typed)):
            return value if equals else _typed[number + 1]
    return None


def after_problems(problems: Sequence[Problem]) -> str:
    """Give what to type next where nothing was sent: `lint` for what stands in the configuration, and only for that."""
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
    unset = [_UNSET.search(problem.message) for problem in problems]
    if unset and unset[0] and all(unset):
        return f"export {unset[0][1]}=..."
    if named := next(filter(None, (_NAMED.search(problem.message) for problem in problems)), None):
        return named[1] or named[2]
    return f"connectory lint {join(files[:1])}" if files else _after_words(problems)


def _after_words(problems: Sequence[Problem]) -> str:
    """Give what to type next about what stands in no configuration: it was typed, or something else is to be mended."""
    message = problems[0].message if problems else ""
    if run := _UNFINISHED.search(message):
        return f"connectory runs show {run[1]}{config_option()}"
    if _typed[:1] and _typed[0] in _BY_ENTITY:
        return _entity()
    if (form := _FORM.search(message)) and "--input" in _typed:
        words = [*_typed]
        words[words.index("--input") + 1] = form[1]
        return join(["connectory", *words])
    values = {word.partition("=")[2] if word.startswith("--") else word for word in _typed}
    was_typed = any(repr(one) in message for one in values if one) or message.startswith("--")
    return typed_help() if was_typed else typed_again()
