"""Files and streams end to end: through connections, over sockets and against the sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import httpx
import pytest
from connected import connected, run
from fault_server import FaultServer, answer, chunked

from connectory import Connector
from connectory.assembly import problems
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.delivery.results import fingerprint as _fingerprint
from connectory.errors import ApiError, ConfigError, OutcomeUnknownError, RequestError
from connectory.files import sent
from connectory.sandbox import EmbeddedSandbox

UPLOAD = {"entity": "files", "payload": {"purpose": "batch", "file": {"path": "&{name}"}}}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "tell me more"}]}


@pytest.fixture(scope="module")
def sandbox():
    with EmbeddedSandbox(token="sk-made-up") as running:
        yield running


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n' * 100_000)
    return file


def configuration(url, **connections):
    client = {"base_uri": url, "token": "sk-made-up", "retry": {"max_wait": 0}}
    return {"version": 1, "clients": {"api": client}, **connections}


def results(url, records, **outgoing):
    with Connector.from_dict(configuration(url, outgoing={"it": outgoing})) as connector:
        return list(connector.outgoing("it", records))


# Uploads from disk


def test_a_record_names_a_file_below_the_folder_that_is_open_to_it(sandbox, rows):
    (one,) = results(sandbox.base_uri, [{"name": "rows.jsonl"}], **UPLOAD, files_root="in")
    assert one.ok
    assert (one.response["filename"], one.response["bytes"]) == ("rows.jsonl", 900_000)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("in/rows.jsonl", {}, "set `files_root`"),
        ("../x", {"files_root": "in"}, "below files_root"),
        ("/etc/passwd", {"files_root": "in"}, "below files_root"),
        ("none.jsonl", {"files_root": "in"}, "cannot be read"),
    ],
)
def test_any_other_file_is_an_error_of_its_record(sandbox, rows, name, options, says):
    (one,) = results(sandbox.base_uri, [{"name": name}], **UPLOAD, **options)
    assert (one.status, one.error.kind, one.attempts) == ("error", "request", 0)
    assert says in one.error.message


def test_a_program_names_files_by_path_name_below_the_folder_or_bytes(sandbox, rows):
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        for file in (rows, {"path": "in/rows.jsonl"}, {"path": rows, "filename": "b.jsonl"}, b"abc"):
            made = connector.create("files", payload={"purpose": "batch", "file": file}).response
            assert made["bytes"] == (3 if isinstance(file, bytes) else 900_000)
        with pytest.raises(RequestError, match="below files_root"):
            connector.create("files", payload={"purpose": "batch", "file": {"path": str(rows)}})


class Uploads:
    """A server that answers each attempt with its next answer, and keeps the bodies."""

    def __init__(self, *answers):
        self.answers, self.bodies = [*answers], []

    async def __call__(self, request):
        self.bodies.append(await request.aread())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def upload_twice(rows, *scripts):
    async with FaultServer(*scripts) as server:
        connector = AsyncConnector.from_dict(
            configuration(server.url("/v1"), outgoing={"it": UPLOAD | {"files_root": "in"}})
        )
        async with connector:
            outcome = [one async for one in connector.outgoing("it", [{"name": "rows.jsonl"}])]
        return outcome[0], server


def test_a_second_attempt_sends_the_file_from_its_beginning_again(rows):
    async def full(peer):
        await peer.request()
        await peer.send(answer(b'{"error": {"message": "busy"}}', status="429 Too Many Requests"))
        await peer.request()
        await peer.send(answer(b'{"id": "file-1"}', headers="Content-Type: application/json"))

    one, server = run(lambda: upload_twice(rows, full))
    assert (one.status, one.attempts) == ("ok", 2)
    assert bytes(server.received[0]).count(rows.read_bytes()) == 2


def test_a_server_that_refuses_before_the_end_of_the_file_is_heard_and_the_file_closed(rows, monkeypatch):
    rows.write_bytes(b"x" * 50_000_000)
    opened = []
    real = sent._opened
    monkeypatch.setattr(sent, "_opened", lambda *given: opened.append(real(*given)) or opened[-1])

    async def refuse(peer):
        await peer.read(100_000)
        await peer.send(answer(b'{"error": {"message": "too big"}}', status="413 Too Large", close=True))
        await asyncio.sleep(0.2)

    one, _ = run(lambda: upload_twice(rows, refuse))
    assert (one.status, one.http_status) == ("error", 413)
    assert [file.closed for file in opened] == [True] * len(opened)
    assert len(opened) == 2


@pytest.mark.fault(
    "B18", "a file that changes while it is sent is an error of its record and is not sent again"
)
def test_a_file_that_shrinks_while_it_is_sent_is_an_error_and_not_sent_again(rows):
    rows.write_bytes(b"x" * 50_000_000)

    async def slow(peer):
        await peer.read(1000)
        rows.write_bytes(b"")
        await peer.rest()

    one, server = run(lambda: upload_twice(rows, slow))
    assert (one.status, one.error.kind, one.attempts) == ("error", "request", 1)
    assert "changed while it was being sent" in one.error.message
    assert server.count(b"POST ") == 1


def test_the_hash_of_a_delivery_reads_no_file_and_sees_that_it_changed(rows, monkeypatch):
    connector = connected(lambda _: None)

    def hashed(path):
        payload = {"purpose": "batch", "file": path}
        return _fingerprint(connector.prepare("create", "files", payload=payload))

    first = hashed(rows)
    monkeypatch.setattr("builtins.open", None)
    assert hashed(rows) == first
    rows.write_bytes(b'{"a": 2}\n' * 100_001)
    assert hashed(rows) != first
    assert hashed(b"a") == hashed(b"a") != hashed(b"b")


# Answers that become files


def test_a_binary_answer_of_each_record_becomes_a_file(sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speech = {
        "entity": "audio.speech",
        "payload": {"model": "tts-1", "voice": "alloy", "input": "&{text}"},
        "save_to": "speech/&{input.id}.mp3",
    }
    records = [
        {"id": "a", "text": "x"},
        {"id": "b", "text": "y"},
        {"id": "a", "text": "z"},
        {"id": "../c", "text": "z"},
    ]
    one, two, again, out = results(sandbox.base_uri, records, **speech)
    assert (one.response["name"], one.response["mime_type"]) == ("a.mp3", "audio/mpeg")
    assert Path(two.response["path"]).stat().st_size == two.response["bytes"]
    assert (again.status, again.attempts) == ("error", 0)
    assert "is the file of record 'a' already" in again.error.message
    assert "no '..'" in out.error.message
    assert sorted(file.name for file in (tmp_path / "speech").iterdir()) == ["a.mp3", "b.mp3"]


def test_without_save_to_a_binary_answer_stays_in_the_result(sandbox):
    payload = {"model": "tts-1", "voice": "alloy", "input": "x"}
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        made = connector.create("audio.speech", payload=payload).response
        assert made["content_type"] == "audio/mpeg"
        assert base64.b64decode(made["base64"])[:2] == b"\xff\xfb"


def test_an_incoming_saves_what_it_reads(sandbox, rows):
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        name = connector.create("files", payload={"purpose": "batch", "file": rows}).response["id"]
        (one,) = connector.read("file.content", path={"file_id": name}, save_to="copy")
        assert Path("copy").read_bytes() == rows.read_bytes()
        assert one["bytes"] == 900_000
        with pytest.raises(ConfigError, match="list of items"):
            list(connector.read("files", save_to="copy"))
    incoming = {
        "entity": "file.content",
        "request_parameters": {"path": {"file_id": name}},
        "save_to": "got/&{path.file_id}.jsonl",
        "transformers": [{"set": {"of": "&{name}"}}],
    }
    with Connector.from_dict(configuration(sandbox.base_uri, incoming={"it": incoming})) as connector:
        (one,) = connector.incoming("it")
    assert one["of"] == f"{name}.jsonl"
    assert Path(one["path"]).read_bytes() == rows.read_bytes()


@pytest.mark.parametrize(
    ("connections", "says"),
    [
        ({"incoming": {"it": {"entity": "files", "save_to": "x"}}}, "list of items"),
        (
            {"outgoing": {"it": {"entity": "moderations", "files_root": "x"}}},
            "'files_root' does nothing here",
        ),
        ({"outgoing": {"it": {"entity": "moderations", "stream": "events"}}}, "has no stream"),
        ({"outgoing": {"it": {"entity": "audio.speech", "save_to": "&{x"}}}, "closing brace"),
    ],
)
def test_what_does_not_fit_the_entity_is_a_problem_of_the_configuration(connections, says):
    connector = AsyncConnector(config_from_dict(configuration("http://127.0.0.1:9", **connections)))
    (problem,) = problems(connector.config, connector.catalogue)
    assert says in problem.message


# Texts and nothing


@pytest.mark.parametrize("form", ["srt", "vtt", "text", "json", "verbose_json"])
def test_a_transcript_is_text_or_json_as_it_was_asked_for(sandbox, form):
    payload = {"model": "whisper-1", "response_format": form, "file": {"content": "x", "filename": "a.mp3"}}
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        made = connector.create("audio.transcriptions", payload=payload).response
    assert "This is a transcript of a.mp3." in made["text"]
    assert made.get("content_type") == (None if "json" in form else "text/plain")


def test_an_empty_answer_is_nothing():
    async def main():
        network = connected(lambda _: httpx.Response(200, content=b""))
        return await network.create("realtime.call.hangup", path={"call_id": "c"})

    assert run(main).response is None


# Streams


@pytest.mark.parametrize(
    ("entity", "payload", "content"),
    [
        ("chat.completions", CHAT, lambda one: one["choices"][0]["message"]["content"]),
        ("completions", {"model": "m", "prompt": "tell me more"}, lambda one: one["choices"][0]["text"]),
        (
            "responses",
            {"model": "m", "input": "tell me more"},
            lambda one: one["output"][0]["content"][0]["text"],
        ),
    ],
)
def test_a_stream_that_is_put_together_is_what_comes_without_one(sandbox, entity, payload, content):
    (plain,) = results(sandbox.base_uri, [payload], entity=entity, payload="&{@}")
    (whole,) = results(sandbox.base_uri, [payload], entity=entity, payload="&{@}", stream="aggregate")
    assert content(whole.response) == content(plain.response)
    assert whole.response["object"] == plain.response["object"]
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        own = connector.create(entity, payload=payload | {"stream": True}).response
    assert content(own) == content(plain.response)


def test_the_events_of_a_stream_are_lines_before_the_result(sandbox):
    (one,) = results(sandbox.base_uri, [CHAT], entity="chat.completions", payload="&{@}", stream="events")
    *events, done, line = one.lines()
    assert [event["data"]["object"] for event in events] == ["chat.completion.chunk"] * len(events)
    assert done == {"event": None, "data": "[DONE]"}
    assert line["status"] == "ok"
    assert line["response"]["choices"][0]["message"]["content"] == "You said: tell me more"


@pytest.mark.parametrize("entity", ["audio.transcriptions", "images.generations", "audio.speech"])
def test_other_streams_are_put_together_too(sandbox, entity):
    payload = {
        "audio.transcriptions": {"model": "gpt-4o-transcribe", "file": {"content": "x", "filename": "a.mp3"}},
        "images.generations": {"model": "gpt-image-1", "prompt": "x"},
        "audio.speech": {"model": "tts-1", "voice": "alloy", "input": "x"},
    }[entity]
    (one,) = results(sandbox.base_uri, [payload], entity=entity, payload="&{@}", stream="aggregate")
    assert one.ok
    assert {"text", "data", "base64"} & one.response.keys()


def test_a_stream_can_be_saved_as_what_it_was_about(sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speech = {"model": "tts-1", "voice": "alloy", "input": "x"}
    both = {"payload": "&{@}", "save_to": "&{input.model}.mp3"}
    (plain,) = results(sandbox.base_uri, [speech], entity="audio.speech", **both)
    (one,) = results(sandbox.base_uri, [speech], entity="audio.speech", stream="aggregate", **both)
    assert one.unwrap().response["mime_type"] == "audio/mpeg"
    assert one.response["bytes"] == plain.response["bytes"]
    both["save_to"] = "answer.json"
    (one,) = results(sandbox.base_uri, [CHAT], entity="chat.completions", stream="events", **both)
    assert json.loads(Path("answer.json").read_bytes())["object"] == "chat.completion"
    assert one.lines()[-1]["response"]["name"] == "answer.json"


def test_a_raw_request_streams_as_well():
    frame = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
    asked = []

    def network(request):
        asked.append(json.loads(request.content))
        body = f"data: {json.dumps(frame)}\n\ndata: [DONE]\n\n"
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    async def main():
        raw = {"request": {"method": "POST", "path": "/chat"}, "payload": {"a": 1}, "stream": "aggregate"}
        async with connected(network, outgoing={"it": raw}) as connector:
            return [one async for one in connector.outgoing("it", [{}])]

    (one,) = run(main)
    assert asked == [{"a": 1, "stream": True}]
    assert one.response["choices"][0]["message"]["content"] == "hi"


def test_the_events_of_a_response_that_is_read_again_are_items(sandbox):
    with Connector.from_dict(configuration(sandbox.base_uri)) as connector:
        name = connector.create("responses", payload={"model": "m", "input": "x"}).response["id"]
        items = list(connector.read("response", path={"response_id": name}, query={"stream": True}))
    assert items[0]["event"] == "response.created"
    assert items[-1]["data"]["response"]["id"] == name


FRAME = json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]})


def streamed(body, *, end=True, total=30):
    async def main():
        async with FaultServer(asking) as server:
            settings = configuration(server.url("/v1"))
            settings["clients"]["api"] |= {
                "timeout": {"total": total},
                "retry": {"attempts": 1, "max_wait": 0},
            }
            async with AsyncConnector.from_dict(settings) as connector:
                return await connector.create("chat.completions", payload=CHAT | {"stream": True})

    async def asking(peer):
        await peer.request()
        await peer.send(chunked(body, end=end, headers="Content-Type: text/event-stream"))
        if not end and total < 30:
            await peer.silence()

    return run(main)


def test_a_stream_that_a_server_cuts_off_is_never_a_success():
    for body, end in ((f"data: {FRAME}\n\n", True), (f"data: {FRAME}\n\n", False), ("data: [DO", True)):
        with pytest.raises(OutcomeUnknownError):
            streamed(body.encode(), end=end)


def test_an_error_in_the_middle_of_a_stream_is_the_servers():
    body = f'data: {FRAME}\n\ndata: {{"error": {{"message": "no", "code": "content_filter"}}}}\n\n'
    with pytest.raises(ApiError, match="no") as caught:
        streamed(body.encode())
    assert caught.value.code == "content_filter"


def test_the_total_time_bounds_the_whole_stream():
    with pytest.raises(OutcomeUnknownError, match=r"within timeout.total"):
        streamed(f"data: {FRAME}\n\n".encode(), end=False, total=0.3)
