"""The official client library as a source: every HTTP call in its code, as an OpenAPI document.

The library is read as text and never imported; only who makes a catalogue needs it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory_schemas.annotations import Annotations
from connectory_schemas.errors import SdkError
from connectory_schemas.modules import Module, Package
from connectory_schemas.naming import PARAMETER, nameless

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Json: TypeAlias = dict[str, Any]

_SENDERS = {
    "_get": "get",
    "_post": "post",
    "_delete": "delete",
    "_get_api_list": "get",
    "_put": "put",
    "_patch": "patch",
}
_JSON, _FORM, _BINARY, _EVENTS = (
    "application/json",
    "multipart/form-data",
    "application/octet-stream",
    "text/event-stream",
)
_NOT_OURS = frozenset(["accept", "content-type"])
"""Headers that follow from what a request carries and an answer is."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """A client library, read: its version, its calls as an OpenAPI document, what could not be read."""

    name: str
    version: str
    document: Json
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call in the code: the method of a resource class that makes it, and the expression."""

    module: Module
    function: ast.FunctionDef
    expression: ast.Call
    deprecated: bool

    def argument(self, name: str) -> ast.expr | None:
        """Give a keyword argument of the call, or of the options it hands on."""
        given = {word.arg: word.value for word in self.expression.keywords}
        options = given.get("options")
        if isinstance(options, ast.Call):
            given |= {word.arg: word.value for word in options.keywords}
        return given.get(name)

    @property
    def method(self) -> str:
        """Give the HTTP method."""
        stated = self.argument("method")
        if isinstance(stated, ast.Constant):
            return str(stated.value)
        return _SENDERS[_attribute(self.expression)]

    @property
    def template(self) -> str:
        """Give the URL template."""
        first = self.expression.args[0]
        if isinstance(first, ast.Call) and first.args:
            first = first.args[0]
        if not isinstance(first, ast.Constant):
            raise SdkError(f"{self.name}: the path {ast.unparse(first)!r} is no constant")
        return str(first.value)

    @property
    def name(self) -> str:
        """Give how a program calls it: `beta.agents.list`."""
        parts = self.module.name.split(".")[2:]
        if len(parts) > 1 and parts[-1] == parts[-2]:
            parts = parts[:-1]
        return ".".join([*parts, self.function.name])


def installed(name: str = "openai") -> tuple[Path, str]:
    """Find an installed package's folder and version, without importing it. Raises SdkError."""
    found = util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SdkError(f"package {name!r} is not installed: pip install {name}")
    return Path(next(iter(found.submodule_search_locations))), metadata.version(name)


def pinned(name: str, constraints: Path) -> str | None:
    """Give the version that a constraints file pins a package to."""
    if not constraints.is_file():
        return None
    found = re.search(rf"^{re.escape(name)}==(\S+)$", constraints.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def read(folder: Path, version: str, known: Collection[tuple[str, str]] = ()) -> Sdk:
    """Read a client library: the calls below its `resources`, with the types that they name.

    Of an operation that is `known`, by method and template without names, the answer is not read.
    """
    package = Package(folder)
    annotations = Annotations(package, "sdk")
    paths: Json = {}
    for call in calls(package):
        operations = paths.setdefault(call.template, {})
        other = operations.get(call.method)
        # two methods of one operation: it is what the one that stays says
        if other is None or (other.get("deprecated") and not call.deprecated):
            brief = (call.method, nameless(call.template)) in known
            request = _request(call, annotations)
            operations[call.method] = request if brief else request | _response(call, annotations)
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": folder.name, "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": annotations.components},
    }
    return Sdk(folder.name, version, document, tuple(dict.fromkeys(annotations.unread)))


def calls(package: Package) -> Iterator[Call]:
    """Give every HTTP call of the blocking resource classes."""
    for module in package.below(f"{package.name}.resources"):
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("Async"):
                yield from _calls_of(node, module)


def _calls_of(node: ast.ClassDef, module: Module) -> Iterator[Call]:
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    given_up = {one.name for one in functions if _is_deprecated(one)}
    for function in functions:
        for inner in ast.walk(function):
            if isinstance(inner, ast.Call) and _attribute(inner) in _SENDERS and _is_self(inner):
                yield Call(module, function, inner, function.name in given_up)


def _attribute(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _is_self(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self"


def _is_deprecated(function: ast.FunctionDef) -> bool:
    marks = (ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in function.decorator_list)
    said = (ast.get_docstring(function) or "").lower()
    return any(one.rpartition(".")[2] == "deprecated" for one in marks) or said.startswith("deprecated")


def _mark(call: Call) -> Json:
    return {
        "operationId": call.name,
        **({"deprecated": True} if call.deprecated else {}),
        "security": [{_scheme(call): []}],
        "parameters": list(_headers(call)),
    }


def _request(call: Call, annotations: Annotations) -> Json:
    parameters = [*_path_parameters(call, annotations), *_query(call, annotations)]
    content = _body(call, annotations)
    marked = _mark(call)
    return {
        **marked,
        "parameters": [*parameters, *marked["parameters"]],
        **({"requestBody": {"content": content}} if content else {}),
    }


def _response(call: Call, annotations: Annotations) -> Json:
    answer = _answer(call, annotations)
    return {"responses": {"200": {"content": answer} if answer else {}}}


def _scheme(call: Call) -> str:
    stated = call.argument("security")
    return "AdminApiKeyAuth" if stated is not None and "admin" in ast.unparse(stated) else "ApiKeyAuth"


def _path_parameters(call: Call, annotations: Annotations) -> Iterator[Json]:
    signature = call.function.args
    stated = {one.arg: one.annotation for one in [*signature.args, *signature.kwonlyargs]}
    for name in PARAMETER.findall(call.template):
        annotation = stated.get(name)
        schema = annotations.schema(annotation, call.module) if annotation else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(call: Call, annotations: Annotations) -> Iterator[Json]:
    given = _transformed(call, call.argument("query"))
    if given is None:
        return
    schema = _looked_up(annotations.narrowed(given[1], call.module, given[0] or ()), annotations)
    for name, one in schema.get("properties", {}).items():
        described = {"description": one["description"]} if "description" in one else {}
        needed = name in schema.get("required", [])
        yield {"name": name, "in": "query", "required": needed, "schema": one, **described}


def _looked_up(schema: Json, annotations: Annotations) -> Json:
    """Look up a reference; of a union, the first branch."""
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            schema = schema["anyOf"][0]
        else:
            schema = annotations.components[str(schema["$ref"]).rpartition("/")[2]]
    return schema


def _headers(call: Call) -> Iterator[Json]:
    """Give the headers that the method always sends."""
    pairs: dict[str, str] = {}
    for node in ast.walk(call.function):
        match node:
            case ast.Assign(targets=[ast.Name(id="extra_headers")], value=ast.Dict(keys=keys, values=values)):
                pairs |= {
                    str(key.value): str(value.value)
                    for key, value in zip(keys, values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
                }
            case _:
                continue
    for name, value in sorted(pairs.items()):
        if name.lower() not in _NOT_OURS:
            schema = {"type": "string", "enum": [value]}
            yield {"name": name, "in": "header", "required": True, "schema": schema}


def _body(call: Call, annotations: Annotations) -> Json:
    given = _transformed(call, call.argument("body"))
    if given is None:
        return {}
    kept, node = given
    schema = (
        annotations.schema(node, call.module)
        if kept is None
        else annotations.narrowed(node, call.module, kept)
    )
    return {_FORM if call.argument("files") is not None else _JSON: {"schema": schema}}


def _transformed(call: Call, node: ast.expr | None) -> tuple[list[str] | None, ast.expr] | None:
    """Take apart `maybe_transform({"a": a}, Params)`: which fields go this way, and the type that has them.

    The fields are None where all of the type's do.
    """
    if isinstance(node, ast.Name):
        node = _assigned(call.function, node.id)
    if not isinstance(node, ast.Call) or len(node.args) < 2:  # noqa: PLR2004 - a value and its type
        return None
    content = node.args[0]
    if isinstance(content, ast.Name):
        content = _assigned(call.function, content.id) or content
    if isinstance(content, ast.Call) and content.args:
        content = content.args[0]
    return (_keys(content) if isinstance(content, ast.Dict) else None), _innermost(node.args[1])


def _innermost(node: ast.expr) -> ast.expr:
    """Take the last branch of `Streaming if stream else NonStreaming`: what is sent when nothing is said."""
    return _innermost(node.orelse) if isinstance(node, ast.IfExp) else node


def _keys(node: ast.Dict) -> list[str]:
    return [str(one.value) for one in node.keys if isinstance(one, ast.Constant)]


def _assigned(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """Find what a name in a function was first given."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return value
            case _:
                continue
    return None


def _answer(call: Call, annotations: Annotations) -> Json:
    """Say what comes back, by content type: a page, an object, bytes, text, events or nothing."""
    page, shape = call.argument("page"), call.argument("cast_to")
    if isinstance(page, ast.Subscript):
        return {_JSON: {"schema": annotations.filled(page, call.module)}}
    shape = (
        shape.args[1] if isinstance(shape, ast.Call) and len(shape.args) > 1 else shape
    )  # cast(Any, Union)
    stream = call.argument("stream")
    if isinstance(stream, ast.Constant) and stream.value is True:
        return {_EVENTS: {}}
    name = "" if shape is None else ast.unparse(shape).rpartition(".")[2]
    if "Binary" in name:
        return {_BINARY: {}}
    if shape is None or name in ("NoneType", "None"):
        return {}
    return (
        {"text/plain": {}} if name == "str" else {_JSON: {"schema": annotations.schema(shape, call.module)}}
    )
