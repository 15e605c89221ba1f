"""What others say, and refer to (rows S9, S12): no terminal is steered, nothing is fetched."""

from __future__ import annotations

import json
import logging
import re

import pytest
from canary import canary, plant
from command import connectory
from echo_server import EchoServer

from connectory.errors import ConfigError
from connectory.events import RequestRetried
from connectory.listeners.logs import log_event
from connectory.schemas.validation.validator import Validator

TOKEN = canary("local-token")
JSON = {"Content-Type": "application/json"}


# S9

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nerror: forged line\u202e"


@pytest.mark.fault(
    "S9", "Control characters and line ends of a server's words are written out, on stderr and in the log."
)
@pytest.mark.parametrize("status", [400, 401, 500])
def test_what_a_server_says_does_not_steer_the_terminal(tmp_path, status):
    def respond(_asked):
        body = {"error": {"message": STEERING, "code": STEERING, "type": STEERING}}
        return status, JSON, json.dumps(body).encode()

    with EchoServer(respond) as server:
        client = f'{{base_uri: "{server.uri}/v1", token: {TOKEN}, retry: {{attempts: 2, max_wait: 0}}}}'
        outgoing = '{post: {request: {method: POST, path: /things}, payload: "&{@}"}}'
        plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {client}}}\noutgoing: {outgoing}\n")
        single = connectory("request", "GET", "/things", folder=tmp_path)
        run_ = connectory("run", "outgoing", "post", folder=tmp_path, stdin='{"id": 1}\n')
        check = connectory("check", folder=tmp_path)
    for said in (single.said, run_.said, check.said):
        assert not any(one in said for one in "\x1b\x07\x9b\r\u202e"), said
        assert not any(line.startswith("error: forged") for line in said.splitlines())
    assert "\\x1b]0;owned" in single.said
    assert not any(one in run_.out for one in "\x1b\x07\r")  # JSON writes these as escapes


@pytest.mark.fault("S9", "What records, names and files bring is written out as well.")
def test_what_data_says_does_not_steer_the_terminal(tmp_path):
    (tmp_path / "steer.py").write_text(
        f"def steer(record: dict) -> dict:\n    raise ValueError({STEERING!r})\n"
    )
    plant(
        tmp_path / "connectory.yaml",
        f"version: 1\nclients: {{a: {{token: {TOKEN}}}}}\n"
        "outgoing:\n"
        "  raising: {entity: moderations, transformers: [{use: 'steer:steer'}]}\n"
        "  typed: {entity: file, action: delete, path: {file_id: '&{id}'}}\n",
    )
    record = json.dumps({"id": STEERING})
    said = [
        connectory("run", "outgoing", "raising", "--sandbox", folder=tmp_path, stdin=record).said,
        connectory("run", "outgoing", "typed", "--yes", "--sandbox", folder=tmp_path, stdin=record).said,
        connectory("run", "outgoing", STEERING.replace("\0", ""), folder=tmp_path).said,
        connectory("preview", "outgoing", "typed", folder=tmp_path, stdin=record).out,
        connectory("read", f"files{STEERING}", folder=tmp_path).said,
    ]
    for one in said:
        assert one
        assert not any(character in one for character in "\x1b\x07\x9b\r\u202e"), one


@pytest.mark.fault("S9", "A log line stays one line.")
def test_what_a_server_says_forges_no_log_line(caplog):

    with caplog.at_level(logging.INFO, logger="connectory"):
        log_event(RequestRetried("GET /x", 1, 1.0, STEERING))
    (record,) = caplog.records
    assert record.getMessage().endswith("\\r\\nerror: forged line\\u202e")
    assert "\n" not in record.getMessage()


# S12


@pytest.fixture
def referring(tmp_path):
    """Make a reference to a server or to a file."""

    def make(kind, server):
        (tmp_path / "schema.json").write_text('{"type": "object"}')
        return f"{server.uri}/schema.json" if kind == "http" else (tmp_path / "schema.json").as_uri()

    return make


def document(schema):
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"a": schema}}}}}
    post = {"operationId": "createThing", "requestBody": body, "responses": {"200": {"description": "x"}}}
    return {"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": {"/things": {"post": post}}}


@pytest.mark.fault("S12", "A catalogue is not built of a document whose `$ref` leads to a server or a file.")
@pytest.mark.parametrize("kind", ["http", "file"])
def test_building_a_catalogue_fetches_no_reference(tmp_path, referring, kind):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        reference = referring(kind, server)
        (tmp_path / "api.json").write_text(json.dumps(document({"$ref": reference})))
        done = connectory("catalogue", "build", "api.json", "-o", "out", "--name", "things", folder=tmp_path)
    assert (done.code, server.asked) == (2, [])
    assert "does not point into #/components/schemas" in done.said


@pytest.mark.fault(
    "S12", "A `$ref` in a catalogue file that leads elsewhere is never fetched: it is a configuration error."
)
@pytest.mark.parametrize("kind", ["http", "file"])
def test_checking_a_payload_fetches_no_reference(tmp_path, referring, kind):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        reference = referring(kind, server)
        (tmp_path / "api.json").write_text(json.dumps(document({"type": "string", "pattern": "replace me"})))
        built = connectory("catalogue", "build", "api.json", "-o", "out", "--name", "things", folder=tmp_path)
        assert built.code == 0, built.said
        replaced = 0
        for path in (tmp_path / "out").rglob("*.json"):
            text = path.read_text()
            changed = re.sub(r'\{[^{}]*"replace me"[^{}]*\}', json.dumps({"$ref": reference}), text)
            replaced += changed != text
            path.write_text(changed)
        assert replaced == 1
        plant(
            tmp_path / "connectory.yaml",
            f"version: 1\nclients: {{a: {{base_uri: '{server.uri}', token: {TOKEN}}}}}\n"
            "catalogue: [out/things.json]\noutgoing: {post: {entity: things, payload: '&{@}'}}\n",
        )
        done = connectory("run", "outgoing", "post", folder=tmp_path, stdin='{"a": 1}\n')
    assert (done.code, server.asked) == (3, []), done.said


@pytest.mark.fault("S12", "With and without jsonschema-rs it is the same.")
@pytest.mark.parametrize("fast", [True, False])
def test_no_validator_fetches_a_reference(fast):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as server:
        schema = {"type": "object", "properties": {"a": {"$ref": f"{server.uri}/schema.json"}}}
        with pytest.raises(ConfigError, match="leads elsewhere, and nothing is fetched"):
            Validator(schema, fast=fast).errors({"a": 1})
    assert server.asked == []
