from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from connectory.catalogue import Catalogue, Parameter
from connectory.catalogue.entity import build_entity
from connectory.errors import ConfigError, RequestError
from connectory.schemas.examples import full, minimal
from connectory.schemas.validation import RequestChecker, Validator, query_errors
from connectory.schemas.validation.validator import import_module
from connectory.schemas.validation.wording import nearest

JSON = "application/json"
CASES = json.loads((Path(__file__).parent / "cases" / "validation.json").read_text())
CATALOGUE = Catalogue.load()
BODIES = {
    f"{name} {media}": schema
    for name, entity in CATALOGUE.items()
    for action in entity.actions.values()
    if action.body
    for media, schema in action.body.content.items()
}
VALIDATORS: dict[tuple[str, bool], Validator] = {}


def has_fast_library() -> bool:
    try:
        import_module("jsonschema_rs")
    except ImportError:
        return False
    return True


needs_fast_library = pytest.mark.skipif(
    not has_fast_library(), reason="jsonschema-rs is not installed (extra `fast`): the two are NOT compared"
)


def validator(body: str, *, fast: bool = False) -> Validator:
    if (body, fast) not in VALIDATORS:
        VALIDATORS[body, fast] = Validator(CATALOGUE.schema(BODIES[body]), fast=fast)
    return VALIDATORS[body, fast]


def strange(judge: Validator, value, *, names: bool = True):
    """Names that the schema does not have, or texts outside its open lists: where, what, and the nearest known."""
    found = (one for one in judge.notices(value) if one.is_name is names)
    return [(one.path, one.name, nearest(one.name, one.known)) for one in found]


def case_id(case):
    return f"{CASES.index(case)} {case['entity']}"


# -- the table


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_payload_is_judged_and_explained(case):
    judge = validator(f"{case['entity']} {JSON}")
    assert judge.errors(case["payload"]) == case["errors"]
    assert judge.accepts(case["payload"]) == (not case["errors"])


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_names_that_the_schema_does_not_have_are_found(case):
    found = strange(validator(f"{case['entity']} {JSON}"), case["payload"])
    assert [[list(path), name, near] for path, name, near in found] == case.get("unknown", [])


@needs_fast_library
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_with_the_fast_library_the_messages_are_the_same(case):
    judge = validator(f"{case['entity']} {JSON}", fast=True)
    assert judge._fast is not None
    assert judge.errors(case["payload"]) == case["errors"]
    assert judge.accepts(case["payload"]) == (not case["errors"])


# -- every body of the catalogue


@pytest.mark.parametrize("body", BODIES)
def test_every_body_accepts_its_own_examples_and_knows_their_names(body):
    for value in examples(body):
        assert validator(body).errors(value) == []
        assert strange(validator(body), value) == []


@needs_fast_library
@pytest.mark.parametrize("body", BODIES)
def test_both_libraries_agree_about_every_body_and_about_damaged_ones(body):
    slow, fast = validator(body), validator(body, fast=True)
    assert fast._fast is not None, "the schema does not compile in jsonschema-rs"
    for value in examples(body):
        for one in [value, *damaged(value)]:
            assert fast.accepts(one) == slow.accepts(one), one
            assert fast.errors(one) == slow.errors(one), one


@pytest.mark.parametrize("body", BODIES)
def test_every_damage_is_explained_at_a_place_and_never_by_a_whole_value(body):
    for value in examples(body):
        for one in damaged(value):
            errors = validator(body).errors(one)
            assert len(errors) <= 5
            assert len(set(errors)) == len(errors)
            for error in errors:
                assert error.startswith("payload")
                assert "is not valid under any" not in error
                assert len(error) < 500


def examples(body):
    return minimal(BODIES[body], CATALOGUE.resolve), full(BODIES[body], CATALOGUE.resolve, seed=body)


def damaged(value):
    """The value with one thing taken away, or one thing of another type, at each of its first places."""
    if not isinstance(value, dict):
        return [None, 5, {}]
    made = []
    for name, own in list(value.items())[:12]:
        made.append({key: one for key, one in value.items() if key != name})
        made += [{**value, name: other} for other in (17.5, "other", ["a", 1], {"type": "other"}, True)]
        if isinstance(own, list) and own and isinstance(own[0], dict):
            made += [{**value, name: [one]} for one in damaged(own[0])]
        elif isinstance(own, dict):
            made += [{**value, name: one} for one in damaged(own)]
    return made


def test_every_definition_is_json_schema():
    definitions = next(one for one in CATALOGUE._sources if one.entities).definitions()
    assert len(definitions) > 900
    Draft202012Validator.check_schema({"$defs": dict(definitions)})


def test_schemas_carry_no_prose_and_no_defaults():
    def keywords(schema):
        if isinstance(schema, dict):
            for key, value in schema.items():
                yield key
                inside = value.values() if key in {"properties", "$defs"} else [value]
                for one in inside:
                    yield from keywords(one)
        elif isinstance(schema, list):
            for one in schema:
                yield from keywords(one)

    found = set(keywords({"$defs": dict(CATALOGUE._sources[0].definitions())}))
    assert not found & {"description", "title", "default", "example", "examples", "nullable", "oneOf"}
    assert not {key for key in found if key.startswith("x-")}


# -- messages


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        ({"type": "integer"}, 1.5, ["payload: a number (1.5), must be a whole number"]),
        ({"type": "integer"}, True, ["payload: a boolean (true), must be a whole number"]),
        ({"type": ["string", "null"]}, {}, ["payload: an object, must be a text or null"]),
        ({"const": "a"}, "b", ["payload: 'b' is not allowed; must be a"]),
        ({"enum": ["a", None]}, [1], ["payload: a list is not allowed; one of a, null"]),
        ({"minLength": 3}, "ab", ["payload: a text of 2 characters; must have at least 3"]),
        ({"maxProperties": 0}, {"a": 1}, ["payload: an object of 1 properties; must have at most 0"]),
        ({"pattern": "^a"}, "b", ["payload: the text does not match '^a'"]),
        ({"uniqueItems": True}, [1, 1], ["payload: has equal items"]),
        ({"multipleOf": 2}, 3, ["payload: 3 is not allowed; must be a multiple of 2"]),
        ({"not": {"type": "string"}}, "a", ["payload: is not allowed in this form"]),
        (False, 1, ["payload: must not be there"]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ["payload: 'b' is missing, which 'a' needs"]),
        (
            {"properties": {"colour": {}}, "additionalProperties": False},
            {"color": 1},
            ["payload: 'color' is not known; did you mean 'colour'?"],
        ),
        (
            {"properties": {"a": {}}, "required": ["model", "a"]},
            {"modle": 1},
            ["payload: 'model' is missing; there is 'modle'", "payload: 'a' is missing"],
        ),
        (
            {"properties": {"a b": {"items": {"type": "string"}}}},
            {"a b": ["x", 1]},
            ["payload['a b'][1]: a number (1), must be a text"],
        ),
        # unions: by JSON type, by tag, by what is nearest
        (
            {"anyOf": [{"type": "string"}, {"type": "array"}]},
            1,
            ["payload: a number (1), must be a text or a list"],
        ),
        (
            {"anyOf": [{"enum": ["auto"]}, {"const": "none"}, {"type": "object"}]},
            "all",
            ["payload: 'all' is not allowed; one of auto, none, or an object"],
        ),
        (
            {
                "oneOf": [
                    {"properties": {"t": {"const": "a"}}, "required": ["t"]},
                    {"properties": {"t": {"const": "b"}, "x": {"type": "string"}}, "required": ["t", "x"]},
                ]
            },
            {"t": "b", "x": 1},
            ["payload.x: a number (1), must be a text"],
        ),
        (
            {
                "anyOf": [
                    {"properties": {"t": {"const": "a"}}, "required": ["t"]},
                    {"properties": {"t": {"const": "b"}}, "required": ["t"]},
                ]
            },
            {"t": "c"},
            ["payload.t: 'c' is not allowed; one of a, b"],
        ),
        ({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, 5, ["payload: is not allowed in this form"]),
    ],
)
@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=needs_fast_library)])
def test_a_message_says_what_is_there_and_what_is_allowed(schema, value, errors, fast):
    schema = schema if isinstance(schema, dict) else {"allOf": [schema]}
    assert Validator(schema, fast=fast).errors(value) == errors


def test_a_long_choice_shows_the_nearest_words_first():
    words = [f"word_{letter}" for letter in "abcdefghijklmnop"]
    (error,) = Validator({"enum": words}).errors("word-k")
    assert re.search(r"one of word_\w, .*, … \(16 in all\)$", error)
    assert "word_k" in error


def test_text_of_a_user_is_shown_neither_as_a_value_nor_as_a_name():
    text = "my private thoughts, which are long enough to tell " * 3
    schema = {"properties": {"a": {"enum": ["x"]}, "b": {"type": "number"}, "c": {"maxLength": 3}}}
    schema["additionalProperties"] = False
    errors = Validator(schema).errors({"a": text, "b": text, "c": text, text: 1})
    assert len(errors) == 4
    assert not [error for error in errors if "long enough" in error]


def test_at_most_five_errors_are_told():
    assert len(Validator({"items": {"type": "string"}}).errors(list(range(50)))) == 5


def test_a_value_that_is_nested_too_deeply_is_an_error_and_no_crash():
    schema = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    value: list = []
    for _ in range(5000):
        value = [value]
    assert Validator(schema, fast=False).errors(value) == ["payload: nested too deeply"]


def test_a_pattern_that_cannot_be_used_is_a_mistake_of_the_catalogue():
    with pytest.raises(ConfigError, match="unusable pattern"):
        Validator({"pattern": "("}).errors("x")


def test_nothing_is_fetched_for_a_schema_that_refers_elsewhere():
    for fast in (True, False):
        judge = Validator({"$ref": "https://example.invalid/schema.json"}, fast=fast)
        with pytest.raises(ConfigError, match="leads elsewhere, and nothing is fetched"):
            judge.errors({})


# -- names and words that pass and look like mistakes


@pytest.mark.parametrize(
    ("schema", "value", "unknown"),
    [
        ({"properties": {"a": {}}}, {"b": 1}, [((), "b", None)]),
        ({"type": "object"}, {"b": 1}, []),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"b": 1}, []),
        (
            {"properties": {"a": {}}, "additionalProperties": {"properties": {"temperature": {}}}},
            {"x": {"temprature": 1}},
            [(("x",), "temprature", "temperature")],
        ),
        ({"patternProperties": {"^x": {"properties": {"a": {}}}}}, {"x1": {"b": 1}}, [(("x1",), "b", None)]),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": 1, "b": 1}, []),
        ({"allOf": [{"properties": {"a": {}}}, {"type": "object"}]}, {"c": 1}, [((), "c", None)]),
        ({"anyOf": [{"properties": {"a": {}}}, {"type": "object"}]}, {"c": 1}, []),
        (
            {"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}]},
            {"a": 1, "c": 1},
            [((), "c", None)],
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"properties": {"a": {}}}}]},
            [{"a": 1}, {"b": 1}],
            [((1,), "b", None)],
        ),
        ({"prefixItems": [{"properties": {"a": {}}}]}, [{"b": 1}, {"b": 1}], [((0,), "b", None)]),
        (
            {
                "if": {"minProperties": 2},
                "then": {"properties": {"a": {}, "b": {}}},
                "else": {"properties": {"c": {}}},
            },
            {"a": 1, "c": 1},
            [((), "c", None)],
        ),
    ],
)
def test_a_name_is_unknown_where_names_are_listed_and_no_other_is_invited(schema, value, unknown):
    assert strange(Validator(schema), value) == unknown


def test_a_text_outside_an_open_list_is_found_with_the_nearest_one():
    judge = validator(f"embeddings {JSON}")
    assert strange(judge, {"model": "text-embeding-3-small", "input": "x"}, names=False) == [
        (("model",), "text-embeding-3-small", "text-embedding-3-small")
    ]
    assert strange(judge, {"model": "text-embedding-3-small", "input": "any text"}, names=False) == []


# -- requests


def checker():
    warnings: list[str] = []
    return RequestChecker(CATALOGUE.schema, warnings.append), warnings


def check(entity, action, *, query=None, payload=None, mode="error", using=None):
    judge, warnings = using or checker()
    chosen = CATALOGUE[entity].actions[action]
    judge.check(chosen, query or {}, payload, what=f"{chosen.method} {CATALOGUE[entity].path}", mode=mode)
    return warnings


def test_an_invalid_payload_is_a_request_error_that_says_everything():
    expected = "POST /embeddings: payload.input: a number (5), must be a text or a list | payload: 'model' is missing"
    with pytest.raises(RequestError) as caught:
        check("embeddings", "create", payload={"input": 5})
    assert sorted(str(caught.value).split(": ", 1)[1].split(" | ")) == sorted(
        expected.split(": ", 1)[1].split(" | ")
    )


def test_in_mode_warn_the_same_is_a_warning_and_in_mode_off_nothing():
    payload = {"input": "x"}
    assert check("embeddings", "create", payload=payload, mode="warn") == [
        "POST /embeddings: payload: 'model' is missing"
    ]
    assert check("embeddings", "create", payload=payload, mode="off") == []


def test_a_warning_is_given_once_however_many_records_bring_it():
    using = checker()
    payload = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "x", "nam": "y"}] * 2,
        "temprature": 1,
    }
    for _ in range(3):
        warnings = check("chat.completions", "create", payload=payload, using=using)
    assert warnings == [
        "POST /chat/completions: payload.messages[0]: unknown field 'nam'; did you mean 'name'?",
        "POST /chat/completions: payload: unknown field 'temprature'; did you mean 'temperature'?",
    ]


def test_after_a_thousand_payloads_one_in_64_is_looked_through():
    using = checker()
    right = {"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}
    for _ in range(1000):
        assert check("chat.completions", "create", payload=right, using=using) == []
    wrong = {**right, "temprature": 1}
    for _ in range(64):
        warnings = check("chat.completions", "create", payload=wrong, using=using)
    assert warnings == [
        "POST /chat/completions: payload: unknown field 'temprature'; did you mean 'temperature'?"
    ]


def test_a_model_that_is_not_listed_is_a_warning():
    (warning,) = check("embeddings", "create", payload={"model": "my-own-model", "input": "x"})
    assert warning.startswith("POST /embeddings: payload.model: 'my-own-model' is not in the API's list")


def test_an_absent_payload_and_one_that_is_not_taken_are_left_to_the_client():
    assert check("embeddings", "create") == []
    assert check("file", "delete", payload={"a": 1}) == []


@pytest.mark.parametrize(
    ("entity", "payload", "error"),
    [
        ("files", {"file": {"path": "a.jsonl"}, "purpose": "batch"}, None),
        ("files", {"file": {"content": "x", "filename": "a.txt"}, "purpose": "batch"}, None),
        ("files", {"file": "text", "purpose": "batch"}, None),
        ("files", {"file": b"bytes", "purpose": "batch"}, None),
        (
            "files",
            {"file": {"base64": "eA=="}, "purpose": "bach"},
            "payload.purpose: 'bach' is not allowed; one of",
        ),
        ("files", {"purpose": "batch"}, "payload: 'file' is missing"),
        ("audio.transcriptions", {"file": "x", "model": "whisper-1", "temperature": "0.2"}, None),
        (
            "audio.transcriptions",
            {"file": "x", "model": "whisper-1", "timestamp_granularities[]": ["word"]},
            None,
        ),
        (
            "audio.transcriptions",
            {"file": "x", "model": "whisper-1", "temperature": "hot"},
            "a text, must be a number",
        ),
        ("images.edits", {"image": [{"path": "a.png"}, {"path": "b.png"}], "prompt": "x", "n": "2"}, None),
        ("images.edits", {"images": [{"file_id": "file-1"}], "prompt": "x"}, None),
        (
            "images.edits",
            {"images": [{"file_id": 1}], "prompt": "x"},
            "payload.images[0].file_id: a number (1)",
        ),
        ("videos", {"prompt": "x", "input_reference": {"path": "a.png"}}, None),
        ("realtime.calls", "v=0 sdp", None),
    ],
)
def test_a_form_is_checked_around_its_files(entity, payload, error):
    if error is None:
        assert check(entity, "create", payload=payload) == []
    else:
        with pytest.raises(RequestError, match=re.escape(error)):
            check(entity, "create", payload=payload)


@pytest.mark.parametrize(
    ("entity", "query", "errors"),
    [
        ("files", {"limit": "10", "order": "asc"}, []),
        ("files", {"limit": 10, "after": None}, []),
        ("files", {"limit": "ten"}, ["query.limit: a text, must be a whole number"]),
        ("files", {"order": "up"}, ["query.order: 'up' is not allowed; one of asc, desc"]),
        ("organization.costs", {}, ["query: 'start_time' is missing"]),
        ("organization.costs", {"start_time": "1", "project_ids": "a", "group_by[]": ["project_id"]}, []),
        ("organization.audit_logs", {"effective_at[gt]": "3", "event_types": ["api_key.created"]}, []),
        (
            "organization.audit_logs",
            {"effective_at": {"gt": "x"}},
            ["query.effective_at.gt: a text, must be a whole number"],
        ),
        ("chat.completions", {"metadata[key]": "5", "metadata[other]": "x"}, []),
    ],
)
def test_a_query_is_checked_with_texts_read_as_numbers(entity, query, errors):
    action = CATALOGUE[entity].actions["read"]
    assert query_errors(action.query, query, lambda one: Validator(CATALOGUE.schema(one))) == errors


def test_a_single_bad_word_for_a_list_is_named_and_not_the_list():
    (error,) = query_errors(
        {"kinds": Parameter("kinds", {"type": "array", "items": {"enum": ["a"]}})}, {"kinds": "b"}
    )
    assert error == "query.kinds[0]: 'b' is not allowed; must be a"


def test_an_unknown_query_parameter_is_a_warning_with_the_nearest_name():
    assert check("files", "read", query={"limitt": 5, "order": "asc"}) == [
        "GET /files: unknown query parameter 'limitt'; did you mean 'limit'?"
    ]
    fixed = build_entity("x", {"path": "/x", "actions": {"read": {"fixed_query": {"beta": "true"}}}})
    judge, warnings = checker()
    judge.check(fixed.actions["read"], {"beta": "true"}, None, what="GET /x")
    assert warnings == []


def test_a_payload_is_not_changed_by_checking_it():
    payload = {"file": {"path": "a"}, "model": "whisper-1", "temperature": "0.5"}
    before = copy.deepcopy(payload)
    check("audio.transcriptions", "create", payload=payload)
    assert payload == before


# -- what the API's own document shows


def curl_bodies():
    path = os.environ.get("CONNECTORY_SPEC")
    if not path:
        pytest.skip("CONNECTORY_SPEC is not set: the document's examples are NOT checked")
    for template, item in json.loads(Path(path).read_text())["paths"].items():
        for text in curls(item.get("post", {}).get("x-oaiMeta", {}).get("examples", {})):
            start = re.search(r"(?:-d|--data(?:-raw|-binary)?)\s+.?\s*(?=[{\[])", text)
            try:
                body = json.JSONDecoder().raw_decode(text, start.end())[0] if start else None
            except json.JSONDecodeError:
                continue  # some examples are no JSON
            if body is not None:
                yield template, body


def curls(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "curl" and isinstance(value, str) else curls(value)
    elif isinstance(node, list):
        for one in node:
            yield from curls(one)


def test_what_the_document_shows_is_accepted():
    refused, count = {}, 0
    for template, body in curl_bodies():
        entity, action, _ = CATALOGUE.match("POST", template)
        count += 1
        name = f"{entity.name} {JSON}"
        assert entity.actions[action].body.content.keys() & {JSON}
        if errors := validator(name).errors(body):
            refused[template] = errors
    assert count >= 120
    # the one example that is older than the parameter it shows
    assert refused == {"/chatkit/sessions": ["payload.expires_after: a number (1800), must be an object"]}
