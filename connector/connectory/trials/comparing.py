"""Two JSON values held against each other: every place at which they differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from connectory.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 400


class _Absent:
    """Nothing is there, which is not null."""


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which something else came than was expected; `hint` names what may have been meant."""

    path: str
    expected: Any
    came: Any
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}\n  expected  {shown(self.expected)}\n  came      {shown(self.came)}{self.hint}"


def differences(expected: Any, came: Any, path: str, *, part: bool = False) -> Iterator[Difference]:
    """Give every difference; with `part`, objects may have more fields than are expected.

    A number is the same as another of its value (1 and 1.0), and never the same as true or a text.
    """
    if isinstance(expected, dict) and isinstance(came, dict):
        yield from _objects(cast("dict[str, Any]", expected), cast("dict[str, Any]", came), path, part=part)
    elif isinstance(expected, (list, tuple)) and isinstance(came, (list, tuple)):
        yield from _lists(list(cast("Any", expected)), list(cast("Any", came)), path, part=part)
    elif isinstance(expected, bool) is not isinstance(came, bool) or expected != came:
        yield Difference(path, expected, came)


def shown(value: Any) -> str:
    """Write a value for a person: as JSON on one line, cut where it is long."""
    if value is ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _objects(
    expected: dict[str, Any], came: dict[str, Any], path: str, *, part: bool
) -> Iterator[Difference]:
    more = [key for key in came if key not in expected]
    for key, value in expected.items():
        if key in came:
            yield from differences(value, came[key], _below(path, key), part=part)
        else:
            yield Difference(_below(path, key), value, ABSENT, did_you_mean(key, more))
    for key in () if part else more:
        yield Difference(_below(path, key), ABSENT, came[key])


def _lists(expected: list[Any], came: list[Any], path: str, *, part: bool) -> Iterator[Difference]:
    for index in range(max(len(expected), len(came))):
        here = f"{path}[{index}]"
        if index >= len(expected):
            yield Difference(here, ABSENT, came[index])
        elif index >= len(came):
            yield Difference(here, expected[index], ABSENT)
        else:
            yield from differences(expected[index], came[index], here, part=part)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if key.replace("-", "_").isidentifier() else f"{path}.{json.dumps(key)}"
