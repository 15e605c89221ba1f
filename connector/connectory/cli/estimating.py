"""What a run would use, guessed from the requests that it would send; nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from connectory.cost.prices import money
from connectory.cost.usage import model_of
from connectory.pace.tokens import BYTES_PER_TOKEN, OUTPUT_BOUNDS, Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.catalogue import Catalogue
    from connectory.cost.prices import Price
    from connectory.delivery.publication import Publication
    from connectory.requests.building import Call

_UNSEEN = frozenset({"image_url", "input_image", "input_audio", "input_file", "file"})
_SOUND = ("/audio/", "/images/edits", "/images/variations")


@dataclass(slots=True)
class _Guess:
    """What the requests to one model may use."""

    requests: int = 0
    read: int = 0
    answered: int = 0
    boundless: int = 0
    images: int = 0


@dataclass(slots=True)
class Estimate:
    """Adds up what requests may use; `records` are those that are sent, `refused` those that cannot be."""

    publication: Publication
    catalogue: Catalogue
    records: int = 0
    refused: int = 0
    unseen: int = 0
    _models: dict[str, _Guess] = field(default_factory=dict[str, _Guess])

    def add(self, call: Call, records: int = 1) -> None:
        """Take in a request, and how many records it holds."""
        size, payload = Size(call.payload), call.payload
        guess = self._models.setdefault(model_of(payload), _Guess())
        self.records += records
        guess.requests += 1
        guess.read += ceil(size.text / BYTES_PER_TOKEN)
        guess.answered += size.answer
        guess.boundless += not size.answer and self._answers(call)
        guess.images += _pictures(call)
        self.unseen += _hides(payload) or any(part in call.entity.path for part in _SOUND)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON; money is text, and None is not known."""
        prices, models = self.publication.prices, dict[str, Any]()
        for model, guess in self._models.items():
            models[model] = {
                "requests": guess.requests,
                "input_tokens": guess.read,
                "max_output_tokens": None if guess.boundless else guess.answered,
                "cost": [None if one is None else f"{one:f}" for one in self._range(model, guess)],
            }
        total = [None if one is None else f"{one:f}" for one in self._total()]
        currency = None if prices is None else prices.currency
        return {
            "estimate": {
                "records": self.records,
                "refused": self.refused,
                "requests": sum(guess.requests for guess in self._models.values()),
                "models": models,
                "cost": total,
                "currency": currency,
                "unseen": self.unseen,
            }
        }

    def lines(self, *, whole: bool) -> Iterator[str]:
        """Say it to a person."""
        which = "all records" if whole else "these records (--all counts every one)"
        requests = sum(guess.requests for guess in self._models.values())
        refused = f", {self.refused} cannot be sent" if self.refused else ""
        yield f"estimate of {which}: {self.records} records in {requests} requests{refused}"
        for model, guess in sorted(self._models.items()):
            most = (
                f"{guess.boundless} requests set no bound for their answers"
                if guess.boundless
                else f"{guess.answered} out at most"
            )
            yield f"  {model or 'no model'}: about {guess.read} tokens in, {most}{self._priced(model, guess)}"
        if len(self._models) > 1 and self.publication.prices is not None:
            yield f"  in all: {self._between(*self._total())}"
        if self.unseen:
            yield f"  {self.unseen} requests hold pictures, sounds or files, which the estimate does not see"

    def _answers(self, call: Call) -> bool:
        """Say whether an answer has tokens of its own: then its request has a bound for them, as a raw one may have."""
        body = call.action.body
        if body is None or not body.content:
            return body is None and call.action.method != "DELETE" and bool(model_of(call.payload))
        raw = not any(body.content.values()) and bool(model_of(call.payload))
        return raw or any(_bounds(self.catalogue, schema) for schema in body.content.values())

    def _price(self, model: str) -> Price | None:
        prices = self.publication.prices
        price = None if prices is None else prices.find(model)
        return None if price is None or price.empty else price

    def _range(self, model: str, guess: _Guess) -> tuple[Decimal | None, Decimal | None]:
        price, prices = self._price(model), self.publication.prices
        if price is None or prices is None:
            return None, None
        fixed = guess.requests * (price.request or Decimal(0)) + guess.images * (price.image or Decimal(0))
        least = prices.factor * (price.cost({"input": guess.read}) + fixed)
        if guess.boundless or price.second is not None:
            return least, None
        most = price.most(guess.read, guess.answered) - (price.request or Decimal(0)) + fixed
        return least, prices.factor * most

    def _total(self) -> tuple[Decimal | None, Decimal | None]:
        ranges = [self._range(model, guess) for model, guess in self._models.items()]
        least, most = ([one[end] for one in ranges] for end in (0, 1))
        return _sum(least), _sum(most)

    def _priced(self, model: str, guess: _Guess) -> str:
        if self.publication.prices is None:
            return ""
        return f", {self._between(*self._range(model, guess))}"

    def _between(self, least: Decimal | None, most: Decimal | None) -> str:
        currency = "" if self.publication.prices is None else self.publication.prices.currency
        if least is None:
            return "not priced"
        if most is None:
            return f"{money(least, currency)} and more"
        return money(least, currency) if least == most else f"{money(least)} to {money(most, currency)}"


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [one for one in amounts if one is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _bounds(catalogue: Catalogue, schema: Any) -> bool:
    found: Any = catalogue.resolve(schema)
    properties: dict[str, Any] = found.get("properties") or {}
    if any(name in properties for name in OUTPUT_BOUNDS):
        return True
    return any(_bounds(catalogue, one) for one in found.get("allOf", ()))


def _pictures(call: Call) -> int:
    if "/images/" not in call.entity.path:
        return 0
    payload: Any = call.payload
    wanted: Any = cast("dict[str, Any]", payload).get("n") if isinstance(payload, dict) else None
    return wanted if isinstance(wanted, int) and wanted > 0 else 1


def _hides(value: Any) -> bool:
    """Say whether a payload holds what is no text."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return fields.get("type") in _UNSEEN or any(map(_hides, fields.values()))
    return isinstance(value, list) and any(map(_hides, value))  # pyright: ignore[reportUnknownArgumentType]  # any JSON
