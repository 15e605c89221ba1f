"""What the shop's transformers make of records."""

from connectory_shop.masks import mask
from connectory_shop.numbers import Numbered

from connectory.testing import Example, check_transformer


def test_mask() -> None:
    check_transformer(
        mask,
        Example({"email": "anna@example.org"}, gives={"email": "an***"}, options="email"),
        Example({"email": "anna@example.org"}, gives={"email": "***"}, options={"field": "email", "keep": 0}),
        Example({}, error="'email' is None, not a text", options="email"),
    )


def test_numbered() -> None:
    check_transformer(Numbered, Example({"a": 1}, gives={"a": 1, "n": 1}, options={"into": "n"}))
