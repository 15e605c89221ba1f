"""Several documents as one: operations that the first lacks are taken from the others, and marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from connectory_schemas.errors import GenerateError
from connectory_schemas.naming import PARAMETER, nameless
from connectory_schemas.operations import ACTIONS, ORIGIN, Document, headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = dict[str, Any]


def operations_of(raw: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Give a document's operations by method and template, whatever the parameters are called."""
    return {(method, nameless(template)) for template, method, _ in _walk(raw)}


def join(raw: Mapping[str, Any], other: Mapping[str, Any], *, origin: str) -> Json:
    """Give the first document with the operations of the other that it lacks, and the other's schemas."""
    spelt = {nameless(template): template for template in raw.get("paths", {})}
    known = operations_of(raw)
    paths: Json = {template: {**item} for template, item in raw.get("paths", {}).items()}
    for template, method, operation in _walk(other):
        if (method, nameless(template)) in known:
            continue
        home = spelt.setdefault(nameless(template), template)
        paths.setdefault(home, {})[method] = {**_respelt(operation, template, home), ORIGIN: origin}
    return {**raw, "paths": paths, "components": _components(raw, other, origin)}


def refinements(raw: Mapping[str, Any], other: Mapping[str, Any]) -> list[Json]:
    """Give overlay rules for operations that both have: headers and deprecations that only the other one tells."""
    ours = {
        (one.action, nameless(one.template)): (one.template, bool(one.raw.get("deprecated")))
        for one in Document(raw, {}).operations()
    }
    rules: list[Json] = []
    for one in Document(other, {}).operations():
        template, deprecated = ours.get((one.action, nameless(one.template)), (None, False))
        change: Json = {"headers": sent} if (sent := headers(one)) else {}
        if one.raw.get("deprecated") and not deprecated:
            change["deprecated"] = True
        if template is not None and change:
            rules.append({"templates": [template], "actions": [one.action], "action": change})
    return rules


def _walk(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Json]]:
    document = Document(raw, {})
    for template, item in raw.get("paths", {}).items():
        for method, operation in document.look_up(item).items():
            if method in ACTIONS:
                yield template, method, operation


def _respelt(operation: Json, template: str, home: str) -> Json:
    """Give an operation whose path parameters are called as in the first document's template."""
    names = dict(zip(PARAMETER.findall(template), PARAMETER.findall(home), strict=True))
    parameters = [
        {**one, "name": names.get(one["name"], one["name"])} if one["in"] == "path" else one
        for one in operation.get("parameters", [])
    ]
    return {**operation, "parameters": parameters}


def _components(raw: Mapping[str, Any], other: Mapping[str, Any], origin: str) -> Json:
    ours, theirs = raw.get("components", {}), other.get("components", {})
    schemas, added = ours.get("schemas", {}), theirs.get("schemas", {})
    if clash := sorted(schemas.keys() & added.keys()):
        raise GenerateError(f"schema {clash[0]!r} of {origin} is also one of the document's")
    return {**ours, "schemas": {**schemas, **added}}
