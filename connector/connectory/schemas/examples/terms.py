"""The words that the makers of examples share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = "Mapping[str, Any] | bool"
Resolve: TypeAlias = Callable[[Any], Any]
"""Gives, for a schema that is a `$ref`, the schema it names."""


class NoValueError(Exception):
    """This branch gives no value; the next one may."""


def is_number(value: Any) -> bool:
    """Say whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal; 1 and true are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
