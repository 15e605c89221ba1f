"""How many tokens a request will cost, guessed without a tokenizer and put right by what the answers say."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES_PER_TOKEN = 3
NEW = 0.1
"""How much one answer moves an average."""

FADE, LARGEST = 0.998, 100.0
"""How the factor fades with each answer, and its bound."""

OUTPUT_BOUNDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
"""By which names requests bound their answers."""

_BOUNDS = frozenset(OUTPUT_BOUNDS)

_LONGEST_TEXT = 4_000_000
"""Characters of one text beyond which nothing is counted any more: it is no prompt."""


class Size:
    """What of a payload costs tokens: the bytes of its texts, and the most that may be answered; 0 is not said."""

    __slots__ = ("answer", "text")

    def __init__(self, payload: Any) -> None:
        self.text = text_size(payload)
        self.answer = 0
        if issubclass(type(payload), dict) and not _BOUNDS.isdisjoint(payload):
            asked = next((value for name in OUTPUT_BOUNDS if isinstance(value := payload.get(name), int)), 0)
            times = payload.get("n")
            self.answer = max(0, asked) * (times if isinstance(times, int) and times > 0 else 1)


class Estimate:
    """Guesses the cost of a request from those before it.

    `factor` is how much more the server takes than it says afterwards: some count what might have been answered.
    """

    __slots__ = ("answer", "factor", "per_byte", "share")

    def __init__(self) -> None:
        self.per_byte = 1 / BYTES_PER_TOKEN
        self.share = self.factor = 1.0
        self.answer = 0.0

    def cost(self, size: Size) -> float:
        """Give the tokens that a request will probably cost."""
        answer = size.answer * self.share if size.answer else self.answer
        return (size.text * self.per_byte + answer) * self.factor

    def learn(self, size: Size, usage: tuple[float, float], *, wanted: float = 0.0) -> None:
        """Take in what a request has cost: tokens read and answered, and what a refusal said that it wanted."""
        read, answered = usage
        self.factor = max(1.0, self.factor * FADE)
        ratio = min(LARGEST, wanted / max(1.0, read + answered))
        if ratio > self.factor:
            self.factor += (ratio - self.factor) / 2
        if size.text:
            self.per_byte += NEW * (read / size.text - self.per_byte)
        if size.answer:
            self.share += NEW * (min(1.0, answered / size.answer) - self.share)
        else:
            self.answer += NEW * (answered - self.answer)


class Forecast:
    """Guesses what the next request may use at most, from the dearest of those before it.

    `dearest` is what the most expensive one has cost; `seen`: any was answered.
    """

    __slots__ = ("_answer", "_over", "_per_byte", "dearest", "seen")

    def __init__(self) -> None:
        self._per_byte, self._over, self._answer = 1 / BYTES_PER_TOKEN, 0.0, 0
        self.dearest, self.seen = 0, False

    def of(self, size: Size) -> tuple[int, int]:
        """Give the tokens that a request may read and answer.

        That is the guess by its bytes, and the most by which any before it has gone beyond its own; the bound that the
        request sets for its answer, or the longest answer so far.
        """
        return ceil(size.text * self._per_byte + self._over), size.answer or self._answer

    def learn(self, size: Size, usage: tuple[int, int], *, cost: int = 0) -> None:
        """Take in what a request has used."""
        read, answered = usage
        self.seen, self.dearest, self._answer = True, max(self.dearest, cost), max(self._answer, answered)
        self._over = max(self._over, read - size.text * self._per_byte)
        if size.text:
            self._per_byte += NEW * (read / size.text - self._per_byte)


def text_size(value: Any) -> int:
    """Count the bytes of all texts in a JSON value, but not those of pictures and sounds inside them."""
    size = 0
    waiting: list[Any] = [value]
    for one in waiting:  # which grows meanwhile
        kind: type[object] = type(one)  # pyright: ignore[reportUnknownVariableType]  # any JSON
        if issubclass(kind, str):
            if not one.startswith("data:") and len(one) <= _LONGEST_TEXT:
                size += len(one) if one.isascii() else len(one.encode("utf-8", "replace"))
        elif issubclass(kind, dict):
            if "format" not in one or not isinstance(one.get("data"), str):  # else it is a sound
                waiting += one.values()
        elif issubclass(kind, list):
            waiting += one
    return size


def usage_of(value: Any) -> tuple[float, float] | None:
    """Give the tokens that an answer says were read and answered, or None."""
    counts: Any = value.get("usage") if issubclass(type(value), dict) else None
    if not issubclass(type(counts), dict):
        return None
    read = _count(counts, "prompt_tokens", "input_tokens")
    answered = _count(counts, "completion_tokens", "output_tokens")
    if read is None and (total := _count(counts, "total_tokens")) is not None:
        read = total - (answered or 0.0)
    return None if read is None else (max(0.0, read), answered or 0.0)


def _count(counts: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = counts.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:  # noqa: PLR2004 - absurd
            return float(value)
    return None
