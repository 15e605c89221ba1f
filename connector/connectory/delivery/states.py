"""When created work is at its end, where its state is read, and how long to wait before reading it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Entity

SHORTEST, LONGEST, SHARE = 1.0, 60.0, 0.1
"""Seconds between two readings where nobody says: a tenth of the time that was waited so far, within these bounds."""

POLL_AFTER = "openai-poll-after-ms"
"""The header in which the API says when to read again."""


@dataclass(frozen=True, slots=True)
class Until:
    """The end of what a connection creates, in the catalogue's words.

    `entity` reads the created item. `done`, `failed` and `stuck` are states: the last ones wait for somebody, and every
    other one is under way. `every` is in seconds, None for by age; after `timeout` seconds nobody waits any more.
    """

    entity: Entity
    done: frozenset[str]
    failed: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    every: float | None = None
    timeout: float = 86_400.0

    def is_over(self, item: Any) -> bool:
        """Say whether an item changes no more by itself."""
        return state_of(item) in self.done | self.failed | self.stuck

    def path(self, given: Mapping[str, Any], item: Any) -> dict[str, Any] | None:
        """Give the path parameters of an item: those of its creation, or fields of its own; None where one is missing.

        The last one is the item's `id`.
        """
        facts = _facts(item)
        *outer, last = self.entity.path_parameters
        found = {name: given.get(name, facts.get(name)) for name in outer} | {last: facts.get("id")}
        return found if all(isinstance(value, str) and value for value in found.values()) else None

    def pause(self, age: float, headers: Mapping[str, str]) -> float:
        """Give the seconds until the next reading, `age` seconds after the first."""
        if self.every is not None:
            return self.every
        hint = headers.get(POLL_AFTER, "")
        if hint.isascii() and hint.isdigit():
            return min(LONGEST, max(1, int(hint[:9])) / 1000)
        return min(LONGEST, max(SHORTEST, age * SHARE))


def state_of(item: Any) -> str:
    """Give the state of an item; empty where it tells none."""
    state = _facts(item).get("status")
    return state if isinstance(state, str) else ""


def id_of(item: Any) -> str:
    """Give the id of an item, for messages."""
    return str(_facts(item).get("id", ""))


def why(item: Any) -> str:
    """Give what an item says about its failure, or nothing."""
    facts = _facts(item)
    for name in ("error", "last_error", "incomplete_details"):
        told = _facts(facts.get(name))
        if isinstance(message := told.get("message") or told.get("reason"), str):
            return message
    errors: Any = _facts(facts.get("errors")).get("data")
    message = _facts(errors[0]).get("message") if isinstance(errors, list) and errors else None
    return message if isinstance(message, str) else ""


def _facts(item: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", item) if isinstance(item, dict) else {}
