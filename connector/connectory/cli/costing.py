"""What a run has used and what that costs, for people and for programs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectory.cli.outcome import say
from connectory.cost.prices import Bill, money
from connectory.cost.usage import MICRO, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.connector import AsyncConnector
    from connectory.cost.prices import Prices
    from connectory.cost.usage import Counts
    from connectory.journal import Facts, Summary

NAMES = {
    "requests": "requests",
    "answers": "answers",
    "input": "input_tokens",
    "cached": "cached_tokens",
    "written": "cache_write_tokens",
    "input_audio": "input_audio_tokens",
    "input_image": "input_image_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "output_audio": "output_audio_tokens",
    "output_image": "output_image_tokens",
    "images": "images",
    "unknown": "unknown",
}
"""What programs are told, by the names that the API's own accounts have."""

_ALWAYS = ("requests", "input", "cached", "output", "unknown")
NO_MODEL = "no model"


def say_used(made: AsyncConnector, facts: Facts, client: str | None) -> None:
    """Say what an outgoing run has used in all its lives, where its client has prices or it has a budget."""
    from connectory.assembly import prices_of

    settings = made.assembly.outgoing(facts.connection)
    name = made.assembly.clients.name(client or settings.client)
    prices = prices_of(made.config, name, batch=settings.delivery == "batch")
    if prices is not None or settings.budget is not None:
        summary = made.runs.summary(facts.run, usage=True)
        title = f"outgoing {facts.connection}"
        for line in told(summary.usage, prices, doubtful=summary.in_doubt):
            say(f"{title}: {line}")


def told(models: Mapping[str, Counts], prices: Prices | None, *, doubtful: int = 0) -> Iterator[str]:
    """Say what was used by each model and in all, and what of it has no price or is not known."""
    bill = None if prices is None else prices.bill(models)
    for model, counts in sorted(models.items()):
        yield f"{model or NO_MODEL}: {_account(counts)}{_cost(model, bill)}"
    if len(models) > 1:
        whole = bill is None or not (bill.unpriced or bill.unknown)
        known = "" if bill is None else f", {'' if whole else 'at least '}{money(bill.total, bill.currency)}"
        yield f"in all: {_account(_sum(models))}{known}"
    if bill is not None and bill.unpriced:
        yield (
            f"not priced: {', '.join(one or NO_MODEL for one in sorted(bill.unpriced))}; "
            "`connectory prices template` writes a table to fill"
        )
    tally = Tally(models)
    silent = tally.sum("unknown") - tally.sum("doubtful")
    retried = tally.sum("doubtful") + doubtful
    if silent and (bill is None or bill.unknown):
        yield f"{silent} answers do not say what they used; no sum has it"
    if retried:
        yield f"{retried} requests without an answer may have been charged too; no sum has them"


def as_json_of(used: list[tuple[dict[str, Counts], Prices | None]]) -> dict[str, Any]:
    """Give it as JSON; `cost` is a list where the steps of a route have different prices."""
    tally = Tally()
    for models, _ in used:
        tally.merge(models)
    costs = [as_json(models, prices)["cost"] for models, prices in used]
    return {**as_json(tally.models, None), "cost": costs[0] if len(costs) == 1 else costs or None}


def as_json(models: Mapping[str, Counts], prices: Prices | None) -> dict[str, Any]:
    """Give what was used, and what it costs, as JSON; money is text."""
    bill = None if prices is None else prices.bill(models)
    made: dict[str, Any] = {
        "usage": {
            "models": {model: _named(counts) for model, counts in sorted(models.items())},
            "total": _named(_sum(models)),
        },
        "cost": None,
    }
    if bill is not None:
        made["cost"] = {
            "currency": bill.currency,
            "models": {model: f"{cost:f}" for model, cost in sorted(bill.models.items())},
            "total": f"{bill.total:f}",
            "unpriced": dict(sorted(bill.unpriced.items())),
            "unknown": sum(bill.unknown.values()),
        }
    return made


def joined(summaries: list[tuple[Summary, Prices | None]]) -> list[tuple[dict[str, Counts], Prices | None]]:
    """Put together what the steps of a route have used, by the prices that they have."""
    tallies: list[tuple[Tally, Prices | None]] = []
    for summary, prices in summaries:
        found = next((tally for tally, other in tallies if other == prices), None)
        if found is None:
            found = Tally()
            tallies.append((found, prices))
        found.merge(summary.usage)
    return [(tally.models, prices) for tally, prices in tallies if tally.models]


def _sum(models: Mapping[str, Counts]) -> Counts:
    tally = Tally()
    for counts in models.values():
        tally.merge({"": counts})
    return tally.models.get("", {})


def _named(counts: Counts) -> dict[str, Any]:
    named: dict[str, Any] = {
        shown: counts.get(name, 0) for name, shown in NAMES.items() if name in _ALWAYS or counts.get(name)
    }
    if seconds := counts.get("microseconds"):
        named["seconds"] = f"{Decimal(seconds) / MICRO:f}"
    return named


def _account(counts: Counts) -> str:
    parts = [f"{counts.get('requests', 0)} requests"]
    if counts.get("input") or counts.get("output"):
        cached = f" ({counts['cached']} cached)" if counts.get("cached") else ""
        parts.append(f"{counts.get('input', 0)} tokens in{cached}, {counts.get('output', 0)} out")
    if counts.get("images"):
        parts.append(f"{counts['images']} pictures")
    if counts.get("microseconds"):
        parts.append(f"{Decimal(counts['microseconds']) / MICRO:f} seconds of sound")
    return ", ".join(parts)


def _cost(model: str, bill: Bill | None) -> str:
    if bill is None or (model not in bill.models and model not in bill.unpriced):
        return ""
    if model in bill.models:
        cost = bill.models[model]
        if model in bill.unknown and not cost:
            return ", cost not known"
        return f", {'at least ' if model in bill.unknown else ''}{money(cost, bill.currency)}"
    lacking = " and ".join(bill.unpriced[model])
    return f", not priced{lacking and f' (no price for {lacking})'}"
