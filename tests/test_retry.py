from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.retry import (
    ALIKE,
    LONGEST_HINT,
    OUT_OF_MONEY,
    Again,
    Alarm,
    Aside,
    Failed,
    Policy,
    Stop,
    backoff,
    decide,
    wait_hint,
)

CASES = Path(__file__).parent / "cases"
DECISIONS = json.loads((CASES / "retry.json").read_text())
HINTS = json.loads((CASES / "wait_hints.json").read_text())


def told(case):
    failed = Failed(
        case.get("sent", True),
        case.get("repeatable", True),
        case.get("status"),
        case.get("code"),
        case.get("message", "it failed"),
        case.get("headers"),
    )
    return decide(failed, attempt=case.get("attempt", 1), policy=Policy(attempts=4, max_wait=60), luck=0.5)


@pytest.mark.parametrize("case", DECISIONS, ids=lambda case: case["fact"])
def test_what_follows_a_failure(case):
    decision = told(case)
    match case["then"].split():
        case ["again"]:
            assert isinstance(decision, Again)
            assert decision.in_doubt is case["in_doubt"]
            assert decision.wait == case.get("wait", decision.wait)
        case ["aside"]:
            assert decision == Aside(in_doubt=case["in_doubt"], retryable=case["retryable"])
        case ["stop", cause]:
            assert isinstance(decision, Stop)
            assert decision.cause == cause


@pytest.mark.parametrize("code", sorted(OUT_OF_MONEY))
def test_every_code_of_missing_money_stops_the_run_with_the_servers_words(code):
    assert told({"status": 429, "code": code, "message": "no credit"}) == Stop("unavailable", "no credit")


def test_a_hint_beyond_max_wait_is_named_when_it_stops_the_run():
    stop = told({"status": 429, "headers": {"retry-after": "3600"}})
    assert stop == Stop("unavailable", "the server asks to wait 3600 s, longer than retry.max_wait")


@pytest.mark.parametrize("case", HINTS, ids=lambda case: json.dumps(case["headers"]))
def test_how_long_the_server_asks_to_be_left_alone(case):
    assert wait_hint(case["headers"]) == case["seconds"]


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_whatever_the_headers_a_hint_is_within_a_day_or_none(headers):
    hint = wait_hint(headers)
    assert hint is None or 0 <= hint <= LONGEST_HINT


@given(st.text(alphabet="limtrequsd:, 0123456789٣\n", max_size=80))
def test_no_message_breaks_the_decision(message):
    assert isinstance(told({"status": 429, "message": f"limit {message} requested {message}"}), Again | Aside)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 3600))
def test_the_backoff_stays_below_max_wait(attempt, luck, max_wait):
    assert 0 <= backoff(attempt, Policy(max_wait=max_wait), luck) <= max_wait


def test_the_backoff_doubles_and_is_spread_by_luck():
    policy = Policy(max_wait=100)
    assert [backoff(attempt, policy, 1.0) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert [backoff(attempt, policy, 0.0) for attempt in (1, 2, 3, 4)] == [0.25, 0.5, 1, 2]


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
