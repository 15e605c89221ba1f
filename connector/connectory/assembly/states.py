"""What a connection says of waiting, resolved with the states that the catalogue knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.delivery.states import Until
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Action, Catalogue
    from connectory.config import Config, OutgoingConfig


def until(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, action: Action, catalogue: Catalogue
) -> Until | None:
    """Resolve when created work is at its end. Raises ConfigError where nothing goes on, or nobody can read it."""
    if settings.until is None:
        return None
    states: Mapping[str, Any] = action.extra.get("states") or {}
    if "entity" not in states:
        what = "a raw request" if settings.entity is None else f"entity {settings.entity!r}"
        message = (
            f"'until' does nothing here: the catalogue knows no work that {what} begins and that can be read"
        )
        raise ConfigError(config.problem((*place, "until"), message, key=True))
    for other in ("save_to", "stream"):
        if getattr(settings, other):
            message = f"'until' reads what is created again and again; it does not go with {other!r}"
            raise ConfigError(config.problem((*place, "until"), message, key=True))
    done, failed, stuck = (frozenset(states.get(name, ())) for name in ("done", "failed", "waiting"))
    own, entity = settings.until, catalogue.find(states["entity"], "read")
    return Until(entity, done, failed, stuck, every=own.every, timeout=own.timeout)
