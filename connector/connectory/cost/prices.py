"""What things cost, by a table that the user wrote: decimal numbers, and never 0 for what is not known."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from connectory.cost.usage import MICRO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.cost.usage import Counts

MILLION = Decimal(1_000_000)
BILLIONTH = Decimal(1_000_000_000)
"""Where whole numbers are needed, as between processes, money is counted in billionths, rounded up."""

_SHOWN = Decimal("0.000001")
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})")
"""What a name has behind it when it stands for one version of a model: a date, or a month and a day."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs; None is not known.

    Tokens are priced by the million; `second` is one of sound, `image` one that is made, `request` an answered one.
    """

    input: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    output_image: Decimal | None = None
    second: Decimal | None = None
    image: Decimal | None = None
    request: Decimal | None = None

    @property
    def empty(self) -> bool:
        """Say whether nothing of it is known."""
        return all(getattr(self, one.name) is None for one in fields(self))

    @property
    def by_tokens(self) -> bool:
        """Say whether tokens have a price of their own."""
        return self.input is not None or self.output is not None

    def missing(self, counts: Counts) -> list[str]:
        """Name the prices that are needed for what was used, and are not known."""
        used = {"input": counts.get("input", 0), "output": counts.get("output", 0)}
        lacking = [name for name, amount in used.items() if amount and getattr(self, name) is None]
        heard = counts.get("microseconds", 0)
        flat = self.request is not None or (self.image is not None and bool(counts.get("images")))
        if not self.by_tokens and (flat or (self.second is not None and heard)):
            lacking = []
        return lacking + (["second"] if heard and self.second is None and self.request is None else [])

    def cost(self, counts: Counts) -> Decimal:
        """Give what was used costs; `missing` has said that everything that it needs is known."""
        get, tokens = counts.get, Decimal(0)
        for whole, parts in _PARTS.items():
            rest = get(whole, 0)
            for name, amount in parts.items():
                used = min(rest, get(amount, 0))
                rest -= used
                tokens += used * self._or(name, whole)
            tokens += rest * self._or(whole, whole)
        cost = tokens / MILLION
        cost += get("microseconds", 0) * self._or("second", "second") / MICRO
        cost += get("images", 0) * self._or("image", "image")
        return cost + get("answers", 0) * self._or("request", "request")

    def most(self, read: int, answered: int, *, images: int = 0) -> Decimal:
        """Give the most that so many tokens can cost, of whatever kind they are."""
        inputs = (self.input, self.cached_input, self.cache_write, self.input_audio, self.input_image)
        outputs = (self.output, self.output_audio, self.output_image)
        dear, dearer = (
            max((one for one in kind if one is not None), default=Decimal(0)) for kind in (inputs, outputs)
        )
        cost = (read * dear + answered * dearer) / MILLION
        return cost + self._or("request", "request") + images * self._or("image", "image")

    def _or(self, name: str, other: str) -> Decimal:
        found: Decimal | None = getattr(self, name)
        return (getattr(self, other) or Decimal(0)) if found is None else found


_PARTS: Mapping[str, Mapping[str, str]] = {
    "input": {
        "cached_input": "cached",
        "cache_write": "written",
        "input_audio": "input_audio",
        "input_image": "input_image",
    },
    "output": {"output_audio": "output_audio", "output_image": "output_image"},
}
"""Tokens with a price of their own, and the count of which they are a part; its price stands in for one not given."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run costs.

    `models` are the costs of those that have prices, `unpriced` the others, with the prices that they lack.
    `unknown` counts, by model, the requests that may have been charged and are in no sum: nobody said what they used;
    `reserved` is what was reserved for them, where a budget did so.
    """

    currency: str
    models: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    unpriced: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    unknown: Mapping[str, int] = field(default_factory=dict[str, int])
    reserved: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """Sum up what is known."""
        return sum(self.models.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a server's models, by name; `factor` is what the way of sending makes of them."""

    currency: str
    models: Mapping[str, Price]
    factor: Decimal = Decimal(1)

    def find(self, model: str) -> Price | None:
        """Give the price of a model: by its name, as a dated version, else by the longest name that ends with *."""
        exact = self.models.get(model)
        if exact is not None:
            return exact
        dated = [
            name for name in self.models if model.startswith(name) and _DATED.fullmatch(model, len(name))
        ]
        starred = [name for name in self.models if name.endswith("*") and model.startswith(name[:-1])]
        chosen = max(dated, key=len, default="") or max(starred, key=len, default="")
        return self.models[chosen] if chosen else None

    def bill(self, models: Mapping[str, Counts]) -> Bill:
        """Say what was used costs. What names no model and used nothing that is counted has no price and needs none."""
        costs, unpriced = dict[str, Decimal](), dict[str, list[str]]()
        unknown, reserved = dict[str, int](), Decimal(0)
        for model, counts in models.items():
            price = self.find(model)
            if price is None or price.empty:
                counted = counts.get("total") or counts.get("microseconds")
                if counted or (model and (counts.get("answers") or counts.get("unknown"))):
                    unpriced[model] = []
                continue
            if lacking := price.missing(counts):
                unpriced[model] = lacking
                continue
            costs[model] = self.factor * price.cost(counts)
            silent = counts.get("unknown", 0) if price.by_tokens else counts.get("doubtful", 0)
            if silent:
                unknown[model] = silent
                guessed = counts.get("guessed_input", 0), counts.get("guessed_output", 0)
                reserved += self.factor * price.most(*guessed)
        return Bill(self.currency, costs, unpriced, unknown, reserved)


def billionths(amount: Decimal) -> int:
    """Give an amount as a whole number of billionths, rounded up."""
    return int((amount * BILLIONTH).to_integral_value(ROUND_CEILING))


def money(amount: Decimal, currency: str = "") -> str:
    """Write an amount for people: six decimals at most, two at least, and nothing that is more than 0 as 0."""
    short = amount.quantize(_SHOWN)
    shown = short if short or not amount else Decimal(f"{amount:.2g}")
    whole, _, rest = f"{shown:f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')} {currency}".rstrip()
