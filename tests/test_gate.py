"""The gate in virtual time: speed against a limited server, the number under way, who waits and who stops."""

from __future__ import annotations

import asyncio
import random

import httpx
import pytest
import virtual
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limited_model import Model

from connectory.auth import Credential
from connectory.catalogue import Catalogue
from connectory.client import Call, Client, ClientOptions
from connectory.errors import ApiError, UnavailableError
from connectory.events import Held, RequestRetried
from connectory.lanes import Limits
from connectory.retry import Policy

CATALOGUE = Catalogue.load()
CHAT = CATALOGUE["chat.completions"]
TEXT = "word " * 120


class Network:
    """Clients whose server is a coroutine; what it was asked is remembered with its time."""

    def __init__(self, answer, **given):
        self.answer, self.events, self.times = answer, [], []
        given.setdefault("policy", Policy())
        credential = Credential("Authorization", "Bearer ", "made-up")
        made = ClientOptions(
            "ours", "http://api.test/v1", CATALOGUE.prototypes["openai"], credential, **given
        )
        self.client = Client(made, httpx.MockTransport(self.handle), listen=self.events.append)
        self.busy = self.most = 0

    async def handle(self, request):
        self.times.append(virtual.now())
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            return await self.answer(request)
        finally:
            self.busy -= 1

    async def send(self, payload=None):
        payload = payload or {"model": "m", "messages": []}
        call = Call(CHAT, CHAT.actions["create"], payload=payload, validate="off")
        return await self.client.send(call, self.client.prepare(call))

    async def work(self, payloads, *, workers=32):
        """Send everything with so many workers, and give the outcomes and the seconds."""
        waiting, outcomes = iter(payloads), []

        async def worker():
            for payload in waiting:
                outcomes.append(await self.send(payload))  # noqa: PERF401 - as they come

        begun = virtual.now()
        await asyncio.gather(*(worker() for _ in range(workers)))
        return outcomes, virtual.now() - begun


def ok(value=None, **headers):
    return httpx.Response(200, json={"id": "x"} if value is None else value, headers=headers)


def refused(status=429, code="rate_limit_exceeded", message="no", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": {"message": message, "code": code}}, headers=fields)


def limited(model, costs, *, latency, jitter, generator):
    """A server with limits: the answer comes after a while, and requests take their time to arrive."""

    async def answer(request):
        cost = costs[request.headers["x-cost"]] if "x-cost" in request.headers else costs(request)
        await asyncio.sleep(generator.uniform(0.005, 0.005 + jitter))
        status, headers = model.ask(virtual.now(), cost)
        if status != 200:
            return refused(**headers)
        await asyncio.sleep(generator.uniform(0.5, 1.5) * latency)
        usage = {"prompt_tokens": int(cost * 0.7), "completion_tokens": cost - int(cost * 0.7)}
        return ok({"id": "x", "usage": usage}, **headers)

    return answer


def finish(
    requests, tokens, *, seconds=60.0, cost=300, spread=0.5, latency=0.3, jitter=0.05, seed=1, limits=None
):
    """Give the share of time over the least, and that of refusals, of a run with so much work."""
    generator = random.Random(seed)
    random.seed(seed)
    model = Model.of(requests, tokens)
    count = max(2, int(seconds * min(requests / 60, tokens / 60 / cost)))
    sizes = [int(cost * generator.uniform(1 - spread, 1 + spread)) for _ in range(count)]
    payloads = [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "x" * int(3.5 * size * 0.7)}],
            "max_tokens": 4 * size // 10,
        }
        for size in sizes
    ]
    by_text = {len(one["messages"][0]["content"]): size for one, size in zip(payloads, sizes, strict=True)}

    def cost_of(request):
        return by_text[request.content.count(b"x") - request.content.count(b"max_tokens")]

    answer = limited(model, cost_of, latency=latency, jitter=jitter, generator=generator)
    network = Network(
        answer, limits=limits or Limits(concurrency=max(8, int(3 * requests / 60 * latency) + 1))
    )
    outcomes, took = virtual.run(network.work(payloads, workers=network.client.options.limits.most_at_once))
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
