"""Which credential signs a request, and where it comes from."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectory.errors import ConfigError, CredentialsError
from connectory.text.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ALLOW_COMMANDS = "CONNECTORY_ALLOW_COMMANDS"
COMMAND_SECONDS = 30.0
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(slots=True)
class Credential:
    """One token: given, or read from a file or a command, which are read again after a refusal.

    `header` and `prefix` say how it is sent (`Authorization: Bearer …`). The token never appears in a repr.
    """

    header: str
    prefix: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    token_command: Sequence[str] | str | None = field(default=None, repr=False)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _current: str | None = field(default=None, init=False, repr=False)
    _redactor: Redactor = field(default_factory=Redactor, init=False, repr=False)
    _signature: dict[str, str] | None = field(default=None, init=False, repr=False)
    _held: set[str] = field(default_factory=set[str], init=False, repr=False)

    def current(self) -> str:
        """Give the token, without its prefix; empty when none is configured. Raises CredentialsError."""
        if self._current is None:
            self._current = self._read()
        return self._current

    def report_to(self, redactor: Redactor) -> None:
        """Tell a redactor every token that this credential has held, and each that it will read."""
        self._redactor = redactor
        redactor.add(*self._held)

    def refresh(self) -> bool:
        """Read a file or command again; say whether the token changed."""
        if self.token_file is None and self.token_command is None:
            return False
        fresh = self._read()
        if not fresh or fresh == self._current:  # a file that is just being written may be empty
            return False
        self._current, self._signature = fresh, None
        return True

    def headers(self) -> dict[str, str]:
        """Give the header that signs a request, or none when there is no token; the same until the token changes."""
        if self._signature is None:
            token = self.current()
            self._signature = {self.header: f"{self.prefix}{token}"} if token else {}
        return self._signature

    def _read(self) -> str:
        if self.token_command is not None:
            return self._clean(self._run(), "the output of token_command")
        if self.token_file is not None:
            return self._clean(self._read_file(self.token_file), f"the token file {str(self.token_file)!r}")
        return self._clean(self.token, "the token")

    def _clean(self, text: str, what: str) -> str:
        token = text.strip()
        scheme = self.prefix.strip()
        if scheme and token[: len(scheme)].lower() == scheme.lower() and token[len(scheme) :][:1].isspace():
            token = token[len(scheme) :].strip()
        if token.lower() == scheme.lower():
            return ""
        self._held.add(token)
        self._redactor.add(token)
        if token and not _TOKEN.fullmatch(token):
            raise CredentialsError(
                f"{what} holds a space, a line break or a character outside ASCII; it must be one word"
            )
        return token

    @staticmethod
    def _read_file(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8-sig")
        except OSError as error:
            reason = error.strerror
        except UnicodeDecodeError:
            reason = "it is not UTF-8"
        # out here, where the decoder's error, which holds the file's content, is not the context
        raise CredentialsError(f"cannot read the token file {str(path)!r}: {reason}")

    def _run(self) -> str:
        if self.environ.get(ALLOW_COMMANDS) != "1":
            raise ConfigError(f"token_command is not allowed to run; set {ALLOW_COMMANDS}=1 to allow it")
        words = _words(self.token_command or ())
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command, allowed by the user's own environment
                words,
                stdin=subprocess.DEVNULL,  # records may be waiting there
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no answer in {COMMAND_SECONDS:g} s"
            raise CredentialsError(f"token_command {words[:1]!r} did not run: {reason}") from None
        if done.returncode:
            raise CredentialsError(f"token_command {words[:1]!r} ended with exit code {done.returncode}")
        return done.stdout


def _words(command: Sequence[str] | str) -> list[str]:
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise ConfigError(f"token_command cannot be split into words: {str(error).lower()}") from None
    if not words:
        raise ConfigError("token_command is empty; name a program that prints the token")
    return words
