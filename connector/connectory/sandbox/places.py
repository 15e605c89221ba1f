"""Where an entity stands in the tree of paths: which are collections, which are items, what is above."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

from connectory.sandbox.details import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.catalogue import Catalogue, Entity


@dataclass(frozen=True)
class Place:
    """One entity with its path parameters filled in."""

    entity: Entity
    parameters: Mapping[str, str]

    @cached_property
    def segments(self) -> list[str]:
        """Give the path's segments, each parameter encoded, so that a slash in a value stays inside it."""
        templates = self.entity.path.strip("/").split("/")
        return [
            quote(self.parameters[one[1:-1]], safe="") if one.startswith("{") else one for one in templates
        ]

    @property
    def path(self) -> str:
        """Give the path, encoded."""
        return "/" + "/".join(self.segments)

    @property
    def is_item(self) -> bool:
        """Say whether the last segment is a parameter."""
        return self.entity.path.endswith("}")

    @property
    def name(self) -> str:
        """Give the value of the last path parameter: the name of the nearest item."""
        return self.parameters[self.entity.path_parameters[-1]] if self.entity.path_parameters else ""


class Places:
    """The catalogue's collections, by the template of their path."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.collections: dict[str, Entity] = {}
        paths = {entity.path for entity in catalogue.values()}
        split = (path.rpartition("/") for path in paths if path.endswith("}"))
        self.item_parameters: dict[str, str] = {path: last[1:-1] for path, _, last in split}
        for entity in catalogue.values():
            lists = (read := entity.actions.get("read")) is not None and read.kind == "list"
            makes = (create := entity.actions.get("create")) is not None and create.kind == "create"
            if not entity.path.endswith("}") and (lists or (makes and entity.path in self.item_parameters)):
                self.collections.setdefault(entity.path, entity)
        self.collections |= {catalogue[name].path: catalogue[name] for name in KEPT if name in catalogue}

    def makes(self, collection: Entity) -> bool:
        """Say whether requests can add to a collection; one that nobody can add to begins with examples."""
        create = collection.actions.get("create")
        return create is not None and (create.kind == "create" or collection.name in KEPT)

    def of(self, entity: Entity) -> Entity | None:
        """Give the collection that the entity's items are in, or that the entity is."""
        path = entity.path.rpartition("/")[0] if entity.path.endswith("}") else entity.path
        return self.collections.get(path)

    def above(self, place: Place) -> Iterator[tuple[Entity, str, str]]:
        """Give the items that a path goes through, outermost first: collection, its path, the item's name."""
        templates = place.entity.path.strip("/").split("/")
        for count in range(1, len(templates)):
            collection = self.collections.get("/" + "/".join(templates[:count]))
            if collection is not None and templates[count].startswith("{"):
                yield (
                    collection,
                    "/" + "/".join(place.segments[:count]),
                    place.parameters[templates[count][1:-1]],
                )
