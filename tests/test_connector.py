"""The connector: named connections, direct reads and writes, raw requests, prepared ones."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from connected import (
    BASE,
    CLIENT,
    OWN_TASKS,
    POSTS,
    Server,
    body_of,
    configuration,
    connected,
    refusal,
    router,
    run,
    transport,
)

from connectory import Connector
from connectory.assembly import Endpoint
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.errors import (
    ApiError,
    ConfigError,
    CredentialsError,
    RequestError,
    RunStoppedError,
    UnknownNameError,
)
from connectory.events import Held, Noticed, RecordFinished, RequestRetried, RunStarted
from connectory.listeners.logs import log_event
from connectory.sandbox import EmbeddedSandbox

ECHO = {**POSTS, "payload": "&{@}"}


async def collected(stream: Any) -> list[Any]:
    return [one async for one in stream]


# -- making one


def test_a_connector_is_made_of_a_file_of_data_or_of_a_token(tmp_path):
    async def main():
        (tmp_path / "connectory.yaml").write_text(
            f"version: 1\nclients: {{api: {{base_uri: {BASE}, token: made-up}}}}\n"
        )
        for made in (
            AsyncConnector.from_file(tmp_path / "connectory.yaml", transport=transport(Server())),
            AsyncConnector.from_dict(configuration(), transport=transport(Server())),
            AsyncConnector(config_from_dict(configuration()), transport=transport(Server())),
            AsyncConnector.openai(token="made-up", base_uri=BASE, transport=transport(Server())),
        ):
            async with made:
                request = made.prepare("read", "files")
                assert str(request.url) == f"{BASE}/files"
                assert request.headers["authorization"] == "Bearer made-up"

    run(main)


def test_a_token_that_is_given_is_never_taken_for_a_placeholder(monkeypatch):
    monkeypatch.setenv("SECRET", "from the environment")
    made = AsyncConnector.openai(token="x${SECRET}$$", transport=transport(Server()))
    assert made.prepare("read", "files").headers["authorization"] == "Bearer x${SECRET}$$"


def test_the_default_server_is_openais():
    made = AsyncConnector.openai(token="made-up", transport=transport(Server()))
    assert str(made.prepare("read", "files").url) == "https://api.openai.com/v1/files"


def test_a_client_is_made_once_and_anew_after_closing():
    async def main():
        made = connected(Server())
        first = made.client()
        assert made.client("api") is first
        await made.aclose()
        assert made.client() is not first
        await made.aclose()

    run(main)


def test_with_several_clients_the_connection_or_the_call_says_which():
    async def main():
        server = Server()
        clients = {
            name: {**CLIENT, "base_uri": f"https://{name}.test/v1"} for name in ("one", "two", "default")
        }
        outgoing = {"plain": ECHO, "named": {**ECHO, "client": "two"}}
        data = {"version": 1, "clients": clients, "outgoing": outgoing}
        async with AsyncConnector.from_dict(data, transport=transport(server)) as made:
            await collected(made.outgoing("plain", [{}]))
            await collected(made.outgoing("named", [{}]))
            await made.create("moderations", payload={"input": "hi"}, client="one")
            with pytest.raises(UnknownNameError, match="did you mean 'one'"):
                await made.create("moderations", payload={"input": "hi"}, client="ones")
        assert [request.url.host for request in server.requests] == ["default.test", "two.test", "one.test"]

    run(main)


def test_without_a_clear_choice_of_clients_the_message_says_so():
    data = {"version": 1, "clients": {"one": CLIENT, "two": CLIENT}}
    made = AsyncConnector.from_dict(data, transport=transport(Server()))
    with pytest.raises(ConfigError, match="one, two, and none is called 'default'"):
        made.client()


def test_an_endpoint_replaces_every_server_and_its_credentials():
    data = configuration(outgoing={"out": ECHO})
    data["clients"] = {"api": {**CLIENT, "token": "${NOT_SET_ANYWHERE}"}}
    made = AsyncConnector.from_dict(
        data, transport=transport(Server()), endpoint=Endpoint("sandbox-token", "http://127.0.0.1:1")
    )
    request = made.prepare("read", "files")
    assert str(request.url) == "http://127.0.0.1:1/v1/files"
    assert request.headers["authorization"] == "Bearer sandbox-token"


# -- named connections


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("incoming", ()), ("outgoing", ([],)), ("subscriber", ()), ("publisher", ())],
)
def test_an_unknown_name_is_told(kind: str, arguments: Any):
    async def main():
        made = connected(Server(), incoming={"in": {"entity": "files"}}, outgoing={"out": ECHO})
        found = getattr(made, kind)("nothing", *arguments)
        await collected(found)

    with pytest.raises(UnknownNameError, match="nothing"):
        run(main)


def test_outgoing_yields_errors_as_results():
    async def main():
        async with connected(lambda _request: refusal(400), outgoing={"out": ECHO}) as made:
            (result,) = await collected(made.outgoing("out", [{"id": "a"}]))
            assert (result.status, result.http_status) == ("error", 400)
            with pytest.raises(ApiError):
                result.unwrap()

    run(main)


def test_an_outgoing_takes_what_an_incoming_gives():
    async def main():
        routes = router()
        routes.get("/things").respond(json={"data": [{"id": "a"}, {"id": "b"}], "has_more": False})
        posted = routes.post("/things").respond(json={})
        connections = {"incoming": {"in": {"request": {"path": "/things"}}}, "outgoing": {"out": ECHO}}
        async with connected(routes, **connections) as made:
            results = await collected(made.outgoing("out", made.incoming("in")))
        assert [result.id for result in results] == ["a", "b"]
        assert posted.call_count == 2

    run(main)


def test_leaving_an_outgoing_early_closes_what_it_reads_from():
    async def main():
        closed = []

        async def endless():
            try:
                while True:
                    yield {"id": "a"}
            finally:
                closed.append(True)

        async with connected(Server(), outgoing={"out": ECHO}) as made:
            async with aclosing(made.outgoing("out", endless())) as results:
                await anext(results)
            assert closed == [True]

    run(main)


def test_an_endless_source_gives_results():
    async def main():
        async def endless():
            number = 0
            while True:
                number += 1
                yield {"id": str(number)}

        async with connected(Server(), outgoing={"out": ECHO}) as made:
            seen = 0
            async with aclosing(made.outgoing("out", endless())) as results:
                async for result in results:
                    seen += 1
                    assert result.id == str(seen)
                    if seen == 2000:
                        break

    run(main)


# -- direct reads and writes


def test_reading_an_entity_gives_every_item_of_every_page():
    async def main():
        routes = router()
        routes.get("/files", params={"purpose": "batch", "after": "b"}).respond(
            json={"data": [{"id": "c"}], "has_more": False}
        )
        routes.get("/files", params={"purpose": "batch"}).respond(
            json={"data": [{"id": "a"}, {"id": "b"}], "has_more": True, "last_id": "b"}
        )
        async with connected(routes) as made:
            items = await collected(made.read("files", query={"purpose": "batch"}))
        assert [item["id"] for item in items] == ["a", "b", "c"]

    run(main)


def test_reading_fills_the_path():
    async def main():
        server = Server()
        async with connected(server) as made:
            assert await collected(made.read("model", path={"model": "a/b"})) == [{"got": None}]
        assert server.lines == ["GET /v1/models/a%2Fb"]

    run(main)


def test_creating_gives_one_result():
    async def main():
        server = Server()
        async with connected(server) as made:
            result = await made.create("moderations", payload={"input": "hi"})
        assert result.ok
        assert result.response == {"got": {"input": "hi"}}
        assert result.attempts == 1

    run(main)


@pytest.mark.parametrize(
    ("answer", "kind"), [(refusal(400), ApiError), (refusal(401), CredentialsError), (refusal(404), ApiError)]
)
def test_creating_raises_what_a_named_connection_would_give_as_an_error(answer: httpx.Response, kind: type):
    async def main():
        async with connected(lambda _request: answer) as made:
            with pytest.raises(kind):
                await made.create("moderations", payload={"input": "hi"})

    run(main)


def test_creating_without_the_payload_that_is_needed_raises_and_sends_nothing():
    async def main():
        server = Server()
        async with connected(server) as made:
            with pytest.raises(RequestError, match="payload"):
                await made.create("moderations")
        assert server.requests == []

    run(main)


def test_deleting_gives_one_result():
    async def main():
        routes = router()
        routes.delete("/files/file-1").respond(json={"id": "file-1", "deleted": True})
        routes.delete("/files/file-2").mock(return_value=refusal(404))
        routes.delete("/files/file-3").mock(return_value=refusal(409))
        data = {**configuration(), "clients": {"api": {**CLIENT, "retry": {"attempts": 1}}}}
        async with AsyncConnector.from_dict(data, transport=transport(routes)) as made:
            assert (await made.delete("file", path={"file_id": "file-1"})).response["deleted"] is True
            assert (await made.delete("file", path={"file_id": "file-2"})).response == {"already_gone": True}
            with pytest.raises(ApiError):
                await made.delete("file", path={"file_id": "file-3"})

    run(main)


def test_an_alias_of_another_action_is_refused_with_the_action_it_means():
    async def main():
        async with connected(Server()) as made:
            with pytest.raises(ConfigError, match="delete"):
                await made.create("deleteFile", path={"file_id": "f"})
            assert (await made.delete("deleteFile", path={"file_id": "f"})).ok

    run(main)


# -- raw and prepared requests


def test_a_raw_request_goes_to_a_path_below_the_base_uri():
    async def main():
        server = Server()
        async with connected(server) as made:
            answer = await made.request("post", "/things?a=1", query={"b": [1, 2]}, payload={"x": 1})
            assert (answer.status, answer.value) == (200, {"got": {"x": 1}})
            await made.request("GET", "/v1/things")
        assert server.lines == ["POST /v1/things?a=1&b%5B%5D=1&b%5B%5D=2", "GET /v1/things"]

    run(main)


@pytest.mark.parametrize("path", ["https://evil.test/things", "//evil.test/things", "things", "", "http:/x"])
def test_a_raw_request_never_leaves_the_clients_server(path: str):
    async def main():
        server = Server()
        async with connected(server) as made:
            with pytest.raises(RequestError, match="never a server"):
                await made.request("GET", path)
        assert server.requests == []

    run(main)


def test_a_raw_request_that_is_refused_raises():
    async def main():
        async with connected(lambda _request: refusal(400)) as made:
            with pytest.raises(ApiError):
                await made.request("GET", "/things")

    run(main)


def test_a_prepared_request_is_what_would_be_sent():
    async def main():
        server = Server()
        async with connected(server) as made:
            prepared = made.prepare("create", "moderations", payload={"input": "hi"})
            assert server.requests == []
            await made.create("moderations", payload={"input": "hi"})
        (sent,) = server.requests
        assert (prepared.method, prepared.url, body_of(prepared)) == (sent.method, sent.url, body_of(sent))
        added = {"idempotency-key", "x-client-request-id"}
        assert (
            dict(prepared.headers).items()
            == {k: v for k, v in sent.headers.items() if k not in added}.items()
        )

    run(main)


def test_preparing_what_does_not_fit_raises():
    made = connected(Server())
    with pytest.raises(RequestError, match="file_id"):
        made.prepare("delete", "file")


# -- events


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (Noticed("look here"), "WARNING", "look here"),
        (RequestRetried("GET /x", 1, 2.5, "busy"), "INFO", "GET /x: attempt 1 failed, next in 2.5 s: busy"),
        (RequestRetried("GET /x", 1, 2.5, "slower", held=True), None, None),
        (Held(2.5, "slower"), "INFO", "all requests wait for 2.5 s: slower"),
        (RunStarted("r", "out"), "INFO", "out: run r begins"),
        (RecordFinished("out", 0, "ok", id="a"), "DEBUG", "out: record 'a' is ok"),
    ],
)
def test_without_a_listener_events_go_to_the_log(caplog, event: Any, level: str | None, text: str | None):
    caplog.set_level(logging.DEBUG, "connectory")
    log_event(event)
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert found == ([] if level is None else [(level, text)])


def test_retries_are_told_to_the_listener():
    async def main():
        events: list[Any] = []
        answers = iter([refusal(503), httpx.Response(200, json={})])
        async with connected(lambda _request: next(answers), listen=events.append) as made:
            assert (await made.create("moderations", payload={"input": "hi"})).attempts == 2
        assert [type(event) for event in events if isinstance(event, RequestRetried)] == [RequestRetried]

    run(main)


# -- a whole way over a real connection


def test_a_connector_works_against_a_real_server():
    connections = {
        "incoming": {"files": {"entity": "files", "transformers": [{"keep": ["id", "filename"]}]}},
        "outgoing": {
            "upload": {
                "entity": "files",
                "payload": {"purpose": "batch", "file": {"content": "&{text}", "filename": "&{name}"}},
                "result": "&{response.id}",
            },
            "moderate": {"entity": "moderations", "payload": {"input": "&{text}"}, "concurrency": 8},
            "purge": {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}},
        },
        "routes": {"clean": ["files", "purge"]},
    }

    async def main(server: EmbeddedSandbox):
        data = {**configuration(**connections)}
        data["clients"] = {"api": {"base_uri": server.base_uri, "token": server.token}}
        async with AsyncConnector.from_dict(data) as made:
            names = [f"{number}.jsonl" for number in range(25)]
            uploads = made.outgoing("upload", [{"text": "{}\n", "name": name} for name in names])
            ids = [line async for result in uploads for line in result.lines()]
            files = await collected(made.incoming("files"))
            assert sorted(file["filename"] for file in files) == sorted(names)
            assert sorted(file["id"] for file in files) == sorted(ids)
            results = await collected(made.outgoing("moderate", [{"text": f"t{n}"} for n in range(200)]))
            assert [result.status for result in results] == ["ok"] * 200
            purged = await collected(made.outgoing("purge", [{"id": ids[0]}, {"id": ids[0]}]))
            assert sorted((result.response or {}).get("already_gone", False) for result in purged) == [
                False,
                True,
            ]
            assert len(await collected(made.incoming("files"))) == 24

    with EmbeddedSandbox() as server:
        run(lambda: main(server))


def test_a_wrong_token_stops_the_run_at_a_real_server():
    async def main(server: EmbeddedSandbox):
        data = configuration(
            outgoing={"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}}}
        )
        data["clients"] = {"api": {"base_uri": server.base_uri, "token": "wrong"}}
        async with AsyncConnector.from_dict(data) as made:
            with pytest.raises(RunStoppedError) as caught:
                await collected(made.outgoing("moderate", [{"text": "x"}] * 100))
        assert isinstance(caught.value, CredentialsError)

    with EmbeddedSandbox() as server:
        run(lambda: main(server))


def test_leaving_early_at_a_real_server_leaves_nothing_behind():
    async def main(server: EmbeddedSandbox):
        data = configuration(
            outgoing={"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}}}
        )
        data["clients"] = {"api": {"base_uri": server.base_uri, "token": server.token}}
        async with AsyncConnector.from_dict(data) as made:
            async for _ in made.outgoing("moderate", [{"text": "x"}] * 1000):
                break
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == OWN_TASKS

    with EmbeddedSandbox() as server:
        run(lambda: main(server))


@pytest.mark.parametrize("kind", [Connector, AsyncConnector])
def test_an_option_that_there_is_none_of_is_refused_in_the_name_of_the_connector(kind: Any, tmp_path):
    wrong: dict[str, Any] = {"sandbox": True}
    (tmp_path / "connectory.yaml").write_text(json.dumps(configuration()), encoding="utf-8")
    for make in (
        lambda: kind.from_file(tmp_path / "connectory.yaml", **wrong),
        lambda: kind.from_dict(configuration(), **wrong),
        lambda: kind.openai(token="x", **wrong),
        lambda: kind(config_from_dict(configuration()), **wrong),
    ):
        with pytest.raises(
            TypeError, match=r"^\w*Connector\.\w+\(\) got an unexpected keyword argument 'sandbox'$"
        ):
            make()


@pytest.mark.parametrize("kind", [Connector, AsyncConnector])
def test_a_connection_that_there_is_none_of_is_refused_at_the_call(kind: Any):
    made = kind.from_dict(configuration(), transport=transport(Server()))

    with pytest.raises(UnknownNameError, match="no incoming 'nope'"):
        made.incoming("nope")
    with pytest.raises(UnknownNameError, match="no outgoing 'nope'"):
        made.outgoing("nope", [])
