from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import pytest
import virtual
from connected import CLIENT
from hypothesis import given
from hypothesis import strategies as st

from connectory.connector import AsyncConnector
from connectory.limits import REGROWTH_TIME, Bucket, Pace
from connectory.pace.crowd import Crowd
from connectory.pace.tokens import Estimate, Size, text_size, usage_of


def leave(bucket: Bucket, now: float, cost: float = 1.0) -> float:
    """Take as soon as it is allowed, and give when."""
    now += bucket.wait(now, cost)
    bucket.flow(now)
    bucket.level -= cost
    return now


def turns(bucket: Bucket, count: int, now: float = 0.0) -> list[float]:
    made: list[float] = []
    for _ in range(count):
        now = leave(bucket, now)
        made += [now]
    return made


def test_the_first_turn_comes_at_once_and_the_next_ones_evenly():
    assert turns(Bucket(60), 4) == pytest.approx([0, 1 / 0.95, 2 / 0.95, 3 / 0.95])


def test_of_a_high_rate_a_quarter_of_a_seconds_worth_may_leave_at_once():
    times = turns(Bucket(6000), 60)
    assert [time for time in times if time == 0] == [0] * 25
    assert times[-1] == pytest.approx((60 - 25.75) / 99, abs=0.01)


def test_a_pause_saves_up_no_more_than_that():
    bucket = Bucket(6000)
    turns(bucket, 100)
    assert turns(bucket, 30, 1000.0).count(1000.0) == 25


def test_a_clock_that_goes_back_gives_nothing_away():
    bucket = Bucket(60)
    leave(bucket, 10.0)
    assert bucket.wait(5.0, 1) == pytest.approx(1 / 0.95)


@given(
    st.integers(min_value=1, max_value=10_000),
    st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=50),
)
def test_in_no_time_do_more_leave_than_the_rate_and_one_burst(per_minute: int, pauses: list[float]):
    bucket, now = Bucket(per_minute), 0.0
    leaving: list[float] = []
    for pause in pauses:
        now = leave(bucket, now + pause)
        leaving.append(now)
    assert all(later >= earlier for earlier, later in pairwise(leaving))
    for first, start in enumerate(leaving):
        for count, end in enumerate(leaving[first:], 1):
            assert count <= bucket.full + (end - start) * per_minute / 60 + 1e-6


def test_what_costs_more_than_may_ever_be_there_leaves_and_is_paid_off():
    bucket = Bucket(60_000)
    first = leave(bucket, 0.0, 900)
    second = leave(bucket, first, 900)
    assert (first, second) == (0, pytest.approx(900 / 990))


def test_after_the_order_to_slow_down_half_leaves_and_half_as_much_again_a_quarter_of_an_hour_later():
    bucket = Bucket(600)
    bucket.flow(0.0)
    bucket.slow_down()
    bucket.level = 0
    assert bucket.wait(0.0, 1) == pytest.approx(1 / (9.9 / 2))
    bucket.flow(REGROWTH_TIME)
    bucket.level = 0
    assert bucket.wait(REGROWTH_TIME, 1) == pytest.approx(1 / (9.9 * 0.75))


def told(limit: object, remaining: object, kind: str = "requests") -> dict[str, str]:
    return {f"x-ratelimit-limit-{kind}": str(limit), f"x-ratelimit-remaining-{kind}": str(remaining)}


def test_limits_are_learned_from_answers_and_change_with_them():
    pace = Pace()
    taken = pace.take(0.0, 0)
    assert pace.learn({**told(600, 9), **told(60_000, 900, "tokens")}, taken, 1.0)
    assert (pace.requests.per_minute, pace.tokens.per_minute) == (600, 60_000)
    pace.learn({**told(1200, 9), **told(30_000, 900, "tokens")}, pace.take(1.0, 5), 1.0)
    assert (pace.requests.per_minute, pace.tokens.per_minute) == (1200, 30_000)


def test_an_answer_without_limits_means_that_there_are_none():
    pace = Pace()
    assert pace.wait(0.0, 0) == 0
    taken = pace.take(0.0, 0)
    assert pace.wait(0.0, 0) > 0
    assert not pace.learn({}, taken, 0.1)
    assert pace.wait(0.1, 0) == 0
    assert not pace.known


def test_limits_that_are_set_stay():
    requests, tokens = Bucket(100), Bucket(1000)
    pace = Pace(requests, tokens)
    assert pace.learn({**told(600, 9), **told(60_000, 900, "tokens")}, pace.take(0.0, 5), 1.0)
    assert (requests.per_minute, tokens.per_minute) == (100, 1000)


def test_what_the_server_does_not_have_is_not_sent_either():
    pace = Pace(Bucket(6000), Bucket(600_000))
    taken = pace.take(0.0, 100)
    pace.take(0.0, 100)
    pace.learn({**told(6000, 0), **told(600_000, 50, "tokens")}, taken, 0.0)
    assert pace.requests.level == pytest.approx(
        0
    )  # none left and one more taken since, give or take a whole one
    assert pace.tokens.level == pytest.approx(-50)
    pace.learn({**told(6000, 0), **told(600_000, 50, "tokens")}, taken, 0.0)
    assert pace.tokens.level == pytest.approx(-50)  # the same news twice is no news


def test_a_refused_request_gets_back_what_it_took_and_a_cheaper_one_the_rest():
    pace = Pace(Bucket(6000), Bucket(600_000))
    before = (pace.requests.level, pace.tokens.level)
    pace.give_back(pace.take(0.0, 100))
    assert (pace.requests.level, pace.tokens.level) == before
    pace.settle(pace.take(0.0, 100), 60)
    assert pace.tokens.level == before[1] - 60


@pytest.mark.parametrize(
    ("payload", "text", "answer"),
    [
        (None, 0, 0),
        ({"input": "abc", "model": "m"}, 4, 0),
        ({"messages": [{"content": "né"}], "max_tokens": 10, "n": 3}, 3, 30),
        ({"max_completion_tokens": 5, "max_tokens": 9}, 0, 5),
        ({"max_output_tokens": "many", "n": -1}, 4, 0),
        ({"image_url": "data:image/png;base64," + "A" * 1000}, 0, 0),
        ({"input_audio": {"data": "A" * 1000, "format": "wav"}}, 0, 0),
        ([["a"], "bc", 7, None], 3, 0),
    ],
)
def test_what_of_a_payload_costs_tokens(payload: Any, text: int, answer: int):
    size = Size(payload)
    assert (size.text, size.answer) == (text, answer)


def test_the_estimate_begins_with_a_third_of_the_bytes_and_all_that_may_be_answered_and_learns():
    size, estimate = Size({"input": "x" * 300, "max_tokens": 100}), Estimate()
    assert estimate.cost(size) == 200
    for _ in range(100):
        estimate.learn(size, (75.0, 20.0))
    assert estimate.cost(size) == pytest.approx(95, abs=0.1)


def test_without_a_bound_on_the_answer_its_length_is_learned():
    size, estimate = Size({"input": "x" * 300}), Estimate()
    for _ in range(100):
        estimate.learn(size, (100.0, 40.0))
    assert estimate.cost(size) == pytest.approx(140, abs=0.1)


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, (3, 4)),
        ({"usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}}, (3, 4)),
        ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, (8, 0)),
        ({"usage": {"total_tokens": 8}}, (8, 0)),
        ({"usage": {"total_tokens": True}}, None),
        ({"usage": {"seconds": 3}}, None),
        ({"usage": None}, None),
        ([1], None),
    ],
)
def test_what_an_answer_says_it_has_cost(value: Any, usage: Any):
    assert usage_of(value) == usage


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper),
    )
)
def test_any_json_value_has_a_size(value: Any):
    assert text_size(value) >= 0
    assert Size(value).answer >= 0
    usage_of(value)


@given(
    st.integers(1, 100),
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["in", "out", "shrink", "full", "trust"]), st.floats(0, 10)), max_size=300
    ),
)
def test_the_number_under_way_stays_between_one_and_the_most(
    most: int, adapts: bool, story: list[tuple[str, float]]
):
    crowd, now = Crowd(most, adapts=adapts), 0.0
    for event, seconds in story:
        now += seconds
        match event:
            case "in" if not crowd.full:
                crowd.busy += 1
            case "out" if crowd.busy:
                crowd.busy -= 1
                crowd.answered(now)
            case "shrink":
                crowd.shrink()
            case "full":
                crowd.met_full()
            case "trust":
                crowd.trust()
        assert 1 <= crowd.limit <= most


def test_all_connections_of_a_client_share_its_rate_and_retries_take_a_turn_too():
    statuses = [503, 200, 200]

    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(statuses.pop(0), json={"id": "x"}, headers={"retry-after": "0"})

    async def main() -> Any:
        clients = {"api": {**CLIENT, "limits": {"requests_per_minute": 60}}}
        post = {"request": {"method": "POST", "path": "/things"}, "concurrency": 1}
        config = {"version": 1, "clients": clients, "outgoing": {"one": post, "two": post}}
        network = httpx.MockTransport(answer)
        async with AsyncConnector.from_dict(config, transport=network, listen=lambda _event: None) as made:
            found = [
                result.status
                for name in ("one", "two")
                async for result in made.outgoing(name, [{"payload": {}}])
            ]
        return found, virtual.now()

    assert virtual.run(main()) == (["ok", "ok"], pytest.approx(2 / 0.95))
