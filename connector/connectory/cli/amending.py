"""A configuration's file with other text in it: looked at first, shown or written as a whole."""

from __future__ import annotations

import difflib
import stat
from typing import TYPE_CHECKING

import click

from connectory.cli.linting import problems_of
from connectory.cli.outcome import CONFIGURATION, Ended, say

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.errors import Problem

_MARK = b"\xef\xbb\xbf"


class Amendment:
    """The text of a configuration, which is changed in memory and then written, or shown as a difference."""

    def __init__(self, path: Path) -> None:
        from connectory.config import read_text

        self.path = path
        self.text, self._content = read_text(path)
        self._before = self.text

    @property
    def is_changed(self) -> bool:
        """Say whether there is anything to write."""
        return self.text != self._before

    def finish(self, *, dry_run: bool) -> None:
        """Write the text in place of the old one, or with `dry_run` print the difference.

        What `lint` would call an error, and did not before, ends the command, and nothing is written.
        """
        known = {_identity(one) for one in problems_of(self.path, self._before)}
        found = [one for one in problems_of(self.path, self.text) if one.severity == "error"]
        new = [one for one in found if _identity(one) not in known]
        for problem in new:
            say(str(problem), lines=True)
        if new:
            say("error: nothing was written: with this the configuration would have the problems above")
            say(f"{_command()} --help")
            raise Ended(CONFIGURATION)
        if dry_run:
            click.echo(self._difference(), nl=False)
        else:
            self._write()

    def _difference(self) -> str:
        from connectory.text.redaction import blank

        before, after = (one.splitlines(keepends=True) for one in (self._before, self.text))
        shown = difflib.unified_diff(before, after, str(self.path), f"{self.path} (not written)")
        return blank("".join(one if one.endswith("\n") else f"{one}\n" for one in shown))

    def _write(self) -> None:
        from connectory.errors import StorageError
        from connectory.files.storage import why, write_whole

        file = self.path.resolve()  # a link stays one
        mark = _MARK if self._content.startswith(_MARK) else b""
        try:
            if file.read_bytes() != self._content:
                raise StorageError(f"{self.path} was changed meanwhile by somebody else; nothing was written")
            write_whole(file, mark + self.text.encode(), mode=stat.S_IMODE(file.stat().st_mode))
        except OSError as error:
            raise StorageError(f"cannot write {str(self.path)!r}: {why(error)}") from error


def _identity(problem: Problem) -> tuple[str, str]:
    return problem.path, problem.message


def _command() -> str:
    context = click.get_current_context(silent=True)
    return context.command_path if context else "connectory"
