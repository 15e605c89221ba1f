"""Packs against the sandbox: a configuration is the same with and without them, and its limits are the API's."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_caller import Caller

from connectory.testing import sandboxed

MODEL = "text-embedding-3-small"


def config(outgoing: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "clients": {"openai": {"prototype": "openai"}}, "outgoing": {"out": outgoing}}


def answered(outgoing: dict[str, Any], records: list[Any]) -> list[Any]:
    with sandboxed(config(outgoing)) as connector:
        return list(connector.outgoing("out", records))


EMBED = {"entity": "embeddings", "payload": {"model": MODEL, "input": "&{text}", "dimensions": 8}}
MODERATE = {"entity": "moderations", "payload": {"input": "&{text}"}}


@pytest.mark.parametrize(
    ("outgoing", "part"), [(EMBED, "data"), (MODERATE, "results")], ids=["embeddings", "moderations"]
)
def test_every_record_gets_what_it_would_get_alone(outgoing: dict[str, Any], part: str):
    records = [{"id": n, "text": f"I will {'kill' if n % 3 else 'greet'} {n}"} for n in range(40)]
    alone = answered(outgoing, records)
    packed = answered({**outgoing, "pack": {"size": 16}}, records)
    assert [one.response[part] for one in packed] == [one.response[part] for one in alone]
    assert [(one.index, one.id, one.status) for one in packed] == [
        (one.index, one.id, one.status) for one in alone
    ]
    assert {frozenset(one.response) for one in packed} == {frozenset(one.response) for one in alone}
    assert len({one.request_id for one in packed}) == 3


def test_a_text_that_is_too_long_is_found_among_the_others():
    records = [{"id": n, "text": "word " * (10_000 if n == 37 else 5)} for n in range(100)]
    results = answered({**EMBED, "pack": True}, records)
    assert [one.id for one in results if not one.ok] == ["37"]
    assert "at most 8192" in results[37].error.message


def test_an_empty_text_is_refused_and_goes_alone():
    results = answered({**EMBED, "pack": True}, [{"text": "a"}, {"text": ""}, {"text": "b"}])
    assert [one.ok for one in results] == [True, False, True]
    assert [one.attempts for one in results] == [1, 1, 1]


REFUSED: list[Any] = [
    (["a"] * 2049, "invalid_value"),
    (["a", "", "c"], "empty_string"),
    (["x" * 30_000] * 41, "max_tokens_per_request"),
    (["x" * 40_000], None),
    ([[1] * 9000], None),
]


@pytest.mark.parametrize(("given", "code"), REFUSED, ids=["many", "empty", "tokens", "long", "ids"])
def test_the_sandbox_refuses_what_the_api_refuses(given: Any, code: str | None):
    with Caller() as call:
        answer = call("POST", "/embeddings", json={"model": MODEL, "input": given})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


def test_lines_of_a_file_are_one_file_in_the_sandbox():
    outgoing = {
        "entity": "files",
        "action": "create",
        "payload": {"purpose": "fine-tune", "file": "&{@}"},
        "pack": {"size": 1000},
    }
    results = answered(outgoing, [{"messages": [], "n": number} for number in range(30)])
    assert {one.response["id"] for one in results} == {results[0].response["id"]}
    assert [one.response["line"] for one in results] == list(range(1, 31))
    assert results[0].response["filename"] == "records.jsonl"
