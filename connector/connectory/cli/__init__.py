"""The command line: parses, calls, prints, exits."""

from __future__ import annotations

import keyword
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "add": "adding",
    "catalogue": "cataloguing",
    "check": "checking",
    "completion": "completion",
    "config": "showing",
    "create": "direct",
    "delete": "direct",
    "doctor": "doctoring",
    "entities": "entities",
    "import": "importing",
    "init": "starting",
    "lint": "linting",
    "migrate": "migrating",
    "options": "picking",
    "preview": "previewing",
    "prices": "pricing",
    "read": "direct",
    "replay": "replaying",
    "request": "direct",
    "run": "running",
    "runs": "runs",
    "sandbox": "sandboxing",
    "schema": "editing",
    "singer": "singer",
    "test": "testing",
    "transformers": "transforming",
}
"""Each command and the module that holds it, which is imported when the command is used."""


COMPLETE = "_CONNECTORY_COMPLETE"
"""The environment variable with which a shell asks for the words that may come next."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that the rest costs no time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the commands in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import one command."""
        home = COMMANDS.get(cmd_name)
        if not home:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(import_module(f"connectory.cli.{home}"), name)
        if COMPLETE in os.environ:
            from connectory.cli.completing import dress

            dress(cmd_name, command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a reader that has enough is no failure, which click would make of it."""
        from connectory.cli.outcome import Ended, report

        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise Ended(report(error)) from None

    def main(self, args: Sequence[str] | None = None, **options: object) -> None:  # type: ignore[override]  # never returns a value
        """Run, and turn every expected error into one message and its exit code."""
        from connectory.cli.outcome import begin, end
        from connectory.cli.saying import from_environment

        options.pop("standalone_mode", None)
        begin(sys.argv[1:] if args is None else args)
        if COMPLETE in os.environ:
            _complete(self)
        try:
            from_environment()
            super().main(args, standalone_mode=False, **options)  # type: ignore[call-overload]  # handed through
        except BaseException as error:  # noqa: BLE001 - the one place where everything ends
            sys.exit(end(error))
        finally:
            begin(())  # a process that goes on has nothing left of it


def _complete(group: click.Group) -> NoReturn:
    """Answer a shell that asks for words, and end; whatever is wrong, its prompt stays clean."""
    try:
        from click.shell_completion import shell_complete

        import_module("connectory.cli.completion")  # which knows one shell more
        code = shell_complete(group, {}, "connectory", COMPLETE, os.environ[COMPLETE])
    except Exception:  # noqa: BLE001 - a press of the Tab key shows no error
        code = 1
    sys.exit(code)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="connectory", message="%(prog)s %(version)s")
def main() -> None:
    """Move records between your systems and the OpenAI API, or any server that speaks it.

    Records are JSON Lines on stdout and stdin; everything else goes to stderr.
    """
