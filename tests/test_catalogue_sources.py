"""What the built-in catalogue takes from its three sources, and what it says for the work with it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

import connectory_schemas
from connectory import AsyncConnector
from connectory.catalogue import Catalogue
from connectory.expressions import compile_expression
from connectory.sandbox.app import create_app
from connectory.schemas.examples import full, minimal

SEEDS = json.loads((Path(__file__).parent / "cases" / "seed_names.json").read_text())
CATALOGUE = Catalogue.load()
ACTIONS = [(name, action) for name, entity in CATALOGUE.items() for action in entity.actions.values()]
BODIES = [
    pytest.param(schema, id=f"{name} {action.name} {kind}")
    for name, action in ACTIONS
    if action.body
    for kind, schema in action.body.content.items()
]


def origin(action):
    return action.extra.get("origin", "document")


def test_every_source_gives_its_operations():
    assert Counter(origin(action) for _, action in ACTIONS) == {"document": 288, "sdk": 101, "retired": 8}
    assert len(CATALOGUE) == len({entity.path + str(_fixed(entity)) for entity in CATALOGUE.values()})


def _fixed(entity):
    return next(iter(entity.actions.values())).fixed_query


def test_beta_headers_are_sent_for_agents_and_vaults():
    sent = Counter(
        value for _, action in ACTIONS for name, value in action.headers.items() if name == "OpenAI-Beta"
    )
    assert sent == {"agents=v1": 57, "assistants=v2": 41, "chatkit_beta=v1": 6}


def test_retired_operations_name_what_replaces_them():
    gone = {name: one.replacement for name, one in CATALOGUE.items() if one.retired}
    assert gone == {
        "edits": "chat.completions",
        "engine": "model",
        "engines": "models",
        "fine-tune": "fine_tuning.job",
        "fine-tune.cancel": "fine_tuning.job.cancel",
        "fine-tune.events": "fine_tuning.job.events",
        "fine-tunes": "fine_tuning.jobs",
        "images.variations": "images.edits",
    }
    assert all(name in CATALOGUE for name in gone.values())
    assert all(one.replacement in CATALOGUE for one in CATALOGUE.values() if one.replacement)
    assert CATALOGUE["fine-tune"].parent == "fine-tunes"


def test_what_the_api_gives_up_is_deprecated():
    given_up = [name for name, action in ACTIONS if action.deprecated]
    assert len(given_up) == 35
    assert CATALOGUE["threads"].deprecated
    assert CATALOGUE["threads"].replacement == "responses"
    assert not CATALOGUE["file.content"].deprecated


@pytest.mark.parametrize("name", SEEDS)
def test_every_name_of_the_products_before_is_found(name):
    entity, action, _ = SEEDS[name]
    assert CATALOGUE.find(name, action).name == entity
    assert CATALOGUE.find(entity, action).name == entity


def test_all_five_products_are_there():
    assert Counter(vendor for _, _, vendors in SEEDS.values() for vendor in vendors) == {
        "Alumio": 3,
        "Tray.io": 8,
        "DronaHQ": 24,
        "Microsoft Power Platform": 16,
        "Nexla": 3,
    }


def test_an_operation_of_the_official_client_is_found_by_how_a_program_calls_it():
    assert CATALOGUE.find("beta.agents.sessions.turns.items.list", "read").name == "agents.session.turn.items"
    assert CATALOGUE.find("webhooks.rotate_secret", "create").name == "webhook_endpoint.rotate_secret"


def test_an_action_may_come_from_another_source_than_its_entity():
    actions = CATALOGUE["organization.project.api_key"].actions
    assert {name: origin(one) for name, one in actions.items()} == {
        "read": "document",
        "create": "sdk",
        "delete": "document",
    }
    assert actions["create"].kind == "update"


def test_the_fifth_way_of_paging_is_a_page_named_by_the_answer():
    paging = CATALOGUE["agents.environment.files"].actions["read"].response.pagination
    assert (paging.style, paging.parameter, paging.cursor, paging.more) == (
        "page",
        "page",
        "next",
        "has_more",
    )
    assert paging.page_size == 100


def test_the_largest_page_is_known_where_the_api_says_it():
    sizes = {
        name: action.response.pagination.page_size
        for name, action in ACTIONS
        if action.response.pagination and action.response.pagination.page_size
    }
    assert len(sizes) == 59
    assert Counter(sizes.values()) == {100: 49, 1000: 8, 180: 1, 10_000: 1}
    assert sizes["files"] == 10_000
    assert "organization.usage.completions" not in sizes  # it depends on another parameter
    for name in sizes:
        assert "limit" in CATALOGUE[name].actions["read"].query


@pytest.mark.parametrize("schema", BODIES)
def test_every_payload_has_a_schema_that_works_and_a_smallest_value(schema):
    whole = CATALOGUE.schema(schema)
    value = minimal(schema, CATALOGUE.resolve)
    assert list(Draft202012Validator(whole).iter_errors(value)) == []


def test_every_definition_is_valid_json_schema():
    definitions = {name: CATALOGUE.resolve({"$ref": f"#/$defs/{name}"}) for name in _definitions()}
    assert len(definitions) > 1000
    Draft202012Validator.check_schema({"$defs": definitions})


def _definitions():
    folder = Path(next(iter(connectory_schemas.__path__)))
    return json.loads((folder / "catalogue" / "openai.schemas.json").read_text())["$defs"]


# What the work needs to know


DERIVED = {
    "chat.completions": {"text": "hi", "first_content": "hi"},
    "completions": {"text": "hi", "first_completion": "hi"},
    "responses": {"text": "hi there"},
    "beta.responses": {"text": "hi there"},
    "moderations": {"flagged": True},
    "audio.transcriptions": {"text": "hi"},
    "audio.translations": {"text": "hi"},
    "edits": {"text": "hi"},
}
MESSAGE = {
    "type": "message",
    "content": [{"type": "output_text", "text": "hi"}, {"type": "refusal", "refusal": "no"}],
}
ANSWERS = {
    "chat.completions": {"choices": [{"message": {"content": "hi"}}]},
    "completions": {"choices": [{"text": "hi"}]},
    "responses": {
        "output": [
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            MESSAGE,
            {"type": "message", "content": [{"type": "output_text", "text": " there"}]},
        ]
    },
    "moderations": {"results": [{"flagged": False}, {"flagged": True}]},
    "audio.transcriptions": {"text": "hi"},
    "edits": {"choices": [{"text": "hi"}]},
}
SAME = {"beta.responses": "responses", "audio.translations": "audio.transcriptions"}


def test_derived_outputs_are_what_people_want_of_an_answer():
    said = {name: action.extra["derived"] for name, action in ACTIONS if "derived" in action.extra}
    assert said.keys() == DERIVED.keys()
    for name, expressions in said.items():
        answer = ANSWERS[SAME.get(name, name)]
        assert {key: compile_expression(one)(answer, {}) for key, one in expressions.items()} == DERIVED[name]


def test_derived_outputs_work_on_what_the_schemas_promise():
    for name, action in ACTIONS:
        for text in action.extra.get("derived", {}).values():
            answer = full(action.response.schema, CATALOGUE.resolve, seed=name)
            assert compile_expression(text)(answer, {}) is not None, (name, text)


def test_packing_names_a_property_of_the_payload():
    packs = {name: action.extra["pack"] for name, action in ACTIONS if "pack" in action.extra}
    assert packs == {
        "embeddings": {
            "property": "input",
            "form": "list",
            "results": "data",
            "most": 2048,
            "tokens": 300_000,
        },
        "files": {
            "property": "file",
            "form": "jsonl",
            "bytes": 512_000_000,
            "by": {
                "property": "purpose",
                "values": {"batch": {"most": 50_000, "bytes": 200_000_000}, "evals": {}, "fine-tune": {}},
            },
        },
        "moderations": {"property": "input", "form": "list", "results": "results"},
    }
    for name, pack in packs.items():
        body = next(iter(CATALOGUE[name].actions["create"].body.content.values()))
        assert pack["property"] in CATALOGUE.resolve(body)["properties"]
    embeddings = CATALOGUE.resolve({"$ref": "#/$defs/CreateEmbeddingRequest"})
    lists = [one for one in embeddings["properties"]["input"]["anyOf"] if one["type"] == "array"]
    assert {one["maxItems"] for one in lists} == {packs["embeddings"]["most"]}


STATES = [(name, action) for name, action in ACTIONS if "states" in action.extra]


def statuses(schema):
    """Give the values that a status may have, or nothing when any will do."""
    known = CATALOGUE.resolve(schema)
    parts = [CATALOGUE.resolve(one) for one in known.get("allOf", [])]
    found = next(one for one in (known, *parts) if "status" in one.get("properties", {}))
    return CATALOGUE.resolve(found["properties"]["status"]).get("enum")


@pytest.mark.parametrize(("name", "action"), STATES, ids=[f"{name} {one.name}" for name, one in STATES])
def test_states_are_those_of_the_schema(name, action):
    states = action.extra["states"]
    ends = [*states["done"], *states["failed"], *states.get("waiting", [])]
    assert len(ends) == len(set(ends))
    known = statuses(action.response.schema)
    assert known is None or set(ends) <= set(known)
    going_on = set(known or ["queued"]) - set(ends)
    assert going_on <= {
        "queued", "in_progress", "running", "validating", "validating_files", "finalizing", "cancelling",
    }  # fmt: skip


def test_jobs_say_when_they_are_done_and_what_to_ask():
    asked = {name: one.extra["states"].get("entity") for name, one in STATES if one.name == "create"}
    assert asked == {
        "agents.automation.invocations": "agents.automation.invocation",
        "batches": "batch",
        "beta.responses": "beta.response",
        "eval.runs": "eval.run",
        "fine_tuning.jobs": "fine_tuning.job",
        "responses": "response",
        "thread.runs": "thread.run",
        "threads.runs": "thread.run",
        "upload.complete": None,
        "uploads": None,
        "vector_store.file_batches": "vector_store.file_batch",
        "vector_store.files": "vector_store.file",
        "vector_stores": "vector_store",
        "video.remix": "video",
        "videos": "video",
        "videos.edits": "video",
        "videos.extensions": "video",
    }
    for entity in filter(None, asked.values()):
        assert "states" in CATALOGUE[entity].actions["read"].extra


# It works


@pytest.fixture
def connected():
    """Run a coroutine with a connector in front of a sandbox, both in this process."""

    def run(work):
        async def main():
            client = {"base_uri": "https://sandbox.test", "token": "t", "admin_token": "a"}
            config = {"version": 1, "clients": {"openai": {"prototype": "openai", **client}}}
            transport = httpx.ASGITransport(create_app(CATALOGUE))
            async with AsyncConnector.from_dict(config, transport=transport) as connector:
                return await work(connector)

        return asyncio.run(main())

    return run


def test_a_list_whose_answer_names_the_next_page_is_walked_to_its_end(connected):
    async def work(connector):
        made = await connector.create(
            "agents.environments", payload={"environment": {"type": "openai_hosted"}}
        )
        where = {"environment_id": made.response["id"]}
        for number in range(5):
            payload = {"type": "inline", "data": "aGk=", "path": f"/workspace/{number}"}
            await connector.create("agents.environment.files", path=where, payload=payload)
        files = connector.read("agents.environment.files", path=where, query={"limit": 2})
        return [one["path"] async for one in files]

    assert sorted(connected(work)) == [f"/workspace/{number}" for number in range(5)]


def test_requests_of_every_source_are_built_alike(connected):
    async def work(connector):
        return [
            connector.prepare("read", "engine", path={"engine_id": "babbage"}),
            connector.prepare("create", "Edit Prompt", payload={"model": "m", "instruction": "fix"}),
            connector.prepare("create", "vaults", payload={"name": "keys"}),
            connector.prepare("read", "organization.external_storages"),
        ]

    engine, edit, vault, storage = connected(work)
    assert (engine.method, engine.url.path) == ("GET", "/v1/engines/babbage")
    assert (edit.method, edit.url.path) == ("POST", "/v1/edits")
    assert (vault.url.path, vault.headers["OpenAI-Beta"]) == ("/v1/vaults", "agents=v1")
    assert storage.headers["Authorization"] == "Bearer a"
