"""The protocol's faults (rows P1, P4, P14 to P17): answers that are no answers, redirects, and odd heads."""

from __future__ import annotations

import json

import pytest
from fault_runs import (
    JSON_TYPE,
    MAKE,
    MODERATE,
    PURGE,
    TOKEN,
    healthy,
    ok,
    outgoing,
    refused,
    serving,
)
from fault_server import OK_HEAD, answer, chunked, html, replies

HTML = b"<html><body>Welcome to the captive portal</body></html>"
UNUSABLE = {
    "no JSON": (answer(b'{"id": oops', headers=JSON_TYPE), "200 with application/json that is not JSON"),
    "half of JSON": (answer(b'{"id": "mo', headers=JSON_TYPE), "200 with application/json that is not JSON"),
    "empty": (answer(b"", headers=JSON_TYPE), "200 with an empty body"),
    "a web page": (html(), "200 with text/html that is not JSON"),
    "a page called JSON": (answer(HTML, headers=JSON_TYPE), "Welcome to the captive portal"),
    "text": (
        answer(b"upstream away", headers="Content-Type: text/plain"),
        "200 with text/plain that is not JSON",
    ),
    "bytes": (
        answer(b"\x00\xff" * 400, headers="Content-Type: application/octet-stream"),
        "200 with application/octet-stream that is not JSON",
    ),
    "no type": (answer(HTML), "200 with no content type that is not JSON"),
    "NaN": (answer(b'{"id": NaN}', headers=JSON_TYPE), "200 with application/json that is not JSON"),
}


@pytest.mark.fault(
    "P1", "What is not JSON where JSON is due is a doubt: it is asked for again, and quoted if that stays so."
)
@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_not_json_is_asked_for_again(tmp_path, name):
    raw, says = UNUSABLE[name]
    with serving(replies(raw, ok(), raw, raw, raw, ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["ok", "error", "ok"], [2, 3, 1])
    assert ran.in_doubt == [True, True, False]
    assert says in ran.errors[0]["message"]
    assert len(ran.errors[0]["message"]) < 1000


@pytest.mark.fault("P1", "What creates is not asked for again: the server said 200.")
def test_a_creation_with_an_unusable_answer_is_set_aside(tmp_path):
    with serving(replies(html(), ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.attempts, ran.in_doubt) == (1, [1, 1, 1], [True, False, False])


@pytest.mark.fault(
    "P1",
    "A server that answers every one of the first records so stops the run, and all of them stay pending.",
)
def test_a_captive_portal_stops_the_run(tmp_path):
    with serving(replies(html())) as server:
        quick = {"concurrency": 1, "requests_per_minute": 60_000, "tokens_per_minute": 100_000_000}
        retry = {"attempts": 1, "outage": 0.2}
        ran = outgoing(tmp_path, server.url("/v1"), records=40, retry=retry, limits=quick).settle()
    assert (ran.code, ran.lines, ran.unsent) == (5, [], 40)


# -- redirects


@pytest.mark.fault(
    "P4",
    "A redirect is not followed, to whatever place: the record is set aside, and no other server is asked.",
)
@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
@pytest.mark.parametrize("wanted", [MODERATE, PURGE], ids=["POST", "DELETE"])
def test_a_redirect_to_a_foreign_server_is_not_followed(tmp_path, status, wanted):
    with serving() as foreign:
        away = answer(
            b"", status=status, headers=f"Location: {foreign.url(f'/v1/x?key={TOKEN}', host='localhost')}"
        )
        with serving(replies(away, ok())) as server:
            ran = outgoing(tmp_path, server.url("/v1"), wanted).settle(server)
        assert foreign.received == []
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert f"a redirect to 'localhost:{foreign.port}', which is never followed" in ran.errors[0]["message"]


@pytest.mark.fault("P4", "The same host, plain HTTP, a loop and a location that is none make no difference.")
@pytest.mark.parametrize(
    "location", ["/v1/moderations", "http://{own}/v1/moderations", "//{own}", "file:///etc/passwd", ""]
)
def test_a_redirect_to_the_server_itself_is_not_followed_either(tmp_path, location):
    with serving(replies(ok(), ok(), ok())) as probe:
        own = f"127.0.0.1:{probe.port}"
        away = answer(b"", status="307 Temporary", headers=f"Location: {location.format(own=own)}")
        with serving(replies(away)) as server:
            ran = outgoing(tmp_path, server.url("/v1")).settle(server)
        assert probe.received == []
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error"] * 3, [1] * 3)


# -- odd heads

EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
FLOODS = {
    "one header of 100 kB": OK_HEAD + b"X: " + b"y" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "twenty thousand headers": OK_HEAD + b"X: y\r\n" * 20_000 + b"Content-Length: 2\r\n\r\n{}",
    "a head without end": OK_HEAD + b"X: y\r\n" * 200_000,
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    "trailers without end": chunked(b"{}", headers=JSON_TYPE)[:-2] + b"X: y\r\n" * 50_000,
    "two lengths": OK_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": OK_HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
}


@pytest.mark.fault(
    "P14",
    "Interim answers (1xx), headers of some ten kilobytes and a header that is there twice are taken as HTTP means them.",
)
def test_what_http_allows_is_taken(tmp_path):
    twice = ok(headers=f"X: {'y' * 40_000}\nVary: a\nVary: b")
    with serving(replies(EARLY + ok(), twice)) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.attempts) == (0, [1, 1, 1])
    assert len(server.received) == 1


@pytest.mark.fault(
    "P14",
    "More than 64 KiB of head, and a head that can be read in two ways, are no answer: a doubt like any other.",
)
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_headers_is_bounded(tmp_path, name):
    async def flood(peer):
        await peer.request()
        await peer.send(FLOODS[name])
        await peer.silence()

    with serving(flood, healthy) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.attempts, ran.in_doubt) == (0, [2, 1, 1], [True, False, False])
    assert "X: y" not in ran.said


# -- errors that come as a success

ERROR = {"message": "made up", "type": "t", "param": None}


@pytest.mark.fault("P15", "An error with status 200 is an error: the record is set aside with its code.")
def test_an_error_with_status_200_is_no_success(tmp_path):
    wrong = ok({"error": {**ERROR, "code": "model_not_found"}})
    with serving(replies(wrong, ok({"error": None, "id": "m", "results": []}))) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "ok", "ok"], [1, 1, 1])
    assert (ran.errors[0]["class"], ran.errors[0]["code"]) == ("api", "model_not_found")
    assert ran.lines[0]["http_status"] == 200


@pytest.mark.fault(
    "P15", "Its code decides what follows: too many requests are sent again, no credit stops the run."
)
@pytest.mark.parametrize("code", [429, "rate_limit_exceeded", 503])
def test_the_code_of_an_error_with_status_200_counts(tmp_path, code):
    busy = ok({"error": {**ERROR, "code": code}, "user_id": "u"})
    with serving(replies(busy, ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.statuses, ran.in_doubt) == (0, ["ok"] * 3, [False] * 3)
    broke = ok({"error": {**ERROR, "code": "insufficient_quota"}})
    folder = tmp_path / "broke"
    folder.mkdir()
    with serving(replies(broke)) as server:
        ran = outgoing(folder, server.url("/v1")).settle(server, on_the_wire=1)
    assert (ran.code, ran.lines, ran.unsent) == (5, [], 3)


# -- servers that know the delivery's key


@pytest.mark.fault("P16", "409, the same key is being worked on: wait and send again with that key.")
def test_a_key_that_is_being_worked_on_is_waited_for(tmp_path):
    busy = refused("409 Conflict", "idempotency_key_in_use", headers="retry-after-ms: 5")
    with serving(replies(busy, busy, ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.statuses, ran.in_doubt) == (0, ["ok"] * 3, [False] * 3)
    keys = keys_of(server)
    assert len(keys) == ran.attempts[0] + 2
    assert len(set(keys)) == 3


@pytest.mark.fault(
    "P16", "422, the key was used with another body: set aside in doubt, and never sent with a new key."
)
def test_a_key_that_was_used_with_another_body_is_a_doubt(tmp_path):
    reused = refused("422 Unprocessable", "idempotency_key_reused")
    with serving(replies(reused, refused("422 Unprocessable", "no_such_field"), ok())) as server:
        ran = outgoing(tmp_path, server.url("/v1"), MAKE).settle(server)
    assert (ran.code, ran.statuses, ran.attempts) == (1, ["error", "error", "ok"], [1, 1, 1])
    assert ran.in_doubt == [True, False, False]
    assert ran.errors[0]["code"] == "idempotency_key_reused"
    assert [line["id"] for line in ran.dead] == ["r1", "r2"]


def keys_of(server):
    lines = [line for data in server.received for line in bytes(data).split(b"\r\n")]
    return [line for line in lines if line.lower().startswith(b"idempotency-key:")]


@pytest.mark.fault(
    "P17", "The request id is optional: null without one, and all of them when there are several."
)
def test_the_request_id_is_optional(tmp_path):
    body = json.dumps({"id": "m"}).encode()
    without = answer(body, headers=JSON_TYPE)
    twice = answer(body, headers=f"{JSON_TYPE}\nx-request-id: a\nx-request-id: b")
    azure = answer(body, headers=f"{JSON_TYPE}\napim-request-id: azure")
    with serving(replies(without, twice, azure)) as server:
        ran = outgoing(tmp_path, server.url("/v1")).settle(server)
    assert (ran.code, [line["request_id"] for line in ran.lines]) == (0, [None, "a, b", "azure"])
