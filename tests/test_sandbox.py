"""The sandbox answers every operation of the catalogue as its schemas say, and refuses what is wrong."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from struct import unpack

import pytest
from sandbox_caller import CATALOGUE, JSON, OPERATIONS, Caller, filled_path, fitted, request_of, violations

from connectory.schemas.examples import full


@pytest.fixture
def call():
    with Caller() as caller:
        yield caller


@pytest.fixture(scope="module")
def shared():
    with Caller() as caller:
        yield caller


@pytest.mark.parametrize(("name", "action_name"), OPERATIONS)
def test_every_operation_answers_what_its_schema_says(shared, name, action_name):
    entity = CATALOGUE[name]
    action = entity.actions[action_name]
    path = filled_path(shared, entity)
    answer = shared(action.method, path, **fitted(shared, path, request_of(action)))
    assert answer.status_code == 200, answer.text
    if action.response.kind == "json" and action.response.schema is not None:
        assert violations(action.response.schema, answer.json()) == []
    elif action.response.kind in {"binary", "text"}:
        assert answer.content


WITH_BODIES = [
    (name, one)
    for name, one in OPERATIONS
    if JSON in getattr(CATALOGUE[name].actions[one].body, "content", {})
]


@pytest.mark.parametrize(("name", "action_name"), WITH_BODIES)
def test_a_request_that_says_everything_is_answered_too(shared, name, action_name):
    entity = CATALOGUE[name]
    action = entity.actions[action_name]
    body = full(action.body.content[JSON], CATALOGUE.resolve, seed="x")
    path = filled_path(shared, entity)
    request = fitted(shared, path, {"params": request_of(action)["params"], "json": body})
    answer = shared(action.method, path, **request)
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == JSON and answer.content:
        assert violations(action.response.schema, answer.json()) == []


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
