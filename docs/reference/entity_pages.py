"""A page for each group of entities: path, parameters, actions, and an example of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cells import cell, flow

from connectory.catalogue import Catalogue
from connectory.schemas.examples import minimal

if TYPE_CHECKING:
    from connectory.catalogue import Action, Entity

Page = Callable[[], Iterator[str]]
ABOUT = """\
# Entities

The {entities} entities of the catalogue, with {operations} operations, in {groups} groups. Each group has a page with
the paths, the parameters, and a connection of each action to copy. `connectory entities show NAME` says the same at a
terminal, and `connectory entities list --search TEXT` finds one.

`read` is an [incoming](configuration.md#incoming), `create` and `delete` are [outgoings](configuration.md#outgoing).
The kind says how careful a run is after a doubt: reading, computing and deleting are sent again, creating is not
([why](../delivery.md#sending-again-is-a-decision)).
"""
ABOUT_GROUP = """\
# {group}

`connectory run incoming NAME --sandbox` or `connectory run outgoing NAME --sandbox` tries an example; the payloads are
the smallest that the API takes, made from its schemas. Other [entities](../entities.md).
"""
FILE = {"content": "hello", "filename": "hello.txt"}


def entity_pages() -> dict[str, Page]:
    """Give the index and the page of each group, by file name."""
    catalogue = Catalogue.load()
    by_group = sorted(catalogue.values(), key=lambda entity: (entity.group, entity.name))
    groups = {name: list(members) for name, members in groupby(by_group, key=lambda entity: entity.group)}
    pages: dict[str, Page] = {"entities.md": partial(_index, groups)}
    for name, members in groups.items():
        pages[f"entities/{name}.md"] = partial(_group, catalogue, name, members)
    return pages


def _index(groups: dict[str, list[Entity]]) -> Iterator[str]:
    everything = [entity for members in groups.values() for entity in members]
    operations = sum(len(entity.actions) for entity in everything)
    yield from ABOUT.format(entities=len(everything), operations=operations, groups=len(groups)).splitlines()
    for name, members in groups.items():
        yield from ("", f"## {name}", "", "| entity | actions (kind) | path |", "|---|---|---|")
        for entity in members:
            actions = ", ".join(f"{action.name} ({action.kind})" for action in entity.actions.values())
            link = f"[`{entity.name}`](entities/{name}.md#{_anchor(entity)})"
            yield f"| {link}{_mark(entity)} | {actions} | `{entity.path}` |"


def _group(catalogue: Catalogue, name: str, members: list[Entity]) -> Iterator[str]:
    yield from ABOUT_GROUP.format(group=name).splitlines()
    for entity in members:
        yield from ("", f"## {entity.name}", "")
        yield from _facts(catalogue, entity)
        yield from ("", "```yaml", *_example(catalogue, entity), "```")


def _facts(catalogue: Catalogue, entity: Entity) -> Iterator[str]:
    yield f"{entity.title}.{_state(entity)}"
    yield from ("", f"Path: `{entity.path}`", "")
    if entity.parent:
        filled = f"`each: {entity.parent}` fills `{entity.path_parameters[-1]}` from the items of its parent."
        yield from (filled, "")
    if entity.auth == "admin":
        yield from ("It wants an administrator's key: `admin_token` of the client.", "")
    dialects = [f"`{one}`" for one, dialect in catalogue.dialects.items() if dialect.knows(entity.name)]
    if dialects:
        yield from (f"Dialects: {', '.join(dialects)}.", "")
    yield from ("| action | is | takes | gives | also called |", "|---|---|---|---|---|")
    for action in entity.actions.values():
        names = ", ".join(f"`{alias}`" for alias, of in entity.aliases.items() if of == action.name)
        state = " *retired*" if action.retired else " *deprecated*" if action.deprecated else ""
        takes = ", ".join(f"`{kind}`" for kind in action.body.content) if action.body else ""
        row = (
            f"{action.name}{state}",
            f"{action.method}, {action.kind}",
            takes,
            _gives(action),
            names,
        )
        yield f"| {' | '.join(row)} |"
    if rows := list(_parameters(catalogue, entity)):
        yield from ("", "| parameter | in | for | type |", "|---|---|---|---|", *rows)


def _gives(action: Action) -> str:
    kind = action.response.kind
    if action.response.pagination is not None and action.response.pagination.style != "none":
        kind += ", in pages"
    return kind + (", or a stream" if action.response.stream else "")


def _parameters(catalogue: Catalogue, entity: Entity) -> Iterator[str]:
    for name in entity.path_parameters:
        yield f"| `{name}` | path | all | {_type(catalogue, entity.parameter_schemas[name])} |"
    for action in entity.actions.values():
        for one in action.query.values():
            needed = ", required" if one.required else ""
            yield f"| `{one.name}` | query | {action.name} | {_type(catalogue, one.schema)}{needed} |"


def _type(catalogue: Catalogue, schema: dict[str, Any]) -> str:
    schema = catalogue.resolve(schema)
    if "enum" in schema:
        return " or ".join(cell(f"`{value}`") for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(catalogue, schema.get('items', {}))}"
    if "type" in schema:
        kind = schema["type"]
        return kind if isinstance(kind, str) else " or ".join(kind)
    kinds = [_type(catalogue, one) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
    return " or ".join(dict.fromkeys(kinds)) or "any"


def _example(catalogue: Catalogue, entity: Entity) -> Iterator[str]:
    """Write a connection for each action, with values in place of placeholders."""
    path = {name: _id(catalogue, name, entity.parameter_schemas[name]) for name in entity.path_parameters}
    stem = entity.name.replace(".", "-").replace("_", "-")
    if "read" in entity.actions:
        query = {
            one.name: minimal(one.schema, catalogue.resolve)
            for one in entity.actions["read"].query.values()
            if one.required
        }
        given = {name: value for name, value in (("path", path), ("query", query)) if value}
        yield from ("incoming:", f"  {stem}:", f"    entity: {entity.name}")
        if given:
            yield f"    request_parameters: {flow(given)}"
    writing = [name for name in ("create", "delete") if name in entity.actions]
    if writing:
        yield "outgoing:"
    for name in writing:
        yield from (f"  {name}-{stem}:", f"    entity: {entity.name}", f"    action: {name}")
        if path:
            yield f"    path: {flow(path)}"
        body = entity.actions[name].body
        if body is not None:
            yield f"    payload: {flow(_payload(catalogue, body.content))}"


def _id(catalogue: Catalogue, name: str, schema: Any) -> Any:
    """Give a value for a path parameter: a name that says what it is, where the schema takes any text."""
    value = minimal(schema, catalogue.resolve)
    named = "gpt-5-mini" if name == "model" else f"{name.removesuffix('_id').replace('_', '-')}-1"
    return named if value == "text" else value


def _payload(catalogue: Catalogue, content: Any) -> Any:
    """Give the smallest payload; where it is a form, what is a file is written as one."""
    if "application/json" in content:
        return minimal(content["application/json"], catalogue.resolve)
    kind, schema = next(iter(content.items()))
    value = minimal(schema, catalogue.resolve)
    if kind != "multipart/form-data" or not isinstance(value, dict):
        return value
    properties = catalogue.schema(schema).get("properties", {})
    return {name: _file(catalogue, properties.get(name, {}), one) for name, one in value.items()}


def _file(catalogue: Catalogue, schema: Any, value: Any) -> Any:
    schema = catalogue.resolve(schema)
    if schema.get("format") == "binary":
        return FILE
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if catalogue.resolve(one).get("format") == "binary":
            return FILE
    return value


def _anchor(entity: Entity) -> str:
    return entity.name.replace(".", "")


def _state(entity: Entity) -> str:
    instead = f", use `{entity.replacement}`" if entity.replacement else ""
    state = "Retired" if entity.retired else "Deprecated" if entity.deprecated else ""
    return f" *{state}*{instead}." if state else ""


def _mark(entity: Entity) -> str:
    state = "retired" if entity.retired else "deprecated" if entity.deprecated else ""
    instead = f", use `{entity.replacement}`" if entity.replacement else ""
    return f" *{state}*{instead}" if state else ""
