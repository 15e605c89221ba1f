"""Dialects: how another product writes the records of an entity and shapes its results, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from connectory.catalogue.entity import Json

Usage: TypeAlias = Mapping[str, Any]
"""What a dialect says of one action, in the keys of an outgoing: `transformers`, `payload`, `result`, ..."""

ANY = "*"
"""The name under which a dialect says what goes for every other entity."""


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One product's words.

    `entities` maps entities to their actions, `request` is what goes for raw requests. `transformers` are the chains
    that its steps may name, `macros` the texts that stand for a placeholder in a connection's own templates.
    """

    name: str
    title: str
    entities: Mapping[str, Mapping[str, Usage]]
    request: Usage | None
    transformers: Mapping[str, Sequence[Any]]
    macros: Mapping[str, str]

    def usage(self, entity: str, action: str) -> Usage | None:
        """Say how an entity's action is used; None when the dialect does not know it."""
        for name in (entity, ANY):
            if action in (actions := self.entities.get(name, {})):
                return actions[action]
        return None

    def knows(self, entity: str) -> bool:
        """Say whether the dialect has words of its own for an entity."""
        return entity in self.entities

    def translate(self, template: Any) -> Any:
        """Put the placeholders for the macros in every text of a template; one after `&` or `?` is no macro."""
        if isinstance(template, str):
            for macro, placeholder in self.macros.items():
                template = placeholder.join(re.split(rf"(?<![&?$]){re.escape(macro)}", template))
            return template
        if isinstance(template, Mapping):
            return {key: self.translate(value) for key, value in cast("Mapping[str, Any]", template).items()}
        if isinstance(template, list | tuple):
            return [self.translate(value) for value in cast("list[Any]", template)]
        return template


def build_dialect(name: str, parts: Sequence[Json]) -> Dialect:
    """Make a dialect of its entries in the catalogue files, of which a later one adds to the earlier ones."""
    entities: dict[str, dict[str, Usage]] = {}
    for part in parts:
        for entity, actions in part.get("entities", {}).items():
            entities[entity] = {**entities.get(entity, {}), **actions}
    merged = {key: value for part in parts for key, value in part.items()}
    chains = {key: one for part in parts for key, one in part.get("transformers", {}).items()}
    macros = {key: one for part in parts for key, one in part.get("macros", {}).items()}
    return Dialect(
        name=name,
        title=merged.get("title", name),
        entities=MappingProxyType(entities),
        request=merged.get("request"),
        transformers=MappingProxyType(chains),
        macros=MappingProxyType(macros),
    )
