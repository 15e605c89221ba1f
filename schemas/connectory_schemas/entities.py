"""A document's operations as entities: one for each URL template, named, corrected and linked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectory_schemas.convert import follow, properties
from connectory_schemas.errors import GenerateError
from connectory_schemas.naming import (
    PARAMETER,
    alias_key,
    entity_name,
    first_clash,
    nameless,
    qualified_name,
    split_template,
    title,
)
from connectory_schemas.operations import Document, Operation, auth, build_action, path_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory_schemas.overlay import Overlay


def build_entities(document: Document, overlay: Overlay) -> dict[str, dict[str, Any]]:
    """Make every entity of the document, by name, with the overlay's corrections."""
    by_template: dict[str, list[Operation]] = {}
    for operation in document.operations():
        by_template.setdefault(operation.template, []).append(operation)
    names = name_entities(list(by_template), overlay)
    templates = {template: _slots(operations, document) for template, operations in by_template.items()}
    entities = {
        names[template]: _entity(names[template], operations, document, templates, overlay)
        for template, operations in by_template.items()
    }
    overlay.apply(entities)
    _check_aliases(entities)
    _link_parents(entities, document)
    return dict(sorted(entities.items()))


def name_entities(templates: Sequence[str], overlay: Overlay) -> dict[str, str]:
    """Name every template; two that would share a name get their parameters in it, and must differ then."""
    names = {one: overlay.names.get(one) or entity_name(one, overlay.singular) for one in templates}
    plain = list(names.values())
    for template, name in names.items():
        if plain.count(name) > 1 and template not in overlay.names and PARAMETER.search(template):
            names[template] = qualified_name(template, overlay.singular)
    if clash := first_clash(list(names.values())):
        paths = ", ".join(template for template, name in names.items() if name == clash)
        raise GenerateError(
            f"entities of {paths} would all be named {clash!r}; give one a name in the overlay"
        )
    return names


def _slots(operations: Sequence[Operation], document: Document) -> set[str]:
    built = (build_action(one, document, {one.template: set()}) for one in operations)
    return {
        "list" if action["kind"] == "list" else one.action
        for one, action in zip(operations, built, strict=True)
    }


def _entity(
    name: str,
    operations: Sequence[Operation],
    document: Document,
    templates: Mapping[str, set[str]],
    overlay: Overlay,
) -> dict[str, Any]:
    first = operations[0]
    actions = {one.action: build_action(one, document, templates) for one in operations}
    aliases = {one.raw["operationId"]: one.action for one in operations if one.raw.get("operationId")}
    entity: dict[str, Any] = {
        "title": title(name, overlay.title_words),
        "group": _group(operations, first.template),
        "path": first.template.partition("?")[0],
    }
    if parameters := path_parameters(first, document):
        entity["parameters"] = parameters
    entity |= {"aliases": dict(sorted(aliases.items()))} if aliases else {}
    entity["auth"] = max((auth(one, document) for one in operations), key=["api", "admin"].index)
    order = [action for action in ("read", "create", "delete") if action in actions]
    return entity | {"actions": {action: actions[action] for action in order}}


def _group(operations: Sequence[Operation], template: str) -> str:
    tags = [tag for one in operations for tag in one.raw.get("tags", [])]
    literal = next((part for part in split_template(template)[0] if not PARAMETER.search(part)), "root")
    return re.sub(r"[^a-z0-9]+", "-", (tags[0] if tags else literal).lower()).strip("-")


def _check_aliases(entities: Mapping[str, dict[str, Any]]) -> None:
    aliases = [alias for entity in entities.values() for alias in entity.get("aliases", {})]
    if clash := first_clash([alias_key(alias) for alias in aliases]):
        same = [alias for alias in aliases if alias_key(alias) == clash]
        raise GenerateError(f"aliases {same!r} are one alias of more than one action")


def _link_parents(entities: dict[str, dict[str, Any]], document: Document) -> None:
    """Link each item's entity to the list one level up, and check every link."""
    lists = {_place(entity): name for name, entity in entities.items() if _is_list(entity)}
    for name, entity in entities.items():
        open_parameter = _last_parameter(entity["path"])
        parent = entity.get("parent") or lists.get(_place(entity, above=True))
        if open_parameter is None or parent is None:
            continue
        if parent not in entities or not _is_list(entities[parent]):
            raise GenerateError(f"parent {parent!r} of entity {name!r} is no list")
        field = entity.get("parent_field") or _parent_field(entities[parent], open_parameter, document)
        links = {"parent": parent} | ({"parent_field": field} if field != "id" else {})
        rest = {key: value for key, value in entity.items() if key not in ("parent", "parent_field")}
        entity.clear()
        for key, value in rest.items():
            entity[key] = value
            if key == "parameters":
                entity.update(links)


def _is_list(entity: Mapping[str, Any]) -> bool:
    return bool(entity["actions"].get("read", {}).get("kind") == "list")


def _last_parameter(path: str) -> str | None:
    found = PARAMETER.findall(path)
    return found[-1] if found else None


def _place(entity: Mapping[str, Any], *, above: bool = False) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give what identifies a template: path and fixed query; `above`: of the list above the parameter."""
    fixed = next(iter(entity["actions"].values())).get("fixed_query", {})
    path = str(entity["path"])
    if above:
        path = path[: path.rfind("/{")] if "/{" in path else "-"
    return nameless(path), tuple(sorted(fixed.items()))


def _parent_field(parent: Mapping[str, Any], parameter: str, document: Document) -> str:
    """Find which field of the parent's items fills the parameter: its name, else `id`, else a part of it."""
    response = parent["actions"]["read"]["response"]
    shape = follow(response.get("schema", {}), document.definitions)
    array = shape if response["items"] == "@" else properties(shape, document.definitions)[response["items"]]
    items = follow(array, document.definitions).get("items", {})
    fields = properties(items, document.definitions)
    candidates = [parameter, "id", *(name for name in fields if name.endswith("_id") and name in parameter)]
    return next((name for name in candidates if name in fields), "id")
