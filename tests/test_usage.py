"""What answers say they used is read in every shape of the API's, added up by model, and priced as decimal numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectory.cost.prices import Price, Prices, billionths, money
from connectory.cost.usage import Tally, read_usage
from connectory.pace.tokens import Forecast, Size
from connectory.record import Result

CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10, "cache_write_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
}


def result(**more: Any) -> Result:
    made = Result(
        0, "a", "ok", http_status=200, attempts=1, response={"model": "m"}, usage={"total_tokens": 5}
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def priced(**prices: str) -> Price:
    return Price(**{name: Decimal(value) for name, value in prices.items()})


# -- the shapes


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            CHAT,
            {
                "input": 100,
                "output": 40,
                "total": 140,
                "cached": 60,
                "input_audio": 10,
                "written": 5,
                "reasoning": 30,
                "output_audio": 4,
            },
        ),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 1},
                "total_tokens": 11,
            },
            {"input": 9, "cached": 3, "output": 2, "reasoning": 1, "total": 11},
        ),
        ({"prompt_tokens": 8, "total_tokens": 8}, {"input": 8, "output": 0, "total": 8}),
        ({"total_tokens": 7}, {"input": 7, "output": 0, "total": 7}),
        (
            {
                "input_tokens": 50,
                "output_tokens": 4000,
                "total_tokens": 4050,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
            {"input": 50, "input_image": 40, "output": 4000, "total": 4050},
        ),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                "output_tokens": 5,
                "total_tokens": 19,
            },
            {"input": 14, "input_audio": 10, "output": 5, "total": 19},
        ),
        (
            {"type": "duration", "seconds": 3.1},
            {"input": 0, "output": 0, "total": 0, "microseconds": 3_100_000},
        ),
        (
            {"prompt_tokens": -1, "completion_tokens": True, "total_tokens": "x", "seconds": float("nan")},
            {"input": 0, "output": 0, "total": 0},
        ),
    ],
    ids=["chat", "responses", "embeddings", "total", "images", "heard tokens", "heard seconds", "nonsense"],
)
def test_every_shape_of_usage_is_read(usage, expected):
    assert read_usage(usage) == expected


def test_results_are_added_up_by_the_model_that_was_asked_for():
    tally = Tally()
    tally.add(result(usage=CHAT))
    tally.add(result(model="asked", attempts=3))
    tally.add(result(model="asked", requests=0, attempts=3))  # another record of the same pack
    tally.add(result(attempts=0))  # nothing was sent
    tally.add(result(earlier=True))  # another run has paid for it
    tally.add(result(status="begun"))  # its end is counted
    tally.add(result(response={"data": [{"b64_json": "x"}, {"url": "y"}]}, model="draws", usage=None))
    assert {name: counts["requests"] for name, counts in tally.models.items()} == {
        "m": 1,
        "asked": 3,
        "draws": 1,
    }
    assert tally.models["asked"] == {"requests": 3, "answers": 1, "deliveries": 2, "input": 10, "total": 10}
    assert (tally.models["draws"]["images"], tally.models["draws"]["unknown"]) == (2, 1)
    assert tally.tokens == 140 + 10


@pytest.mark.parametrize(
    ("more", "unknown", "doubtful"),
    [
        ({"usage": None}, 1, 0),
        ({"in_doubt": True}, 1, 1),
        ({"usage": None, "in_doubt": True, "guess": (3, 4)}, 2, 1),
        ({"usage": None, "response": {"id": "file-1"}}, 0, 0),  # no model has worked
        ({"usage": None, "status": "error", "response": None}, 0, 0),  # refused
        ({"usage": None, "status": "error", "response": None, "in_doubt": True}, 1, 1),
    ],
)
def test_what_may_have_been_charged_and_nobody_said_is_counted(more, unknown, doubtful):
    tally = Tally()
    tally.add(result(**more))
    assert (tally.sum("unknown"), tally.sum("doubtful")) == (unknown, doubtful)
    assert tally.sum("guessed_input", "guessed_output") == (14 if "guess" in more else 0)


# -- prices


def test_costs_are_exact_to_the_last_digit():
    price = priced(input="0.1", cached_input="0.01", output="0.3")
    counts = {"input": 3, "cached": 1, "output": 1, "answers": 1}
    assert price.cost(counts) == Decimal("0.00000051")
    assert sum([price.cost(counts)] * 10**6, Decimal(0)) == Decimal("0.51")  # 0.1 is no float


@pytest.mark.parametrize(
    ("price", "counts", "cost"),
    [
        (
            priced(input="2", output="8"),
            {**read_usage(CHAT)},
            "0.00052",
        ),  # what is not priced apart is the whole's
        (
            priced(
                input="2", cached_input="1", cache_write="3", input_audio="10", output="8", output_audio="20"
            ),
            {**read_usage(CHAT)},
            "0.000593",
        ),
        (
            priced(input="5", output="40", input_image="10"),
            {"input": 50, "input_image": 40, "output": 100},
            "0.00445",
        ),
        (priced(second="0.0001"), {"microseconds": 3_100_000}, "0.00031"),
        (priced(image="0.04"), {"images": 3, "input": 10, "output": 100}, "0.12"),
        (priced(request="0"), {"answers": 7}, "0"),
        (priced(request="0.01", input="1"), {"answers": 2, "input": 1000}, "0.021"),
    ],
)
def test_each_kind_of_use_has_its_price(price, counts, cost):
    assert price.missing(counts) == []
    assert price.cost(counts) == Decimal(cost)


@pytest.mark.parametrize(
    ("price", "counts", "missing"),
    [
        (priced(input="1"), {"input": 1, "output": 1}, ["output"]),
        (priced(input="1"), {"input": 1}, []),
        (priced(second="1"), {"input": 5, "output": 5}, ["input", "output"]),
        (priced(input="1", output="1"), {"microseconds": 5}, ["second"]),
        (priced(image="1"), {"input": 5, "output": 5}, ["input", "output"]),
    ],
)
def test_a_price_that_is_needed_and_not_known_is_named(price, counts, missing):
    assert price.missing(counts) == missing


TABLE = Prices(
    "XTS",
    {
        "gpt-5": priced(input="1"),
        "gpt-5-mini": priced(input="2"),
        "gpt-5-mini-2025-08-07": priced(input="3"),
        "ft:*": priced(input="4"),
        "ft:gpt-5*": priced(input="5"),
        "empty": Price(),
    },
)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-5", "1"),
        ("gpt-5-mini", "2"),
        ("gpt-5-mini-2025-08-07", "3"),
        ("gpt-5-mini-2026-01-01", "2"),
        ("gpt-5-20260101", "1"),
        ("gpt-5-0613", "1"),
        ("ft:gpt-4o:org::1", "4"),
        ("ft:gpt-5-mini:org::1", "5"),
        ("gpt-5-nano", None),  # no dated version: another model, at another price
        ("gpt-5-mini-2025", "2"),
        ("gpt", None),
    ],
)
def test_a_model_is_found_by_name_date_or_star_and_never_by_a_mere_beginning(model, cost):
    found = TABLE.find(model)
    assert (None if found is None else found.input) == (None if cost is None else Decimal(cost))


def test_what_has_no_price_is_named_and_in_no_sum():
    used = {"input": 1_000_000, "total": 1_000_000, "answers": 1}
    bill = TABLE.bill(
        {"gpt-5": used, "other": used, "empty": used, "": {"answers": 1}, "refused": {"requests": 3}}
    )
    assert (bill.total, sorted(bill.unpriced)) == (Decimal(1), ["empty", "other"])
    unknown = TABLE.bill({"gpt-5": {"answers": 2, "unknown": 2, "guessed_input": 500_000}})
    assert (unknown.total, unknown.unknown, unknown.reserved) == (0, {"gpt-5": 2}, Decimal("0.5"))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00 EUR"),
        ("10", "10.00 EUR"),
        ("0.1234567", "0.123457 EUR"),
        ("0.00000012345", "0.00000012 EUR"),
        ("1234.5", "1234.50 EUR"),
    ],
)
def test_money_is_written_for_people_and_never_rounded_to_nothing(amount, text):
    assert money(Decimal(amount), "EUR") == text


def test_billionths_round_up():
    assert (billionths(Decimal("0.0000000001")), billionths(Decimal("1.5"))) == (1, 1_500_000_000)


def test_a_forecast_is_what_requests_before_it_went_beyond_their_guess():
    forecast, long = Forecast(), Size({"input": "x" * 300})
    assert forecast.of(long) == (100, 0)
    assert forecast.of(Size({"input": "x" * 300, "max_tokens": 50, "n": 2})) == (100, 100)
    forecast.learn(long, (160, 30), cost=7)
    assert forecast.of(long)[0] >= 160
    assert (forecast.of(long)[1], forecast.seen, forecast.dearest) == (30, True, 7)
