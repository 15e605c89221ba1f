"""The incoming flow: sets of parameters, pages, shaping, limits, and what a failure stops."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx
import pytest
from connected import CLIENT, Kept, Server, connected, extend, refusal, run

from connectory.catalogue import Pagination
from connectory.connector import AsyncConnector
from connectory.errors import (
    ApiError,
    CredentialsError,
    RecordError,
    RequestError,
    TransportError,
    UnavailableError,
)
from connectory.events import Noticed, PageRead, RunFinished, RunStarted
from connectory.journal import MemoryJournal
from connectory.requests.parameters import Given
from connectory.subscriber import Subscriber

RAW = {"request": {"path": "/things"}}
NO_PARAMETERS = "7f8535e14ff6b46afcbccd9f"
"""Under which an empty set of request parameters is known again."""


class Pages(Server):
    """Answers GETs from a table: the value of `after` or `page`, or None, to the answer."""

    def __init__(self, table: dict[str | None, Any]) -> None:
        super().__init__()
        self.table = table

    async def answer(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        answer = self.table[query.get("after", query.get("page"))]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def listing(*ids: str, more: bool = False, **others: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": one} for one in ids], "has_more": more, **others}


THREE_PAGES = {
    None: listing("a", "b", more=True, last_id="b"),
    "b": listing("c", more=True, last_id="c"),
    "c": listing("d", last_id="d"),
}


def read(
    network: Any,
    incoming: Any = None,
    *,
    listen: Any = None,
    change: Any = None,
    journal: Any = None,
    **options: Any,
) -> tuple[list[Any], Subscriber]:
    """Run an incoming into a sink."""

    async def main():
        async with connected(network, incoming={"in": incoming or RAW}, listen=listen) as made:
            subscriber = made.subscriber("in", journal=journal, **options)
            if change is not None:
                subscriber.subscription = change(subscriber.subscription)
            sink = Kept()
            await subscriber.run(sink)
            return sink.lines, subscriber

    return run(main)


def ids(records: list[Any]) -> list[str]:
    return [record["id"] for record in records]


# -- pages


def with_paging(**paging: Any) -> Any:
    """Change how the entity pages."""

    def change(subscription: Any) -> Any:
        made = Pagination(**{"parameter": None, "cursor": None, "item_field": None, "more": None, **paging})
        response = replace(subscription.action.response, pagination=made)
        return replace(subscription, action=replace(subscription.action, response=response))

    return change


STYLES = {
    "cursor": (
        {
            "style": "cursor",
            "parameter": "after",
            "cursor": "last_id",
            "item_field": "id",
            "more": "has_more",
        },
        THREE_PAGES,
    ),
    "the last item is the cursor": (
        {"style": "cursor", "parameter": "after", "item_field": "id", "more": "has_more"},
        {None: listing("a", "b", more=True), "b": listing("c", more=True), "c": listing("d")},
    ),
    "next": (
        {"style": "next", "parameter": "after", "cursor": "next", "more": "has_more"},
        {
            None: listing("a", "b", more=True, next="x"),
            "x": listing("c", more=True, next="y"),
            "y": listing("d", next=None),
        },
    ),
    "page": (
        {"style": "page", "parameter": "page", "cursor": "next_page", "more": "has_more"},
        {
            None: listing("a", "b", more=True, next_page="2"),
            "2": listing("c", more=True, next_page="3"),
            "3": listing("d", next_page=None),
        },
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_every_page_of_every_pagination_style_is_read(style: str):
    paging, table = STYLES[style]
    server = Pages(table)
    records, subscriber = read(server, change=with_paging(**paging))
    assert ids(records) == ["a", "b", "c", "d"]
    assert len(server.requests) == 3
    assert subscriber.counts.as_dict() == {"items": 4, "records": 4, "errors": 0, "pages": 3}


def test_a_list_that_does_not_page_is_one_request():
    server = Pages({None: listing("a", more=True, last_id="a")})
    records, _ = read(server, change=with_paging(style="none"))
    assert (ids(records), len(server.requests)) == (["a"], 1)


def test_an_entity_of_the_catalogue_is_read_to_its_end_with_its_own_query():
    server = Pages(THREE_PAGES)
    incoming = {"entity": "files", "request_parameters": {"query": {"purpose": "batch"}}}
    records, _ = read(server, incoming)
    assert ids(records) == ["a", "b", "c", "d"]
    assert server.lines == [
        "GET /v1/files?limit=10000&purpose=batch",
        "GET /v1/files?limit=10000&purpose=batch&after=b",
        "GET /v1/files?limit=10000&purpose=batch&after=c",
    ]


def test_a_limit_of_ones_own_is_kept():
    server = Pages(THREE_PAGES)
    read(server, {"entity": "files", "request_parameters": {"query": {"limit": 2}}})
    assert server.lines[0] == "GET /v1/files?limit=2"


def test_a_page_is_no_larger_than_what_is_wanted():
    server = Pages(THREE_PAGES)
    read(server, {"entity": "files"}, limit=3)
    assert server.lines[0] == "GET /v1/files?limit=3"


@pytest.mark.parametrize(
    ("pagination", "expected", "requests"),
    [("all", ["a", "b", "c", "d"], 3), ("first", ["a", "b"], 1), ({"pages": 2}, ["a", "b", "c"], 2)],
)
def test_the_number_of_pages_can_be_bounded(pagination: Any, expected: list[str], requests: int):
    server = Pages(THREE_PAGES)
    records, _ = read(server, {**RAW, "pagination": pagination})
    assert (ids(records), len(server.requests)) == (expected, requests)


@pytest.mark.parametrize(("limit", "requests"), [(1, 1), (2, 1), (3, 2), (4, 3), (9, 3)])
def test_the_number_of_records_can_be_bounded_and_no_page_is_asked_for_in_vain(limit: int, requests: int):
    server = Pages(THREE_PAGES)
    records, subscriber = read(server, limit=limit)
    assert ids(records) == ["a", "b", "c", "d"][:limit]
    assert len(server.requests) == requests
    assert subscriber.counts.records == min(4, limit)


def test_a_record_limit_ends_the_other_sets_of_parameters_too():
    server = Pages({None: listing("a", "b")})
    incoming = in_sets({"query": {"s": 1}}, {"query": {"s": 2}})
    records, _ = read(server, incoming, limit=2)
    assert (ids(records), len(server.requests)) == (["a", "b"], 1)


def test_pages_are_fetched_as_they_are_asked_for():
    async def main():
        server = Pages(THREE_PAGES)
        async with connected(server, incoming={"in": RAW}) as made, aclosing(made.incoming("in")) as records:
            assert (await anext(records))["id"] == "a"
            assert (await anext(records))["id"] == "b"
            assert len(server.requests) == 1

    run(main)


def test_a_list_without_a_way_on_gives_its_page_and_then_the_error():
    server = Pages({None: {"data": [{"x": 1}], "has_more": True}})
    failures: list[RecordError] = []
    records, subscriber = read(server, on_error=failures.append)
    assert records == [{"x": 1}]
    assert "no cursor" in str(failures[0])
    assert subscriber.counts.errors == 1


def test_a_cursor_that_comes_again_ends_the_walk_with_an_error():
    same = listing("a", more=True, last_id="a")
    server = Pages({None: same, "a": same})
    with pytest.raises(ApiError, match="a second time"):
        read(server)
    assert len(server.requests) == 2


# -- what is an item


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"id": "a", "object": "thing"}, [{"id": "a", "object": "thing"}]),
        ([{"id": "a"}, {"id": "b"}], [{"id": "a"}, {"id": "b"}]),
        ({"data": ["x", 1, None]}, [{"value": "x"}, {"value": 1}, {"value": None}]),
        ({"data": []}, []),
        ("text", [{"value": "text"}]),
    ],
)
def test_a_raw_read_takes_lists_and_single_objects(answer: Any, expected: list[Any]):
    assert read(Pages({None: answer}))[0] == expected


def test_a_raw_read_of_an_empty_answer_gives_nothing():
    assert read(Pages({None: httpx.Response(204)}))[0] == []


def test_a_single_entity_is_one_record():
    server = Pages({None: {"id": "gpt-5-mini", "object": "model"}})
    incoming = {"entity": "model", "request_parameters": {"path": {"model": "gpt-5-mini"}}}
    assert read(server, incoming)[0] == [{"id": "gpt-5-mini", "object": "model"}]
    assert server.lines == ["GET /v1/models/gpt-5-mini"]


def test_an_answer_of_another_kind_is_one_record_too():
    answer = httpx.Response(200, content=b"\x00\x01", headers={"content-type": "application/octet-stream"})
    incoming = {"entity": "file.content", "request_parameters": {"path": {"file_id": "f"}}}
    assert read(Pages({None: answer}), incoming)[0] == [
        {"content_type": "application/octet-stream", "base64": "AAE="}
    ]


def test_a_list_entity_that_answers_without_its_list_is_an_error():
    with pytest.raises(ApiError, match="the answer has no list 'data'"):
        read(Pages({None: {"items": []}}), {"entity": "files"})


# -- sets of parameters


def in_sets(*sets: Any) -> dict[str, Any]:
    return {**RAW, "input_transformers": [{"build": {"sets": list(sets)}}, {"split": {"field": "sets"}}]}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_input_transformers_give_any_number_of_sets(count: int):
    server = Pages({None: listing("a")})
    records, _ = read(server, in_sets(*({"query": {"s": number}} for number in range(count))))
    assert server.lines == [f"GET /v1/things?s={number}" for number in range(count)]
    assert ids(records) == ["a"] * count


def test_input_transformers_work_on_the_rendered_request_parameters():
    server = Pages({None: listing("a")})
    incoming = {
        "request": {"path": "/things/{thing}"},
        "request_parameters": {"path": {"thing": "&{run.id}"}, "query": {"a": "1"}},
        "transformer": [{"set": {"query.b": "&{path.thing}"}}],
    }
    read(server, incoming, journal=MemoryJournal("run-1"))
    assert server.lines == ["GET /v1/things/run-1?a=1&b=run-1"]


def test_parameters_given_at_the_call_stand_above_the_configured_ones_and_are_no_templates():
    server = Pages({None: listing("a")})
    incoming = {**RAW, "request_parameters": {"query": {"a": "1", "b": "1"}}}
    read(server, incoming, given=Given({}, {"b": "&{x}"}))
    assert server.lines == ["GET /v1/things?a=1&b=%26%7Bx%7D"]


@pytest.mark.parametrize("nothing", [[], None, {}])
def test_an_empty_list_is_an_empty_path_or_query(nothing: Any):
    server = Pages({None: listing("a")})
    read(server, in_sets({"path": nothing, "query": nothing}, {}))
    assert server.lines == ["GET /v1/things", "GET /v1/things"]


class Picky(Server):
    """Refuses what asks for `s=1`, and answers everything else with one item."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.params.get("s")
        return refusal(404) if wanted == "1" else httpx.Response(200, json=listing(f"a{wanted}"))


THREE_SETS = in_sets({"query": {"s": 0}}, {"query": {"s": 1}}, {"query": {"s": 2}})


def test_a_set_that_is_refused_does_not_stop_the_others():
    failures: list[RecordError] = []
    records, subscriber = read(Picky(), THREE_SETS, on_error=failures.append)
    assert ids(records) == ["a0", "a2"]
    assert [type(failure) for failure in failures] == [ApiError]
    assert subscriber.counts.errors == 1


def test_without_a_listener_for_errors_a_set_that_is_refused_raises_after_the_records_before_it():
    async def main():
        seen: list[Any] = []
        async with connected(Picky(), incoming={"in": THREE_SETS}) as made:
            with pytest.raises(ApiError):
                await extend(seen, made.incoming("in"))
        assert ids(seen) == ["a0"]

    run(main)


@pytest.mark.parametrize("wrong", [{"path": "x"}, {"query": [1]}, {"payload": {}}, {"id": 1}])
def test_a_set_that_is_no_set_does_not_stop_the_others(wrong: Any):
    failures: list[RecordError] = []
    incoming = in_sets({"query": {"s": 0}}, wrong, {"query": {"s": 2}})
    records, _ = read(Picky(), incoming, on_error=failures.append)
    assert ids(records) == ["a0", "a2"]
    assert [type(failure) for failure in failures] == [RequestError]


def test_a_path_parameter_that_is_missing_is_told_before_anything_is_sent():
    server = Server()
    with pytest.raises(RequestError, match="thing"):
        read(server, {"request": {"path": "/things/{thing}"}})
    assert server.requests == []


def test_input_transformers_that_fail_are_told_like_other_failures():
    failures: list[RecordError] = []
    incoming = {**RAW, "input_transformers": [{"set": {"query.s": "&{absent}"}}]}
    records, subscriber = read(Picky(), incoming, on_error=failures.append)
    assert (records, len(failures), subscriber.counts.errors) == ([], 1, 1)
    with pytest.raises(RecordError, match="absent"):
        read(Picky(), incoming)


def test_request_parameters_that_cannot_be_rendered_are_told_like_other_failures():
    failures: list[RecordError] = []
    read(Picky(), {**RAW, "request_parameters": {"query": {"s": "&{absent}"}}}, on_error=failures.append)
    assert "absent" in str(failures[0])


# -- shaping


def test_transformers_make_any_number_of_records_of_an_item():
    answer = {"data": [{"n": [{"x": 1}, {"x": 2}]}, {"n": []}, {"n": [{"x": 3}]}]}
    records, subscriber = read(Pages({None: answer}), {**RAW, "transformers": [{"split": {"field": "n"}}]})
    assert records == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert (subscriber.counts.items, subscriber.counts.records) == (3, 3)


def test_transformers_see_the_item_as_it_was_read_and_the_run():
    incoming = {
        **RAW,
        "transformers": [{"build": {"a": 1}}, {"set": {"id": "&{input.id}", "run": "&{run.id}"}}],
    }
    records, _ = read(Pages({None: listing("x")}), incoming, journal=MemoryJournal("run-1"))
    assert records == [{"a": 1, "id": "x", "run": "run-1"}]


BAD_MIDDLE = {"data": [{"x": 1}, {"y": 2}, {"x": 3}]}
NEEDS_X = {**RAW, "transformers": [{"set": {"z": "&{x}"}}]}


def test_an_item_that_cannot_be_shaped_never_stops_the_others():
    failures: list[RecordError] = []
    records, subscriber = read(Pages({None: BAD_MIDDLE}), NEEDS_X, on_error=failures.append)
    assert [record["z"] for record in records] == [1, 3]
    assert (len(failures), subscriber.counts.errors) == (1, 1)


def test_of_an_item_that_fails_half_way_nothing_is_given():
    failures: list[RecordError] = []
    answer = {"data": [{"n": [{"x": 1}, 2]}, {"n": [{"x": 3}]}]}
    incoming = {**RAW, "transformers": [{"split": {"field": "n"}}]}
    records, _ = read(Pages({None: answer}), incoming, on_error=failures.append)
    assert (records, len(failures)) == ([{"x": 3}], 1)


def test_without_a_listener_for_errors_an_item_that_cannot_be_shaped_is_noticed_and_left_out():
    events: list[Any] = []
    records, subscriber = read(Pages({None: BAD_MIDDLE}), NEEDS_X, listen=events.append)
    (notice,) = [event for event in events if isinstance(event, Noticed)]
    assert "'in'" in notice.message
    assert "left out" in notice.message
    assert (len(records), subscriber.counts.errors) == (2, 1)


def test_a_transformer_that_gives_no_json_fails_only_its_item(tmp_path):
    (tmp_path / "sets.py").write_text(
        "def sets(record: dict) -> dict:\n    return {'x': {1}} if record['id'] == 'a' else record\n"
    )
    incoming = {**RAW, "transformers": [{"use": "sets:sets"}]}
    (tmp_path / "connectory.yaml").write_text(
        json.dumps({"version": 1, "clients": {"api": CLIENT}, "incoming": {"in": incoming}})
    )

    async def main():
        network = httpx.MockTransport(Pages({None: listing("a", "b")}))
        async with AsyncConnector.from_file(tmp_path / "connectory.yaml", transport=network) as made:
            failures: list[RecordError] = []
            sink = Kept()
            await made.subscriber("in", on_error=failures.append).run(sink)
            assert sink.lines == [{"id": "b"}]
            assert "not representable as JSON" in str(failures[0])

    run(main)


# -- what stops everything


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(refusal(401), CredentialsError), (refusal(429, "insufficient_quota"), UnavailableError)],
)
def test_a_cause_that_concerns_everything_is_raised_past_the_listener_for_errors(answer: Any, kind: type):
    failures: list[RecordError] = []
    with pytest.raises(kind):
        read(lambda _request: answer, THREE_SETS, on_error=failures.append)
    assert failures == []


def test_a_server_that_breaks_every_answer_is_raised_past_the_listener_for_errors():
    def broken(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("lost")

    with pytest.raises(TransportError):
        read(broken, THREE_SETS, on_error=lambda _error: None)


# -- order of things


def test_a_cursor_is_committed_only_after_the_sink_has_flushed():
    story: list[Any] = []

    class Telling(MemoryJournal):
        async def commit(self, stream: str, cursor: Any, **_noted: Any) -> None:
            story.append(("commit", stream, cursor))

    async def main():
        async with connected(Pages(THREE_PAGES), incoming={"in": RAW}) as made:
            await made.subscriber("in", journal=Telling()).run(Kept(story))

    run(main)
    kinds = [one if isinstance(one, str) else one[0] for one in story]
    assert kinds == [
        "write",
        "write",
        "flush",
        "commit",
        "write",
        "flush",
        "commit",
        "write",
        "flush",
        "commit",
    ]
    assert [one[1:] for one in story if one[0] == "commit"] == [
        ("in/0", {"following": {"after": "b"}, "of": NO_PARAMETERS, "pages": 1}),
        ("in/0", {"following": {"after": "c"}, "of": NO_PARAMETERS, "pages": 2}),
        ("in/0", {"following": None, "of": NO_PARAMETERS, "pages": 3}),
    ]


def test_a_sink_that_fails_ends_the_reading_and_commits_nothing():
    class Full(Kept):
        async def flush(self) -> None:
            raise OSError("disk full")

    async def main():
        server, journal = Pages(THREE_PAGES), MemoryJournal()
        async with connected(server, incoming={"in": RAW}) as made:
            with pytest.raises(OSError, match="disk full"):
                await made.subscriber("in", journal=journal).run(Full())
        assert (len(server.requests), journal.cursors) == (1, {})

    run(main)


def test_listeners_hear_the_run_and_every_page():
    events: list[Any] = []
    read(Pages(THREE_PAGES), listen=events.append, journal=MemoryJournal("run-1"))
    counts = {"items": 4, "records": 4, "errors": 0, "pages": 3}
    assert events == [
        RunStarted("run-1", "in", None, "incoming", "/things"),
        PageRead("in", 2, 2, "run-1"),
        PageRead("in", 1, 1, "run-1"),
        PageRead("in", 1, 1, "run-1"),
        RunFinished("run-1", "in", counts),
    ]


def test_the_first_page_can_be_looked_at_alone():
    async def main():
        server = Pages(THREE_PAGES)
        async with connected(server, incoming={"in": RAW}) as made:
            subscriber = made.subscriber("in")
            (level,) = subscriber.levels
            (parameters,) = [level.first_query(one) async for one in level.sets(None)]
            assert parameters == {"path": {}, "query": {}}
            assert ids(await level.first_items(parameters)) == ["a", "b"]
        assert len(server.requests) == 1

    run(main)
