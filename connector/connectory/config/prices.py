"""What things cost at a client's server: a table that the user fills, as decimal numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from connectory.config.fields import EmptyMap, Frozen, Section, Text, nothing, wrong

_MOST, _DIGITS = Decimal(1_000_000_000), 30
_NUMBER = r"^\s*\d{1,12}(\.\d{1,18})?\s*$"


def _decimal(value: Any) -> Any:
    if value is None or value == "":  # a line of the template that nobody has filled
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise wrong("must be a number, such as 0.25")
    try:
        amount = Decimal(
            str(value).strip()
        )  # of 0.1 the digits that were written, not what a float makes of them
    except InvalidOperation:
        raise wrong("must be a number, such as 0.25; the currency has a key of its own") from None
    if not amount.is_finite() or not 0 <= amount <= _MOST or len(amount.as_tuple().digits) > _DIGITS:
        raise wrong("must be a number from 0 to 1000000000")
    return amount


def _positive(value: Any) -> Any:
    amount = _decimal(value)
    if not amount:
        raise wrong("must be a number above 0, such as 10.00")
    return amount


_AS_WRITTEN = Field(
    json_schema_extra=lambda schema: schema.update(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _NUMBER}]}
    )
)
_OR_EMPTY = Field(
    json_schema_extra=lambda schema: schema.update(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": _NUMBER},
                {"type": "string", "maxLength": 0},
                {"type": "null"},
            ]
        }
    )
)
Money = Annotated[Decimal, BeforeValidator(_positive), _AS_WRITTEN]
Amount = Annotated[Decimal | None, BeforeValidator(_decimal), _OR_EMPTY]
Factor = Annotated[Decimal, BeforeValidator(_positive), _AS_WRITTEN]


class PriceConfig(Section):
    """What one model costs; a price that is left out is not known."""

    input: Amount = Field(
        default=None, description="A million tokens read (default: not known)", examples=[1, "1.50"]
    )
    cached_input: Amount = Field(
        default=None,
        description="A million of them that came from the cache (default: as input)",
        examples=[0.1],
    )
    cache_write: Amount = Field(
        default=None,
        description="A million of them that were put into the cache (default: as input)",
        examples=[1.25],
    )
    output: Amount = Field(
        default=None,
        description="A million tokens answered, those of reasoning among them (default: not known)",
        examples=[4, "6.00"],
    )
    input_audio: Amount = Field(
        default=None, description="A million tokens of sound read (default: as input)", examples=[10]
    )
    output_audio: Amount = Field(
        default=None, description="A million tokens of sound answered (default: as output)", examples=[20]
    )
    input_image: Amount = Field(
        default=None, description="A million tokens of pictures read (default: as input)", examples=[5]
    )
    output_image: Amount = Field(
        default=None, description="A million tokens of pictures answered (default: as output)", examples=[40]
    )
    second: Amount = Field(
        default=None,
        description="A second of sound, where the answer counts seconds (default: not known)",
        examples=["0.0001"],
    )
    image: Amount = Field(default=None, description="A picture that is made (default: none)", examples=[0.04])
    request: Amount = Field(
        default=None, description="An answered request (default: none)", examples=[0, 0.01]
    )


class PricesConfig(Section):
    """What the models of a client's server cost."""

    currency: str = Field(
        default="",
        max_length=12,
        description="What stands behind the amounts (default: nothing)",
        examples=["EUR"],
    )
    batch: Factor = Field(
        default=Decimal(1),
        description="What `delivery: batch` makes of each price, such as 0.5 for half of it (default: 1)",
        examples=[0.5],
    )
    models: Annotated[Mapping[Text, Annotated[PriceConfig, EmptyMap]], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="By model: its name, also for its dated versions, or a beginning and a * (default: none)",
        examples=[{"gpt-5-mini": {"input": 1, "output": 4}, "ft:*": {"input": 2, "output": 8}}],
    )
