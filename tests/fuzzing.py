"""What the fuzz tests share: how many examples, and values of every kind."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MORE = int(os.environ.get("CONNECTORY_FUZZ", "0"))
"""How many times as many examples, chosen anew on every run; 0: always the same ones, as in CI."""


def examples(count: int) -> Any:
    """Run a test with so many examples."""
    return settings(
        max_examples=count * max(1, MORE),
        derandomize=not MORE,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


NUMBERS = (
    st.integers()
    | st.sampled_from([0, -1, 2**63, 2**64, 10**40, True, 1.1, -0.0, 5e-324, 1.7976931348623157e308])
    | st.floats(allow_nan=False, allow_infinity=False)
)
NAMES = (
    "id",
    "text",
    "data",
    "error",
    "message",
    "code",
    "object",
    "list",
    "has_more",
    "last_id",
    "next",
    "first_id",
)
STRANGE = (
    "",
    " ",
    "&{id}",
    "&{",
    "?{x}",
    "&&{",
    "${HOME}",
    "a.b",
    "../x",
    "%2e",
    "\0",
    "\ud800",
    "\u2028",
    "é",
)
WORDS = st.sampled_from(NAMES + STRANGE)
TEXTS = st.text(st.characters(), max_size=12) | WORDS
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value, also with lone surrogates in it."""

RECORDS = st.dictionaries(TEXTS, VALUES, max_size=5)


def nested(depth: int, kind: str = "[") -> Any:
    """Give a value nested so deeply."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "[" else {"a": value}
    return value
