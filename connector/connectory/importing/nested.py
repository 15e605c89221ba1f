"""Conditions, mappers and requests that stand inside transformers of an export, in the words of steps here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from connectory.importing.exported import as_list, as_map, first

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectory.record import Record

_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NULL = "`null`"


def condition_of(filters: Any, *, joined: str = " && ") -> str:
    """Write filters as one expression. Raises ValueError for one that is not known."""
    made = [_condition(as_map(one)) for one in as_list(filters)]
    if not made:
        raise ValueError("it has no filters")
    return made[0] if len(made) == 1 else joined.join(f"({one})" for one in made)


def mapped(key: str, mappers: Any) -> list[Any]:
    """Give the steps that do to a field what mappers did. Raises ValueError for one that is not known."""
    steps: list[Any] = []
    for one in map(as_map, as_list(mappers)):
        name, parameters = str(one.get("prototype") or ""), as_map(one.get("parameters"))
        maker = _MAPPERS.get(name)
        if maker is None:
            raise ValueError(f"the value of {key!r} goes through mappers ({name})")
        steps.append(maker(key, parameters))
    return steps


def plain(path: Any, *, what: str) -> str:
    """Give a dotted path as it is. Raises ValueError for any other."""
    if not isinstance(path, str) or not _PLAIN.fullmatch(path):
        raise ValueError(f"{what} {path!r} is no plain path")
    return path


def _condition(written: Record) -> str:
    name, parameters = str(written.get("prototype") or ""), as_map(written.get("parameters"))
    if name in {"logic-or", "logic-and"}:
        inner = first(parameters, "filters", "conditions")
        return condition_of(inner, joined=" || " if name == "logic-or" else " && ")
    if name not in {"key-exists-condition", "key-not-exists-condition", "key-condition"}:
        raise ValueError(f"its filter {name!r} is not known here; write it as 'when' with an expression")
    field = plain(first(parameters, "key", "pattern", "accessor"), what="the key")
    if name != "key-condition":
        return f"default({field}, {_NULL}) {'!=' if name == 'key-exists-condition' else '=='} {_NULL}"
    conditions = [as_map(one) for one in as_list(first(parameters, "conditions", "filters", "condition"))]
    if [one.get("prototype") for one in conditions] != ["equals"]:
        raise ValueError(
            f"what it wants of {field!r} is not known here; write it as 'when' with an expression"
        )
    value = as_map(conditions[0].get("parameters")).get("value")
    if not isinstance(value, (str, int, float, bool)) or "{" in str(value):
        raise ValueError(f"the value that {field!r} is compared with is no plain one")
    return f"{field} == `{json.dumps(value)}`"


def _replace(key: str, parameters: Record) -> Record:
    text = first(parameters, "search", "from")
    if not isinstance(text, str):
        raise ValueError(f"what is replaced in {key!r} is not known here")  # noqa: TRY004 - of the file, not of the caller
    return {"replace": {"fields": [key], "text": text, "by": str(first(parameters, "replace", "to") or "")}}


_MAPPERS: dict[str, Callable[[str, Record], Any]] = {
    "cast-int": lambda key, _: {"cast": {key: "int"}},
    "serialize-json": lambda key, _: {"to_json": [key]},
    "string-replace": _replace,
}
