"""A run stays within its budget of tokens or money: what may be used is reserved before anything leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from connected import CLIENT, POSTS, body_of, configuration, run, transport
from journaled import Project, Wall, numbered

from connectory.assembly import problems
from connectory.catalogue import Catalogue
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.cost.guards import WAIT, Amount, Budget, Standing
from connectory.cost.prices import Prices
from connectory.cost.usage import Tally
from connectory.errors import ConfigError, GuardError, SetupError

PRICES = {"currency": "XTS", "models": {"m": {"input": 1, "output": "2.50"}}}
ASK: dict[str, Any] = {
    **POSTS,
    "payload": {"model": "m", "id": "&{id}", "max_tokens": 100},
    "concurrency": 8,
    "on_uncertain": "resend",
}
COUNT = 40


class Billing(Wall):
    """Answers with a usage, and knows how many requests were under way at once."""

    def __init__(self, *, read: int = 0, answered: int = 100, **usage: Any) -> None:
        super().__init__()
        self.usage = {"prompt_tokens": read, "completion_tokens": answered, **usage}
        self.busy = self.most = 0
        self.alone = True

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.alone = self.alone and not (self.busy > 1 and len(self.requests) < 3)
        await asyncio.sleep(0.002)
        self.busy -= 1
        return httpx.Response(200, json={"id": body_of(request)["id"], "usage": self.usage})

    @property
    def tokens(self) -> int:
        return len(self.requests) * sum(one for one in self.usage.values() if isinstance(one, int))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setitem(CLIENT, "prices", PRICES)
    project = Project(tmp_path)
    project.give(numbered(COUNT))
    return project


def sending(project: Project, wall: Any, *, crash: Any = None, **more: Any) -> Any:
    project.connections["outgoing"]["out"] = {**ASK, **more}
    return project.send(wall, crash=crash)


def used(project: Project) -> Tally:
    return Tally(project.runs.summary(project.only_run, usage=True).usage)


# -- decisions


@pytest.mark.parametrize(
    ("standing", "wanted", "alone", "decision"),
    [
        (Standing(), Amount(1, 100), False, None),
        (Standing(Amount(1, 0), Amount(0, 40), 1), Amount(1, 60), False, None),
        (Standing(Amount(1, 0), Amount(0, 50), 1), Amount(1, 51), False, WAIT),
        (Standing(Amount(1, 0), Amount(0, 50), 1), Amount(1, 1), True, WAIT),
        (
            Standing(Amount(1, 50)),
            Amount(1, 51),
            False,
            "50 of 100 tokens left, and the next request may need 51",
        ),
        (
            Standing(Amount(1, 100), Amount(0, 50), 1),
            Amount(1, 0),
            False,
            "the budget of 100 tokens is used up (100)",
        ),
    ],
)
def test_a_request_goes_waits_or_ends_the_run(standing, wanted, alone, decision):
    found = Budget(tokens=100).decide(standing, wanted, alone=alone)
    assert decision in found if isinstance(found, str) else found is decision


# -- runs


@pytest.mark.fault(
    "S13", "a budget of money ends the run before a request that could exceed it; a larger one goes on"
)
@pytest.mark.parametrize("crash", [None, ("record", 3), ("intend", 5), ("request", 6)], ids=str)
def test_a_budget_of_money_is_never_exceeded_where_answers_are_bounded(project, crash: Any):
    wall = Billing()
    budget = {"cost": "0.00251"}  # ten answers of 100 tokens at 2.50 a million cost 0.0025
    if crash is not None:
        sending(project, wall, crash=crash, budget=budget)
    life = sending(project, wall, budget=budget)

    assert isinstance(life.error, GuardError)
    assert "of 0.00251 XTS" in str(life.error)
    assert "the records left stay pending" in str(life.error)
    assert len(wall.requests) == 10 if crash is None else len(wall.requests) <= 10
    assert wall.most > 1
    again = sending(project, wall, budget={"cost": 1})
    assert (again.error, len(project.lines)) == (None, COUNT)
    assert used(project).sum("requests") >= COUNT


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_server_that_bills_more_than_the_bound_exceeds_it_by_no_more_than_what_is_under_way(
    project, concurrency: int
):
    wall = Billing(answered=300)  # three times what the request allows
    life = sending(project, wall, concurrency=concurrency, budget={"tokens": 2000})

    assert isinstance(life.error, GuardError)
    assert wall.tokens + 100 >= 2000
    assert wall.tokens <= 2000 + concurrency * (300 - 100)
    assert used(project).tokens == wall.tokens


def test_where_answers_have_no_bound_the_first_goes_alone_and_the_longest_counts(project):
    wall = Billing(answered=300)
    payload = {"model": "m", "id": "&{id}"}
    life = sending(project, wall, payload=payload, budget={"tokens": 3001})

    assert isinstance(life.error, GuardError)
    assert wall.alone
    assert wall.most > 1
    assert wall.tokens == 3000


def test_what_is_reserved_and_not_used_is_there_for_others(project):
    wall = Billing(answered=10)  # a tenth of what is reserved
    life = sending(project, wall, budget={"tokens": 500})
    assert (life.error, wall.tokens) == (None, 400)


def test_answers_that_say_nothing_count_with_what_was_reserved(project):
    wall = Wall(lambda request: httpx.Response(200, json={"id": body_of(request)["id"]}))
    life = sending(project, wall, budget={"tokens": 550})
    assert isinstance(life.error, GuardError)
    assert (len(wall.requests), used(project).sum("unknown"), used(project).tokens) == (5, 5, 505)


@pytest.mark.fault("S13", "an attempt whose answer was lost counts with what was reserved for it")
def test_a_lost_answer_may_have_been_charged(project):
    class Lossy(Billing):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            answer = await super().answer(request)
            if len(self.requests) == 1:
                raise httpx.ReadError("gone")
            return answer

    life = sending(project, Lossy(), concurrency=1, budget={"tokens": 551})
    assert isinstance(life.error, GuardError)
    found = used(project)
    assert (found.sum("doubtful"), found.sum("output"), found.tokens) == (1, 400, 501)


def test_records_that_fail_do_not_keep_what_was_reserved_for_them(project):
    wall = Wall(
        lambda request: (
            httpx.Response(400, json={"error": {"message": "no"}})
            if body_of(request)["id"] % 2
            else httpx.Response(200, json={"usage": {"prompt_tokens": 0, "completion_tokens": 100}})
        )
    )
    life = sending(project, wall, budget={"tokens": 2101})
    assert (life.error, len(wall.requests), used(project).tokens) == (None, COUNT, 2000)


def test_what_is_used_is_counted_once_over_lives_repairs_and_switching_on(project):
    wall = Billing(read=7, answered=3)
    sending(project, wall, crash=("record", 5))
    sending(project, wall, crash=("show", 9))
    assert sending(project, wall).error is None
    paid = 10 * len([line for line in (project.path / "results.jsonl").read_text().splitlines() if line])
    assert used(project).tokens == paid
    project.runs.repair(project.only_run)
    assert used(project).tokens == paid


def test_nothing_is_counted_where_nobody_asks(tmp_path):
    async def main() -> None:
        async with AsyncConnector.from_dict(
            configuration(outgoing={"out": ASK}), transport=transport(Billing())
        ) as made:
            publisher = made.publisher("out")
            assert publisher.publication.counted is False
            assert publisher.journal.tally is None

    run(main)


# -- prices that are not there


def test_a_model_of_the_record_without_a_price_stops_a_run_with_a_budget_of_money(project):
    project.give([{"id": 1, "model": "m"}, {"id": 2, "model": "other"}, {"id": 3, "model": "m"}])
    payload = {"model": "&{model}", "id": "&{id}", "max_tokens": 10}
    wall = Billing()
    life = sending(project, wall, payload=payload, concurrency=1, budget={"cost": 5})
    assert isinstance(life.error, SetupError)
    assert "model 'other' has no price, and a budget by cost needs one" in str(life.error)
    assert life.error.command == "connectory prices template"
    assert len(wall.requests) == 1


@pytest.mark.parametrize(
    ("prices", "model", "words"),
    [
        (None, "m", "a budget by cost needs the `prices` of client 'api'"),
        (PRICES, "other", "needs a price of model 'other' below `prices` of client 'api'"),
        ({"models": {"m": {"input": None, "output": ""}}}, "m", "needs a price of model 'm'"),
        (PRICES, "m-2026-01-01", None),
        (PRICES, "&{model}", None),
    ],
)
def test_a_budget_of_money_without_prices_is_a_configuration_error(prices, model, words):
    client = {**CLIENT, **({"prices": prices} if prices else {})}
    outgoing = {"out": {**ASK, "payload": {"model": model}, "budget": {"cost": 1}}}
    config = config_from_dict({"version": 1, "clients": {"api": client}, "outgoing": outgoing})
    found = [str(one) for one in problems(config, Catalogue.load())]
    assert (not found) if words is None else (len(found) == 1 and words in found[0])


@pytest.mark.parametrize("written", ["six", "-1", -0.5, True, "1 EUR", "inf", "nan", 10**10, [1], "1e999"])
def test_what_is_no_price_is_refused(written):
    client = {**CLIENT, "prices": {"models": {"m": {"input": written}}}}
    with pytest.raises(ConfigError, match="'input' of 'm'"):
        config_from_dict({"version": 1, "clients": {"api": client}})


def test_prices_are_the_decimals_that_were_written():
    client = {
        **CLIENT,
        "prices": {"batch": 0.5, "models": {"m": {"input": 0.1, "output": "0.30", "image": 4}}},
    }
    config = config_from_dict({"version": 1, "clients": {"api": client}, "outgoing": {"out": ASK}})
    prices = AsyncConnector(config).assembly.publication("out", run={}).prices
    assert isinstance(prices, Prices)
    price = prices.find("m")
    assert price is not None
    assert [str(one) for one in (price.input, price.output, price.image)] == ["0.1", "0.30", "4"]
    assert str(prices.factor) == "1"
