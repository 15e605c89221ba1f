"""The sandbox answers every operation of the catalogue as its schemas say, and remembers what was made."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from struct import unpack
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory.catalogue import Catalogue
from connectory.examples import minimal
from connectory.sandbox.app import create_app

CATALOGUE = Catalogue.load()
OPERATIONS = [(name, action) for name, entity in CATALOGUE.items() for action in entity.actions]

EXTRA = {
    "/chat/completions": {"store": True},
    "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions": {"project_ids": ["proj_1"]},
    "/conversations/{conversation_id}/items": {
        "items": [{"type": "message", "role": "user", "content": "hi"}]
    },
}
"""What a request must say besides, for an item to be kept."""


class Caller:
    """A client in this process, for one sandbox."""

    def __init__(self, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.app = create_app(CATALOGUE, **options)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://sandbox",
            headers={"authorization": "Bearer any"},
        )

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_error: object) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **options))

    def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = self(method, path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def call():
    with Caller() as caller:
        yield caller


@pytest.fixture(scope="module")
def shared():
    with Caller() as caller:
        yield caller


def request_of(action: Any) -> dict[str, Any]:
    """Make the smallest valid request for an action."""
    query = {
        name: minimal(one.schema, CATALOGUE.resolve) for name, one in action.query.items() if one.required
    }
    made: dict[str, Any] = {"params": {**query, **action.fixed_query}}
    if action.body is None:
        return made
    kind = next(iter(action.body.content))
    body = minimal(action.body.content[kind], CATALOGUE.resolve)
    if kind != "multipart/form-data":
        return {**made, "json": body}
    schema = CATALOGUE.resolve(action.body.content[kind])
    files = {
        name for name, one in schema.get("properties", {}).items() if "binary" in str(CATALOGUE.resolve(one))
    }
    parts: list[tuple[str, Any]] = []
    for name, value in body.items():
        if name in files:
            parts.append((name, ("a.txt", b"hello")))
        elif isinstance(value, dict):
            parts += [(f"{name}[{key}]", (None, str(part))) for key, part in value.items()]
        else:
            parts.append((name, (None, str(value))))
    return {**made, "files": parts}


def filled_path(call: Caller, entity: Any, upto: int | None = None) -> str:
    """Fill an entity's path, making or finding an item for each parameter."""
    segments = entity.path.strip("/").split("/")[:upto]
    for count, segment in enumerate(segments):
        if segment.startswith("{"):
            template = "/" + "/".join(entity.path.strip("/").split("/")[:count])
            segments[count] = an_item(call, template, "/" + "/".join(segments[:count]))
    return "/" + "/".join(segments)


def an_item(call: Caller, template: str, path: str) -> str:
    collections = [one for one in CATALOGUE.values() if one.path == template]
    create = next((one.actions["create"] for one in collections if "create" in one.actions), None)
    if create is not None and create.kind == "create":
        request = request_of(create)
        request.get("json", {}).update(EXTRA.get(template, {}))
        made = call.ok("POST", path, **request)
        made = made["data"][0] if isinstance(made.get("data"), list) else made
        parameter = next(
            (
                one.path_parameters[-1]
                for one in CATALOGUE.values()
                if one.path.rpartition("/")[0] == template
            ),
            "id",
        )
        return str(made.get("id") or request["json"][parameter])
    read = next((one.actions["read"] for one in collections if "read" in one.actions), None)
    return str(call.ok("GET", path, **request_of(read))["data"][0]["id"]) if read is not None else "some-name"


def violations(schema: Any, value: Any) -> list[str]:
    validator = Draft202012Validator(CATALOGUE.schema(schema), registry=Registry())
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]


@pytest.mark.parametrize(("name", "action_name"), OPERATIONS)
def test_every_operation_answers_what_its_schema_says(shared, name, action_name):
    entity = CATALOGUE[name]
    action = entity.actions[action_name]
    answer = shared(action.method, filled_path(shared, entity), **request_of(action))
    assert answer.status_code == 200, answer.text
    if action.response.kind == "json" and action.response.schema is not None:
        assert violations(action.response.schema, answer.json()) == []
    elif action.response.kind in {"binary", "text"}:
        assert answer.content


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
        assert deleted.json() | {"id": made["id"], "deleted": True} == deleted.json()
    gone = call("GET", path)
    assert gone.status_code == 404
    assert made["id"] in gone.json()["error"]["message"]
    assert call("DELETE", path).status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "command", "state"),
    [
        (
            "batches",
            {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"},
            "cancel",
            "cancelled",
        ),
        ("fine_tuning.jobs", {"model": "gpt-4o-mini", "training_file": "file-1"}, "cancel", "cancelled"),
        ("fine_tuning.jobs", {"model": "gpt-4o-mini", "training_file": "file-1"}, "pause", "paused"),
    ],
)
def test_a_command_changes_the_state_of_the_item(call, name, body, command, state):
    path = CATALOGUE[name].path
    made = call.ok("POST", path, json=body)
    assert made.items() >= {key: value for key, value in body.items() if key in made}.items()
    assert made["status"] != state
    assert call.ok("POST", f"{path}/{made['id']}/{command}")["status"] == state
    assert call.ok("GET", f"{path}/{made['id']}")["status"] == state


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
    made = call.ok("POST", path, json={field: [{"type": "message", "role": "user", "content": "hello"}]})
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
        (
            "/fine_tuning/jobs",
            lambda number: {"model": "gpt-4o-mini", "training_file": f"n{number}"},
            "cursor",
        ),
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
    found = pages(call, "/organization/usage/completions?start_time=1", limit=7)
    starts = [item["start_time"] for one in found for item in one]
    assert [len(one) for one in found] == [7, 7, 7, 7, 2]
    assert starts == sorted(set(starts))


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


@pytest.mark.parametrize(
    "prefix", ["", "/v1", "/openai", "/openai/v1", "/openai/deployments/my-model", "/api/v3"]
)
def test_routes_are_found_under_every_usual_prefix(call, prefix):
    assert call.ok("POST", f"{prefix}/moderations", json={"input": "x"})["results"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/threads/x/y/files", 404),
        ("GET", "/moderations", 405),
        ("PUT", "/files", 405),
    ],
)
def test_unknown_routes_and_methods_have_the_envelope(call, method, path, status):
    answer = call(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


BAD_BODIES = [
    ("/chat/completions", {"messages": []}, "model", "missing_required_parameter"),
    ("/chat/completions", {"model": "m", "messages": 1}, "messages", "invalid_type"),
    (
        "/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 3},
        "temperature",
        "invalid_value",
    ),
    ("/embeddings", {"model": "m", "input": "x", "extra": 1}, "extra", "unknown_parameter"),
    (
        "/embeddings",
        {"model": "m", "input": "x", "encoding_format": "gif"},
        "encoding_format",
        "invalid_value",
    ),
    (
        "/evals",
        {"data_source_config": {"type": "custom"}, "testing_criteria": []},
        "data_source_config.item_schema",
        "missing_required_parameter",
    ),
]


@pytest.mark.parametrize(("path", "body", "param", "code"), BAD_BODIES)
def test_a_wrong_body_is_refused_and_the_parameter_named(call, path, body, param, code):
    answer = call("POST", path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"
    assert param.rpartition(".")[2] in error["message"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{not json", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b'{"a": NaN}', "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"a=1", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 415),
        ({"content": b"[]", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"--", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 415),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(call, options, status):
    answer = call("POST", "/moderations", **options)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_required_query_parameter_is_demanded(call):
    answer = call("GET", "/organization/costs")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "start_time")


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({}, {"authorization": ""}, 401),
        ({}, {"authorization": "Bearer anything"}, 200),
        ({"allow_anonymous": True}, {"authorization": ""}, 200),
        ({"token": "right"}, {"authorization": "Bearer right"}, 200),
        ({"token": "right"}, {"authorization": "Bearer wrong"}, 401),
        ({"token": "right"}, {"authorization": "", "api-key": "right"}, 200),
        ({"token": "right", "allow_anonymous": True}, {"authorization": ""}, 401),
    ],
)
def test_the_token_is_checked(options, headers, status):
    with Caller(**options) as call:
        answer = call("GET", "/models", headers=headers)
    assert answer.status_code == status
    if status == 401:
        error = answer.json()["error"]
        assert (error["type"], error["code"], error["param"]) == (
            "invalid_request_error",
            "invalid_api_key",
            None,
        )


def test_every_answer_has_the_headers_of_the_api(call):
    answers = [
        call("GET", path, headers={"openai-organization": "org-1"})
        for path in ("/models", "/models", "/nothing")
    ]
    assert len({one.headers["x-request-id"] for one in answers}) == 3
    for answer in answers:
        assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
        assert answer.headers["openai-organization"] == "org-1"
        assert answer.headers["openai-processing-ms"].isdigit()
        limits = {
            f"x-ratelimit-{what}-{unit}"
            for what in ("limit", "remaining", "reset")
            for unit in ("requests", "tokens")
        }
        assert limits <= answer.headers.keys()


@pytest.mark.parametrize(
    ("order", "status", "code", "kind"),
    [
        ("500", 500, None, "server_error"),
        ("429", 429, "rate_limit_exceeded", "rate_limit_exceeded"),
        ("429:insufficient_quota", 429, "insufficient_quota", "insufficient_quota"),
        ("401", 401, "invalid_api_key", "invalid_request_error"),
        ("200", 400, None, "invalid_request_error"),
    ],
)
def test_an_error_can_be_ordered(call, order, status, code, kind):
    answer = call("GET", "/models", headers={"x-sandbox-fault": order})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, code, kind)
    assert ("retry-after" in answer.headers) == (order == "429")


COMPUTED = [
    ("/moderations", {"input": ["hello", "I will kill you"]}),
    ("/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}),
    ("/chat/completions", {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}], "n": 2}),
    ("/completions", {"model": "gpt-5", "prompt": ["a", "b"], "n": 2}),
    ("/responses", {"model": "gpt-5", "input": "hello", "store": False}),
    ("/images/generations", {"prompt": "a cat", "n": 2}),
    ("/audio/speech", {"model": "tts-1", "input": "hello", "voice": "alloy", "response_format": "wav"}),
]


@pytest.mark.parametrize(("path", "body"), COMPUTED)
def test_what_is_computed_is_the_same_for_the_same_request_and_not_kept(call, path, body):
    first, again = (call("POST", path, json=body) for _ in range(2))
    assert first.status_code == 200
    assert first.content == again.content
    entity, action, _ = CATALOGUE.match("POST", path)
    if entity.actions[action].response.kind == "json":
        assert violations(entity.actions[action].response.schema, first.json()) == []
    assert call.app.routes[0].app.answerer.store.collections == {}


def test_moderation_flags_by_words_one_result_an_input(call):
    results = call.ok("POST", "/moderations", json=COMPUTED[0][1])["results"]
    assert [one["flagged"] for one in results] == [False, True]
    assert results[1]["categories"]["violence"]
    assert results[1]["category_scores"]["violence"] > 0.5


def test_embeddings_are_unit_vectors_in_both_encodings(call):
    body = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    plain = [one["embedding"] for one in call.ok("POST", "/embeddings", json=body)["data"]]
    packed = [
        one["embedding"]
        for one in call.ok("POST", "/embeddings", json={**body, "encoding_format": "base64"})["data"]
    ]
    assert [list(unpack("<8f", b64decode(one))) for one in packed] == plain
    assert [sum(value * value for value in one) for one in plain] == pytest.approx([1.0, 1.0])
    assert plain[0] != plain[1]
    assert (
        len(
            call.ok("POST", "/embeddings", json={"model": "text-embedding-3-large", "input": [1, 2]})["data"][
                0
            ]["embedding"]
        )
        == 3072
    )


def test_a_wanted_json_schema_shapes_the_answer(call):
    schema = {
        "type": "object",
        "properties": {"age": {"$ref": "#/$defs/age"}},
        "required": ["age"],
        "$defs": {"age": {"type": "integer", "minimum": 18}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "who"}], "response_format": form}
    assert json.loads(
        call.ok("POST", "/chat/completions", json=body)["choices"][0]["message"]["content"]
    ) == {"age": 18}


def test_a_tool_that_must_be_called_is_called(call):
    function = {
        "name": "look",
        "parameters": {"type": "object", "properties": {"at": {"enum": ["sky"]}}, "required": ["at"]},
    }
    body = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
    }
    choice = call.ok("POST", "/chat/completions", json=body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at":"sky"}'}


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


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("text", "This is"),
        ("srt", "1\n00:00"),
        ("vtt", "WEBVTT"),
        ("json", '{"text"'),
        ("verbose_json", '{"task"'),
    ],
)
def test_a_transcript_comes_in_the_wanted_form(call, form, start):
    parts = [("file", ("a.wav", b"RIFF")), ("model", (None, "whisper-1")), ("response_format", (None, form))]
    answer = call("POST", "/audio/transcriptions", files=parts)
    assert answer.status_code == 200
    assert answer.text.startswith(start)
    assert "a.wav" in answer.text


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        (
            "/audio/speech",
            {"model": "gpt-4o-mini-tts", "input": "x", "voice": "alloy", "stream_format": "sse"},
            "speech.audio.done",
        ),
        ("/images/generations", {"prompt": "x", "stream": True}, "[DONE]"),
        ("/completions", {"model": "gpt-5", "prompt": "a b", "stream": True}, "[DONE]"),
    ],
)
def test_a_wanted_stream_comes_as_events(call, path, body, last):
    answer = call("POST", path, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert last in answer.text.strip().split("\n\n")[-1]
