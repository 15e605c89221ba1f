"""Python annotations as schemas: typed dictionaries, models, unions and literals become components."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory_schemas.convert import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from connectory_schemas.modules import Found, Module, Package

Schema: TypeAlias = dict[str, Any]

# fmt: off
_PLAIN: Mapping[str, Schema] = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "float": {"type": "number"},
    "bool": {"type": "boolean"}, "bytes": {"type": "string", "format": "binary"},
    "object": {}, "Any": {}, "dict": {"type": "object"}, "Dict": {"type": "object"},
    "list": {"type": "array", "items": {}}, "List": {"type": "array", "items": {}},
    "datetime": {"type": "string", "format": "date-time"}, "date": {"type": "string", "format": "date"},
    "StrictStr": {"type": "string"}, "StrictInt": {"type": "integer"}, "StrictFloat": {"type": "number"},
    "StrictBool": {"type": "boolean"},
    "FileTypes": {"type": "string", "format": "binary"}, "Base64FileInput": {"type": "string"},
}
_LISTS = frozenset(["List", "list", "Iterable", "Sequence", "SequenceNotStr", "Set", "set", "tuple", "Tuple"])
_MAPS = frozenset(["Dict", "dict", "Mapping"])
_WRAPPERS = frozenset(["Required", "NotRequired", "ReadOnly", "Annotated", "Final"])
_ROOTS = frozenset(["BaseModel", "GenericModel", "TypedDict", "Generic", "Protocol", "object"])
_FORMATS = {"iso8601": {"format": "date-time"}, "base64": {"contentEncoding": "base64"}}
_LITERALS: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer"}
# fmt: on


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a typed dictionary or a model: its name in Python and on the wire."""

    name: str
    wire: str
    schema: Schema
    required: bool


@dataclass(frozen=True, slots=True)
class Annotations:
    """Makes schemas of a package's annotations; named types become `components`, under names of their own.

    `prefix` begins every component's name, so that none is another document's. What cannot be read is a schema
    that accepts anything, and stands in `unread`.
    """

    package: Package
    prefix: str
    components: dict[str, Schema] = field(default_factory=dict[str, Schema])
    unread: list[str] = field(default_factory=list[str])

    def schema(self, node: ast.expr, module: Module, given: Mapping[str, Schema] | None = None) -> Schema:
        """Make the schema of an annotation; `given` says what type variables stand for."""
        match node:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str() as text):
                return self.schema(ast.parse(text, mode="eval").body, module, given)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._union([left, right], module, given)
            case ast.Subscript(value=value, slice=inner):
                return self._subscript(value, _parts(inner), module, given)
            case ast.Name() | ast.Attribute():
                return self._named(node, module, given)
            case _:
                return self._unknown(node, module)

    def narrowed(self, node: ast.expr, module: Module, kept: Collection[str]) -> Schema:
        """Make the schema of a typed dictionary, or of a union of some, with only the fields in `kept`."""
        found = self.package.find(node, module)
        if isinstance(found.node, ast.ClassDef) and found.module is not None:
            fields = self.fields(found.node, found.module)
            if {one.name for one in fields} <= set(kept):
                return self._component(found)
            return _object([one for one in fields if one.name in kept])
        if isinstance(found.node, ast.Subscript) and found.module is not None:
            branches = [self.narrowed(one, found.module, kept) for one in _parts(found.node.slice)]
            return {"anyOf": branches}
        return self.schema(node, module)

    def filled(self, node: ast.Subscript, module: Module) -> Schema:
        """Make the schema of a generic model, its type variable filled: `SyncCursorPage[Agent]`."""
        found = self.package.find(node.value, module)
        if not isinstance(found.node, ast.ClassDef) or found.module is None:
            return self._unknown(node, module)
        values = [self.schema(one, module) for one in _parts(node.slice)]
        given = dict(zip(_variables(found.node), values, strict=False))
        return _object(self.fields(found.node, found.module, given))

    def fields(
        self, node: ast.ClassDef, module: Module, given: Mapping[str, Schema] | None = None
    ) -> list[Field]:
        """Give the fields of a class, those of its bases included, its own last."""
        found: dict[str, Field] = {}
        for base in node.bases:
            found |= {one.name: one for one in self._base_fields(base, module, given)}
        typed = self._is_typed_dict(node, module)
        total = not any(word.arg == "total" and ast.unparse(word.value) == "False" for word in node.keywords)
        for statement, text in _with_docstrings(node.body):
            name = statement.target.id if isinstance(statement.target, ast.Name) else "_"
            if name.startswith("_") or "ClassVar" in ast.unparse(statement.annotation):
                continue
            needed = _says(statement.annotation, "Required") or (
                total and not _says(statement.annotation, "NotRequired")
            )
            schema = self.schema(statement.annotation, module, given)
            found[name] = Field(
                name,
                _alias(statement) or name,
                schema | ({"description": text} if text else {}),
                needed if typed else _has_no_default(statement),
            )
        return list(found.values())

    def _base_fields(
        self, base: ast.expr, module: Module, given: Mapping[str, Schema] | None
    ) -> Sequence[Field]:
        head = base.value if isinstance(base, ast.Subscript) else base
        found = self.package.find(head, module)
        if found.name in _ROOTS or found.module is None or found.node is None:
            return ()
        if isinstance(found.node, ast.ClassDef):
            return self.fields(found.node, found.module, given)
        return self._functional(found.node, found.module)

    def _functional(self, node: ast.expr, module: Module) -> Sequence[Field]:
        """Give the fields of `TypedDict("X", {"from": str}, total=False)`."""
        if not isinstance(node, ast.Call) or not isinstance(node.args[-1], ast.Dict):
            return ()
        total = not any(word.arg == "total" and ast.unparse(word.value) == "False" for word in node.keywords)
        content = node.args[-1]
        pairs = [
            (one.value, value)
            for one, value in zip(content.keys, content.values, strict=True)
            if isinstance(one, ast.Constant)
        ]
        return [
            Field(str(name), str(name), self.schema(value, module), total or _says(value, "Required"))
            for name, value in pairs
        ]

    def _is_typed_dict(self, node: ast.ClassDef, module: Module) -> bool:
        for base in node.bases:
            found = self.package.find(base.value if isinstance(base, ast.Subscript) else base, module)
            if found.name == "TypedDict" or isinstance(found.node, ast.Call):
                return True
            if (
                isinstance(found.node, ast.ClassDef)
                and found.module is not None
                and self._is_typed_dict(found.node, found.module)
            ):
                return True
        return False

    def _named(self, node: ast.expr, module: Module, given: Mapping[str, Schema] | None) -> Schema:
        found = self.package.find(node, module)
        if given and found.name in given:
            return given[found.name]
        if found.name in _PLAIN and not isinstance(found.node, ast.ClassDef):
            return dict(_PLAIN[found.name])
        if isinstance(found.node, ast.Call) and ast.unparse(found.node.func).endswith("TypeVar"):
            return {}
        return self._unknown(node, module) if found.node is None else self._component(found)

    def _component(self, found: Found) -> Schema:
        """Make a component of a class or an alias, once; a type that means itself finds its name taken."""
        node, module = found.node, found.module
        if node is None or module is None:
            return {}
        name = self._name(found.name, module)
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = (
                _object(self.fields(node, module))
                if isinstance(node, ast.ClassDef)
                else self.schema(node, module)
            )
        return {"$ref": COMPONENTS + name}

    def _name(self, name: str, module: Module) -> str:
        parts = [part for part in module.name.split(".")[1:] if part != "types"]
        if parts and parts[-1].replace("_", "") == name.lower():
            parts = parts[:-1]
        return ".".join([self.prefix, *parts, name])

    def _subscript(
        self, head: ast.expr, parts: Sequence[ast.expr], module: Module, given: Mapping[str, Schema] | None
    ) -> Schema:
        name = self.package.find(head, module).name
        match name:
            case "Optional":
                return self._union([*parts, ast.Constant(None)], module, given)
            case "Union":
                return self._union(parts, module, given)
            case "Literal":
                return _literal(parts)
            case _ if name in _MAPS:
                values = self.schema(parts[-1], module, given)
                return {"type": "object"} | ({"additionalProperties": values} if values else {})
            case _ if name in _WRAPPERS | _LISTS:
                inner = self.schema(parts[0], module, given)
                return {"type": "array", "items": inner} if name in _LISTS else inner | _format(parts[1:])
            case _:
                inside = parts[0] if len(parts) == 1 else ast.Tuple(list(parts))
                return self.filled(ast.Subscript(head, inside), module)

    def _union(self, parts: Sequence[ast.expr], module: Module, given: Mapping[str, Schema] | None) -> Schema:
        branches = [self.schema(one, module, given) for one in parts if not _is_none(one)]
        whole = branches[0] if len(branches) == 1 else {"anyOf": branches}
        if {} in branches:
            return {}
        return whole | ({"nullable": True} if any(map(_is_none, parts)) else {})

    def _unknown(self, node: ast.expr, module: Module) -> Schema:
        self.unread.append(f"{module.name}: {ast.unparse(node)}")
        return {}


def _object(fields: Sequence[Field]) -> Schema:
    needed = [one.wire for one in fields if one.required]
    schema: Schema = {"type": "object", "properties": {one.wire: one.schema for one in fields}}
    return schema | ({"required": needed} if needed else {})


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _literal(parts: Sequence[ast.expr]) -> Schema:
    values = [one.value for one in parts if isinstance(one, ast.Constant) and one.value is not None]
    kinds = {_LITERALS[type(one)] for one in values if type(one) in _LITERALS}
    schema: Schema = {"enum": values} | ({"type": kinds.pop()} if len(kinds) == 1 else {})
    return schema | ({"nullable": True} if any(map(_is_none, parts)) else {})


def _format(metadata: Sequence[ast.expr]) -> Schema:
    words = (word for one in metadata if isinstance(one, ast.Call) for word in one.keywords)
    named = [
        word.value.value for word in words if word.arg == "format" and isinstance(word.value, ast.Constant)
    ]
    return dict(_FORMATS.get(str(named[0]), {})) if named else {}


def _variables(node: ast.ClassDef) -> list[str]:
    """Give the type variables of a generic class, from its `Generic[...]` base."""
    bases = [
        one for one in node.bases if isinstance(one, ast.Subscript) and ast.unparse(one.value) == "Generic"
    ]
    return [ast.unparse(part) for base in bases for part in _parts(base.slice)]


def _with_docstrings(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Give every annotated field, and the text that stands below it."""
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            match following:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    yield statement, text
                case _:
                    yield statement, ""


def _says(annotation: ast.expr, wrapper: str) -> bool:
    """Say whether a field is `Required[...]` or `NotRequired[...]`, also inside `Annotated`."""
    return isinstance(annotation, ast.Subscript) and (
        ast.unparse(annotation.value).rpartition(".")[2] == wrapper
        or (ast.unparse(annotation.value) == "Annotated" and _says(_parts(annotation.slice)[0], wrapper))
    )


def _calls(statement: ast.AnnAssign) -> Iterator[ast.Call]:
    for tree in (statement.annotation, *([statement.value] if statement.value else [])):
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _alias(statement: ast.AnnAssign) -> str | None:
    """Find the name on the wire: `PropertyInfo(alias=...)` in an annotation, `FieldInfo(alias=...)` as a value."""
    words = (word for call in _calls(statement) for word in call.keywords if word.arg == "alias")
    return next((str(word.value.value) for word in words if isinstance(word.value, ast.Constant)), None)


def _has_no_default(statement: ast.AnnAssign) -> bool:
    value = statement.value
    if isinstance(value, ast.Call):
        return not any(word.arg in ("default", "default_factory") for word in value.keywords)
    return value is None
