"""Questions about JSON values that both type checkers understand."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value in the document: keys and list indexes."""


def is_map(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Say whether a value is a mapping."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Say whether a value is a list."""
    return isinstance(value, list)


def is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    """Say whether a value is a tuple, as a configuration given as data may have for a list."""
    return isinstance(value, tuple)
