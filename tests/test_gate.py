"""The gate in virtual time: speed against a limited server, the number under way, who waits and who stops."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
import pytest
import virtual
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limited_model import Model
from virtual_client import Network, ok, refused

from connectory.errors import ApiError, CredentialsError, UnavailableError
from connectory.events import Held
from connectory.pace.lanes import Limits
from connectory.retry import Policy


def limited(model, *, latency, jitter, generator):
    """A server with limits: requests take their time to arrive, and answers to be made."""

    async def answer(request):
        cost = int(json.loads(request.content)["user"])
        await asyncio.sleep(generator.uniform(0.005, 0.005 + jitter))
        status, headers = model.ask(virtual.now(), cost)
        if status != 200:
            return refused(**headers)
        await asyncio.sleep(generator.uniform(0.5, 1.5) * latency)
        usage = {"prompt_tokens": int(cost * 0.7), "completion_tokens": cost - int(cost * 0.7)}
        return ok({"id": "x", "usage": usage}, **headers)

    return answer


def chat(cost):
    """A request that will cost so much: texts of 3.5 bytes a token, and a bound on the answer that is not reached."""
    message = {"role": "user", "content": "x" * int(3.5 * cost * 0.7)}
    return {"model": "m", "messages": [message], "max_tokens": 4 * cost // 10, "user": str(cost)}


def finish(
    requests, tokens, *, seconds=60.0, cost=300, spread=0.5, latency=0.3, jitter=0.05, seed=1, limits=None
):
    """Give the share of time over the least, and that of refusals, of a run with so much work."""
    generator = random.Random(seed)  # noqa: S311 - the same each time
    model = Model.of(requests, tokens)
    count = max(2, int(seconds * min(requests / 60, tokens / 60 / cost)))
    sizes = [int(cost * generator.uniform(1 - spread, 1 + spread)) for _ in range(count)]
    answer = limited(model, latency=latency, jitter=jitter, generator=generator)
    network = Network(answer, limits=limits)
    workers = limits.most_at_once
    outcomes, took = virtual.run(network.work([chat(size) for size in sizes], workers=workers))
    assert all(one.answer is not None for one in outcomes)
    least = model.least(count, sum(sizes))
    return took / least, model.refused / (model.refused + model.taken)


@pytest.mark.parametrize("way", ["auto", "set"])
@pytest.mark.parametrize(
    ("requests", "tokens", "latency"),
    [
        (60, 100_000, 0.3),
        (500, 200_000, 1.0),
        (500, 60_000, 0.5),
        (3_000, 4_000_000, 0.5),
        (10_000, 2_000_000, 2.0),
    ],
)
def test_work_ends_within_a_tenth_of_what_is_possible_and_hardly_anything_is_refused(
    way, requests, tokens, latency
):
    most = max(8, int(3 * requests / 60 * latency) + 1)
    limits = Limits(concurrency=most) if way == "auto" else Limits(requests, tokens, most)
    over, refusals = finish(requests, tokens, latency=latency, limits=limits)
    assert over <= 1.1
    assert refusals < 0.01


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.integers(60, 900),
    tokens=st.integers(100_000, 1_000_000),
    latency=st.floats(0.05, 0.8),
    jitter=st.floats(0, 0.04),
    spread=st.floats(0, 0.9),
    seed=st.integers(0, 1000),
    given_limits=st.booleans(),
)
def test_it_holds_for_other_limits_and_latencies(  # noqa: PLR0917 - what varies
    requests, tokens, latency, jitter, spread, seed, given_limits
):
    most = max(8, int(3 * requests / 60 * latency) + 1)
    limits = Limits(requests, tokens, most) if given_limits else Limits(concurrency=most)
    over, refusals = finish(
        requests, tokens, latency=latency, jitter=jitter, spread=spread, seed=seed, limits=limits
    )
    assert over <= 1.1
    assert refusals < 0.01


def test_a_server_that_counts_what_might_be_answered_is_found_out():
    generator = random.Random(1)  # noqa: S311 - the same each time
    model = Model.of(3000, 60_000)

    async def answer(_request):
        await asyncio.sleep(generator.uniform(0.01, 0.03))
        status, headers = model.ask(virtual.now(), 200)
        if status != 200:
            return refused(**headers)
        return ok({"usage": {"prompt_tokens": 40, "completion_tokens": 10}}, **headers)

    network = Network(answer)
    outcomes, took = virtual.run(network.work([{"model": "m", "input": "x" * 150, "max_tokens": 150}] * 600))
    assert all(one.answer is not None for one in outcomes)
    assert took <= 1.1 * model.least(600, 600 * 200)
    assert model.refused <= 0.1 * 600


def test_a_limit_that_others_use_too_is_shared_with_them():
    model = Model.of(600, 1_000_000)

    async def answer(_request):
        status, headers = model.ask(virtual.now(), 1)
        return ok(**headers) if status == 200 else refused(**headers)

    async def main():
        mine, other = Network(answer), Network(answer)
        return await asyncio.gather(mine.work([{"model": "m"}] * 300), other.work([{"model": "m"}] * 300))

    halves = virtual.run(main())
    assert all(one.answer is not None for outcomes, _ in halves for one in outcomes)
    assert max(took for _, took in halves) <= 1.2 * model.least(600, 0)
    assert model.refused < 0.2 * 600


# Who waits for whom


def test_before_the_first_answer_one_request_a_second_is_sent():
    async def answer(_request):
        await asyncio.sleep(3.5)
        return ok()

    network = Network(answer)
    virtual.run(network.work([{"model": "m"}] * 8))
    assert network.times[:5] == pytest.approx([0, 1, 2, 3, 3.5], rel=0.06)


def test_one_models_refusals_do_not_hold_up_another():
    async def answer(request):
        await asyncio.sleep(0.1)
        return refused(retry_after="30") if b"slow" in request.content else ok()

    async def main():
        network = Network(answer)
        slow = asyncio.create_task(network.send({"model": "slow"}))
        await asyncio.sleep(1)
        outcomes, took = await network.work([{"model": "fast"}] * 20)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        return outcomes, took

    outcomes, took = virtual.run(main())
    assert all(one.answer is not None for one in outcomes)
    assert took < 5


def test_who_is_cancelled_while_waiting_holds_nobody_up():
    async def answer(_request):
        return ok()

    async def main():
        network = Network(answer, limits=Limits(requests_per_minute=60))
        tasks = [asyncio.create_task(network.send()) for _ in range(6)]
        await asyncio.sleep(0.5)
        for one in tasks[1:4]:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return network

    network = virtual.run(main())
    assert len(network.times) == 3
    assert not network.client._gate._lines


def test_waiting_for_a_turn_is_no_part_of_a_requests_own_time():
    async def answer(_request):
        return ok()

    network = Network(answer, limits=Limits(requests_per_minute=1), total_timeout=1)
    outcomes, took = virtual.run(network.work([None] * 3))
    assert all(one.answer is not None for one in outcomes)
    assert took == pytest.approx(2 * 60 / 0.95)


def test_a_request_that_the_server_can_never_take_ends_alone():
    async def answer(request):
        await asyncio.sleep(0.1)
        return refused(retry_after="1") if b"huge" in request.content else ok()

    network = Network(answer)
    outcomes, _ = virtual.run(
        network.work(
            [{"model": "m", "user": "huge" if number == 5 else "ok"} for number in range(9000)], workers=8
        )
    )
    failed = [one for one in outcomes if one.answer is None]
    assert [type(one.error) for one in failed] == [ApiError]
    assert (failed[0].error.status, failed[0].retryable) == (429, True)


# The end of a run


@pytest.mark.parametrize(
    ("answered", "kind"),
    [
        (refused(429, "insufficient_quota"), UnavailableError),
        (refused(401, "invalid_api_key"), CredentialsError),
        (refused(429, retry_after="3600"), UnavailableError),
    ],
)
def test_a_cause_that_concerns_everybody_is_met_once_and_keeps_all_pending(answered, kind):
    async def answer(_request):
        await asyncio.sleep(0.2)
        return answered

    network = Network(answer)
    outcomes, took = virtual.run(network.work([{"model": "m"}] * 32))
    assert {type(one.error) for one in outcomes} == {kind}
    assert len(network.times) == 1
    assert took < 1


def test_after_the_end_of_a_run_the_client_begins_anew():
    statuses = [401, 200, 200]

    async def answer(_request):
        return refused(401) if statuses.pop(0) == 401 else ok()

    async def main():
        network = Network(answer)
        return [await network.send() for _ in range(3)]

    assert [one.answer is None for one in virtual.run(main())] == [True, False, False]


def test_an_outage_of_answers_burns_no_record():
    async def answer(_request):
        await asyncio.sleep(0.1)
        return refused(500, "server_error") if 10 < virtual.now() < 100 else ok()

    network = Network(answer, limits=Limits(requests_per_minute=1_000_000, concurrency=32), total_timeout=20)
    call = {"model": "m"}
    outcomes, took = virtual.run(network.work([call] * 10_000))
    assert all(one.answer is not None for one in outcomes)
    assert took < 150
    assert sum(10 < time < 100 for time in network.times) < 200


def test_an_outage_of_answers_that_lasts_stops_the_run_with_everything_pending():
    async def answer(_request):
        await asyncio.sleep(0.1)
        return httpx.Response(502, html="<h1>Bad Gateway</h1>") if virtual.now() > 10 else ok()

    network = Network(answer, limits=Limits(requests_per_minute=1_000_000, concurrency=32))
    outcomes, took = virtual.run(network.work([{"model": "m"}] * 10_000))
    stopped = [one for one in outcomes if one.answer is None]
    assert {type(one.error) for one in stopped} == {UnavailableError}
    assert took > 300


def test_records_that_break_the_server_by_themselves_are_set_aside():
    async def answer(request):
        await asyncio.sleep(0.1)
        return refused(500, "server_error") if b"bad" in request.content else ok()

    network = Network(answer)
    payloads = [{"model": "m", "user": "bad" if number % 10 == 3 else "ok"} for number in range(300)]
    outcomes, _ = virtual.run(network.work(payloads))
    failed = [one for one in outcomes if one.answer is None]
    assert len(failed) == 30
    assert {(type(one.error), one.attempts, one.retryable) for one in failed} == {(ApiError, 4, True)}


def test_the_order_to_slow_down_halves_the_rate():
    model = Model.of(600, 1_000_000)
    slowed = []

    async def answer(_request):
        await asyncio.sleep(0.05)
        if not slowed and virtual.now() > 10:
            slowed.append(virtual.now())
            return refused(503, "slow_down")
        status, headers = model.ask(virtual.now(), 1)
        return ok(**headers) if status == 200 else refused(**headers)

    network = Network(answer)
    virtual.run(network.work([{"model": "m"}] * 400))
    before = sum(5 <= time < 10 for time in network.times) / 5
    after = sum(slowed[0] + 5 <= time < slowed[0] + 15 for time in network.times) / 10
    assert before == pytest.approx(10, rel=0.1)
    assert after == pytest.approx(5, rel=0.1)


def test_everybody_is_told_once_that_all_wait():
    async def answer(_request):
        await asyncio.sleep(0.3)
        return refused(retry_after="2") if 5 < virtual.now() < 6 else ok()

    network = Network(answer, limits=Limits(requests_per_minute=6_000, concurrency=10))
    virtual.run(network.work([{"model": "m"}] * 400))
    assert [event.wait for event in network.events if isinstance(event, Held)] == [2]


def test_retries_never_become_the_load():
    generator = random.Random(7)  # noqa: S311 - the same each time

    async def answer(_request):
        await asyncio.sleep(0.01)
        return refused(500, "server_error") if generator.random() < 0.6 else ok()

    network = Network(
        answer, limits=Limits(requests_per_minute=10_000_000, concurrency=100), policy=Policy(attempts=9)
    )
    count = 5000
    _, took = virtual.run(network.work([{"model": "m"}] * count, workers=100))
    retries = len(network.times) - count
    assert retries <= 0.2 * count + 10 * took + 100 + 1


def test_conflicts_are_no_outage():
    async def answer(_request):
        await asyncio.sleep(0.01)
        return refused(409, "conflict")

    network = Network(answer, entity="vector_stores", limits=Limits(requests_per_minute=1_000_000))
    outcomes, _ = virtual.run(network.work([{"name": "x"}] * 60, workers=8))
    assert {(type(one.error), one.attempts) for one in outcomes} == {(ApiError, 4)}


def test_a_server_that_is_away_is_asked_again_when_it_wishes():
    async def answer(_request):
        await asyncio.sleep(0.01)
        return refused(503, "server_is_overloaded", retry_after="40") if 1 < virtual.now() < 60 else ok()

    network = Network(answer, limits=Limits(requests_per_minute=6_000, concurrency=32))
    outcomes, _ = virtual.run(network.work([{"model": "m"}] * 500))
    assert all(one.answer is not None for one in outcomes)
    assert sum(1.5 < time < 60 for time in network.times) <= 2


def test_a_refusal_of_another_kind_ends_the_pause_for_pace():
    async def answer(_request):
        await asyncio.sleep(0.1)
        return refused() if virtual.now() < 0.5 else refused(400, "bad")

    network = Network(answer, limits=Limits(requests_per_minute=6_000, concurrency=8))
    outcomes, took = virtual.run(network.work([{"model": "m"}] * 400, workers=8))
    assert {one.error.status for one in outcomes} == {400}
    assert took < 20
