"""Many records in one request: what goes together, how the answer is taken apart, and where a refusal is divided."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from connectory.pace.tokens import BYTES_PER_TOKEN
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Form: TypeAlias = Literal["list", "jsonl"]

MOST_BYTES = 8_000_000
"""Bytes of the packed property where the catalogue names no bound: a request should not grow without one."""

DIVIDED = frozenset({400, 413, 422, 429})
"""Refusals that one record, or too many of them, may have caused. Of the 429 those come that no waiting mends."""

ALIKE_IN_A_ROW = 2
"""Records refused one after the other, each alone, before the rest are tried one by one: all may share the cause."""

_FILE_KEYS = frozenset({"path", "base64", "content"})
_FILENAME = "records.jsonl"


class MismatchError(Exception):
    """The answers in an answer cannot be told apart; the message says why."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request takes at most; None is not known."""

    most: int | None = None
    tokens: int | None = None
    bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class Value:
    """What one record brings for the packed property: what is sent of it, and what it adds to the request.

    `shared` is what it says of the whole: the name of a file.
    """

    content: Any
    bytes: int
    tokens: float
    shared: Any = None


@dataclass(frozen=True, slots=True)
class PackOption:
    """The option `pack`, with what the catalogue says of the property.

    `results` names the field of the answer that holds one item for each record. `by` is the property whose value
    decides about the bounds, with those of each value that packs. `wait` is in seconds.
    """

    property: str
    size: int
    wait: float
    form: Form = "list"
    results: str | None = None
    bounds: Bounds = field(default_factory=Bounds)
    by: tuple[str, Mapping[str, Bounds]] | None = None

    def value(self, payload: Any) -> tuple[Value, Bounds] | None:
        """Give what of a payload can go with others; None where it has to go alone."""
        if not isinstance(payload, dict):
            return None
        fields, bounds = cast("dict[str, Any]", payload), self.bounds
        if self.by is not None:
            decides = fields.get(self.by[0])
            found = self.by[1].get(decides) if isinstance(decides, str) else None
            if found is None:
                return None
            bounds = found
        content = fields.get(self.property)
        value = _text(content) if self.form == "list" else _line(content)
        return None if value is None else (value, bounds)

    def rest(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Give what records that go together have in common."""
        return {name: value for name, value in payload.items() if name != self.property}

    def payload(self, payload: Mapping[str, Any], values: Sequence[Value]) -> dict[str, Any]:
        """Make the payload of one request for many records, of that of one of them."""
        if self.form == "list":
            return {**payload, self.property: [one.content for one in values]}
        content = "".join(f"{one.content}\n" for one in values)
        return {
            **payload,
            self.property: {"filename": _FILENAME, **(values[0].shared or {}), "content": content},
        }

    def divide(self, answer: Any, weights: Sequence[float]) -> list[Any]:
        """Give each record its part of an answer, as it would have come alone. Raises MismatchError.

        What was used is shared out by weight; the shares add up to the whole.
        """
        if not isinstance(answer, dict):
            raise MismatchError("the answer is no object")
        whole = cast("dict[str, Any]", answer)
        if self.results is None:
            return [{**whole, "line": number} for number in range(1, len(weights) + 1)]
        items = _in_order(whole.get(self.results), len(weights), self.results)
        usage = whole.get("usage")
        shares = _shared(cast("dict[str, Any]", usage), weights) if isinstance(usage, dict) else None
        given: list[Any] = []
        for number, item in enumerate(items):
            own = {**cast("dict[str, Any]", item), "index": 0} if _index(item) is not None else item
            part = {**whole, self.results: [own]}
            given.append(part if shares is None else part | {"usage": shares[number]})
        return given

    def suspect(self, message: str, count: int) -> int | None:
        """Give the record that a refusal names, counted from 0, if it names one."""
        found = re.search(rf"\b{re.escape(self.property)}\[(\d{{1,9}})\]", message)
        number = int(found[1]) if found else count
        return number if number < count else None


def pack_key(keys: Sequence[str]) -> str:
    """Give the key of a request for many deliveries: 24 characters that hash theirs."""
    digest = hashlib.sha256("\n".join(keys).encode()).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()


def _text(content: Any) -> Value | None:
    """A text packs; what is a list already, or of tokens, says itself what is sent together."""
    if (
        not isinstance(content, str) or not content
    ):  # an empty one is refused, and would take the others with it
        return None
    size = len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    return Value(content, size, max(1.0, size / BYTES_PER_TOKEN))


def _line(content: Any) -> Value | None:
    """An object packs: it becomes a line of a file. One that says where a file lies goes as that file."""
    if not isinstance(content, dict):
        return None
    record, shared = cast("dict[str, Any]", content), None
    inner = record.get("content")
    if isinstance(inner, dict) and record.keys() <= {"content", "filename", "content_type"}:
        shared = {name: record[name] for name in ("filename", "content_type") if name in record}
        record = cast("dict[str, Any]", inner)
    elif record.keys() & _FILE_KEYS and record.keys() <= _FILE_KEYS | {"filename", "content_type"}:
        return None
    try:
        line = dumps(record)
    except JsonTextError:
        return None
    return Value(line.decode(), len(line) + 1, len(line) / BYTES_PER_TOKEN, shared)


def _in_order(items: Any, count: int, name: str) -> list[Any]:
    """Give as many items as were asked for, in the order of the records."""
    found: list[Any] = items if isinstance(items, list) else []  # pyright: ignore[reportUnknownVariableType]  # any JSON
    if len(found) != count:
        raise MismatchError(f"the answer has {len(found)} items in {name!r} for {count} records")
    numbers = [_index(item) for item in found]
    if all(number is None for number in numbers) or numbers == list(range(count)):
        return found
    placed = dict(zip(numbers, found, strict=True))
    if placed.keys() != set(range(count)):
        raise MismatchError(f"the items in {name!r} are not numbered from 0 to {count - 1}")
    return [placed[number] for number in range(count)]


def _index(item: Any) -> int | None:
    number = cast("dict[str, Any]", item).get("index") if isinstance(item, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _shared(usage: Mapping[str, Any], weights: Sequence[float]) -> list[dict[str, Any]]:
    """Share out every number of an account; what is no number everybody has."""
    shares: list[dict[str, Any]] = [{} for _ in weights]
    for name, amount in usage.items():
        if isinstance(amount, dict):
            parts: Sequence[Any] = _shared(cast("dict[str, Any]", amount), weights)
        elif isinstance(amount, int) and not isinstance(amount, bool):
            parts = _whole_shares(amount, weights)
        else:
            parts = [amount] * len(weights)
        for share, part in zip(shares, parts, strict=True):
            share[name] = part
    return shares


def _whole_shares(amount: int, weights: Sequence[float]) -> list[int]:
    """Divide a whole number by weight into whole numbers that add up to it."""
    total, given, reached, shares = sum(weights) or 1.0, 0, 0.0, list[int]()
    for weight in weights:
        reached += weight
        until = round(amount * reached / total)
        shares.append(until - given)
        given = until
    if shares:
        shares[-1] += amount - given
    return shares
