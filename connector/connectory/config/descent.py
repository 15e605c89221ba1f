"""The parents of an incoming: what `each` names, and what of its URL they fill."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectory.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from connectory.catalogue import Catalogue, Entity
    from connectory.config.incoming import IncomingConfig
    from connectory.config.tree import Config
    from connectory.errors import Problem

INCOMING = "incoming:"
_PARAMETER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Above:
    """What is read for parents: an incoming, or an entity that no incoming describes.

    `entity` is None for a raw request; `names` are the path parameters of its URL.
    """

    entity: Entity | None
    incoming: str | None
    names: tuple[str, ...]

    def fills(self, entity: Entity | None, configured: Collection[str]) -> str | None:
        """Name the path parameter of a child's URL that a parent's own field fills."""
        if entity is None or self.entity is None or entity.parent != self.entity.name:
            return None
        own = [one for one in entity.path_parameters if one not in configured and one not in self.names]
        return own[-1] if own else None


def above(config: Config, catalogue: Catalogue, settings: IncomingConfig) -> Above | None:
    """Resolve what `each` names. Raises ConfigError, without a place."""
    name = settings.each
    if name is None:
        return None
    if not name.startswith(INCOMING):
        return _entity_above(catalogue, name)
    incoming = name.removeprefix(INCOMING)
    if incoming not in config.incoming:
        raise ConfigError(f"no incoming {incoming!r}{did_you_mean(incoming, config.incoming)}")
    parents = config.incoming[incoming]
    if parents.entity is None:
        path = parents.request.path if parents.request is not None else ""
        return Above(None, incoming, tuple(_PARAMETER.findall(path)))
    entity = catalogue.find(parents.entity, "read")
    return Above(entity, incoming, entity.path_parameters)


def over(catalogue: Catalogue, child: Above) -> Above | None:
    """Give what stands over an entity that is a parent itself: its own parent in the catalogue. Raises ConfigError."""
    entity = child.entity
    if entity is None or not entity.path_parameters:
        return None
    if entity.parent is None:
        raise ConfigError(
            f"entity {entity.name!r} needs the path parameter {entity.path_parameters[0]!r}, and the catalogue knows "
            "no parent that fills it; make an incoming of it and write each: incoming:NAME"
        )
    return _entity_above(catalogue, entity.parent)


def _entity_above(catalogue: Catalogue, name: str) -> Above:
    entity = catalogue.find(name, "read")
    return Above(entity, None, entity.path_parameters)


def check_descent(config: Config, incomings: Collection[str]) -> Iterator[Problem]:
    """Give what is wrong with parents, and with what is remembered, within the configuration alone."""
    for name, settings in config.incoming.items():
        place = ("incoming", name)
        if settings.each is not None and not config.is_unset((*place, "each")):
            yield from _check_each(config, name, settings.each, incomings)
        if settings.each is not None and settings.input is not None:
            yield config.problem(
                (*place, "input"),
                f"incoming {name!r} has 'each' and 'input'; give one, or let the parents be an incoming with 'input'",
                key=True,
            )
        if settings.keep_parent is not None and settings.each is None and settings.input is None:
            yield config.problem(
                (*place, "keep_parent"), "'keep_parent' does nothing without 'each' or 'input'", key=True
            )
        if settings.incremental is not None and settings.pagination != "all":
            yield config.problem(
                (*place, "pagination"),
                "'incremental' needs every page: its mark moves after a complete walk; remove 'pagination'",
                key=True,
            )


def _check_each(config: Config, name: str, each: str, incomings: Collection[str]) -> Iterator[Problem]:
    place = ("incoming", name, "each")
    if not each.startswith(INCOMING):
        return
    parent = each.removeprefix(INCOMING)
    if parent not in incomings:
        hint = did_you_mean(parent, incomings)
        if parent in config.outgoing:
            hint = ", it is an outgoing; parents are read"
        yield config.problem(place, f"no incoming {parent!r}{hint}")
        return
    way = [name]
    while parent in config.incoming and parent not in way:
        way.append(parent)
        above_it = config.incoming[parent].each or ""
        if not above_it.startswith(INCOMING):
            return
        parent = above_it.removeprefix(INCOMING)
    if parent == name:
        yield config.problem(
            place, f"incoming {name!r} is its own parent, by way of {' → '.join([*way, parent])}"
        )


def check_parents(
    config: Config, name: str, catalogue: Catalogue
) -> tuple[Collection[str] | None, list[Problem]]:
    """Hold the parents of an incoming against the catalogue: the path parameters that they fill, and what is wrong.

    None where that cannot be known.
    """
    settings, place = config.incoming[name], ("incoming", name, "each")
    if settings.each is None or config.is_unset(place):
        return (), []
    try:
        parents = above(config, catalogue, settings)
        entity = None if settings.entity is None else catalogue.find(settings.entity)
        further = parents
        while further is not None and further.incoming is None:
            further = over(catalogue, further)
    except ConfigError as error:
        if settings.each.startswith(INCOMING):  # told where that incoming stands
            return None, []
        return None, [config.problem(place, problem.message) for problem in error.problems]
    if parents is None:
        return (), []
    own = parents.fills(entity, settings.request_parameters.path)
    return {*parents.names, *([own] if own else [])}, []
