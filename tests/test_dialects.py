"""Dialects: other products' words on an outgoing, kept as data that a user can add to."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from command import connectory
from connected import BASE, Server, connected, run
from jsonschema import Draft202012Validator

from connectory.catalogue import Catalogue
from connectory.catalogue.dialect import build_dialect
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError
from connectory.events import Noticed

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue.load()
SAY = {"model": "gpt-4o-mini", "role": "user", "content": "hi"}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
}


def send(answer: Any, *records: Any, listen: Any = None, **outgoing: Any) -> tuple[list[Any], Server]:
    """Send records through an outgoing whose server gives the same answer every time."""

    class Fixed(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=answer)

    server = Fixed()

    async def main() -> list[Any]:
        async with connected(server, listen=listen, outgoing={"out": outgoing}) as made:
            return [result async for result in made.outgoing("out", list(records))]

    return run(main), server


def chat(**more: Any) -> dict[str, Any]:
    return {"entity": "chat.completions", "action": "create", "dialect": "power-platform", **more}


def problem(**outgoing: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        connected(Server(), outgoing={"out": outgoing}).publisher("out")
    return str(caught.value)


# -- what wins


def test_the_connections_own_steps_run_before_the_dialects():
    own = [{"set": {"role": "user", "content": "&{text}"}}, {"remove": ["text"]}]
    _, server = send(ANSWER, {"model": "gpt-4o-mini", "text": "hi"}, **chat(transformers=own))
    assert server.bodies == [{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}]


def test_the_connections_own_result_wins():
    (result,), _ = send(ANSWER, SAY, **chat(result={"said": "&{derived.first_content}"}))
    assert result.lines() == [{"said": "Hello"}]


def test_the_connections_own_response_transformers_win():
    (result,), _ = send(ANSWER, SAY, **chat(response_transformers=[{"build": {"id": "&{response.id}"}}]))
    assert result.lines() == [{"id": "c1"}]


def test_the_connections_own_payload_wins():
    payload = {"model": "gpt-4o-mini", "messages": "&{messages}", "n": 1}
    _, server = send(ANSWER, SAY, **chat(payload=payload))
    assert server.bodies == [{**payload, "messages": [{"role": "user", "content": "hi"}]}]


def test_what_a_derived_output_does_not_have_is_null():
    (result,), _ = send({**ANSWER, "choices": []}, SAY, **chat())
    assert result.lines()[0]["first_content"] is None
    (result,), _ = send(
        {"id": "c", "choices": []},
        {"model": "m", "prompt": "p"},
        entity="completions",
        dialect="power-platform",
        validate="off",
    )
    assert result.lines() == [{"first_completion": None, "result": {"id": "c", "choices": []}}]


def test_a_record_without_what_the_dialect_needs_is_in_error():
    (result,), server = send(ANSWER, {"model": "m"}, **chat())
    assert result.error is not None
    assert "has no 'role'" in result.error.message
    assert server.requests == []


# -- shapes that the rows of the five products do not show


TRAY = {"entity": "embeddings", "dialect": "tray", "validate": "off"}


@pytest.mark.parametrize(
    "given",
    [{"embeddingInput": ["a", "b"]}, {"embeddingInput": {"strings": ["a", "b"]}}, {"input": ["a", "b"]}],
)
def test_an_input_may_be_written_in_several_ways(given: dict[str, Any]):
    _, server = send({"data": []}, {"embedding_model": "m", **given}, **TRAY)
    assert server.bodies == [{"model": "m", "input": ["a", "b"]}]


def test_a_saved_speech_is_given_by_its_own_name_and_url():
    saved = {"name": "a.mp3", "path": "/out/a.mp3", "url": "file:///out/a.mp3", "mime_type": "audio/mpeg"}
    made = connected(Server(), outgoing={"out": {"entity": "audio.speech", "dialect": "tray"}})
    publication = made.assembly.publication("out", run={})
    assert publication.result is not None
    document = {"request": {"payload": {}}, "response": saved}
    assert publication.result.render(document, {}) == {
        "result": {"name": "a.mp3", "url": "file:///out/a.mp3", "mime_type": "audio/mpeg", "expires": None}
    }


def test_a_speech_that_is_saved_is_there_at_its_url(tmp_path: Path):
    async def speak(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"})

    async def main() -> list[Any]:
        outgoing: dict[str, Any] = {"entity": "audio.speech", "dialect": "tray"}
        record = {"id": "a", "model": "tts-1", "input": "Hello", "voice": "alloy"}
        steps = [{"keep": ["model", "input", "voice"]}]
        outgoing |= {"transformers": steps, "save_to": f"{tmp_path}/&{{input.id}}.mp3"}
        async with connected(speak, outgoing={"out": outgoing}) as made:
            return [result.lines() async for result in made.outgoing("out", [record])]

    assert run(main) == [
        [
            {
                "result": {
                    "name": "a.mp3",
                    "url": (tmp_path / "a.mp3").as_uri(),
                    "mime_type": "audio/mpeg",
                    "expires": None,
                }
            }
        ]
    ]
    assert (tmp_path / "a.mp3").read_bytes() == b"sound"


# -- macros


def test_a_macro_stands_for_the_record_wherever_it_stands():
    payload = {"all": "{message.json}", "within": "is {message.json}", "own": "&{message.json}"}
    record = {"message": {"json": 1}}
    _, server = send(
        {}, record, request={"method": "POST", "path": "/things"}, dialect="nexla", payload=payload
    )
    assert server.bodies == [{"all": record, "within": 'is {"message":{"json":1}}', "own": 1}]


def test_without_the_dialect_a_macro_is_a_text():
    _, server = send({}, {"a": 1}, request={"method": "POST", "path": "/t"}, payload={"x": "{message.json}"})
    assert server.bodies == [{"x": "{message.json}"}]


def test_nexla_sends_to_any_entity():
    _, server = send({"id": "v"}, {"name": "n"}, entity="vector_stores", action="create", dialect="nexla")
    assert server.bodies == [{"name": "n"}]


def test_a_dialects_payload_is_no_body_for_a_request_without_one():
    _, server = send({}, {"a": 1}, request={"method": "GET", "path": "/things"}, dialect="nexla")
    assert server.lines == ["GET /v1/things"]
    assert server.requests[0].content == b""


# -- what is wrong


def test_a_wrong_dialect_is_told_with_the_nearest_name():
    assert "no dialect 'trai'; did you mean 'tray'" in problem(entity="moderations", dialect="trai")


def test_a_dialect_without_words_for_the_entity_says_what_it_knows():
    said = problem(entity="batches", action="create", dialect="tray")
    assert "dialect 'tray' has no words for create of entity 'batches'; it knows chat.completions" in said


def test_a_dialect_without_words_for_raw_requests_says_so():
    assert "'dronahq' has no words for raw requests" in problem(
        request={"method": "POST", "path": "/x"}, dialect="dronahq"
    )


def test_lint_points_to_the_dialect(tmp_path: Path):
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients: {openai: {token: made-up}}\noutgoing:\n"
        "  out:\n    entity: moderations\n    dialect: trai\n",
        encoding="utf-8",
    )
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert "connectory.yaml:6:14: no dialect 'trai'; did you mean 'tray'?" in done.said


# -- dialects as data


def test_every_built_in_dialect_can_be_used_with_every_entity_it_knows():
    for name, dialect in CATALOGUE.dialects.items():
        for entity, actions in dialect.entities.items():
            for action in actions:
                if entity != "*":
                    assert action in CATALOGUE[entity].actions
                    outgoing = {"entity": entity, "action": action, "dialect": name}
                    connected(Server(), outgoing={"out": outgoing}).publisher("out")


def test_the_packaged_file_fits_the_format():
    schema, file = (
        json.loads((files("connectory_schemas") / name).read_text(encoding="utf-8"))
        for name in ("catalogue.schema.json", "catalogue/dialects.json")
    )
    assert list(Draft202012Validator(schema).iter_errors(file)) == []


@pytest.fixture
def own(tmp_path: Path) -> Any:
    def use(dialects: Any, **outgoing: Any) -> AsyncConnector:
        path = tmp_path / "own.json"
        path.write_text(json.dumps({"format": 1, "dialects": dialects}), encoding="utf-8")
        server = httpx.MockTransport(lambda request: httpx.Response(200, json=json.loads(request.content)))
        client = {"base_uri": BASE, "token": "made-up"}
        config = {
            "version": 1,
            "clients": {"api": client},
            "catalogue": [str(path)],
            "outgoing": {"out": outgoing},
        }
        return AsyncConnector.from_dict(config, transport=server)

    return use


def test_a_user_adds_a_dialect(own):
    house = {
        "title": "House",
        "transformers": {"tidy": ["compact"]},
        "entities": {
            "moderations": {
                "create": {
                    "transformers": ["tidy", {"rename": {"words": "input"}}],
                    "payload": "&{@}",
                    "response_transformers": [{"build": {"echo": "&{response.input}"}}],
                }
            }
        },
    }

    async def main() -> Any:
        async with own({"house": house}, entity="moderations", dialect="house") as made:
            return [r.lines() async for r in made.outgoing("out", [{"words": "hi", "model": None}])]

    assert run(main) == [[{"echo": "hi"}]]


def test_a_user_adds_an_entity_to_a_dialect_and_the_others_stay(own):
    made = own({"tray": {"entities": {"batches": {"create": {"payload": "&{@}"}}}}}, entity="moderations")
    tray = made.catalogue.dialects["tray"]
    assert tray.usage("batches", "create") == {"payload": "&{@}"}
    assert tray.usage("moderations", "create") is not None
    assert tray.title == "Tray.io"


@pytest.mark.parametrize(
    ("entities", "says"),
    [
        ({"moderation": {"create": {}}}, "there is no entity 'moderation'; did you mean 'moderations'?"),
        ({"moderations": {"delete": {}}}, "entity 'moderations' has no action 'delete'"),
        ({"moderations": {"create": {"template": 1}}}, "'template' was unexpected"),
    ],
)
def test_a_wrong_dialect_of_a_users_file_is_told(own, entities: Any, says: str):
    with pytest.raises(ConfigError) as caught:
        own({"mine": {"entities": entities}}, entity="moderations")
    assert says in str(caught.value)


def test_a_wrong_step_of_a_dialect_is_told_where_it_is_used(own):
    dialect = {"entities": {"moderations": {"create": {"transformers": [{"renam": {}}]}}}}
    with pytest.raises(ConfigError, match="dialect 'mine': no transformer 'renam'; did you mean 'rename'"):
        own({"mine": dialect}, entity="moderations", dialect="mine").publisher("out")
    dialect = {"entities": {"moderations": {"create": {"transformers": [{}]}}}}
    with pytest.raises(ConfigError, match="is empty"):
        own({"mine": dialect}, entity="moderations", dialect="mine").publisher("out")


def test_a_later_file_adds_to_an_earlier_one():
    first = {"title": "A", "entities": {"x": {"create": {"payload": 1}}}, "macros": {"{r}": "&{@}"}}
    dialect = build_dialect("d", [first, {"entities": {"x": {"delete": {}}}}])
    assert dialect.usage("x", "create") == {"payload": 1}
    assert dialect.usage("x", "delete") == {}
    assert dialect.translate(["{r}", {"k": "&{r}"}, 1]) == ["&{@}", {"k": "&{r}"}, 1]


def test_an_entity_says_which_dialects_know_it(tmp_path: Path):
    done = connectory("entities", "show", "audio.speech", folder=tmp_path)
    assert "dialects     power-platform, tray" in done.out


# -- what the API gives up


def test_what_is_given_up_is_told_once_and_sent():
    events: list[Any] = []

    async def main() -> None:
        server = httpx.MockTransport(
            lambda _request: httpx.Response(200, json={"object": "list", "data": []})
        )
        config = {"version": 1, "clients": {"api": {"base_uri": BASE, "token": "made-up"}}}
        async with AsyncConnector.from_dict(config, transport=server, listen=events.append) as made:
            for _ in range(2):
                assert [item async for item in made.read("engines")] == []
            await made.create("edits", payload={"model": "m", "instruction": "i"})

    run(main)
    assert [one.message for one in events if isinstance(one, Noticed) and "retired" in one.message] == [
        "entity 'engines' is retired; use 'models'",
        "entity 'edits' is retired; use 'chat.completions'",
    ]


def test_the_command_line_prints_what_is_given_up(tmp_path: Path):
    done = connectory("read", "engines", "--sandbox", folder=tmp_path)
    assert done.code == 0
    assert done.said.count("note: entity 'engines' is retired; use 'models'") == 1
