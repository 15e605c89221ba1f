"""What a connection says of batches, resolved with what the catalogue knows of the Batch API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.catalogue.batchable import ENTITIES, BatchOption
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Action, Catalogue, Entity
    from connectory.config import Config, OutgoingConfig

_JSON = "application/json"

_EXCLUDED = {
    "sequence": "the requests of a batch have no order",
    "until": "a batch is waited for anyway",
    "stream": "the requests of a batch cannot stream",
    "save_to": "its answers come in one file for all",
    "upload": "its requests send no files",
    "files_root": "its requests send no files",
    "pack": "a batch holds many requests already",
}
"""Options that mean nothing with batches, and why."""


def batch(
    config: Config,
    place: tuple[str, ...],
    settings: OutgoingConfig,
    target: tuple[Entity, Action],
    catalogue: Catalogue,
) -> BatchOption | None:
    """Resolve `delivery: batch`. Raises ConfigError where the API takes no such request, or an option excludes it."""
    if settings.delivery != "batch":
        return None
    here = (*place, "delivery")
    for name, why in _EXCLUDED.items():
        if getattr(settings, name, None) is not None:
            raise ConfigError(
                config.problem(
                    (*place, name), f"'{name}' does not go with `delivery: batch`: {why}", key=True
                )
            )
    entity, action = target
    begins = catalogue["batches"].actions["create"]
    known: Mapping[str, Any] = begins.extra.get("batch") or {}
    endpoints = _endpoints(begins, catalogue)
    endpoint = next((one for one in endpoints if _below_version(one) == entity.path), None)
    is_plain = settings.request is None and action.name == "create" and not action.fixed_query
    if endpoint is None or not is_plain or not known:
        what = "a raw request" if settings.request is not None else f"{action.name} of entity {entity.name!r}"
        takes = ", ".join(_below_version(one).lstrip("/").replace("/", ".") for one in endpoints)
        message = f"the Batch API does not take {what}; it takes {takes}; leave `delivery` out"
        raise ConfigError(config.problem(here, message))
    inputs: Mapping[str, int] = known.get("inputs") or {}
    states: Mapping[str, Any] = begins.extra.get("states") or {}
    return BatchOption(
        endpoint,
        {name: catalogue[name] for name in ENTITIES},
        requests=known["requests"],
        size=known["bytes"],
        inputs=inputs.get(endpoint),
        window=_window(begins, catalogue),
        done=frozenset(states.get("done", ())),
        failed=frozenset(states.get("failed", ())),
    )


def _endpoints(begins: Action, catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(_property(begins, catalogue, "endpoint").get("enum") or ())


def _window(begins: Action, catalogue: Catalogue) -> str:
    return str((_property(begins, catalogue, "completion_window").get("enum") or ("24h",))[0])


def _property(begins: Action, catalogue: Catalogue, name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = (
        catalogue.resolve(begins.body.content[_JSON]) if begins.body is not None else {}
    )
    found: Mapping[str, Any] = catalogue.resolve(schema.get("properties", {}).get(name) or {})
    return found


def _below_version(endpoint: str) -> str:
    """Give the path of an endpoint below the API's version, as entities have it."""
    return "/" + endpoint.removeprefix("/").partition("/")[2]
