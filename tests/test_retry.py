from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.retry import (
    ALIKE,
    OUT_OF_MONEY,
    RULES,
    Again,
    Alarm,
    Aside,
    Budget,
    Failed,
    Policy,
    Stop,
    backoff,
    classify,
    decide,
)
from connectory.text.hints import LONGEST_HINT, duration, reset_hint, told, wait_hint

CASES = Path(__file__).parent / "cases"
DECISIONS = json.loads((CASES / "retry.json").read_text())
HINTS = json.loads((CASES / "wait_hints.json").read_text())


DURATIONS = json.loads((CASES / "durations.json").read_text())


def failed(case):
    return Failed(
        case.get("sent", True),
        case.get("repeatable", True),
        case.get("status"),
        case.get("code"),
        case.get("message", "it failed"),
        case.get("headers"),
        case.get("unusable", False),
    )


def decided(case):
    patient, policy = case.get("patient", False), Policy(attempts=4, max_wait=60)
    return decide(failed(case), attempt=case.get("attempt", 1), policy=policy, luck=0.5, patient=patient)


@pytest.mark.parametrize("case", DECISIONS, ids=lambda case: case["fact"])
def test_what_follows_a_failure(case):
    assert classify(failed(case)) == case["class"]
    decision = decided(case)
    match case["then"].split():
        case ["again" | "held" as how]:
            assert isinstance(decision, Again)
            assert (decision.held, decision.in_doubt) == (how == "held", case["in_doubt"])
            assert decision.wait == case.get("wait", decision.wait)
        case ["aside"]:
            assert decision == Aside(in_doubt=case["in_doubt"], retryable=case["retryable"])
        case ["stop", cause]:
            assert isinstance(decision, Stop)
            assert decision.cause == cause


def test_every_rule_has_a_case():
    assert {rule.kind for rule in RULES} == {case["class"] for case in DECISIONS}


@pytest.mark.parametrize("code", sorted(OUT_OF_MONEY))
def test_every_code_of_missing_money_stops_the_run_with_the_servers_words(code):
    assert decided({"status": 429, "code": code, "message": "no credit"}) == Stop("unavailable", "no credit")


def test_a_hint_beyond_max_wait_is_named_when_it_stops_the_run():
    stop = decided({"status": 429, "headers": {"retry-after": "3600"}})
    assert stop == Stop("unavailable", "the server asks to wait 3600 s, longer than retry.max_wait")


@pytest.mark.parametrize("case", HINTS, ids=lambda case: json.dumps(case["headers"]))
def test_how_long_the_server_asks_to_be_left_alone(case):
    assert wait_hint(case["headers"]) == case["seconds"]


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_whatever_the_headers_a_hint_is_within_a_day_or_none(headers):
    hint = wait_hint(headers)
    assert hint is None or 0 <= hint <= LONGEST_HINT


TEXTS = st.one_of(
    st.text(), st.from_regex(r"[-+0-9.hmsudeNa ]*"), st.floats().map(str), st.integers().map(str)
)
NAMES = st.sampled_from(
    [
        "retry-after", "retry-after-ms", "date",
        *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")),
    ]
)  # fmt: skip


@pytest.mark.fault("P8", "unreadable, negative and absurd times until a reset are no hint")
@given(st.dictionaries(NAMES, TEXTS))
def test_whatever_the_headers_every_reading_of_them_is_within_bounds_or_none(headers):
    for seconds in (wait_hint(headers), reset_hint(headers), *map(duration, headers.values())):
        assert seconds is None or 0 <= seconds <= LONGEST_HINT
    for limit, remaining in told(headers):
        assert limit is None or 0 < limit <= 1e12
        assert remaining is None or 0 <= remaining <= 1e12


@given(st.dictionaries(NAMES, TEXTS), st.integers(100, 599), st.integers(0, 9), st.booleans())
def test_whatever_a_server_answers_there_is_a_decision_and_a_wait_that_ends(
    headers, status, attempt, repeatable
):
    told = Failed(True, repeatable, status, None, "no", headers)
    decision = decide(told, attempt=attempt, policy=Policy(max_wait=60), luck=0.5)
    assert not isinstance(decision, Again) or 0 <= decision.wait <= 60


@pytest.mark.parametrize("case", DURATIONS, ids=lambda case: repr(case["text"]))
def test_how_lengths_of_time_are_read(case):
    assert duration(case["text"]) == (None if case["seconds"] is None else pytest.approx(case["seconds"]))


def test_retries_are_a_fifth_of_what_is_sent_and_ten_a_second_beside_a_reserve():
    budget = Budget()
    assert [budget.spend(1000.0) for _ in range(100)] == [0] * 100
    assert [budget.spend(1000.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    for _ in range(20):
        budget.earn()
    assert budget.spend(1000.0) == 0
    assert budget.spend(1001.0) == 0


def test_the_reserve_of_retries_does_not_grow():
    budget = Budget()
    for _ in range(10_000):
        budget.earn()
    assert [budget.spend(0.0) for _ in range(101)] == [0] * 100 + [0.1]


@given(st.text(alphabet="limtrequsd:, 0123456789٣\n", max_size=80))
def test_no_message_breaks_the_decision(message):
    assert isinstance(
        decided({"status": 429, "message": f"limit {message} requested {message}"}), Again | Aside
    )


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 3600))
def test_the_backoff_stays_below_max_wait(attempt, luck, max_wait):
    assert 0 <= backoff(attempt, Policy(max_wait=max_wait), luck) <= max_wait


def test_the_backoff_doubles_and_is_spread_below_that():
    policy = Policy(max_wait=100)
    assert [backoff(attempt, policy, 1.0) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert [backoff(attempt, policy, 0.0) for attempt in (1, 2, 3, 4)] == [0.125, 0.25, 0.5, 1]


def test_one_attempt_means_no_second_one():
    failed = Failed(True, True, 503)
    decision = decide(failed, attempt=1, policy=Policy(attempts=1), luck=0.0)
    assert decision == Aside(in_doubt=False, retryable=True)


def test_the_alarm_sounds_once_when_the_first_records_all_fail_alike():
    alarm = Alarm()
    heard = [alarm.hear(False, ("api", 404), "not found") for _ in range(ALIKE + 5)]
    assert heard == [None] * (ALIKE - 1) + ["the first 20 records all failed alike: not found"] + [None] * 5


def test_a_success_among_the_first_silences_the_alarm():
    alarm = Alarm()
    assert not any([alarm.hear(True, None, None), *(alarm.hear(False, "x", "m") for _ in range(2 * ALIKE))])


def test_failures_that_differ_are_the_records_own():
    alarm = Alarm()
    assert not any(alarm.hear(False, number % 2, "m") for number in range(2 * ALIKE))
