"""A new connection as lines of a configuration: what an entity needs, filled in as far as it can be."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from connectory.config.shapes import is_list, is_map
from connectory.config.splicing import Entry
from connectory.config.writing import to_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Action, Catalogue, Entity

_WIDTH = 100
_MOST_NAMES = 16


def entry(name: str, data: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> Entry:
    """Make an entry of data; each comment goes before the key that it is about."""
    kept = {key: value for key, value in data.items() if value not in (None, {}, ())}
    lines: list[str] = []
    for line in to_yaml({name: kept}).splitlines():
        key = line.strip().partition(":")[0]
        if comments and key in comments and line.startswith("  ") and not line.startswith("   "):
            lines += textwrap.wrap(comments[key], _WIDTH, initial_indent="  # ", subsequent_indent="  # ")
        lines.append(line)
    return Entry(name, kept, tuple(lines))


def path_templates(entity: Entity) -> dict[str, str]:
    """Give each path parameter as the field of a record that has it: the item's own, and its parents'."""
    if not entity.path_parameters:
        return {}
    *above, last = entity.path_parameters
    fields = [*above, entity.parent_field if entity.parent else last]
    return {name: f"&{{{field}}}" for name, field in zip(entity.path_parameters, fields, strict=True)}


def payload(catalogue: Catalogue, action: Action) -> tuple[Any, str]:
    """Give a payload to begin with, made of what the schema requires, and a comment on what else it takes."""
    from connectory.errors import ConfigError
    from connectory.schemas.examples import minimal

    if action.body is None:
        return None, ""
    content = action.body.content
    schema = content.get("application/json") or next(iter(content.values()))
    try:
        example = minimal(schema, catalogue.resolve)
    except ConfigError:
        example = None
    if not is_map(example) or not example:
        return "&{@}", _others(catalogue, schema, ())
    if "multipart/form-data" in content:
        files = {
            name for name, value in example.items() if value == name and _is_file(catalogue, schema, name)
        }
        example |= {name: {"path": f"&{{{name}}}"} for name in files}
    return _templates(example, ""), _others(catalogue, schema, example)


def _templates(value: Any, name: str) -> Any:
    """Put a field of the record where the example has nothing but a property's name."""
    if is_map(value):
        return {key: _templates(one, key) for key, one in value.items()}
    if is_list(value):
        return [_templates(one, name) for one in value]
    return f"&{{{name}}}" if name and value == name else value


def _is_file(catalogue: Catalogue, schema: Any, name: str) -> bool:
    found = catalogue.resolve(_properties(catalogue, schema).get(name, {}))
    return is_map(found) and found.get("format") == "binary"


def _others(catalogue: Catalogue, schema: Any, given: Any) -> str:
    names = [name for name in _properties(catalogue, schema) if name not in given]
    if not names:
        return ""
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"takes too: {shown}" if given else f"the record is the payload; it takes {shown}"


def _properties(catalogue: Catalogue, schema: Any) -> dict[str, Any]:
    """Give the properties of a schema, and of the parts that it is put together from."""
    found = catalogue.resolve(schema)
    if not is_map(found):
        return {}
    properties = found.get("properties")
    made: dict[str, Any] = {**properties} if is_map(properties) else {}
    for part in found.get("allOf") or ():
        made |= _properties(catalogue, part)
    return made
