from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest
from steady import steady

from connectory.catalogue import Catalogue
from connectory.connector import AsyncConnector
from connectory.schemas.examples import minimal

__all__ = ["steady"]


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load()


@pytest.fixture(scope="module")
def connector(steady):
    client = {"base_uri": f"{steady.url}", "path_prefix": "", "token": "sk-test", "admin_token": "sk-admin"}
    return AsyncConnector.from_dict({"version": 1, "clients": {"openai": {"prototype": "openai", **client}}})


@pytest.fixture(scope="module")
def http():
    with httpx.Client(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def operations():
    """Give every operation of the document that Steady validates against."""
    paths = json.loads(Path(os.environ["CONNECTORY_SPEC"]).read_text())["paths"]
    return [one["operationId"] for item in paths.values() for one in item.values()]


def complaints(http, request):
    """Send a request; give what Steady says against it, or nothing when it accepts it."""
    answer = http.send(request)
    count = answer.headers.get("x-steady-error-count", "absent")
    if answer.is_success and count == "0":
        return None
    return f"{request.method} {request.url} -> {answer.status_code}, {count} errors: {answer.text[:300]}"


def arguments(catalogue, entity, action, *, every_query=False):
    """Make the smallest arguments that an action takes."""
    content = action.body.content if action.body else {}
    schema = content.get("application/json") or next(iter(content.values()), None)
    wanted = [one for one in action.query.values() if one.required or every_query]
    return {
        "path": {name: minimal(one, catalogue.resolve) for name, one in entity.parameter_schemas.items()},
        "query": {one.name: minimal(one.schema, catalogue.resolve) for one in wanted},
        "payload": None if schema is None else minimal(schema, catalogue.resolve),
    }


def test_the_contract_accepts_a_minimal_request_of_every_operation(
    steady, catalogue, connector, operations, http
):
    refused = []
    for identifier in operations:
        entity = catalogue.find(identifier)
        name = entity.aliases[identifier]
        request = connector.prepare(name, entity.name, **arguments(catalogue, entity, entity.actions[name]))
        if complaint := complaints(http, request):
            refused.append(complaint)
    assert refused == []
    assert len(operations) == 288


def test_the_contract_accepts_every_query_parameter(steady, catalogue, connector, operations, http):
    refused, count = [], 0
    for identifier in operations:
        entity = catalogue.find(identifier)
        action = entity.actions[entity.aliases[identifier]]
        if not action.query:
            continue
        made = arguments(catalogue, entity, action, every_query=True)
        made["query"] = {name: listed(action.query[name], value) for name, value in made["query"].items()}
        count += len(made["query"])
        if complaint := complaints(http, connector.prepare(action.name, entity.name, **made)):
            refused.append(complaint)
    assert refused == []
    assert count > 290


def listed(parameter, value):
    """Give a list two items, so that how lists are written is seen."""
    return [*value, *value] if isinstance(value, list) and value else value


def test_the_contract_refuses_a_request_without_what_is_required(steady, catalogue, connector, http):
    good = connector.prepare("read", "organization.costs", query={"start_time": 1})
    bare = httpx.Request("GET", str(good.url).partition("?")[0], headers=good.headers)
    assert complaints(http, good) is None
    assert "400" in complaints(http, bare)
