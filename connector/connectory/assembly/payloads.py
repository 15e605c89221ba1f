"""What of a payload is wrong whatever the record is: it is told before there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.placeholders import compile_template
from connectory.schemas.validation import Validator
from connectory.schemas.validation.requests import notice_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.delivery.publication import Publication
    from connectory.errors import Problem

_JSON = "application/json"


def payload_problems(config: Config, publication: Publication, catalogue: Catalogue) -> Iterator[Problem]:
    """Give, of a payload that is written, unknown fields, missing ones, and constants that the API does not take.

    What comes from the record cannot be known. With `validate: off` nothing is looked at.
    """
    looked_at = _looked_at(publication)
    if looked_at is None:
        return
    payload, schema = looked_at[0], catalogue.schema(looked_at[1])
    place = ("outgoing", publication.name, "payload")
    for notice in Validator(schema).notices(payload):
        if notice.is_name:
            where = (*place, *notice.path, notice.name)
            yield config.problem(where, notice_text(notice), key=True, severity="warning")
    for name in _required(schema):
        if name not in payload:
            yield config.problem(place, f"payload: {name!r} is missing", key=True, severity="warning")
    for name, value in payload.items():
        if compile_template(value).is_constant:
            for part in _of_field(schema, name):
                for error in Validator({**part, "$defs": schema.get("$defs", {})}).errors(
                    value, name=f"payload.{name}"
                ):
                    yield config.problem((*place, name), error, severity="warning")


def _looked_at(publication: Publication) -> tuple[dict[str, Any], Mapping[str, Any]] | None:
    """Give the payload as it is written, and its schema; None where a record brings it, or nobody wants to know."""
    written = None if publication.payload is None else publication.payload.source
    action = publication.only_action
    if (
        action is None
        or action.body is None
        or publication.validate == "off"
        or not isinstance(written, dict)
    ):
        return None
    schema = action.body.content.get(_JSON)
    return None if schema is None else (cast("dict[str, Any]", written), schema)


def _of_field(root: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Give every schema that a field of the payload has to meet in any case."""
    for one in _always(root, root):
        if name in one.get("properties", {}):
            yield one["properties"][name]


def _required(root: Mapping[str, Any]) -> Iterator[str]:
    for one in _always(root, root):
        yield from one.get("required", ())


def _always(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give what a payload has to meet in any case: a schema, and all that it names beside itself."""
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"), {})
    yield schema
    for one in schema.get("allOf", ()):
        yield from _always(root, one)
