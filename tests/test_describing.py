"""What an option takes, as JSON Schema: no less than what its check lets through."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from editing import refused, with_step
from pydantic import BaseModel, BeforeValidator, Field

from connectory.catalogue import Catalogue
from connectory.chain import Chain
from connectory.config import config_schema
from connectory.plugins import list_transformers, read_signature


def options_of_every_kind(
    record: dict[str, Any],
    *,
    whole: int = 1,
    number: float = 1.0,
    truth: bool = True,
    text: Annotated[str, Field(min_length=1, max_length=3, pattern="^a")] = "a",
    texts: set[str] | None = None,
    by_number: dict[int, str] | None = None,
    day: dt.date | None = None,
    amount: Decimal | None = None,
    place: Path | None = None,
    colour: Colour = None,  # type: ignore[assignment]  # never called
    size: Size = None,  # type: ignore[assignment]  # the same
    box: Box | None = None,
    renamed: Renamed | None = None,
    kind: Literal["a", 1] = "a",
    pair: tuple[int, str] = (1, ""),
    shouted: Annotated[str, BeforeValidator(str)] = "",
    called: Callable[[], None] | None = None,
    where: UUID | None = None,
    steps: Chain | None = None,
) -> dict[str, Any]:
    """Nothing."""
    return record


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Box(BaseModel):
    inner: Box | None = None
    size: int


class Renamed(BaseModel):
    model_config = {"populate_by_name": True}
    name: str = Field(alias="Name")


VALUES = (
    None, True, False, 0, 1, 1.0, 1.5, 10**30, "", "a", "abcd", "5", " 5 ", "5.0", "1e3", "nan", "yes", "OFF", "red", "2025-01-01",
    [], ["a", "a"], [1, "a"], [["a"]], {}, {"size": 1}, {"size": "2", "inner": {"size": 3}}, {"1": "a"}, {"Name": "a"}, {"name": "a"},
    "7f4a9e3e-7a43-4c84-8d68-2a0c0e6f3f01", ["compact"],
)  # fmt: skip


def test_an_option_is_described_as_no_less_than_it_takes():
    found = read_signature("f", options_of_every_kind, origin="here")
    accepted = 0
    for name, option in found.options.items():
        schema = {"$defs": {}, **option.schema()}
        jsonschema.Draft202012Validator.check_schema(schema)
        for value in VALUES:
            try:
                option.check(value)
            except Exception:  # noqa: BLE001, S112 - what is refused is not asked about
                continue
            accepted += 1
            assert jsonschema.Draft202012Validator(schema).is_valid(value), (name, value, schema)
    assert accepted > 60


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("whole", "five"),
        ("whole", []),
        ("number", {}),
        ("truth", "maybe"),
        ("text", 1),
        ("kind", "b"),
        ("colour", "blue"),
    ],
)
def test_an_option_is_described_as_more_than_anything(option: str, value: Any):
    schema = read_signature("f", options_of_every_kind, origin="here").options[option].schema()
    assert not jsonschema.Draft202012Validator(schema).is_valid(value)


def test_steps_of_ones_own_with_models_in_their_options_are_in_the_schema(tmp_path: Path):
    (tmp_path / "transformers").mkdir()
    code = """
from pydantic import BaseModel
class Inner(BaseModel):
    size: int
    inner: "Inner | None" = None
def boxed(record: dict, *, box: Inner, boxes: list[Inner] = []) -> dict:
    "Nothing."
    return record
"""
    (tmp_path / "transformers" / "boxed.py").write_text(code)
    made = config_schema(Catalogue.load(), list_transformers(tmp_path), ["clean"])
    jsonschema.Draft202012Validator.check_schema(made)
    judge = jsonschema.Draft202012Validator(made)
    assert (
        refused(
            judge, with_step({"boxed": {"box": {"size": 1, "inner": {"size": 2}}, "boxes": [{"size": "3"}]}})
        )
        == []
    )
    assert refused(judge, with_step({"boxed": {"box": {"size": 1, "inner": {"size": "two"}}}})) != []
