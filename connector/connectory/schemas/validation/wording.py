"""How values, types and places are written in messages: never more of a record than a short scalar."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Path: TypeAlias = "tuple[str | int, ...]"

LONGEST = 40
"""How many characters of a value are shown at most."""

_MOST_CHOICES = 12
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def place(name: str, path: Path) -> str:
    """Write a path as `payload.messages[0].role`."""
    return name + "".join(map(_step, path))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() and len(key) <= LONGEST else f"[{shown(key)}]"


def shown(value: Any) -> str:
    """Write a scalar that is short, and of anything else what it is."""
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST else f"a text of {len(value)} characters"
    if isinstance(value, list | dict):
        return kind(value)
    text = json.dumps(value, default=repr)  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def kind(value: Any) -> str:
    """Name a value's JSON type; a number and a truth value are shown too."""
    if value is None:
        return "null"
    names = ((str, "a text"), (bool, "a boolean"), (list, "a list"), (dict, "an object"))
    name = next((word for known, word in names if isinstance(value, known)), None)
    if name is None and not isinstance(value, int | float):
        return f"a Python {type(value).__name__}"  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return f"{name or 'a number'} ({shown(value)})" if isinstance(value, int | float) else str(name)


def one_of_types(types: Iterable[str]) -> str:
    """Write a choice of types: `a text, a list or null`."""
    listed = list(dict.fromkeys(types))
    if "number" in listed and "integer" in listed:
        listed.remove("integer")
    words = [_TYPES.get(one, one) for one in listed]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def one_of_values(values: Sequence[Any], given: Any, types: Sequence[str] = ()) -> str:
    """Write a choice of values, of a long one the nearest and the first, and the types that are allowed too."""
    distinct = list({json.dumps(one): one for one in values}.values())
    words = [one if isinstance(one, str) else json.dumps(one) for one in distinct]
    if len(words) > _MOST_CHOICES:
        near = get_close_matches(given, words, n=3) if isinstance(given, str) else []
        first = [*near, *(one for one in words if one not in near)][: _MOST_CHOICES - 4]
        return f"one of {', '.join(first)}, … ({len(words)} in all){_or_types(types)}"
    start = "one of " if len(words) > 1 else "must be "
    return start + ", ".join(words) + _or_types(types)


def _or_types(types: Sequence[str]) -> str:
    return f", {'or ' if len(types) == 1 else ''}{one_of_types(types)}" if types else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that is written most like this one."""
    originals = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), originals, n=1, cutoff=0.6)
    return originals[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give `; did you mean 'x'?` where a known name is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def as_list(value: Any) -> list[Any]:
    """Give a list of a value that may be one or many."""
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType] - any JSON
