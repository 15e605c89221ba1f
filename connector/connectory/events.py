"""What happened during a run, for progress, logs and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from connectory.frozen import value


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run began; `total` is the number of records where the source knows it."""

    run: str
    connection: str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class PageRead:
    """One page of an incoming was read, transformed and written."""

    connection: str
    items: int
    records: int


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """An attempt failed and another follows after `wait` seconds; `held`: with everybody else, as Held has told."""

    what: str
    attempt: int
    wait: float
    reason: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """All requests of a client wait for `wait` seconds: the server refuses for pace, or is away."""

    wait: float
    reason: str


@value(frozen=True, slots=True)
class RecordFinished:
    """One outgoing record reached its end: `ok`, `error` or `skipped`."""

    connection: str
    index: int
    status: str


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


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that deserves a line on stderr and stops nothing."""

    message: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run ended by itself; `counts` has `ok`, `error` and `skipped`, or `items`, `records`, `errors` and `pages`."""

    run: str
    connection: str
    counts: dict[str, Any]


Event: TypeAlias = (
    RunStarted
    | PageRead
    | RequestRetried
    | Held
    | RecordFinished
    | RecordRefused
    | StateChanged
    | BatchChanged
    | Noticed
    | RunFinished
)
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing: the default listener."""
