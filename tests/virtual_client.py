"""A client in virtual time whose server is a coroutine, for the tests of limits, pauses and outages."""

from __future__ import annotations

import asyncio

import httpx
import virtual

from connectory.auth import Credential
from connectory.catalogue import Catalogue
from connectory.client import Client
from connectory.errors import RunStoppedError
from connectory.requests.building import Call, ClientOptions
from connectory.retry import Policy

CATALOGUE = Catalogue.load()


class Network:
    """Clients whose server is a coroutine; what it was asked is remembered with its time."""

    def __init__(self, answer, *, entity="moderations", **given):
        self.entity = CATALOGUE[entity]
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
        call = Call(self.entity, self.entity.actions["create"], payload=payload, validate="off")
        return await self.client.send(call, self.client.prepare(call))

    async def work(self, payloads, *, workers=32):
        """Send everything with so many workers, and give the outcomes and the seconds."""
        waiting, outcomes = iter(payloads), []

        async def worker():
            for payload in waiting:
                outcomes.append(await self.send(payload))
                if isinstance(outcomes[-1].error, RunStoppedError):
                    return

        begun = virtual.now()
        await asyncio.gather(*(worker() for _ in range(workers)))
        return outcomes, virtual.now() - begun


def ok(value=None, **headers):
    return httpx.Response(200, json={"id": "x"} if value is None else value, headers=headers)


def refused(status=429, code="rate_limit_exceeded", message="no", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": {"message": message, "code": code}}, headers=fields)
