"""What one batch of the API takes: its endpoint, its limits, and the entities that are asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Entity

ENTITIES = ("files", "file", "file.content", "batches", "batch", "batch.cancel")
"""The entities by which a batch is made, looked at, read and cancelled."""


@dataclass(frozen=True, slots=True)
class BatchOption:
    """The option `delivery: batch` of a connection.

    `endpoint` is the API's word for what each line asks. A file holds at most so many `requests` and `size` bytes, and
    all its lines together at most so many `inputs`, where that is bounded. `done` and `failed` are the states in which
    a batch changes no more.
    """

    endpoint: str
    entities: Mapping[str, Entity]
    requests: int
    size: int
    inputs: int | None
    window: str
    done: frozenset[str]
    failed: frozenset[str]


def inputs_of(payload: Any) -> int:
    """Count the inputs of a request: a list of texts or of lists of tokens is several, anything else is one."""
    given: Any = cast("dict[str, Any]", payload).get("input") if isinstance(payload, dict) else None
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return len(given)  # pyright: ignore[reportUnknownArgumentType]  # any JSON
    return 1


def model_of(payload: Any) -> str:
    """Name the model of a request: a batch is for one. Empty where the request names none."""
    model: Any = cast("dict[str, Any]", payload).get("model") if isinstance(payload, dict) else None
    return model if isinstance(model, str) else ""
