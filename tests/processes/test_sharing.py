"""What the processes of a run share: rates, the number of requests at once, pauses, budgets."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import suppress

import pytest
from connected import run
from taking import take

from connectory.cost.guards import WAIT, Amount, Budget, MostDead, Standing
from connectory.pace.lanes import Limits
from connectory.retry import Failed, Policy
from connectory.runs.processes import Commons, SharedGate
from connectory.runs.processes.guarding import SharedBudget, SharedMostDead
from connectory.runs.processes.pacing import SharedCrowd, SharedPace


@pytest.fixture
def commons(tmp_path):
    """The commons of three processes, seen by each of them."""
    seen = [Commons(tmp_path / "commons", number) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        seen[0].enter(number)
    yield seen
    for one in seen:
        one.close()


def paces(commons, limits=None):
    """The pace of one lane in each process."""
    found = [(one.cell("requests"), one.cell("tokens")) for one in commons]
    return [SharedPace(one, cells, limits or Limits()) for one, cells in zip(commons, found, strict=True)]


def let_out(pace, now, cost=0.0):
    """Let one request out, if it may leave now."""
    if pace.wait(now, cost) > 0:
        return None
    return pace.take(now, cost)


def test_a_rate_is_one_rate_for_all(commons):
    several, sent = paces(commons, Limits(requests_per_minute=600)), 0
    for tick in range(1000):  # ten seconds
        for pace in several:
            while let_out(pace, 100 + tick / 100) is not None:
                sent += 1
    assert 0.95 * 100 <= sent <= 100 + 3.25


def test_tokens_are_taken_from_one_bucket(commons):
    one, other, _ = paces(commons, Limits(tokens_per_minute=60_000))
    taken = let_out(one, 100.0, 200)
    assert taken is not None
    assert let_out(other, 100.0, 200) is None
    one.give_back(taken)
    assert let_out(other, 100.0, 200) is not None
    assert let_out(one, 100.0, 200) is None


def test_what_one_process_learns_all_know(commons):
    one, other, third = paces(commons)
    taken = let_out(one, 100.0)
    assert let_out(other, 100.0) is None, "until the first answer one request a second leaves"
    headers = {"x-ratelimit-limit-requests": "6000", "x-ratelimit-remaining-requests": "5999"}
    assert one.learn(headers, taken, 100.1)
    for pace in (other, third):
        assert let_out(pace, 100.2) is not None
        assert pace.requests.per_minute == 6000
        assert pace.known


def test_a_server_without_limits_is_free_for_all(commons):
    one, other, _ = paces(commons)
    taken = let_out(one, 100.0)
    assert not one.learn({}, taken, 100.1)
    assert [let_out(other, 100.2) for _ in range(50)] == [let_out(one, 100.2)] * 50
    assert not other.learn({}, let_out(other, 100.3), 100.4)


def test_a_refusal_empties_the_bucket_of_all(commons):
    one, other, _ = paces(commons, Limits(requests_per_minute=60_000))
    assert let_out(other, 100.0) is not None
    one.empty()
    assert let_out(other, 100.0) is None
    one.slow_down()
    other.wait(100.0, 0)
    assert other.requests.share == 0.5


def test_a_high_rate_is_taken_in_advance_and_stays_one_rate(commons):
    several, sent = paces(commons, Limits(requests_per_minute=120_000)), 0  # 2,000 a second
    for tick in range(100):  # one second
        for pace in several:
            while let_out(pace, 100 + tick / 100) is not None:
                sent += 1
    assert 0.95 * 2000 <= sent <= 2000 + 500
    assert several[0].wait(200.0, 0) == 0.0
    several[0].take(200.0, 0)
    several[1].empty()
    assert several[0].wait(200.0, 0) > 0, "what was taken in advance is given up at a refusal"


def test_who_has_ended_leaves_its_share_to_the_others(commons):
    one, other, third = (SharedCrowd(seen, 8, adapts=False) for seen in commons)
    assert [one.most, other.most, third.most] == [3, 3, 2]
    one.busy = 3
    assert one.full
    commons[0].leave(3)
    assert not one.full
    assert (one.most, one.limit, other.full) == (4, 4, False)
    commons[0].leave(2)
    assert not one.full
    assert one.limit == 8


def test_a_pause_is_for_all(commons):
    policy = Policy(attempts=4, max_wait=60, outage=300)
    gates = [
        SharedGate(policy, Limits(requests_per_minute=60_000), commons=one, name="api", most=8)
        for one in commons[:2]
    ]

    async def main():
        first, second = (gate.visit("/things") for gate in gates)
        assert await gates[0].enter(first) is None
        refused = Failed(True, True, 429, "rate_limit_exceeded", "too fast", {"retry-after": "30"})
        gates[0].failed(first, refused)
        gates[0].leave(first)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await gates[1].enter(second)
                pytest.fail("the other process did not wait")
        assert second.lane.not_before > asyncio.get_running_loop().time() + 20

    run(main)


def test_a_budget_is_counted_over_all_processes(commons):
    one, other, _ = (SharedBudget(10, None, commons=seen) for seen in commons)
    used = [0, 0]
    for _ in range(20):
        for place, budget in enumerate((one, other)):
            if budget.decide(Standing(Amount(used[place])), Amount(1)) is None:
                used[place] += 1
    assert sum(used) == 10
    assert one.decide(Standing(Amount(used[0])), Amount(1)) == Budget(10).spent(Amount(10))


def test_tokens_of_all_processes_are_counted(commons):
    one, other, _ = (SharedBudget(None, 1000, commons=seen) for seen in commons)
    assert one.decide(Standing(Amount(1, 600)), Amount(1, 0)) is None
    assert other.decide(Standing(Amount(1, 500)), Amount(1)) == "the budget of 1000 tokens is used up (1100)"


def test_what_another_process_has_reserved_is_waited_for_and_its_money_counts(commons):
    one, other, _ = (SharedBudget(None, 1000, 50, commons=seen) for seen in commons)
    assert one.decide(Standing(), Amount(1, 600, 10)) is None
    assert other.decide(Standing(), Amount(1, 600, 10)) is WAIT
    assert other.decide(Standing(), Amount(1, 100, 10), alone=True) is WAIT
    one.note(Standing(Amount(1, 300, 45)))
    assert other.decide(Standing(), Amount(1, 600, 5)) is None
    other.note(Standing())
    assert "0.00 left" not in str(other.decide(Standing(), Amount(1, 1, 6)))
    assert "the next request may need" in str(other.decide(Standing(), Amount(1, 1, 6)))


def test_dead_records_of_all_processes_are_counted(commons):
    one, other, _ = (SharedMostDead(5, None, commons=seen) for seen in commons)
    assert one.exceeded(3, 10) is None
    assert other.exceeded(2, 10) is None
    assert other.exceeded(3, 11) == MostDead(5).exceeded(6, 21)


def test_nothing_is_taken_twice_by_processes_that_take_at_the_same_time(tmp_path):
    path = tmp_path / "commons"
    context = multiprocessing.get_context("spawn")
    several = [context.Process(target=take, args=(path, number, 40_000)) for number in (1, 2)]
    for process in several:
        process.start()
    for process in several:
        process.join(100)
    commons = Commons(path)
    sent = commons.of_others("requests")
    commons.close()
    assert [process.exitcode for process in several] == [0, 0]
    assert 24_998 <= sent <= 25_000  # what the bucket holds: a quarter of a second's worth
