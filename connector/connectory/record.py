"""What travels through the engine: records, the identity of a delivery, and results."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from connectory.frozen import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Record: TypeAlias = dict[str, Any]
"""One JSON object."""

Status: TypeAlias = Literal["ok", "error", "skipped", "begun"]
"""What became of a delivery. `begun` is the journal's word alone: something is created, and not at its end."""


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _no_headers() -> dict[str, str]:
    return {}


class Unchanged(list[Record]):
    """Objects as they were read from JSON: nobody has to look for numbers in them that JSON does not have."""

    __slots__ = ()


@value(frozen=True, slots=True)
class Delivery:
    """The identity of one delivery: the run, the position in its source, and the part.

    `part` counts what the chain made of one input, from 0; the run's id survives a resume and a replay. `seq` counts
    the inputs of the source that is read, from 0: where the journal keeps it.
    """

    run: str
    position: str
    part: int = 0
    seq: int = 0
    key: str = field(init=False, compare=False)
    """24 URL-safe characters that hash exactly run, position and part: the same on every attempt."""

    def __post_init__(self) -> None:
        """Make the key, once: it is asked for often."""
        name = f"{self.run}\n{self.position}\n{self.part}".encode()
        key = b2a_base64(hashlib.sha256(name).digest()[:18], newline=False).translate(_URL_SAFE)
        object.__setattr__(self, "key", key.decode())


@value(frozen=True, slots=True)
class Intent:
    """A delivery that is about to be sent, or was when a life of its run ended.

    `body` is the hash of what is sent, empty where it is not known any more; `lives` counts the lives of the run in
    which it was under way. `pack` is the key of the request that it shared with others, empty where it went alone.
    """

    key: str
    seq: int
    part: int
    body: str
    lives: int
    pack: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The delivery that a replay repeats.

    `part` is None when the record as a whole was set aside. `paid` is the result that only has to be shaped anew.
    """

    run: str
    index: int
    part: int | None = None
    paid: Result | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record is in error: `kind` is the class of failure, `code` the API's own word where it gave one."""

    kind: str
    message: str
    code: str | None = None
    retryable: bool = False

    def as_dict(self) -> Record:
        """Give the `error` object of a result line."""
        return {"class": self.kind, "code": self.code, "message": self.message, "retryable": self.retryable}


@dataclass(slots=True)
class Result:
    """What became of one outgoing record.

    `index` counts inputs from 0. `events` are those of a stream, whose lines go before the result's own. `output` is
    what `result` and the response transformers made of an ok result, if there are any: one line each. `record` is the
    record as it was read; `cause` is the exception behind an error; `headers` are those of the answer. `requests` is
    how many of the attempts count with this result: those of a pack count with its first member. None: all. `text`
    is the line of this status as JSON, and `texts` those of `output`, where they were written already. `model` is what
    the request named, where anybody counts by it; `guess` are the tokens, read and answered, that were reserved for a
    request, where its usage is not known; `earlier`: another run has bought it. `raw` is a response with its JSON as it
    came in one line: it stands for `response` only as long as that is the same object.
    """

    index: int
    id: str
    status: Status
    http_status: int | None = None
    request_id: str | None = None
    attempts: int = 0
    in_doubt: bool = False
    usage: Record | None = None
    response: Any = None
    error: Failure | None = None
    events: Sequence[Record] | None = field(default=None, repr=False)
    output: list[Any] | None = field(default=None, repr=False)
    record: Any = field(default=None, repr=False)
    cause: Exception | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=_no_headers, repr=False)
    text: tuple[Status, bytes] | None = field(default=None, repr=False, compare=False)
    texts: list[bytes] | None = field(default=None, repr=False, compare=False)
    requests: int | None = field(default=None, repr=False)
    model: str = field(default="", repr=False)
    guess: tuple[int, int] | None = field(default=None, repr=False)
    earlier: bool = field(default=False, repr=False)
    raw: tuple[Any, bytes] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Say whether the delivery succeeded."""
        return self.status == "ok"

    def unwrap(self) -> Result:
        """Give the result itself when it is no error, else raise what is behind it."""
        if self.cause is not None:
            raise self.cause
        return self

    def as_dict(self) -> Record:
        """Give the result line, in the order of the documented keys."""
        line: Record = {
            "index": self.index,
            "id": self.id,
            "status": self.status,
            "http_status": self.http_status,
            "request_id": self.request_id,
            "attempts": self.attempts,
            "in_doubt": self.in_doubt,
            "usage": self.usage,
        }
        if self.error is not None:
            line["error"] = self.error.as_dict()
        else:
            line["response"] = self.response
        return line

    def lines(self) -> list[Any]:
        """Give what goes to the output: events, then the shaped lines of an ok result, else the result itself."""
        own = [self.as_dict()] if self.output is None else self.output
        return [*self.events, *own] if self.events else own

    def written(self) -> list[bytes] | None:
        """Give the lines as JSON, where all of them were written already."""
        if self.events:
            return None
        if self.output is not None:
            return self.texts
        if self.text is None or self.text[0] != self.status:  # it is in the journal, and its shaping failed
            return None
        return [self.text[1]]
