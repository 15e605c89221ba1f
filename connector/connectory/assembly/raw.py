"""Requests of which the catalogue knows nothing: only a method and a path."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from connectory.catalogue import Action, ActionName, Body, Entity, Pagination, Parameter, Response
from connectory.client import Call
from connectory.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RAW_PAGING = Pagination("cursor", parameter="after", cursor="last_id", item_field="id", more="has_more")
_RAW_ACTIONS: dict[str, ActionName] = {"GET": "read", "DELETE": "delete"}


def raw_call(method: str, path: str, query: Mapping[str, Any], payload: Any, base_path: str) -> Call:
    """Make the call of a raw request. Raises RequestError for a path that would leave the client's server."""
    method, what = method.upper(), f"{method.upper()} {path!r}"
    bare, _, text = path.partition("?")
    if not bare.startswith("/") or bare.startswith(("//", "/\\")):
        raise RequestError(f"{what}: give a path that begins with one '/', never a server")
    if "#" in path or _CONTROL.search(path):
        raise RequestError(f"{what}: a path has no '#' and no control character")
    if any(unquote(segment) in {".", ".."} for segment in bare.split("/")):
        raise RequestError(f"{what}: '.' and '..' mean another path; write that one")
    below = bare.removeprefix(base_path) if bare.startswith(f"{base_path}/") else bare
    entity, actions = raw_entity((method,), below)
    written = _parsed_query(text)
    parameters = {name: Parameter(name, {}) for name in written}
    return Call(entity, replace(actions[method], query=parameters), {}, {**written, **query}, payload, "off")


def raw_entity(methods: Sequence[str], path: str) -> tuple[Entity, Mapping[str, Action]]:
    """Make an entity for a raw request, of which nothing is known but its methods and path.

    A raw read walks lists that page as the API's own do, and takes any other answer as one item.
    """
    actions = {method: _raw_action(method) for method in methods}
    entity = Entity(
        name=path,
        title=path,
        group="raw",
        path=path,
        path_parameters=tuple(part[1:-1] for part in path.split("/") if part.startswith("{")),
        parameter_schemas={},
        parent=None,
        parent_field="id",
        aliases={},
        auth="api",
        actions={action.name: action for action in actions.values()},
    )
    return entity, actions


def _raw_action(method: str) -> Action:
    name: ActionName = _RAW_ACTIONS.get(method, "create")
    return Action(
        name=name,
        method=method,
        kind={"read": "list"}.get(name, name),
        query={},
        fixed_query={},
        headers={},
        body=None if name == "read" else Body(required=False, content={"application/json": {}}),
        response=Response("json", items="data" if name == "read" else None, pagination=_RAW_PAGING),
    )


def _parsed_query(text: str) -> dict[str, Any]:
    """Take a query string apart; a name that comes more than once has a list."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: many if len(many) > 1 else many[0] for name, many in values.items()}
