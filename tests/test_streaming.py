from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from connectory.answers.streaming import Rebuilding, error_of

CASES = json.loads((Path(__file__).parent / "cases" / "streams.json").read_text())


def rebuilt(events):
    rebuilding = Rebuilding()
    for one in copy.deepcopy(events):
        rebuilding.feed(one.get("event"), one["data"])
    return rebuilding


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_stream_becomes_the_answer_it_was_about(case):
    made = rebuilt(case["events"])
    assert made.complete
    assert made.value() == case["value"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_stream_without_its_last_event_is_not_complete(case):
    assert not rebuilt(case["events"][:-1]).complete


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["name"].startswith(("responses", "images", "speech", "transc"))],
    ids=lambda case: case["name"],
)
def test_the_closing_mark_is_not_enough_where_an_event_ends_the_stream(case):
    assert not rebuilt([*case["events"][:-1], {"data": "[DONE]"}]).complete or len(case["events"]) == 1


def test_a_long_text_of_many_pieces_takes_no_longer_for_each():
    frame = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "abcd"}}]}
    made = rebuilt([{"data": frame}] * 50_000)
    assert made.value()["choices"][0]["message"]["content"] == "abcd" * 50_000


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (
            {"event": None, "data": {"error": {"message": "no", "code": "c"}}},
            {"error": {"message": "no", "code": "c"}},
        ),
        (
            {"event": "error", "data": {"type": "error", "code": "c", "message": "no"}},
            {"error": {"type": "error", "code": "c", "message": "no"}},
        ),
        ({"event": "error", "data": "plain"}, "plain"),
        ({"event": None, "data": {"type": "error", "error": {"code": "c"}}}, {"error": {"code": "c"}}),
        ({"event": None, "data": {"id": "r", "error": {"code": "c"}}}, None),
        ({"event": None, "data": {"error": None}}, None),
        ({"event": None, "data": "[DONE]"}, None),
        ({"event": "response.failed", "data": {"type": "response.failed", "response": {"error": {}}}}, None),
    ],
)
def test_an_event_that_tells_of_an_error_is_told_from_the_others(event, error):
    assert error_of(event) == error
