"""Reading a request and holding it against the entity's schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.exceptions import best_match as _best_match  # pyright: ignore[reportUnknownVariableType]  # its stubs
from referencing import Registry

from connectory.sandbox.refusal import RefusedError
from connectory.text.json import JsonTextError, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connectory.catalogue import Action, Catalogue

OFFLINE: Registry[Any] = Registry()
"""Knows no document and fetches none."""

_WORDS = {"true": True, "false": False, "null": None}
_JSON_TYPES = {
    "NoneType": "null",
    "bool": "boolean",
    "dict": "object",
    "float": "number",
    "int": "number",
    "list": "array",
    "str": "string",
}
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a multipart request."""

    field: str
    filename: str
    content: bytes
    content_type: str


@dataclass(slots=True)
class Received:
    """A request's parts, read and checked."""

    query: dict[str, Any] = field(default_factory=dict[str, Any])
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    uploads: list[Upload] = field(default_factory=list[Upload])
    text: str = ""


class Checker:
    """The validators of one action, each built when it is first needed."""

    def __init__(self, catalogue: Catalogue, action: Action) -> None:
        self.catalogue, self.action = catalogue, action
        self.content: dict[str, Mapping[str, Any]] = dict(action.body.content) if action.body else {}
        self.bodies: dict[str, Draft202012Validator] = {}
        self.parameters: dict[str, Draft202012Validator] = {}

    def query(self, raw: str) -> dict[str, Any]:
        """Read a query text: brackets become lists and objects, texts become what the schema wants."""
        query = nested(parse_qsl(raw, keep_blank_values=True)) if raw else {}
        for name, parameter in self.action.query.items():
            if name not in query:
                if parameter.required:
                    raise missing(name)
                continue
            if (validator := self.parameters.get(name)) is None:
                validator = self.parameters[name] = self.validator(parameter.schema)
            query[name] = converted(query[name], validator, name)
        return query

    def json(self, raw: bytes) -> dict[str, Any]:
        """Read a JSON body and hold it against its schema."""
        try:
            body = loads(raw)
        except JsonTextError as error:
            raise RefusedError(400, f"We could not parse the JSON body of your request: {error}.") from None
        self.check(body, JSON)
        return cast("dict[str, Any]", body) if isinstance(body, dict) else {}

    def form(self, fields: Sequence[tuple[str, str]], uploads: Sequence[Upload]) -> dict[str, Any]:
        """Read a multipart body; a file stands in the checked value as its name."""
        files = [(one.field, one.filename) for one in uploads]
        body = self.listed(nested([*fields, *files]), self.content["multipart/form-data"])
        validator = self.body_validator("multipart/form-data")
        if not is_valid(validator, body):
            body = {name: _typed(value) for name, value in body.items()} | dict(files)
        self.check(body, "multipart/form-data")
        return body

    def listed(self, body: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Make a list of the only value of a property that takes nothing but lists."""
        properties: Mapping[str, Any] = self.catalogue.resolve(schema).get("properties", {})
        for name in body.keys() & properties.keys():
            known = self.catalogue.resolve(properties[name])
            if known.get("type") == "array" and not isinstance(body[name], list):
                body[name] = [body[name]]
        return body

    def check(self, body: Any, media_type: str) -> None:
        """Refuse a body that its schema does not accept, naming the parameter."""
        validator = self.body_validator(media_type)
        if not is_valid(validator, body):
            raise explained(deepest(worst(validator, body)))

    def body_validator(self, media_type: str) -> Draft202012Validator:
        """Give the validator for bodies of a media type."""
        if (validator := self.bodies.get(media_type)) is None:
            validator = self.bodies[media_type] = self.validator(self.content[media_type])
        return validator

    def validator(self, schema: Any) -> Draft202012Validator:
        """Build the validator of a schema of the catalogue."""
        return Draft202012Validator(self.catalogue.schema(schema), registry=OFFLINE)


def is_valid(validator: Draft202012Validator, value: Any) -> bool:
    """Say whether the value satisfies the validator's schema."""
    return bool(validator.is_valid(value))  # pyright: ignore[reportUnknownMemberType]  # untyped in jsonschema


def worst(validator: Draft202012Validator, value: Any) -> ValidationError:
    """Give what is wrong with the value: of several errors the one that explains most."""
    return cast("ValidationError", _best_match(validator.iter_errors(value)))  # pyright: ignore[reportUnknownMemberType]  # the same


def deepest(error: ValidationError) -> ValidationError:
    """Follow a union's error into the one branch that the value was meant for, told by its type and tag."""
    branches: dict[Any, list[ValidationError]] = {}
    for below in cast("Iterable[ValidationError]", error.context or ()):
        branches.setdefault(below.schema_path[0], []).append(below)
    meant = [errors for errors in branches.values() if not any(map(_excludes, errors))]
    return deepest(meant[0][0]) if len(meant) == 1 else error


def _excludes(error: ValidationError) -> bool:
    """Say whether the value belongs to another branch: it is of another type, or carries another tag."""
    depth = len(cast("Sequence[Any]", error.relative_path))
    return (error.validator == "type" and depth == 0) or (error.validator in {"enum", "const"} and depth == 1)


def missing(name: str) -> RefusedError:
    """Give the answer for an absent parameter."""
    return RefusedError(
        400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
    )


def explained(error: ValidationError) -> RefusedError:
    """Say what is wrong in the envelope's terms: which parameter, and what was expected."""
    path = cast("Iterable[str | int]", error.absolute_path)
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    rule, value, wanted = (
        str(error.validator),
        cast("Any", error.instance),
        cast("Any", error.validator_value),
    )
    start = f"{place}." if place else ""
    param = place or None
    if rule == "required":
        return missing(start + next(name for name in wanted if name not in value))
    if rule == "additionalProperties":
        known = cast("Mapping[str, Any]", error.schema).get("properties", {})
        name = start + next((one for one in value if one not in known), "")
        return RefusedError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    about = f"'{place}'" if place else "the request body"
    if rule in {"enum", "const"}:
        choices = ", ".join(f"'{one}'" for one in (wanted if rule == "enum" else [wanted]))
        return RefusedError(
            400,
            f"Invalid value for {about}. Supported values are: {choices}.",
            code="invalid_value",
            param=param,
        )
    if rule == "type":
        kinds = wanted if isinstance(wanted, str) else " or ".join(cast("list[str]", wanted))
        got = _JSON_TYPES.get(type(value).__name__, "value")
        message = f"Invalid type for {about}: expected {kinds}, but got {got} instead."
        return RefusedError(400, message, code="invalid_type", param=param)
    limit = wanted if isinstance(wanted, str | int | float) else "one of the allowed forms"
    return RefusedError(
        400, f"Invalid value for {about}: {rule} is {limit}.", code="invalid_value", param=param
    )


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Read `a=1`, `a[]=1` and `a[b][c]=1` into one object; a plain name that comes twice becomes a list."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        head, *keys = name.replace("]", "").split("[")
        here, last = made, head
        for key in keys:
            if key == "":
                break
            deeper = here.setdefault(last, {})
            if not isinstance(deeper, dict):
                raise RefusedError(
                    400, f"Invalid value for '{head}': it is given twice, in two forms.", param=head
                )
            here, last = cast("dict[str, Any]", deeper), key
        if keys and keys[-1] == "":
            here[last] = [*_as_list(here.get(last, [])), value]
        else:
            here[last] = [*_as_list(here[last]), value] if last in here else value
    return made


def _as_list(value: Any) -> list[Any]:
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else [value]


def converted(value: Any, validator: Draft202012Validator, name: str) -> Any:
    """Give the first reading of a text, or of texts, that the schema accepts."""
    typed = _typed(value)
    for reading in (value, typed, [value], [typed]):
        if is_valid(validator, reading):
            return reading
    refusal = explained(worst(validator, typed))
    refusal.param = name if refusal.param is None else f"{name}.{refusal.param}"
    refusal.message = refusal.message.replace("the request body", f"'{name}'")
    raise refusal


def _typed(value: Any) -> Any:
    """Read numbers and truth values out of texts, at any depth."""
    if isinstance(value, dict):
        return {key: _typed(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_typed(part) for part in cast("Iterable[Any]", value)]
    if value in _WORDS:
        return _WORDS[value]
    try:
        return int(value) if str(value).lstrip("-").isdecimal() else float(value)
    except ValueError:
        return _json_or_text(value)


def _json_or_text(value: str) -> Any:
    if value[:1] not in {"{", "["}:
        return value
    try:
        return loads(value)
    except JsonTextError:
        return value
