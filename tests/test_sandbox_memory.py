"""The sandbox remembers what was made: items are read, listed, changed and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_caller import CATALOGUE, Caller


@pytest.fixture
def call():
    with Caller() as caller:
        yield caller


LIVES = {
    "files": ({"files": [("file", ("a.jsonl", b'{"a": 1}\n')), ("purpose", (None, "batch"))]}, None),
    "vector_stores": ({"json": {"name": "one"}}, {"name": "two"}),
    "assistants": ({"json": {"model": "gpt-5", "name": "one"}}, {"name": "two"}),
    "threads": ({"json": {"metadata": {"a": "1"}}}, {"metadata": {"a": "2"}}),
    "conversations": ({"json": {"metadata": {"a": "1"}}}, {"metadata": {"a": "2"}}),
    "containers": ({"json": {"name": "one"}}, None),
    "evals": (
        {
            "json": {
                "name": "one",
                "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
                "testing_criteria": [
                    {"type": "string_check", "name": "s", "input": "a", "operation": "eq", "reference": "a"}
                ],
            }
        },
        {"name": "two"},
    ),
}


@pytest.mark.parametrize("name", LIVES)
def test_an_item_lives_from_its_creation_to_its_deletion(call, name):
    request, change = LIVES[name]
    entity = CATALOGUE[name]
    made = call.ok("POST", entity.path, **request)
    path = f"{entity.path}/{made['id']}"
    assert call.ok("GET", path) == made
    if "read" in entity.actions:
        assert call.ok("GET", entity.path)["data"] == [made]
    if change is not None:
        assert call.ok("POST", path, json=change).items() >= change.items()
        assert call.ok("GET", path).items() >= change.items()
    deleted = call("DELETE", path)
    assert deleted.status_code == 200
    if deleted.content:
        assert deleted.json()["deleted"] is True
        assert made["id"] in deleted.json().values()
    gone = call("GET", path)
    assert gone.status_code == 404
    assert made["id"] in gone.json()["error"]["message"]
    assert call("DELETE", path).status_code == 404


def test_what_was_uploaded_comes_back_byte_for_byte(call):
    content = bytes(range(256)) * 300
    made = call.ok("POST", "/files", files=[("file", ("all.bin", content)), ("purpose", (None, "user_data"))])
    assert (
        made.items()
        >= {
            "filename": "all.bin",
            "bytes": len(content),
            "purpose": "user_data",
            "status": "processed",
        }.items()
    )
    assert call("GET", f"/files/{made['id']}/content").content == content


def test_files_are_listed_by_purpose(call):
    for purpose in ("batch", "assistants", "batch"):
        call.ok("POST", "/files", files=[("file", ("a", b"a")), ("purpose", (None, purpose))])
    assert len(call.ok("GET", "/files?purpose=batch")["data"]) == 2
    assert len(call.ok("GET", "/files")["data"]) == 3


def test_items_below_belong_to_their_parent_and_go_with_it(call):
    one, other = (call.ok("POST", "/threads", json={})["id"] for _ in range(2))
    message = call.ok("POST", f"/threads/{one}/messages", json={"role": "user", "content": "hello"})
    assert message["thread_id"] == one
    assert message["content"][0]["text"]["value"] == "hello"
    assert call.ok("GET", f"/threads/{other}/messages")["data"] == []
    assert call("GET", f"/threads/{other}/messages/{message['id']}").status_code == 404
    assert call("POST", "/threads/none/messages", json={"role": "user", "content": "x"}).status_code == 404
    call.ok("DELETE", f"/threads/{one}")
    assert call("GET", f"/threads/{one}/messages/{message['id']}").status_code == 404
    assert call("GET", f"/threads/{one}/messages").status_code == 404


@pytest.mark.parametrize(
    ("path", "field", "child"), [("/threads", "messages", "messages"), ("/conversations", "items", "items")]
)
def test_items_that_a_new_parent_brings_along_are_kept_below_it(call, path, field, child):
    tag = {"type": "message"} if field == "items" else {}
    made = call.ok("POST", path, json={field: [{**tag, "role": "user", "content": "hello"}]})
    assert len(call.ok("GET", f"{path}/{made['id']}/{child}")["data"]) == 1


def pages(call: Caller, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Read every page in the way the entity's pagination says."""
    entity, _, _ = CATALOGUE.match("GET", path)
    rule = entity.actions["read"].response.pagination
    found: list[list[dict[str, Any]]] = []
    while True:
        answer = call.ok("GET", path, params=query)
        found.append(answer["data"])
        if not answer["has_more"]:
            return found
        query[rule.parameter] = answer[rule.cursor] if rule.cursor else answer["data"][-1][rule.item_field]


@pytest.mark.parametrize(
    ("path", "request_for", "style"),
    [
        ("/vector_stores", lambda number: {"name": f"n{number}"}, "cursor"),
        ("/assistants", lambda number: {"model": "gpt-5", "name": f"n{number}"}, "cursor"),
        ("/organization/groups", lambda number: {"name": f"n{number}"}, "next"),
    ],
)
def test_a_long_list_comes_in_pages(call, path, request_for, style):
    made = [call.ok("POST", path, json=request_for(number))["id"] for number in range(45)]
    entity, _, _ = CATALOGUE.match("GET", path)
    assert entity.actions["read"].response.pagination.style == style
    found = pages(call, path)
    assert [len(one) for one in found] == [20, 20, 5]
    assert [item["id"] for one in found for item in one] == made[::-1]
    assert [len(one) for one in pages(call, path, limit=30)] == [30, 15]


def test_reports_come_in_pages_by_time(call):
    found = pages(call, "/organization/usage/completions", start_time=1, limit=7)
    starts = [item["start_time"] for one in found for item in one]
    assert [len(one) for one in found] == [7, 7, 7, 7, 2]
    assert starts == sorted(set(starts))
    later = pages(call, "/organization/usage/completions", start_time=starts[20])
    assert [item["start_time"] for one in later for item in one] == starts[20:]


def test_a_list_can_be_turned_round_and_read_backwards(call):
    made = [call.ok("POST", "/vector_stores", json={"name": f"n{number}"})["id"] for number in range(5)]

    def ids(**query):
        return [one["id"] for one in call.ok("GET", "/vector_stores", params=query)["data"]]

    assert ids(order="asc") == made
    assert ids(order="desc", after=made[3]) == made[2::-1]
    assert ids(order="asc", before=made[3], limit=2) == made[1:3]


@pytest.mark.parametrize(
    "query", [{"after": "vs_none"}, {"limit": "many"}, {"limit": "0"}, {"order": "sideways"}]
)
def test_a_list_that_cannot_be_given_is_refused(call, query):
    call.ok("POST", "/vector_stores", json={"name": "x"})
    answer = call("GET", "/vector_stores", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(query)))


def test_the_list_of_models_is_fixed(call):
    names = [one["id"] for one in call.ok("GET", "/models")["data"]]
    assert len(names) >= 12
    assert call.ok("GET", f"/models/{names[0]}")["id"] == names[0]
    answer = call("GET", "/models/no-such-model")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_memory_is_bounded_and_the_oldest_items_go_first():
    with Caller(max_items=3) as call:
        made = [call.ok("POST", "/vector_stores", json={"name": "x"})["id"] for _ in range(5)]
        assert [one["id"] for one in call.ok("GET", "/vector_stores")["data"]] == made[:1:-1]
        assert call("GET", f"/vector_stores/{made[0]}").status_code == 404


def test_a_stored_response_is_read_again_and_an_unstored_one_is_not(call):
    kept = call.ok("POST", "/responses", json={"model": "gpt-5", "input": "hello", "temperature": 0.5})
    assert kept["output"][0]["content"][0]["text"] == "You said: hello"
    assert kept["temperature"] == 0.5
    assert call.ok("GET", f"/responses/{kept['id']}") == kept
    loose = call.ok("POST", "/responses", json={"model": "gpt-5", "input": "hello", "store": False})
    assert call("GET", f"/responses/{loose['id']}").status_code == 404


def test_stored_chats_are_listed_and_others_are_not(call):
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
    call.ok("POST", "/chat/completions", json=body)
    kept = call.ok("POST", "/chat/completions", json={**body, "store": True})
    assert [one["id"] for one in call.ok("GET", "/chat/completions")["data"]] == [kept["id"]]
