"""One OpenAPI operation as one action of the catalogue: parameters, body, response, items, pagination."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from connectory_schemas.convert import any_branch, convert, convert_one, follow, properties, required
from connectory_schemas.naming import PARAMETER, split_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACTIONS = {"get": "read", "post": "create", "delete": "delete"}
ORIGIN = "x-origin"
"""What an operation has that comes from another document than the one at hand: its name for it."""
_OTHER_METHODS = ("put", "patch", "head", "options", "trace")
_RANGE = re.compile(r"between\s+[01]\s+and\s+(\d[\d,]*)")
_ITEM_FIELDS = ("data", "items", "results", "value")
# fmt: off
_VERBS = frozenset(
    [
        "accept", "activate", "archive", "cancel", "complete", "deactivate", "disable", "enable",
        "pause", "reject", "restart", "restore", "resume", "retry", "revoke", "search", "start", "stop",
        "unarchive", "validate",
    ]
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the document with its references looked up."""

    template: str
    action: str
    raw: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]

    @property
    def ends_with_parameter(self) -> bool:
        """Say whether the last segment is a parameter: the path of one item."""
        segments = split_template(self.template)[0]
        return bool(segments) and PARAMETER.search(segments[-1]) is not None


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document and its converted schemas."""

    raw: Mapping[str, Any]
    definitions: Mapping[str, dict[str, Any]]
    query_style: str | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any], query_style: str | None = None) -> Document:
        """Convert the document's schemas."""
        schemas = raw.get("components", {}).get("schemas", {})
        return cls(raw, {name: convert(schema, name) for name, schema in schemas.items()}, query_style)

    def look_up(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference to a parameter, body or response."""
        while "$ref" in node:
            target: Any = self.raw
            for key in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[key.replace("~1", "/").replace("~0", "~")]
            node = cast("Mapping[str, Any]", target)
        return node

    def operations(self) -> Iterator[Operation]:
        """Give every operation that is an action, in the document's order."""
        for template, raw_item in self.raw.get("paths", {}).items():
            item = self.look_up(raw_item)
            for method, action in ACTIONS.items():
                if method in item:
                    listed = [*item.get("parameters", []), *item[method].get("parameters", [])]
                    # the operation's own parameter replaces the path's of the same name and place
                    own = {(one["name"], one["in"]): one for one in map(self.look_up, listed)}
                    yield Operation(template, action, item[method], tuple(own.values()))

    def left_out(self) -> Iterator[str]:
        """Name the operations that no action stands for."""
        for template, raw_item in self.raw.get("paths", {}).items():
            for method in _OTHER_METHODS:
                if method in self.look_up(raw_item):
                    yield f"{method.upper()} {template}"


def build_action(
    operation: Operation, document: Document, templates: Mapping[str, set[str]]
) -> dict[str, Any]:
    """Make the catalogue's entry for one operation; `templates` says which methods each template has."""
    query = _query(operation, document)
    body = _body(operation, document)
    response = _response(operation, document)
    if operation.action == "read":
        response |= _list(operation, document, response.get("schema"), query)
    if stream := _stream(query, body, document):
        response["stream"] = stream
    optional: dict[str, Any] = {
        "origin": operation.raw.get(ORIGIN),
        "deprecated": bool(operation.raw.get("deprecated")),
        "query": query,
        "fixed_query": split_template(operation.template)[1],
        "headers": headers(operation),
        "body": body,
    }
    action = {"kind": _kind(operation, body, response, templates)}
    return action | {name: value for name, value in optional.items() if value} | {"response": response}


def headers(operation: Operation) -> dict[str, str]:
    """Give the headers that a request must have and that have but one value."""
    found: dict[str, str] = {}
    for parameter in operation.parameters:
        schema = _schema_of(parameter)
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        if parameter["in"] == "header" and parameter.get("required") and len(values) == 1:
            found[str(parameter["name"])] = str(values[0])
    return found


def path_parameters(operation: Operation, document: Document) -> dict[str, Any]:
    """Give the schema of each path parameter, in the order of the template."""
    declared = {one["name"]: _schema_of(one) for one in operation.parameters if one["in"] == "path"}
    names = PARAMETER.findall(operation.template)
    return {
        name: {"schema": follow(declared.get(name, {"type": "string"}), document.definitions)}
        for name in names
    }


def auth(operation: Operation, document: Document) -> str:
    """Say which token the operation wants: `admin` when a security scheme of that name is asked for."""
    wanted = operation.raw.get("security", document.raw.get("security", []))
    return "admin" if any("admin" in scheme.lower() for one in wanted for scheme in one) else "api"


def _schema_of(parameter: Mapping[str, Any]) -> dict[str, Any]:
    content: Mapping[str, Mapping[str, Any]] = parameter.get("content", {})
    wrapped = next(iter(content.values()), parameter)
    return convert_one(wrapped.get("schema", {"type": "string"}))


def _query(operation: Operation, document: Document) -> dict[str, Any]:
    fixed = split_template(operation.template)[1]
    found: dict[str, Any] = {}
    for parameter in operation.parameters:
        name = str(parameter["name"]).removesuffix("[]")
        if parameter["in"] != "query" or name in fixed:
            continue
        schema = _schema_of(parameter)
        entry: dict[str, Any] = {"schema": schema}
        if parameter.get("required"):
            entry["required"] = True
        if any_branch(schema, document.definitions, _is_structured):
            entry["style"] = document.query_style or _declared_style(parameter)
        found[name] = entry
    return found


def _is_structured(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", [])
    return "properties" in schema or bool(
        {"array", "object"} & {*([kinds] if isinstance(kinds, str) else kinds)}
    )


def _declared_style(parameter: Mapping[str, Any]) -> str:
    bracketed = str(parameter["name"]).endswith("[]") or parameter.get("style") == "deepObject"
    return "brackets" if bracketed else "form"


def _body(operation: Operation, document: Document) -> dict[str, Any]:
    raw = document.look_up(operation.raw.get("requestBody", {}))
    content = {
        _media_type(name): _body_schema(document.look_up(one), document)
        for name, one in raw.get("content", {}).items()
    }
    if not content:
        return {}
    must = raw.get("required") or any(required(schema, document.definitions) for schema in content.values())
    return {**({"required": True} if must else {}), "content": content}


def _body_schema(media: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """Convert a body's schema; the content type of a part becomes its property's contentMediaType."""
    schema = convert_one(media.get("schema", {}))
    types = {
        name: one["contentType"] for name, one in media.get("encoding", {}).items() if "contentType" in one
    }
    if not types:
        return schema
    # only here is a part of that type: where others refer to the same schema, it is not
    own = follow(schema, document.definitions)
    parts = {
        name: one | ({"contentMediaType": types[name]} if name in types else {})
        for name, one in own.get("properties", {}).items()
    }
    return own | ({"properties": parts} if parts else {})


def _media_type(name: str) -> str:
    return name.partition(";")[0].strip().lower()


def _success(operation: Operation, document: Document) -> Mapping[str, Any]:
    responses: Mapping[str, Any] = operation.raw.get("responses", {})
    status = min((str(code) for code in responses if str(code).startswith("2")), default="default")
    return document.look_up(responses.get(status, {}))


def _response(operation: Operation, document: Document) -> dict[str, Any]:
    raw: Mapping[str, Any] = _success(operation, document).get("content", {})
    content = {_media_type(name): document.look_up(one) for name, one in raw.items()}
    for name, media in content.items():
        if name == "application/json" or name.endswith("+json"):
            schema = convert(media.get("schema", {}))
            return {"kind": "json", **({"schema": schema} if schema else {})}
    others = [name for name in content if name != "text/event-stream"]
    if not others:
        return {"kind": "sse" if content else "empty"}
    return {"kind": "text" if others[0].startswith("text/") else "binary"}


def _list(
    operation: Operation, document: Document, schema: dict[str, Any] | None, query: Mapping[str, Any]
) -> dict[str, Any]:
    """Say where a list has its items, and how its next page is asked for; nothing for what is no list."""
    shape = follow(schema or {}, document.definitions)
    if shape.get("type") == "array":
        return {"items": "@", "pagination": {"style": "none"}}
    fields = properties(shape, document.definitions)
    candidates = _ITEM_FIELDS[:1] if operation.ends_with_parameter else _ITEM_FIELDS
    named = next((one for one in candidates if _is_array(fields.get(one), document)), None)
    if named is None and not operation.ends_with_parameter and "id" not in fields:
        arrays = [name for name, field in fields.items() if _is_array(field, document, of="object")]
        named = arrays[0] if len(arrays) == 1 else None
    if named is None:
        return {}
    paging = _pagination(query, fields)
    size = None if paging["style"] == "none" else _largest_page(operation)
    return {"items": named, "pagination": paging | ({"page_size": size} if size else {})}


def _largest_page(operation: Operation) -> int | None:
    """Find how many items a page may have: the maximum of `limit`, stated in its schema or only in its text."""
    for parameter in operation.parameters:
        if parameter["in"] == "query" and parameter["name"] == "limit":
            stated = _schema_of(parameter).get("maximum")
            text = f"{parameter.get('description', '')} {parameter.get('schema', {}).get('description', '')}"
            told = _RANGE.search(text)
            return int(stated) if stated else int(told[1].replace(",", "")) if told else None
    return None


def _is_array(schema: dict[str, Any] | None, document: Document, of: str | None = None) -> bool:
    shape = follow(schema or {}, document.definitions)
    items = follow(shape.get("items", {}), document.definitions)
    return shape.get("type") == "array" and of in (None, items.get("type"))


def _pagination(query: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    more = {"more": "has_more"} if "has_more" in fields else {}
    if "after" in query:
        if "last_id" not in fields and "next" in fields:
            return {"style": "next", "parameter": "after", "cursor": "next", **more}
        cursor = "last_id" if "last_id" in fields else None
        return {"style": "cursor", "parameter": "after", "cursor": cursor, "item_field": "id", **more}
    for cursor in ("next_page", "next"):
        if "page" in query and cursor in fields:
            return {"style": "page", "parameter": "page", "cursor": cursor, **more}
    return {"style": "none"}


def _stream(query: Mapping[str, Any], body: Mapping[str, Any], document: Document) -> str | None:
    if "stream" in query:
        return "query.stream"
    schemas = body.get("content", {}).values()
    return (
        "body.stream" if any("stream" in properties(one, document.definitions) for one in schemas) else None
    )


def _kind(
    operation: Operation,
    body: Mapping[str, Any],
    response: Mapping[str, Any],
    templates: Mapping[str, set[str]],
) -> str:
    if operation.action != "create":
        return "list" if "items" in response else operation.action
    segments, _ = split_template(operation.template)
    adds = "list" in templates[operation.template]
    if (not body and not adds) or (segments and segments[-1] in _VERBS):
        return "command"
    if operation.ends_with_parameter or "read" in templates[operation.template]:
        return "update"  # of an item, or of the one thing that is always there
    kept = adds or _has_item(operation.template, templates)
    return "create" if kept else "compute"


def _has_item(template: str, templates: Mapping[str, set[str]]) -> bool:
    """Say whether what a POST on the template makes can be read again, one level below."""
    segments, fixed = split_template(template)
    for other, methods in templates.items():
        below, other_fixed = split_template(other)
        same = below[:-1] == segments and other_fixed == fixed
        if same and PARAMETER.fullmatch(below[-1]) and methods & {"read", "list"}:
            return True
    return False
