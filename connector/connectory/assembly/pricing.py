"""A client's prices, and the budget that an outgoing has by them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from connectory.cost.guards import Budget
from connectory.cost.prices import Price, Prices, billionths
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from connectory.config import Config, OutgoingConfig

TEMPLATE = "`connectory prices template` writes a table to fill"


def prices_of(config: Config, client: str, *, batch: bool = False) -> Prices | None:
    """Give the prices of a client, as they are for the way of sending."""
    settings = config.clients[client].prices
    if settings is None:
        return None
    models = {
        name: Price(**{field: getattr(price, field) for field in type(price).model_fields})
        for name, price in settings.models.items()
    }
    return Prices(settings.currency, models, settings.batch if batch else Decimal(1))


def budget_of(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, client: str, prices: Prices | None
) -> Budget | None:
    """Give the budget of an outgoing. Raises ConfigError for one by cost where a model has no price."""
    budget = settings.budget
    if budget is None:
        return None
    if budget.cost is None:
        return Budget(budget.requests, budget.tokens)
    here = (*place, "budget", "cost")
    if prices is None:
        message = f"a budget by cost needs the `prices` of client {client!r}; {TEMPLATE}"
        raise ConfigError(config.problem(here, message, key=True))
    for model in models_in(settings.payload):
        price = prices.find(model)
        if price is None or price.empty:
            needed = f"a price of model {model!r} below `prices` of client {client!r}"
            message = f"a budget by cost needs {needed}; {TEMPLATE}"
            raise ConfigError(config.problem(here, message, key=True))
    return Budget(budget.requests, budget.tokens, billionths(budget.cost), prices.currency)


def models_in(template: Any) -> list[str]:
    """Name the model that a payload's template names, unless the record says it."""
    fields = cast("dict[str, Any]", template) if isinstance(template, dict) else {}
    model = fields.get("model")
    return [model] if isinstance(model, str) and model and "&{" not in model and "?{" not in model else []
