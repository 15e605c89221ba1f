"""What an expression refuses in a record, and the words for it."""

from __future__ import annotations

import json
from typing import Any, TypeAlias, cast

from connectory.errors import did_you_mean

Key: TypeAlias = str | int

SCOPES = ("input", "record", "parent", "request", "response", "derived", "http", "run")
"""What stands beside the record's own fields at the top of an expression."""

_FEW = 8
_SHORT = 40


class RefusedError(Exception):
    """Values that an operator or a function cannot take."""

    def why(self, _text: str) -> str:
        """Say what is wrong; `text` is the whole expression."""
        return str(self.args[0])


class AbsentError(RefusedError):
    """Something that is not there: cheap to raise, because `||` and projections catch it; worded only on top.

    `key` is None where a list was wanted and `*` where an object was. `droppable` is false once it has left a
    comparison, a function or a new object: a projection drops an element whose path is absent, never one of
    which half is there.
    """

    def __init__(self, owner: Any, key: Key | None, name: str) -> None:
        super().__init__()
        self.owner, self.key, self.name, self.droppable = owner, key, name, True

    def why(self, text: str) -> str:
        """Name what is missing, and the nearest thing that is there."""
        owner, key, name = self.owner, self.key, self.name
        if isinstance(owner, dict) and isinstance(key, str):
            return (
                f"{name} has no {key!r}{_nearest(key, list(cast('dict[str, Any]', owner)))}{self._hint(text)}"
            )
        if isinstance(owner, list) and isinstance(key, int):
            return f"{name} has {len(cast('list[object]', owner))} elements, none at [{key}]"
        if key is None or key == "*":
            return f"{name} is {_kind(owner)}, not {'an object' if key else 'a list'}"
        return f"{name} is {_kind(owner)}, it has no {f'[{key}]' if isinstance(key, int) else repr(key)}"

    def _hint(self, text: str) -> str:
        key = self.key
        if key in SCOPES:
            top = self.name == "the record" and "@" not in text
            return (
                f" (there is no {key} here)" if top else f" ({key} stands at the top of an expression only)"
            )
        if key in {"true", "false", "null"}:
            return f" (the value is `{key}`, in backticks)"
        return f" (a text stands in single quotes: '{key}')" if json.dumps(key) in text else ""


def _nearest(key: str, names: list[str]) -> str:
    if guess := did_you_mean(key, names):
        return guess
    if len(names) <= _FEW:
        return f"; it has {', '.join(map(repr, names))}" if names else "; it is empty"
    return f"; none of its {len(names)} fields is near"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    names = {"NoneType": "null", "str": "a string", "int": "a number", "float": "a number", "list": "a list"}
    return names.get(type(cast("object", value)).__name__, "an object")


def show(value: Any) -> str:
    """Name a value in a message: a short excerpt, and its type."""
    if value is None or isinstance(value, (dict, list)):
        return _kind(value)
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return f"{text if len(text) <= _SHORT else text[:_SHORT] + '…'} ({_kind(value)[2:]})"


def is_false(value: Any) -> bool:
    """Say whether a condition's result counts as false: null, false, or an empty string, list or object."""
    return not value and type(value) is not int and type(value) is not float


def is_number(value: Any) -> bool:
    """Say whether a value is a number: in Python, true and false are numbers too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
