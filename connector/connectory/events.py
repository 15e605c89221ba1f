"""What happened during a run, for progress, logs and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from connectory.frozen import value

if TYPE_CHECKING:
    from connectory.record import Failure

Kind: TypeAlias = Literal["incoming", "outgoing"]


class Whose(NamedTuple):
    """In whose name something is asked: the run, its connection, and the record where there is one."""

    run: str = ""
    connection: str = ""
    record: str | None = None


NOBODY = Whose()


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run began; `total` is the number of records where the source knows it."""

    run: str
    connection: str
    total: int | None = None
    kind: Kind = "outgoing"
    entity: str = ""


@dataclass(frozen=True, slots=True)
class PageRead:
    """One page of an incoming was read, transformed and written."""

    connection: str
    items: int
    records: int
    run: str = ""


@dataclass(slots=True)
class RequestEnded:
    """One attempt of a request came to its end; told only to who hears closely.

    `what` is the method and the template of the path, `url` has no query and no secret, `began` is in epoch seconds,
    `waited` is how long it stood at the gate. `error` is a status of failure, or the class of what went wrong. `model`
    and `usage` are those of the request and its answer, where they name any.
    """

    client: str
    entity: str
    what: str
    url: str
    status: int | None
    request_id: str | None
    attempt: int
    began: float
    seconds: float
    waited: float
    error: str | None
    model: str | None
    answered_by: str | None
    usage: dict[str, Any] | None
    whose: Whose = NOBODY


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """An attempt failed and another follows after `wait` seconds; `held`: with everybody else, as Held has told."""

    what: str
    attempt: int
    wait: float
    reason: str
    held: bool = False
    client: str = ""
    entity: str = ""
    status: int | None = None
    request_id: str | None = None
    run: str = ""
    connection: str = ""
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """All requests of a client wait for `wait` seconds: the server refuses for pace, or is away."""

    wait: float
    reason: str
    client: str = ""


@value(frozen=True, slots=True)
class RecordFinished:
    """One outgoing record reached its end: `ok`, `error` or `skipped`; the other fields are those of its result."""

    connection: str
    index: int
    status: str
    run: str = ""
    entity: str = ""
    id: str = ""
    http_status: int | None = None
    request_id: str | None = None
    attempts: int = 0
    usage: dict[str, Any] | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class RecordRefused:
    """A record that had finished as `ok` is an error after all: the output does not take its lines."""

    connection: str
    index: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Created work that a run waits for has another state; `item` is its id at the server, `id` names the record."""

    connection: str
    index: int
    id: str
    item: str
    state: str
    run: str = ""


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """A batch of the API has another state, or is further: so many of its requests are completed, or have failed.

    `part` counts the batches of the run, `batch` is the id at the server.
    """

    connection: str
    part: int
    batch: str
    state: str
    total: int
    completed: int
    failed: int
    run: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that deserves a line on stderr and stops nothing."""

    message: str
    run: str = ""
    connection: str = ""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run ended by itself; `counts` has `ok`, `error` and `skipped`, or `items`, `records`, `errors` and `pages`."""

    run: str
    connection: str
    counts: dict[str, Any]
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class RunBroken:
    """A run did not come to its end; `error` is the class of what stopped it, empty where nobody read on."""

    run: str
    connection: str
    counts: dict[str, Any]
    seconds: float = 0.0
    error: str = ""
    reason: str = ""


Event: TypeAlias = (
    RunStarted
    | PageRead
    | RequestEnded
    | RequestRetried
    | Held
    | RecordFinished
    | RecordRefused
    | StateChanged
    | BatchChanged
    | Noticed
    | RunFinished
    | RunBroken
)
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing: the default listener."""
