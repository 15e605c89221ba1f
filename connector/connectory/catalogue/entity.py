"""Entities, their actions and client prototypes as frozen data, made from a catalogue file's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = dict[str, Any]
ActionName: TypeAlias = Literal["read", "create", "delete"]

METHODS: Mapping[ActionName, str] = MappingProxyType({"read": "GET", "create": "POST", "delete": "DELETE"})
"""The HTTP method of each action."""

_BEARER: Mapping[str, str] = MappingProxyType({"header": "Authorization", "prefix": "Bearer "})
_ACTION_KEYS = frozenset(
    ["kind", "query", "fixed_query", "headers", "body", "response", "deprecated", "retired", "replacement"]
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter; `style` says how a list or object in it is written."""

    name: str
    schema: Json
    required: bool = False
    style: str = "form"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: a schema for each content type that the API takes."""

    required: bool
    content: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Pagination:
    """How the next page of a list is asked for.

    `parameter` is sent with the answer's field `cursor`, or with `item_field` of the last item when the
    answer has no such field; `more` is the field that says whether there is a next page. `page_size` is the largest
    that `limit` may be, where the API says so.
    """

    style: str
    parameter: str | None = None
    cursor: str | None = None
    item_field: str | None = None
    more: str | None = None
    page_size: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What comes back: `items` is the field with a list's items (`@`: the answer itself is the list).

    `stream` names the field that asks for server-sent events instead, as in `body.stream`.
    """

    kind: str
    schema: Json | None = None
    items: str | None = None
    pagination: Pagination | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """One thing to do with an entity; `extra` keeps what a file says beyond that. Compared by identity."""

    name: ActionName
    method: str
    kind: str
    query: Mapping[str, Parameter]
    fixed_query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body | None
    response: Response
    deprecated: bool = False
    retired: bool = False
    replacement: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One URL template and its actions. Compared by identity: a catalogue gives the same one every time."""

    name: str
    title: str
    group: str
    path: str
    path_parameters: tuple[str, ...]
    parameter_schemas: Mapping[str, Json]
    parent: str | None
    parent_field: str
    aliases: Mapping[str, ActionName]
    auth: str
    actions: Mapping[str, Action]
    deprecated: bool = False
    retired: bool = False
    replacement: str | None = None


def end_of(entity: Entity, action: str) -> str | None:
    """Say that the API gives up an entity or one of its actions, and what to use; None for one that stays."""
    found = entity.actions[action]
    if not (entity.retired or entity.deprecated or found.retired or found.deprecated):
        return None
    state = "retired" if entity.retired or found.retired else "deprecated"
    whole = entity.retired or entity.deprecated
    what = f"entity {entity.name!r}" if whole else f"action {action!r} of entity {entity.name!r}"
    replacement = found.replacement or entity.replacement
    return f"{what} is {state}" + (f"; use {replacement!r}" if replacement else "")


@dataclass(frozen=True, slots=True, eq=False)
class Prototype:
    """What clients of one kind of server have in common; `deployment` is the path one adds, and for whom."""

    name: str
    title: str
    base_uri: str | None
    path_prefix: str
    token_required: bool
    auth: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    organization_header: str | None
    project_header: str | None
    validate: str
    deployment: Mapping[str, Any] | None


def build_entity(name: str, raw: Json) -> Entity:
    """Make an entity of its entry in a catalogue file."""
    names = parameter_names(raw["path"])
    declared = raw.get("parameters", {})
    schemas = {one: declared.get(one, {}).get("schema", {"type": "string"}) for one in names}
    actions = {one: _action(one, action) for one, action in raw["actions"].items()}
    return Entity(
        name=name,
        title=raw.get("title", name),
        group=raw.get("group", name.partition(".")[0]),
        path=raw["path"],
        path_parameters=tuple(names),
        parameter_schemas=MappingProxyType(schemas),
        parent=raw.get("parent"),
        parent_field=raw.get("parent_field", "id"),
        aliases=MappingProxyType(dict(raw.get("aliases", {}))),
        auth=raw.get("auth", "api"),
        actions=MappingProxyType(actions),
        deprecated=raw.get("deprecated", all(one.deprecated for one in actions.values())),
        retired=raw.get("retired", all(one.retired for one in actions.values())),
        replacement=raw.get("replacement"),
    )


def _action(name: ActionName, raw: Json) -> Action:
    response = _response(raw.get("response", {}))
    default_kind = {"read": "list" if response.items else "read"}.get(name, name)
    body = raw.get("body")
    return Action(
        name=name,
        method=METHODS[name],
        kind=raw.get("kind", default_kind),
        query=MappingProxyType(
            {one: Parameter(one, **_query(entry)) for one, entry in raw.get("query", {}).items()}
        ),
        fixed_query=MappingProxyType(dict(raw.get("fixed_query", {}))),
        headers=MappingProxyType(dict(raw.get("headers", {}))),
        body=Body(body.get("required", False), MappingProxyType(dict(body["content"]))) if body else None,
        response=response,
        deprecated=raw.get("deprecated", False),
        retired=raw.get("retired", False),
        replacement=raw.get("replacement"),
        extra=MappingProxyType({key: value for key, value in raw.items() if key not in _ACTION_KEYS}),
    )


def _query(entry: Json) -> Json:
    return {"schema": {}, **entry}


def _response(raw: Json) -> Response:
    paging = raw.get("pagination")
    known = {key: raw.get(key) for key in ("schema", "items", "stream")}
    return Response(
        kind=raw.get("kind", "json"), pagination=Pagination(**paging) if paging else None, **known
    )


def build_prototype(name: str, raw: Json) -> Prototype:
    """Make a client prototype of its entry in a catalogue file."""
    return Prototype(
        name=name,
        title=raw.get("title", name),
        base_uri=raw.get("base_uri"),
        path_prefix=raw.get("path_prefix", ""),
        token_required=raw.get("token_required", False),
        auth=MappingProxyType({"prefix": "", **raw["auth"]} if "auth" in raw else _BEARER),
        query=MappingProxyType(dict(raw.get("query", {}))),
        headers=MappingProxyType(dict(raw.get("headers", {}))),
        organization_header=raw.get("organization_header"),
        project_header=raw.get("project_header"),
        validate=raw.get("validate", "warn"),
        deployment=MappingProxyType(dict(raw["deployment"])) if "deployment" in raw else None,
    )


def parameter_names(path: str) -> list[str]:
    """Give the names of a template's parameters, in order."""
    return [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]
