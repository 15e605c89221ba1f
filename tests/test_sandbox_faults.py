"""The sandbox's faults on demand: which, how often, and always the same for a seed."""

from __future__ import annotations

import json
import socket

import httpx
import openai
import pytest
from command import connectory
from sandbox_caller import Caller

from connectory.errors import ConfigError
from connectory.sandbox import EmbeddedSandbox
from connectory.sandbox.faults import Faults, parse

BODY = {"input": "hello"}


def outcomes(count: int, **options: object) -> list[int]:
    with Caller(**options) as call:
        return [call("POST", "/moderations", json=BODY).status_code for _ in range(count)]


def test_faults_come_at_their_rate_and_the_same_for_a_seed():
    plan = {"429": 0.1, "500": 0.05}
    seen = outcomes(400, faults=plan, seed=7)
    assert seen == outcomes(400, faults=plan, seed=7)
    assert seen != outcomes(400, faults=plan, seed=8)
    assert 20 < seen.count(429) < 65
    assert 8 < seen.count(500) < 40
    assert set(seen) == {200, 429, 500}


def test_without_faults_nothing_goes_wrong():
    assert set(outcomes(50, faults={})) == {200}


@pytest.mark.parametrize(
    ("kind", "status", "kept"), [("500", 500, 0), ("html", 503, 0), ("bad-json", 200, 1), ("slow", 200, 1)]
)
def test_a_refusal_does_nothing_and_a_spoiled_answer_is_of_a_request_that_was_done(
    kind, status, kept, monkeypatch
):
    monkeypatch.setattr("connectory.sandbox.faults._PAUSE", 0.0)
    with Caller(faults={kind: 1}) as call:
        answer = call("POST", "/vector_stores", json={"name": "one"})
        store = call.app.routes[0].app.answerer.store
    assert answer.status_code == status
    assert len(store) == kept


def test_a_429_says_how_long_to_wait_and_one_of_quota_does_not():
    with Caller(faults={"429": 1}) as call:
        answer = call("GET", "/models")
    assert (answer.headers["retry-after"], answer.json()["error"]["code"]) == ("1", "rate_limit_exceeded")
    with Caller(faults={"429:insufficient_quota": 1}) as call:
        answer = call("GET", "/models")
    assert "retry-after" not in answer.headers
    assert answer.json()["error"]["code"] == "insufficient_quota"


def test_a_page_of_html_comes_instead_of_json():
    with Caller(faults={"html": 1}) as call:
        answer = call("GET", "/models")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_bad_json_is_whole_for_http_and_broken_for_json():
    with Caller(faults={"bad-json": 1}) as call:
        answer = call("GET", "/models")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("body", [BODY, {"prompt": "a b", "model": "m", "stream": True}])
def test_a_slow_answer_is_the_same_in_pieces(body, monkeypatch):
    monkeypatch.setattr("connectory.sandbox.faults._PAUSE", 0.0)
    path = "/completions" if "prompt" in body else "/moderations"
    with Caller(faults={"slow": 1}) as slow, Caller() as quick:
        assert slow("POST", path, json=body).content == quick("POST", path, json=body).content


def received(sandbox: EmbeddedSandbox, path: str = "/v1/models") -> bytes:
    """Everything that the server sends until it closes the connection."""
    port = int(sandbox.base_uri.removesuffix("/v1").rpartition(":")[2])
    head = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {sandbox.token}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_truncated_answer_is_shorter_than_it_says(capfd):
    with EmbeddedSandbox(faults={"truncate": 1}) as sandbox:
        head, _, body = received(sandbox).partition(b"\r\n\r\n")
    said = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert head.startswith(b"HTTP/1.1 200")
    assert 0 < len(body) < said
    assert capfd.readouterr().err == ""


def test_a_dropped_connection_has_no_answer(capfd):
    with EmbeddedSandbox(faults={"drop": 1}) as sandbox:
        assert received(sandbox) == b""
        with (
            httpx.Client(
                base_url=sandbox.base_uri, headers={"authorization": f"Bearer {sandbox.token}"}
            ) as client,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            client.get("/models")
    assert capfd.readouterr().err == ""


def test_without_a_server_a_closed_connection_is_an_error_of_the_application():
    with Caller(faults={"drop": 1}) as call, pytest.raises(ConnectionAbortedError):
        call("GET", "/models")


@pytest.mark.parametrize("kind", ["html", "bad-json", "truncate", "drop"])
def test_a_request_can_order_a_fault_for_itself(kind):
    with EmbeddedSandbox() as sandbox:
        port = int(sandbox.base_uri.removesuffix("/v1").rpartition(":")[2])
        url = f"http://127.0.0.1:{port}/v1/models"
        headers = {"authorization": f"Bearer {sandbox.token}", "x-sandbox-fault": kind}
        if kind in {"html", "bad-json"}:
            assert httpx.get(url, headers=headers).status_code == {"html": 503, "bad-json": 200}[kind]
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(url, headers=headers)


def test_the_official_client_gets_through_faults():
    plan = {"500": 0.2, "drop": 0.1, "truncate": 0.1}
    with (
        EmbeddedSandbox(faults=plan, seed=3) as sandbox,
        openai.OpenAI(api_key=sandbox.token, base_url=sandbox.base_uri, max_retries=8) as client,
    ):
        client._calculate_retry_timeout = lambda *_arguments: 0.0
        results = [client.moderations.create(input="murder").results[0].flagged for _ in range(10)]
    assert results == [True] * 10


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"200": 0.1}, "use a status from 400 to 599"),
        ({"nonsense": 0.1}, "html, bad-json, truncate, slow, drop"),
        ({"429": 1.5}, "no share from 0 to 1"),
        ({"429": 0.7, "500": 0.7}, "add up to more than 1"),
    ],
)
def test_faults_that_there_are_not_are_named(rates, message):
    with pytest.raises(ConfigError, match=message):
        Faults(rates)
    with pytest.raises(ConfigError, match=message):
        EmbeddedSandbox(faults=rates)


def test_faults_are_read_from_words():
    assert parse(["429:0.1", "429:insufficient_quota:0.01", "slow:1"]) == {
        "429": 0.1,
        "429:insufficient_quota": 0.01,
        "slow": 1.0,
    }


@pytest.mark.parametrize("word", ["429", "429:often", "none:0.1", "429:2"])
def test_a_wrong_fault_on_the_command_line_is_a_wrong_command_line(word, tmp_path):
    done = connectory("sandbox", "--fault", word, folder=tmp_path)
    assert done.code == 2
    assert "--fault" in done.said
