"""Query and payload of a request held against what its action takes, around the files in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from connectory.errors import RequestError
from connectory.schemas.validation.validator import Validator
from connectory.schemas.validation.wording import as_list, did_you_mean, nearest, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connectory.schemas.validation.names import Notice

Schema: TypeAlias = "Mapping[str, Any]"

_JSON, _FORM = "application/json", "multipart/form-data"
_FILE_SOURCES = frozenset(["path", "content", "base64"])
_FILE = "file"
"""Stands for a file's content while the rest of the payload is checked."""

_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_WHOLE, _NUMBER = re.compile(r"-?(0|[1-9]\d*)\Z"), re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?\Z")
_LOOKED_AT_FIRST, _THEN_ONE_IN = 1000, 64
_MOST_WARNINGS = 1000
"""How many different warnings of one run are remembered, and so told."""


class Parameter(Protocol):
    """What has to be known of a query parameter."""

    @property
    def schema(self) -> Schema: ...  # noqa: D102 - said above
    @property
    def required(self) -> bool: ...  # noqa: D102 - said above


class Body(Protocol):
    """What has to be known of a body: a schema for each content type."""

    @property
    def content(self) -> Mapping[str, Schema]: ...  # noqa: D102 - said above


class Action(Protocol):
    """What has to be known of an action."""

    @property
    def query(self) -> Mapping[str, Parameter]: ...  # noqa: D102 - said above
    @property
    def fixed_query(self) -> Mapping[str, str]: ...  # noqa: D102 - said above
    @property
    def body(self) -> Body | None: ...  # noqa: D102 - said above


class RequestChecker:
    """Checks the requests of one client; each validator is made once, each warning given once.

    `complete` makes a catalogue's schema self-contained; `warn` takes what does not stop a request.
    """

    def __init__(self, complete: Callable[[Any], Mapping[str, Any]], warn: Callable[[str], None]) -> None:
        self._complete, self._warn = complete, warn
        self._validators: dict[int, tuple[Any, Validator]] = {}
        self._told: set[str] = set()
        self._seen = Counter[int]()

    def check(
        self, action: Action, query: Mapping[str, Any], payload: Any, *, what: str, mode: str = "error"
    ) -> None:
        """Raise RequestError, or only warn, as `mode` says (`error`, `warn`, `off`); `what` names the request.

        Fields and query parameters that the schema does not name, and texts outside an open list, are warned of
        once; the first thousand payloads are looked through for them, and then one in 64: what a configuration gets
        wrong it gets wrong each time. An absent payload, and one where the action takes none, are the client's to
        judge.
        """
        if mode == "off":
            return
        errors = query_errors(action.query, query, self.validator) if query or action.query else []
        value, validator = self._payload(action, payload)
        if validator is not None:
            errors += validator.errors(value)
        if errors and mode == "error":
            raise RequestError(f"{what}: {' | '.join(errors)}")
        for error in errors:
            self._warn_once(f"{what}: {error}")
        for name in unknown_parameters(action, query) if query else ():
            self._warn_once(f"{what}: unknown query parameter {name!r}{did_you_mean(name, action.query)}")
        if validator is not None and self._is_looked_at(validator):
            for notice in validator.notices(value):
                self._warn_once(f"{what}: {notice_text(notice)}")

    def validator(self, schema: Schema) -> Validator:
        """Give the validator of a schema of the catalogue, known by its identity."""
        found = self._validators.get(id(schema))
        if found is None:
            # the schema is kept beside its validator, so that its id cannot come to mean another one
            found = self._validators[id(schema)] = (schema, Validator(self._complete(schema)))
        return found[1]

    def _payload(self, action: Action, payload: Any) -> tuple[Any, Validator | None]:
        """Give what of the payload is to be checked, and by what."""
        body = action.body
        content: Mapping[str, Schema] = body.content if body is not None and payload is not None else {}
        if _JSON in content and len(content) == 1:
            return payload, self.validator(content[_JSON])
        if isinstance(payload, str) and any(media not in {_JSON, _FORM} for media in content):
            return payload, None
        if _FORM in content and isinstance(payload, Mapping):
            validator = self.validator(content[_FORM])
            form = _Form(validator.schema)
            value, files = form.without_files(cast("Mapping[str, Any]", payload))
            if files or _JSON not in content:
                return form.read(value), validator
        return cast("Any", payload), self.validator(content[_JSON]) if _JSON in content else None

    def _is_looked_at(self, validator: Validator) -> bool:
        number = self._seen[id(validator)]
        self._seen[id(validator)] = number + 1
        return number < _LOOKED_AT_FIRST or not number % _THEN_ONE_IN

    def _warn_once(self, text: str) -> None:
        key = re.sub(r"\[\d+\]", "[]", text)
        if key not in self._told and len(self._told) < _MOST_WARNINGS:
            self._told.add(key)
            self._warn(text)


def notice_text(notice: Notice, name: str = "payload") -> str:
    """Write a notice as a warning."""
    if notice.is_name:
        return f"{place(name, notice.path)}: unknown field {notice.name!r}{did_you_mean(notice.name, notice.known)}"
    near = nearest(notice.name, notice.known)
    hint = f"; near it is {near!r}" if near else ""
    return f"{place(name, notice.path)}: {notice.name!r} is not in the API's list{hint}"


# The query


def query_errors(
    parameters: Mapping[str, Parameter],
    query: Mapping[str, Any],
    validator: Callable[[Schema], Validator] = Validator,
) -> list[str]:
    """Say what is wrong with a query; a text is read as a number, truth value or list where that is wanted.

    Names may carry brackets already, as in `ids[]` or `created_at[gte]`. `validator` makes the judge of a schema.
    """
    given = nested(query)
    errors: list[str] = []
    for name, parameter in parameters.items():
        if given.get(name) is None:
            errors += [f"query: {name!r} is missing"] if parameter.required else []
            continue
        judge, value, place = validator(parameter.schema), given[name], f"query.{name}"
        typed = reading(value)
        if not any(judge.accepts(one) for one in (value, typed, as_list(value), as_list(typed))):
            told = judge.errors(value if isinstance(typed, list | dict) else typed, name=place)
            wants_list = told[0].endswith("must be a list")
            errors += judge.errors(as_list(value), name=place) if wants_list else told
    return errors


def unknown_parameters(action: Action, query: Mapping[str, Any]) -> Iterator[str]:
    """Give the names that are no query parameters of the action."""
    for name in query:
        bare = name.partition("[")[0]
        if name not in action.query and bare not in action.query and name not in action.fixed_query:
            yield bare


def nested(query: Mapping[str, Any]) -> dict[str, Any]:
    """Read `a[]` as `a` and `a[b]` as `{a: {b: ...}}`."""
    made: dict[str, Any] = {}
    for name, value in query.items():
        head, *keys = name.replace("]", "").split("[")
        keys = [key for key in keys if key]
        here, last = made, head
        for key in keys:
            deeper = here.setdefault(last, {})
            here, last = cast("dict[str, Any]", deeper) if isinstance(deeper, dict) else {}, key
        here[last] = as_list(value) if name.endswith("[]") else value
    return made


def reading(value: Any) -> Any:
    """Read numbers and truth values out of texts, at any depth."""
    if isinstance(value, Mapping):
        return {key: reading(one) for key, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [reading(one) for one in cast("Iterable[Any]", value)]
    if not isinstance(value, str):
        return value
    if value in _WORDS:
        return _WORDS[value]
    if _NUMBER.match(value):
        return int(value) if _WHOLE.match(value) else float(value)
    return value


# Forms


class _Form:
    """A form's schema: which of its properties hold files, and which only texts."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self._properties = {
            name: one for part in self._forms(schema) for name, one in part.get("properties", {}).items()
        }

    def without_files(self, payload: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Put a text where a file is, and say whether there was one; how files are written is `encoding`'s to judge."""
        made: dict[str, Any] = {}
        found = False
        for key, value in payload.items():
            name = key if key in self._properties else key.removesuffix("[]")
            schema = self._properties.get(name)
            if value is None:
                continue  # is not sent
            if schema is not None and self._holds_files(schema) and not self._is_reference(value, schema):
                found = True
                value = [_FILE for _ in as_list(value)] if isinstance(value, list) else _FILE  # noqa: PLW2901 - replaced
            made[name] = value
        return made, found

    def read(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Read texts as what the schema wants: in a form, everything is sent as text."""
        return {
            name: reading(value) if name in self._properties and not self._takes(name, value) else value
            for name, value in payload.items()
        }

    def _takes(self, name: str, value: Any) -> bool:
        types = {
            kind for one in self._forms(self._properties[name]) for kind in as_list(one.get("type", "string"))
        }
        return isinstance(value, str) and "string" in types

    def _forms(self, schema: Any) -> Iterator[Schema]:
        """Give a schema and all that it says in unions, conditions and references."""
        if isinstance(schema, Mapping):
            one = cast("dict[str, Any]", schema)
            below: list[Any] = [one[key] for key in ("then", "else") if key in one]
            if "$ref" in one:
                below.append(self._root.get("$defs", {}).get(str(one["$ref"]).removeprefix("#/$defs/"), {}))
            else:
                yield one
            for part in [*below, *one.get("allOf", []), *one.get("anyOf", []), *one.get("oneOf", [])]:
                yield from self._forms(part)

    def _holds_files(self, schema: Any) -> bool:
        return any(
            "binary" in (one.get("format"), one.get("contentEncoding")) or self._holds_files(one.get("items"))
            for one in self._forms(schema)
        )

    def _is_reference(self, value: Any, schema: Any) -> bool:
        """Say whether an object is no file but the other thing that may stand there, as `{"id": ...}`."""
        if not isinstance(value, Mapping) or not value or _FILE_SOURCES & value.keys():
            return False
        names = cast("Mapping[str, Any]", value).keys()
        return any(names <= one.get("properties", {}).keys() for one in self._forms(schema))
