"""A field of a record as an option names it; a dotted name reaches into objects and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, TransformerError, did_you_mean
from connectory.expressions import CompiledOption

if TYPE_CHECKING:
    from connectory.record import Record

_ABSENT: Any = object()


class Field(CompiledOption):
    """Where a value stands in a record, such as `address.city` or `items.0.name`.

    A field of the record that has exactly the dotted name comes first. Two of one name are equal.
    """

    __slots__ = ("_way", "name")
    written = str

    def __init__(self, name: str) -> None:
        if not name or not all(name.split(".")):
            raise ConfigError(f"{name!r} names no field; write a name such as 'city' or 'address.city'")
        self.name = name
        self._way = name.split(".")

    def get(self, record: Record, default: Any = None) -> Any:
        """Give the value, or `default` where it is absent."""
        if self.name in record:
            return record[self.name]
        value: Any = record
        for step in self._way:
            value = _inside(value, step)
            if value is _ABSENT:
                return default
        return value

    def has(self, record: Record) -> bool:
        """Say whether the record has it; null counts."""
        return self.get(record, _ABSENT) is not _ABSENT

    def need(self, record: Record) -> Any:
        """Give the value; raises TransformerError where it is absent."""
        value = self.get(record, _ABSENT)
        if value is _ABSENT:
            raise TransformerError(f"the record has no {self.name!r}{did_you_mean(self.name, record)}")
        return value

    def text(self, record: Record) -> str:
        """Give the value, which must be a text. Raises TransformerError."""
        value = self.need(record)
        if not isinstance(value, str):
            raise TransformerError(f"{self.name!r} is {value!r:.60}, not a text")
        return value

    def put(self, record: Record, value: Any) -> None:
        """Add or replace the value; objects on the way that are missing are made. Raises TransformerError."""
        owner, last = self._owner(record)
        owner[last] = value

    def add(self, record: Record, value: Any) -> None:
        """Put the value where nothing is yet. Raises TransformerError, so that no field is lost in silence."""
        owner, last = self._owner(record)
        if isinstance(owner, list) or last in owner:
            raise TransformerError(f"two fields would be called {self.name!r}")
        owner[last] = value

    def take(self, record: Record) -> None:
        """Remove the field; one that is absent is fine, and an element of a list closes the gap."""
        if self.has(record):
            owner, last = self._owner(record)
            del owner[last]

    def _owner(self, record: Record) -> tuple[Any, Any]:
        """Give what holds the value, and its key there."""
        if self.name in record:
            return record, self.name
        owner: Any = record
        for step in self._way[:-1]:
            inner = _inside(owner, step)
            if inner is _ABSENT and isinstance(owner, dict):
                inner = cast("Record", owner).setdefault(step, {})
            if not isinstance(inner, (dict, list)):
                raise TransformerError(f"cannot set {self.name!r}: {step!r} is no object")
            owner = cast("Any", inner)
        last = self._way[-1]
        if isinstance(owner, list):
            if _inside(owner, last) is _ABSENT:
                raise TransformerError(f"cannot set {self.name!r}: the list has no element {last}")
            return cast("Any", owner), int(last)
        return owner, last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Field({self.name!r})"


def _inside(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return cast("Record", value).get(step, _ABSENT)
    if isinstance(value, list) and step.isdecimal():
        elements = cast("list[object]", value)
        return elements[int(step)] if int(step) < len(elements) else _ABSENT
    return _ABSENT
