"""`validate`: what becomes of a query or payload that does not fit the entity's schemas."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from connectory import AsyncConnector, Connector, RequestError
from connectory.events import Noticed

WRONG, MISSPELT = {"input": 5}, {"input": "hi", "modle": "omni-moderation-latest"}


def moderate(payload, *, prototype="openai", **outgoing):
    """Send one payload; give its result, what the server saw, and what was noticed."""
    seen, events = [], []

    def answer(request):
        seen.append(request)
        return httpx.Response(200, json={"id": "modr-1", "model": "m", "results": []})

    config = {
        "clients": {"one": {"prototype": prototype, "base_uri": "https://api.test/v1", "token": "sk-test"}},
        "outgoing": {"out": {"entity": "moderations", "payload": "&{@}", **outgoing}},
    }

    async def main():
        transport = httpx.MockTransport(answer)
        async with AsyncConnector.from_dict(config, transport=transport, listen=events.append) as made:
            return [result async for result in made.outgoing("out", [payload, payload])]

    results = asyncio.run(main())
    return results, seen, [event.message for event in events if isinstance(event, Noticed)]


def test_by_default_a_wrong_payload_is_that_records_error_and_is_not_sent():
    results, seen, _ = moderate(WRONG)

    assert [result.status for result in results] == ["error", "error"]
    assert "payload.input: a number (5), must be a text or a list" in results[0].error.message
    assert seen == []


def test_warn_sends_it_and_says_so_once():
    results, seen, noticed = moderate(WRONG, validate="warn")

    assert [result.status for result in results] == ["ok", "ok"]
    assert len(seen) == 2
    assert noticed == ["POST /moderations: payload.input: a number (5), must be a text or a list"]


def test_off_sends_it_and_says_nothing():
    results, seen, noticed = moderate(WRONG, validate="off")

    assert [result.status for result in results] == ["ok", "ok"]
    assert len(seen) == 2
    assert noticed == []


def test_a_misspelt_field_is_sent_and_noticed_once_with_the_nearest_name():
    results, _, noticed = moderate(MISSPELT)

    assert [result.status for result in results] == ["ok", "ok"]
    (notice,) = noticed
    assert "'modle'" in notice
    assert "did you mean 'model'" in notice


def test_a_server_that_is_only_compatible_gets_what_does_not_fit():
    results, seen, noticed = moderate(WRONG, prototype="openai-compatible")

    assert [result.status for result in results] == ["ok", "ok"]
    assert len(seen) == 2
    assert len(noticed) == 1


def test_prepare_takes_the_same_modes():
    with Connector.openai(token="sk-test") as connector:
        with pytest.raises(RequestError, match="must be a text or a list"):
            connector.prepare("create", "moderations", payload=WRONG)

        request = connector.prepare("create", "moderations", payload=WRONG, validate="off")

    assert request.content == b'{"input":5}'


def test_a_query_is_checked_too():
    with Connector.openai(token="sk-test") as connector, pytest.raises(RequestError, match="limit"):
        connector.prepare("read", "files", query={"limit": "many"})
