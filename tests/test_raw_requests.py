"""Raw requests whose URL comes with the record: never another server's, never the client's own headers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import BASE, Server, connected, run

from connectory.errors import ConfigError

OPEN = {"request": {"methods": ["GET", "POST"]}}


def send(*records: Any, **outgoing: Any) -> tuple[list[Any], Server]:
    server = Server()

    async def main() -> list[Any]:
        async with connected(server, outgoing={"out": {**OPEN, **outgoing}}) as made:
            return [result async for result in made.outgoing("out", list(records))]

    return run(main), server


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"{BASE}/things", "/v1/things"),
        (f"{BASE}/things/a%2Fb?x=1&x=2&y=", "/v1/things/a%2Fb?x=1&x=2&y="),
        ("HTTPS://API.test:443/v1/things", "/v1/things"),
        ("/things", "/v1/things"),
        ("/v1/things", "/v1/things"),
        ("/things?limit=1", "/v1/things?limit=1"),
    ],
)
def test_a_record_brings_its_url(url: str, line: str):
    (result,), server = send({"url": url})
    assert result.ok, result.error
    assert server.lines == [f"GET {line}"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/v1/things",
        "http://api.test/v1/things",
        "https://api.test:8443/v1/things",
        "https://api.test@evil.test/v1/things",
        "https://user:pass@api.test/v1/things",
        "https://api.test.evil.test/v1/things",
        "https://api.test/v2/things",
        "https://api.test/v1",
        "https://api.test/v1/../admin",
        "https://api.test/v1/%2e%2e/admin",
        "//evil.test/v1/things",
        "/\\evil.test/things",
        "/things#part",
        "https://api.test/v1/things#part",
        "things",
        "ftp://api.test/v1/things",
        "https://[bad/v1",
        "https://api.test/v1/a\nb",
        "",
        None,
        {"fullUrl": 1},
    ],
)
def test_a_url_that_is_not_the_clients_is_a_record_error_and_nothing_is_sent(url: Any):
    (result,), server = send({"url": url})
    assert result.status == "error"
    assert result.error.kind == "request"
    assert "pass" not in result.error.message
    assert server.requests == []


def test_a_record_chooses_only_among_the_connections_methods():
    results, server = send(
        {"url": "/a", "method": "POST", "payload": {"x": 1}}, {"url": "/a", "method": "DELETE"}
    )
    assert [result.status for result in results] == ["ok", "error"]
    assert "allowed are GET, POST" in results[1].error.message
    assert server.bodies == [{"x": 1}]


def test_headers_of_the_record_are_sent_except_the_clients_own():
    headers = {
        "X-Trace": "t",
        "X-Number": 1,
        "Authorization": "Bearer theirs",
        "Host": "evil.test",
        "Content-Length": "0",
        "content-type": "text/plain",
    }
    _, server = send({"url": "/a", "method": "POST", "payload": {}, "headers": headers})
    sent = server.requests[0].headers
    assert (sent["x-trace"], sent["x-number"]) == ("t", "1")
    assert (sent["authorization"], sent["host"]) == ("Bearer made-up", "api.test")
    assert (sent["content-type"], sent["content-length"]) == ("application/json", "2")


@pytest.mark.parametrize(
    "headers", [{"X": ["a"]}, {"X": "a\r\nY: b"}, {"X Y": "a"}, {"X": "ä"}, ["X"], {"X": None}]
)
def test_headers_that_are_none_are_a_record_error(headers: Any):
    (result,), server = send({"url": "/a", "headers": headers})
    assert result.status == "error"
    assert server.requests == []


def test_the_query_of_record_and_connection_go_together():
    _, server = send({"url": "/a?x=1", "query": {"y": 2}}, request_parameters={"query": {"z": 3}})
    assert server.lines == ["GET /v1/a?x=1&z=3&y=2"]


def test_status_and_headers_are_there_for_the_result():
    (result,), _ = send(
        {"url": "/a", "method": "POST", "payload": 1},
        result={"status": "&{http.status}", "type": '&{http.headers."content-type"}', "body": "&{response}"},
    )
    assert result.lines() == [{"status": 200, "type": "application/json", "body": {"got": 1}}]


def test_cookies_are_not_among_the_headers():
    async def main() -> list[Any]:
        answer = httpx.Response(200, json={}, headers={"Set-Cookie": "s=1", "X-Other": "o"})
        outgoing = {"request": {"method": "POST", "path": "/a"}, "result": "&{http.headers}"}
        async with connected(lambda _request: answer, outgoing={"out": outgoing}) as made:
            return [result.lines() async for result in made.outgoing("out", [{"payload": {}}])]

    [[headers]] = run(main)
    assert headers["x-other"] == "o"
    assert "set-cookie" not in headers


def test_a_written_url_is_the_clients_own_or_a_configuration_error():
    _, server = send(
        {"payload": {}},
        request={"method": "POST", "path": f"{BASE}/things?a=1"},
        query={"b": "2"},
        payload={},
    )
    assert server.lines == ["POST /v1/things?a=1&b=2"]
    with pytest.raises(ConfigError, match=r"'https://evil\.test/v1/x' is not below 'https://api\.test/v1'"):
        connected(
            Server(), outgoing={"out": {"request": {"method": "POST", "path": "https://evil.test/v1/x"}}}
        ).publisher("out")


def test_an_incoming_may_be_written_as_a_url_too():
    server = Server()

    async def main() -> list[Any]:
        incoming = {"request": {"path": f"{BASE}/things?a=1"}}
        async with connected(server, incoming={"in": incoming}) as made:
            return [item async for item in made.incoming("in")]

    assert run(main) == [{"got": None}]
    assert server.lines == ["GET /v1/things?a=1"]
