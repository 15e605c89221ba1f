"""Every exception of the project, grouped by what the run does next.

ConnectoryError
├── ConfigError                the run never starts; every problem at once in `.problems`
│   ├── UnknownNameError       a name that is in no list; also a KeyError
│   └── InputError             the records are in a form that this project does not read
├── RecordError                this record is set aside, the run goes on
│   ├── ExpressionError        an expression met an absent field or a wrong type
│   ├── TransformerError       a transformer failed or gave something that is no record
│   ├── RequestError           path, query and payload do not make a request
│   ├── SaveError              the answer came and could not be written to disk
│   ├── AcceptError            the answer came and does not meet `accept`
│   ├── TooLargeError          the answer came and is larger than is taken
│   ├── WorkError              what was created ended badly, or not in time
│   └── ApiError               the server refused the request, or its answer cannot be used
├── JobBusyError               another process works on the same job; nothing was done
├── TransportError             no usable answer came; whether to send again is decided by `retry`
│   ├── NotSentError           certain: not one byte of the request left
│   └── OutcomeUnknownError    the server may have acted
└── RunStoppedError            the run stops, records not yet done stay pending
    ├── SetupError             the configured server or proxy cannot be spoken to at all
    ├── CredentialsError       a wrong or missing token, or no permission
    ├── UnavailableError       the server is away, or money or quota is used up
    ├── StorageError           a file takes no more: the disk is full, or gone
    ├── GuardError             `max_dead` or `budget` is reached
    ├── RunDetachedError       everything is created, and not all of it is at its end
    └── RunInterruptedError    a signal asked the run to end
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ConnectoryError(Exception):
    """Anything this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration, and where.

    `line` and `column` count from 1; 0 means that the configuration came as data and has no lines.
    `path` is the dotted way to the value; `excerpt` is the source line, `width` how much of it to underline.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    excerpt: str = ""
    width: int = 1
    severity: str = "error"

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        )
        where = f"{self.path}: " if self.path and not self.line else ""
        head = f"{place}{where}{self.message}"
        if not self.excerpt:
            return head
        gutter = f"{self.line:>5} | "
        underline = " " * (len(gutter) - 2) + "| " + " " * (self.column - 1) + "^" * max(1, self.width)
        return f"{head}\n{gutter}{self.excerpt}\n{underline}"


class ConfigError(ConnectoryError):
    """The configuration cannot be used, or what goes with it; nothing was sent.

    `command` is what to type next, where that is known.
    """

    def __init__(self, problems: str | Problem | Iterable[Problem], *, command: str = "") -> None:
        self.command = command
        if isinstance(problems, str):
            problems = [Problem(problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownNameError(ConfigError, KeyError):
    """A name that is in no list; the message suggests the nearest one, or the kind `elsewhere` that has it."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, hint: str = "", elsewhere: str = ""
    ) -> None:
        self.kind, self.name, self.known, self.elsewhere = kind, name, tuple(known), elsewhere
        nearest = it_is(elsewhere) if elsewhere else did_you_mean(name, self.known)
        super().__init__(f"no {kind} {name!r}{nearest}{hint and f' ({hint})'}")

    def __str__(self) -> str:
        return str(self.args[0])


class InputError(ConfigError):
    """The input is no JSON Lines; `command` converts it, where there is one. Nothing was sent."""


class RecordError(ConnectoryError):
    """One record cannot be delivered as it is; the others go on."""

    kind: ClassVar[str] = "record"
    retryable: ClassVar[bool] = False
    code: str | None = None


class ExpressionError(RecordError):
    """An expression met an absent field, or values of types that do not go together."""

    kind = "expression"


class TransformerError(RecordError):
    """A transformer raised, or returned something that is neither a record, records nor (declared) nothing."""

    kind = "transformer"


class RequestError(RecordError):
    """Path parameters, query or payload do not make a valid request."""

    kind = "request"


class SaveError(RecordError):
    """The server did what was asked, and its answer could not be written to disk."""

    kind = "save"


class AcceptError(RecordError):
    """The server did what was asked, and its answer does not meet the connection's `accept`."""

    kind = "accept"


class TooLargeError(RecordError):
    """The server did what was asked, and its answer is larger than is taken; asking again would give the same."""

    kind = "too_large"


class WorkError(RecordError):
    """What was asked for was created, and it failed, stands still or did not come to its end in time (`until`)."""

    kind = "work"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ApiError(RecordError):
    """The server answered and did not do what was asked.

    `status` is the HTTP status, `code`, `type` and `param` come from the API's error envelope where there is one;
    `body` is the parsed answer, or the first bytes of one that is not JSON.
    """

    kind = "api"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the API's own word
        param: str | None = None,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.type, self.param = status, code, type, param
        self.request_id, self.headers, self.body = request_id, headers or {}, body


class JobBusyError(ConnectoryError):
    """Another process works on the same job; nothing was read or sent."""


class TransportError(ConnectoryError):
    """No usable answer came from the server."""

    kind: ClassVar[str] = "transport"
    retryable: ClassVar[bool] = True
    code: str | None = None


class NotSentError(TransportError):
    """Certain: no byte of the request reached the server (no connection, name, certificate or proxy).

    `setup` says that only another configuration helps: trying again is of no use.
    """

    kind = "not_sent"

    def __init__(self, message: str, *, setup: bool = False) -> None:
        super().__init__(message)
        self.setup = setup


class OutcomeUnknownError(TransportError):
    """The request left, or part of it, and no whole answer came back: the server may have acted."""

    kind = "outcome_unknown"


class RunStoppedError(ConnectoryError):
    """A cause that concerns the whole run; records not yet done stay pending. `command` goes on with it, if known."""

    command: str = ""


class SetupError(RunStoppedError):
    """What is configured cannot be used: a server's certificate, name or protocol; a transformer that cannot open.

    `command` is what to type next, where that is known.
    """

    command: str = ""


class CredentialsError(RunStoppedError):
    """The token is missing or wrong, or it has no permission."""


class UnavailableError(RunStoppedError):
    """The server cannot be reached, keeps failing, or money or quota is used up."""


class StorageError(RunStoppedError):
    """A file that has to be written takes no more, or state that has to be read cannot be."""


class GuardError(RunStoppedError):
    """The run has reached what `max_dead` or `budget` allows; `command` goes on, once that was raised."""

    command: str = ""


class ProcessLostError(RunStoppedError):
    """One of the processes that share a run is gone before its work was done; the same command goes on."""


class RunDetachedError(RunStoppedError):
    """Everything is created and not all of it is at its end; nobody was to wait for it."""


class RunInterruptedError(RunStoppedError):
    """A signal asked the run to end; `code` is the exit code that the shell expects for it."""

    code: int = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give `; did you mean 'x'?` for the nearest of the known names, or nothing."""
    originals = {one.lower(): one for one in known}
    nearest: Sequence[str] = get_close_matches(name.lower(), originals, n=1, cutoff=0.6)
    return f"; did you mean {originals[nearest[0]]!r}?" if nearest else ""


def it_is(kind: str) -> str:
    """Give `; it is an incoming` for what is of another kind than it was taken for."""
    return f"; it is {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
