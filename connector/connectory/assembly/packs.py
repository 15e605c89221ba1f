"""What a connection says of packing, held against what the catalogue knows of the entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.delivery.packs import MOST_BYTES, Bounds, PackOption
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Action
    from connectory.config import Config, OutgoingConfig

_ALONE = {
    "save_to": "saves one answer a record",
    "stream": "asks for one stream a record",
    "until": "waits for what each record has created",
    "sequence": "sends records one after the other",
    "upload": "sends a file of each record's own",
}
"""Options that need a request for each record, and why."""


def pack(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, action: Action
) -> PackOption | None:
    """Resolve how many records go in one request. Raises ConfigError where the entity takes one at a time."""
    if settings.pack is None:
        return None
    fact: Mapping[str, Any] = action.extra.get("pack") or {}
    if not fact:
        what = "a raw request" if settings.entity is None else f"entity {settings.entity!r}"
        message = (
            f"'pack' does nothing here: the catalogue knows no property of {what} that takes many records"
        )
        raise ConfigError(config.problem((*place, "pack"), message, key=True))
    for other, why in _ALONE.items():
        if getattr(settings, other):
            message = f"'pack' sends many records in one request, and {other!r} {why}; leave one of them out"
            raise ConfigError(config.problem((*place, "pack"), message, key=True))
    own, bounds, by = settings.pack, bounds_of(fact), None
    if "by" in fact:
        by = (
            fact["by"]["property"],
            {value: bounds_of({**fact, **one}) for value, one in fact["by"]["values"].items()},
        )
    most = bounds.most if by is None else max((one.most or own.size for one in by[1].values()), default=None)
    if most is not None and own.size > most:
        message = f"'size' is {own.size}, and {settings.entity!r} takes at most {most} in one request"
        raise ConfigError(config.problem((*place, "pack", "size"), message))
    form = fact.get("form", "list")
    results = None if form == "jsonl" else fact.get("results")
    return PackOption(fact["property"], own.size, own.wait, form, results, bounds, by)


def bounds_of(fact: Mapping[str, Any]) -> Bounds:
    """Read how much one request takes."""
    return Bounds(fact.get("most"), fact.get("tokens"), fact.get("bytes", MOST_BYTES))
