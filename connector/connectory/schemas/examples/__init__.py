"""Example values made from a JSON Schema: the smallest valid one, and a full one for a server's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.schemas.examples.making import Maker
from connectory.schemas.examples.terms import NoValueError

if TYPE_CHECKING:
    from connectory.schemas.examples.terms import Resolve, Schema

__all__ = ["full", "minimal"]


def minimal(schema: Schema, resolve: Resolve) -> Any:
    """Give the smallest useful value that the schema accepts: required properties, short lists, first enum.

    `resolve` gives, for a schema that is a `$ref`, the schema it names. A text without rules becomes the name
    of its property, so that an example says which is which. Raises ConfigError where no value can be found.
    """
    return _made(Maker(resolve, None), schema)


def full(schema: Schema, resolve: Resolve, *, seed: str) -> Any:
    """Give a value with all properties to a bounded depth; the same seed gives the same value."""
    return _made(Maker(resolve, seed), schema)


def _made(maker: Maker, schema: Schema) -> Any:
    try:
        return maker.make(schema, "", ())
    except NoValueError as error:
        raise ConfigError(f"making an example: no value satisfies the schema ({error})") from None
