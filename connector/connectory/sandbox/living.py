"""Items that go through states: each reading moves one on, so that every run of a test sees the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.sandbox.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectory.sandbox.items import Items
    from connectory.sandbox.store import Stored

OVER = frozenset({"completed", "succeeded", "failed", "cancelled", "canceled", "expired"})


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of a collection's items: the states in order, and what happens on the way.

    `stays` does the work of a state, a piece at each reading, and says whether more is left. `entered` happens on
    entering a state. `begun` completes a new item, `visited` comes with the reading of one, `shown` before any showing.
    """

    states: tuple[str, ...]
    verbs: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    stays: Mapping[str, Callable[[Items, Kept], bool]] = field(default_factory=dict[str, Any])
    entered: Mapping[str, Callable[[Items, Kept], None]] = field(default_factory=dict[str, Any])
    begun: Callable[[Items, Kept], None] | None = None
    visited: Callable[[Items, Kept], None] | None = None
    shown: Callable[[Items, Kept], None] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """One item with the place where it is kept and the life it has."""

    path: str
    name: str
    stored: Stored
    life: Life

    @property
    def facts(self) -> dict[str, Any]:
        """Give what is known of the item."""
        return self.stored.facts

    @property
    def item_path(self) -> str:
        """Give the item's own path."""
        return f"{self.path}/{self.name}"

    @property
    def is_over(self) -> bool:
        """Say whether the item has come to its end."""
        return self.facts.get("status") in OVER


def begin(items: Items, kept: Kept) -> None:
    """Put a new item into its first state."""
    kept.facts["status"], *ahead = kept.life.states
    kept.stored.ahead = tuple(ahead)
    if kept.life.begun is not None:
        kept.life.begun(items, kept)


def move(items: Items, kept: Kept) -> None:
    """Move an item one state on, if its present one has nothing left to do; one that is paused stays."""
    stored = kept.stored
    if not stored.ahead or stored.held:
        return
    stays = kept.life.stays.get(kept.facts["status"])
    more = stays is not None and stays(items, kept)
    stored.shapes.clear()
    if stored.ahead and not more:
        become(items, kept, *stored.ahead)


def become(items: Items, kept: Kept, state: str, *ahead: str) -> None:
    """Put an item into a state, and say what follows from there."""
    kept.facts.update({"status": state, f"{state}_at": int(items.clock())})
    kept.stored.ahead = ahead
    if (entered := kept.life.entered.get(state)) is not None:
        entered(items, kept)
    kept.stored.shapes.clear()


def obey(items: Items, kept: Kept, verb: str) -> None:
    """Do what a command says. Refuses it for an item that is over."""
    if kept.is_over:
        what = f"an item with status '{kept.facts['status']}'"
        raise RefusedError(400, f"Cannot {verb} {what}.", code="invalid_status")
    if verb in {"pause", "resume"}:
        kept.stored.held = verb == "pause"
    elif (states := kept.life.verbs.get(verb)) is not None and kept.facts["status"] != states[0]:
        kept.stored.held = False
        become(items, kept, *states)
