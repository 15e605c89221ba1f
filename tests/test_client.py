from __future__ import annotations

import asyncio
import json
from email import message_from_bytes

import httpx
import pytest
import respx
import virtual
from fault_server import FaultServer, answer, chunked, gzip_bomb, html, replies
from hypothesis import given
from hypothesis import strategies as st

from connectory.answers import meaning as answers
from connectory.answers import receiving
from connectory.auth import Credential
from connectory.catalogue import Catalogue
from connectory.client import Client
from connectory.errors import (
    ApiError,
    CredentialsError,
    NotSentError,
    OutcomeUnknownError,
    RequestError,
    SetupError,
    UnavailableError,
)
from connectory.events import RequestRetried
from connectory.requests.building import Call, ClientOptions
from connectory.retry import Policy
from connectory.transport import Transport

CATALOGUE = Catalogue.load()
TOKEN = "sk-made-up-1234"
BASE = "http://api.test/v1"
LIST, READ, DELETE = ("files", "read"), ("file", "read"), ("file", "delete")
CREATE, COMPUTE, UPLOAD = ("batches", "create"), ("moderations", "create"), ("files", "create")


def call(name, action, **parts):
    entity = CATALOGUE[name]
    return Call(entity, entity.actions[action], **{"validate": "off", **parts})


def calls():
    """One call of each way to be careful: reading, computing, deleting, creating."""
    return {
        "read": call(*READ, path={"file_id": "f"}),
        "compute": call(*COMPUTE, payload={"input": "x"}),
        "delete": call(*DELETE, path={"file_id": "f"}),
        "create": call(*CREATE, payload={}),
    }


def bearer(token=TOKEN, **options):
    return Credential("Authorization", "Bearer ", token, **options)


def options(prototype="openai", **given):
    given.setdefault("credential", bearer())
    return ClientOptions("ours", given.pop("base_uri", BASE), CATALOGUE.prototypes[prototype], **given)


class Server:
    """A transport that gives its answers in turn, the last one for ever, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.requests, self.events = [*answers], [], []
        self.transport = httpx.MockTransport(self.answer)

    async def answer(self, request):
        self.requests.append((request.method, request.url, request.headers.copy(), await request.aread()))
        one = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        one = one(request) if callable(one) else one
        if isinstance(one, Exception):
            raise one
        return httpx.Response(one.status_code, headers=one.headers, stream=one.stream)

    @property
    def waits(self):
        return [event.wait for event in self.events if isinstance(event, RequestRetried)]

    def client(self, **given):
        return Client(
            options(**given),
            self.transport,
            schema=CATALOGUE.schema,
            listen=self.events.append,
        )

    def send(self, one, *, key=None, **given):
        made = self.client(**given)
        return virtual.run(made.send(one, made.prepare(one, key=key)))


def prepared(one, *, key=None, **given):
    return Server(httpx.Response(200)).client(**given).prepare(one, key=key)


def ok(value=None, **headers):
    return httpx.Response(200, json={} if value is None else value, headers=headers)


def refused(status, code="x", message="no", **headers):
    body = {"error": {"message": message, "code": code, "type": "t", "param": None}}
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=fields)


# Where a request goes


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://host", "http://host/files"),
        ("http://host/api/v3", "http://host/api/v3/files"),
        ("http://host/api/v3/", "http://host/api/v3/files"),
        ("https://[::1]:8443/v1", "https://[::1]:8443/v1/files"),
        ("http://host/caf%C3%A9/a%2Fb", "http://host/caf%C3%A9/a%2Fb/files"),
        ("http://host/café", "http://host/caf%C3%A9/files"),
    ],
)
def test_a_request_goes_below_the_base_uri(base, url):
    assert str(prepared(call(*LIST), base_uri=base).url) == url


def test_queries_of_client_and_call_are_merged_and_the_calls_own_wins():
    one = call(*LIST, query={"limit": 5, "include[]": ["a", "b c"], "order": None})
    url = prepared(one, query={"api-version": "1", "limit": "9", "order": "asc"}).url
    assert url.query == b"api-version=1&limit=5&include%5B%5D=a&include%5B%5D=b%20c"


def test_a_list_in_a_query_has_brackets():
    one = call("organization.costs", "read", query={"start_time": 1, "project_ids": ["p1", "p2"]})
    assert prepared(one).url.query == b"start_time=1&project_ids%5B%5D=p1&project_ids%5B%5D=p2"


def test_an_entity_may_fix_a_query_and_headers():
    one = call("beta.responses", "create", payload={})
    request = prepared(one)
    assert dict(request.url.params)["beta"] == "true"
    with pytest.raises(RequestError, match="'beta' is always 'true' here"):
        prepared(call("beta.responses", "create", payload={}, query={"beta": "false"}))
    assert prepared(call("threads", "create", payload={})).headers["OpenAI-Beta"] == "assistants=v2"


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("a/b", b"a%2Fb"),
        ("//evil.test", b"%2F%2Fevil.test"),
        ("http://evil.test/", b"http:%2F%2Fevil.test%2F"),
        ("@evil.test", b"@evil.test"),
        ("a?b#c", b"a%3Fb%23c"),
        ("a%2e%2eb", b"a%252e%252eb"),
        ("\\\\evil.test", b"%5C%5Cevil.test"),
        ("ft:gpt-5:org::id", b"ft:gpt-5:org::id"),
    ],
)
def test_data_in_a_path_stays_in_its_segment(value, segment):
    url = prepared(call(*READ, path={"file_id": value})).url
    assert (url.scheme, url.host, url.raw_path) == ("http", "api.test", b"/v1/files/" + segment)


@pytest.mark.parametrize("value", ["", ".", "..", "%2e%2e", "%2E.", "%252e%252e", "a\r\nHost: evil", "a\x00"])
def test_data_that_would_mean_another_path_is_refused(value):
    with pytest.raises(RequestError, match="path parameter 'file_id'"):
        prepared(call(*READ, path={"file_id": value}))


@given(st.text(), st.text())
def test_data_never_chooses_where_a_request_goes(value, name):
    try:
        url = prepared(call(*READ, path={"file_id": value}, query={name: value})).url
    except RequestError:
        return
    assert (url.scheme, url.netloc, url.userinfo, url.fragment) == ("http", b"api.test", b"", "")
    path = url.raw_path.partition(b"?")[0]
    assert path.startswith(b"/v1/files/")
    assert path.count(b"/") == 3


# Who sends it


@pytest.mark.parametrize("written", [TOKEN, f"Bearer {TOKEN}", f" bearer {TOKEN}\n"])
def test_a_token_is_sent_as_a_bearer_once(written):
    assert prepared(call(*LIST), credential=bearer(written)).headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("prototype", ["openai", "azure-openai"])
def test_a_client_without_a_token_is_named(prototype):
    with pytest.raises(
        CredentialsError, match="client 'ours' has no token; set its token, token_file or token_command"
    ):
        prepared(call(*LIST), prototype=prototype, credential=bearer(""))


def test_a_compatible_server_needs_no_token():
    assert (
        "Authorization"
        not in prepared(call(*LIST), prototype="openai-compatible", credential=bearer("")).headers
    )


def test_an_entity_for_administrators_is_signed_by_one():
    admin = call("organization.users", "read")
    assert prepared(admin, admin_credential=bearer("sk-admin")).headers["Authorization"] == "Bearer sk-admin"
    assert prepared(admin).headers["Authorization"] == f"Bearer {TOKEN}"
    assert (
        prepared(call(*LIST), admin_credential=bearer("sk-admin")).headers["Authorization"]
        == f"Bearer {TOKEN}"
    )


def test_a_users_header_replaces_ours_whatever_its_case():
    given_headers = {
        "accept": "text/plain",
        "user-agent": "mine",
        "AUTHORIZATION": "Basic x",
        "X-Team": "data",
    }
    headers = prepared(call(*LIST), headers=given_headers).headers
    assert headers.get_list("accept") == ["text/plain"]
    assert headers.get_list("user-agent") == ["mine"]
    assert headers.get_list("authorization") == [f"Bearer {TOKEN}"]
    assert headers["x-team"] == "data"


def test_a_key_goes_with_writes_only():
    names = ("Idempotency-Key", "X-Client-Request-Id")
    write = prepared(call(*CREATE, payload={}), key="k1").headers
    assert [write.get(name) for name in names] == ["k1", "k1.1.1"]
    assert prepared(call(*DELETE, path={"file_id": "f"}), key="k1").headers["Idempotency-Key"] == "k1"
    for headers in (prepared(call(*LIST), key="k1").headers, prepared(call(*CREATE, payload={})).headers):
        assert not any(name in headers for name in names)


def test_neither_options_nor_calls_show_a_secret():
    shown = repr(options(headers={"X-Key": TOKEN}, query={"key": TOKEN}))
    assert TOKEN not in shown


# Azure


def azure(one, **given):
    key = Credential("api-key", "", "azure-key")
    prototype = CATALOGUE.prototypes["azure-openai"]
    return prepared(
        one,
        prototype="azure-openai",
        credential=key,
        base_uri="https://x.test/openai",
        query=prototype.query,
        **given,
    )


def test_azure_takes_a_key_a_version_and_a_deployment():
    one = call("chat.completions", "create", payload={"model": "gpt-5", "messages": []})
    request = azure(one, deployments={"gpt-5": "our chat"})
    assert request.headers["api-key"] == "azure-key"
    assert "Authorization" not in request.headers
    assert str(request.url) == (
        "https://x.test/openai/deployments/our%20chat/chat/completions?api-version=2024-10-21"
    )


def test_azure_takes_the_models_name_where_no_deployment_is_given():
    one = call("embeddings", "create", payload={"model": "small", "input": "x"})
    assert azure(one).url.path == "/openai/deployments/small/embeddings"


@pytest.mark.parametrize("payload", [{"messages": []}, {"model": ""}, {"model": 7}, []])
def test_azure_cannot_find_a_deployment_without_a_model(payload):
    with pytest.raises(RequestError, match="POST /chat/completions: the payload needs a 'model'"):
        azure(call("chat.completions", "create", payload=payload))


def test_a_model_cannot_choose_another_path():
    one = call("embeddings", "create", payload={"model": "../x", "input": ""})
    assert azure(one).url.raw_path.startswith(b"/openai/deployments/..%2Fx/embeddings?")
    with pytest.raises(RequestError, match="would mean another path"):
        azure(call("embeddings", "create", payload={"model": "..", "input": ""}))


def test_azure_has_no_deployment_in_other_paths():
    assert azure(call(*LIST)).url.path == "/openai/files"
    assert azure(call("chat.completions", "read")).url.path == "/openai/chat/completions"


# What it carries


def test_a_payload_is_compact_json():
    request = prepared(call(*COMPUTE, payload={"input": ["é", 1.0, None]}))
    assert request.headers["Content-Type"] == "application/json"
    assert request.content == '{"input":["é",1.0,null]}'.encode()


@pytest.mark.parametrize(
    "one", [call(*DELETE, path={"file_id": "f"}), call("batch.cancel", "create", path={"batch_id": "b"})]
)
def test_a_request_without_a_body_names_no_type(one):
    request = prepared(one, headers={"content-type": "application/json"})
    assert "Content-Type" not in request.headers
    assert request.content == b""
    assert request.headers.get("Content-Length", "0") == "0"


@pytest.mark.parametrize("prototype", ["openai", "azure-openai"])
def test_a_missing_payload_is_explained(prototype):
    with pytest.raises(RequestError) as caught:
        prepared(call("embeddings", "create"), prototype=prototype)
    assert str(caught.value) == (
        "POST /embeddings: the entity needs a payload and the record brings none; "
        """payload: "&{@}" sends the record itself"""
    )


def test_a_payload_that_no_entity_takes_is_refused():
    with pytest.raises(RequestError, match=r"DELETE /files/\{file_id\}: the entity takes no payload"):
        prepared(call(*DELETE, path={"file_id": "f"}, payload={"a": 1}))


def test_a_payload_that_is_no_json_is_refused():
    with pytest.raises(RequestError, match="POST /moderations: the payload is not representable as JSON"):
        prepared(call(*COMPUTE, payload={"input": float("nan")}))


def form(headers, body):
    parts = message_from_bytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    return [
        (
            one.get_param("name", header="content-disposition"),
            one.get_filename(),
            one.get_payload(decode=True),
        )
        for one in parts.get_payload()
    ]


FILE = {
    "purpose": "batch",
    "file": {"content": "{}\n", "filename": 'rows é".jsonl'},
    "expires_after": {"seconds": 9},
}


def test_a_file_is_sent_as_a_form_with_its_name():
    server = Server(ok())
    server.send(call(*UPLOAD, payload=FILE), headers={"Content-Type": "application/json"})
    _, _, headers, body = server.requests[0]
    assert headers.get_list("content-type")[0].startswith("multipart/form-data; boundary=")
    assert int(headers["content-length"]) == len(body)
    assert b'name="file"; filename="rows \xc3\xa9%22.jsonl"' in body
    assert [(name, content) for name, _, content in form(headers, body)] == [
        ("purpose", b"batch"),
        ("expires_after[seconds]", b"9"),
        ("file", b"{}\n"),
    ]


def test_a_payload_without_files_is_json_where_both_are_taken():
    one = call("videos", "create", payload={"prompt": "x"})
    assert prepared(one).headers["Content-Type"] == "application/json"
    file = {"base64": "AAE=", "filename": "a.png"}
    one = call("videos", "create", payload={"prompt": "x", "input_reference": file})
    assert prepared(one).headers["Content-Type"].startswith("multipart/form-data")


@pytest.mark.parametrize("payload", [[], "text", 7])
def test_a_form_is_made_of_an_object(payload):
    with pytest.raises(RequestError, match="POST /files: the payload becomes a form and must be an object"):
        prepared(call(*UPLOAD, payload=payload))


def test_data_names_no_file_on_disk_where_no_folder_is_open_to_it():
    with pytest.raises(RequestError, match="names the file '/etc/passwd'; set `files_root`"):
        prepared(call(*UPLOAD, payload={"purpose": "batch", "file": {"path": "/etc/passwd"}}))


def test_a_text_is_sent_as_it_is_where_the_entity_takes_one():
    request = prepared(call("realtime.calls", "create", payload="v=0\r\n"))
    assert (request.headers["Content-Type"], request.content) == ("application/sdp", b"v=0\r\n")


# What becomes of it


def test_an_answer_is_given_with_the_number_of_attempts():
    server = Server(refused(429), refused(503), ok({"id": "b1"}))
    outcome = server.send(call(*CREATE, payload={}), key="k")
    assert outcome.unwrap().value == {"id": "b1"}
    assert (outcome.attempts, outcome.in_doubt) == (3, False)
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.requests}) == 1
    told = [event for event in server.events if isinstance(event, RequestRetried)]
    assert [(event.what, event.attempt) for event in told] == [("POST /batches", 1), ("POST /batches", 2)]


NOT_SENT = [
    httpx.ConnectError("no"),
    httpx.ConnectTimeout("no"),
    httpx.PoolTimeout("no"),
    httpx.ProxyError("no"),
]
LOST = [
    httpx.ReadError(""),
    httpx.WriteError("x"),
    httpx.ReadTimeout("x"),
    httpx.WriteTimeout("x"),
    httpx.RemoteProtocolError("x"),
]
EMPTY = httpx.Response(200, headers={"content-type": "application/json"})
UNUSABLE = [
    httpx.Response(500),
    httpx.Response(200, html="<html>"),
    EMPTY,
    httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")),
    httpx.Response(200, headers={"content-encoding": "br"}, stream=httpx.ByteStream(b"x")),
]


@pytest.mark.parametrize("kind", ["read", "compute", "delete", "create"])
@pytest.mark.parametrize("error", NOT_SENT, ids=lambda error: type(error).__name__)
def test_what_was_never_sent_is_sent_again_whatever_it_does(kind, error):
    server = Server(error, ok())
    outcome = server.send(calls()[kind])
    assert (outcome.answer is not None, outcome.attempts, outcome.in_doubt) == (True, 2, False)


@pytest.mark.parametrize("kind", ["read", "compute", "delete"])
@pytest.mark.parametrize("trouble", [*LOST, *UNUSABLE], ids=range(10))
def test_what_harms_nobody_twice_is_sent_again_after_a_doubt(kind, trouble):
    outcome = Server(trouble, ok()).send(calls()[kind])
    nothing_is_fine = kind == "delete" and trouble is EMPTY
    assert (outcome.answer is not None, outcome.attempts) == (True, 1 if nothing_is_fine else 2)
    assert outcome.in_doubt is not nothing_is_fine


@pytest.mark.parametrize("trouble", [*LOST, *UNUSABLE], ids=range(10))
def test_a_creation_is_not_sent_again_after_a_doubt(trouble):
    server = Server(trouble, ok())
    outcome = server.send(calls()["create"])
    assert (outcome.answer, outcome.attempts, outcome.in_doubt, outcome.retryable) == (None, 1, True, True)
    assert server.waits == []


def test_a_doubt_is_remembered_through_later_attempts():
    outcome = Server(httpx.ReadError("x"), refused(429), refused(404)).send(calls()["delete"])
    assert (outcome.error.status, outcome.attempts, outcome.in_doubt) == (404, 3, True)


def test_a_server_that_was_never_reached_stops_the_run_after_half_a_minute():
    server = Server(httpx.ConnectError("refused"))

    async def main():
        made = server.client(total_timeout=10)
        outcome = await made.send(call(*LIST), made.prepare(call(*LIST)))
        return outcome, virtual.now()

    outcome, seconds = virtual.run(main())
    assert isinstance(outcome.error, UnavailableError)
    assert isinstance(outcome.error.__cause__, NotSentError)
    assert (outcome.attempts, str(outcome.error)) == (len(server.requests), "GET /files: refused")
    assert 30 <= seconds <= 36
    assert 8 <= len(server.requests) <= 20
    with pytest.raises(UnavailableError):
        outcome.unwrap()


def test_an_answer_that_never_comes_ends_in_an_error_of_the_record():
    outcome = Server(httpx.ReadError("")).send(call(*LIST), policy=Policy(attempts=2))
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert (str(outcome.error), outcome.attempts, outcome.retryable) == ("GET /files: ReadError", 2, True)


def test_a_refusal_is_tried_once():
    server = Server(refused(400, "bad", "wrong purpose", x_request_id="req_1"))
    outcome = server.send(call(*CREATE, payload={}))
    assert isinstance(outcome.error, ApiError)
    assert (outcome.error.code, outcome.error.request_id) == ("bad", "req_1")
    assert (outcome.attempts, outcome.in_doubt, outcome.retryable) == (1, False, False)


@pytest.mark.parametrize(
    ("answered", "kind", "says"),
    [
        (refused(401, "invalid_api_key", "wrong key"), CredentialsError, "answered 401: wrong key"),
        (refused(429, "insufficient_quota", "no credit"), UnavailableError, "answered 429: no credit"),
        (refused(429, None, retry_after="90"), UnavailableError, "asks to wait 90 s"),
    ],
)
def test_a_cause_that_concerns_every_record_stops_the_run_at_once(answered, kind, says):
    server = Server(answered)
    outcome = server.send(call(*LIST))
    assert type(outcome.error) is kind
    assert says in str(outcome.error)
    assert len(server.requests) == 1


def test_the_error_type_says_it_where_there_is_no_code():
    answered = httpx.Response(
        429, json={"error": {"message": "m", "type": "insufficient_quota", "code": None}}
    )
    assert isinstance(Server(answered).send(call(*LIST)).error, UnavailableError)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after_ms": "7500"}, 7.5),
        ({"retry_after": "Tue, 01 Jul 2025 10:00:30 GMT", "date": "Tue, 01 Jul 2025 10:00:00 GMT"}, 30),
    ],
)
def test_the_servers_wish_to_be_left_alone_is_heard(headers, wait):
    server = Server(refused(429, **headers), ok())
    assert server.send(call(*LIST)).attempts == 2
    assert server.waits == [wait]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(status):
    server = Server(httpx.Response(status, headers={"location": "http://evil.test/v1/files"}))
    outcome = server.send(call(*LIST))
    assert [str(url) for _, url, _, _ in server.requests] == [f"{BASE}/files"]
    assert "a redirect to 'evil.test', which is never followed; check base_uri" in str(outcome.error)


def test_an_error_inside_a_200_is_a_refusal():
    outcome = Server(ok({"error": {"message": "no", "code": "c"}})).send(call(*COMPUTE, payload={}))
    assert (outcome.error.code, outcome.attempts) == ("c", 1)


def test_a_request_that_the_transport_refuses_is_the_records_own():
    outcome = Server(httpx.LocalProtocolError("not sent: a header value has a line end")).send(call(*LIST))
    assert isinstance(outcome.error, RequestError)
    assert (outcome.retryable, outcome.in_doubt) == (False, False)


def test_an_answer_that_is_too_large_is_given_up(monkeypatch):
    monkeypatch.setattr(receiving, "LARGEST_BODY", 10)
    outcome = Server(ok({"text": "longer than ten"})).send(call(*CREATE, payload={}))
    assert "the answer is larger than 10 bytes" in str(outcome.error)


# Tokens that change, and secrets that come back


def file_credential(tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token)
    return file, bearer("", token_file=file)


def test_a_refused_token_is_read_again_once(tmp_path):
    file, credential = file_credential(tmp_path, "old-token")

    def rotate(request):
        file.write_text("new-token")
        return refused(401)

    server = Server(rotate, ok())
    outcome = server.send(call(*LIST), credential=credential)
    assert outcome.answer is not None
    assert [headers["authorization"] for _, _, headers, _ in server.requests] == [
        "Bearer old-token",
        "Bearer new-token",
    ]
    assert server.waits == []


def test_a_token_that_changes_for_ever_is_refused_for_good(tmp_path):
    file, credential = file_credential(tmp_path, "token-0")

    def rotate(request):
        file.write_text(request.headers["authorization"].removeprefix("Bearer ") + "0")
        return refused(401)

    server = Server(rotate)
    outcome = server.send(call(*LIST), credential=credential)
    assert isinstance(outcome.error, CredentialsError)
    assert len(server.requests) == 2


def test_a_token_that_stays_is_not_tried_again(tmp_path):
    _, credential = file_credential(tmp_path, "old-token")
    server = Server(refused(401))
    assert isinstance(server.send(call(*LIST), credential=credential).error, CredentialsError)
    assert len(server.requests) == 1


def test_a_token_file_that_vanished_is_an_outcome(tmp_path):
    file, credential = file_credential(tmp_path, "old-token")
    server = Server(lambda _: (file.unlink(), refused(401))[1])
    outcome = server.send(call(*LIST), credential=credential)
    assert "cannot read the token file" in str(outcome.error)


def test_requests_under_way_share_the_new_token(tmp_path):
    file, credential = file_credential(tmp_path, "old-token")
    reads = []
    read = Credential._read_file

    class Counting(Credential):
        @staticmethod
        def _read_file(path):
            reads.append(path)
            return read(path)

    credential = Counting("Authorization", "Bearer ", token_file=file)

    def check(request):
        if request.headers["authorization"] == "Bearer new-token":
            return ok()
        if not server.events:
            file.write_text("new-token")
            server.events.append("rotated")
        return refused(401)

    server = Server(check)
    made = server.client(credential=credential)

    async def main():
        requests = [made.prepare(call(*LIST)) for _ in range(8)]
        return await asyncio.gather(*(made.send(call(*LIST), request) for request in requests))

    outcomes = asyncio.run(main())
    assert all(outcome.answer is not None for outcome in outcomes)
    assert len(reads) == 2


def test_an_administrators_token_is_read_again_too(tmp_path):
    file, credential = file_credential(tmp_path, "old-admin")

    def rotate(request):
        file.write_text("new-admin")
        return refused(401)

    server = Server(rotate, ok({"data": []}))
    server.send(call("organization.users", "read"), admin_credential=credential)
    assert server.requests[1][2]["authorization"] == "Bearer new-admin"


def test_a_secret_that_the_server_echoes_is_blanked():
    body = {
        "error": {"message": f"bad key {TOKEN}", "code": TOKEN, "param": TOKEN, "type": TOKEN},
        "seen": [TOKEN, 1],
    }
    error = Server(httpx.Response(400, json=body)).send(call(*LIST)).error
    assert str(error) == "GET /files: the server answered 400: bad key ****"
    assert TOKEN not in repr((error.args, error.code, error.type, error.param, error.body))
    assert error.body["seen"] == ["****", 1]


@pytest.mark.parametrize(
    "trouble",
    [httpx.Response(200, html=f"<p>{TOKEN}</p>"), httpx.ReadError(f"{TOKEN} lost"), refused(401, "x", TOKEN)],
)
def test_a_secret_is_blanked_wherever_it_comes_back(trouble):
    server = Server(trouble)
    outcome = server.send(call(*LIST), policy=Policy(attempts=2))
    assert TOKEN not in repr((outcome, outcome.error.__cause__, server.events))
    assert "****" in str(outcome.error)


# Time


def test_the_total_bounds_the_waits_between_attempts():
    policy = Policy(max_wait=100)
    outcome = Server(refused(503, retry_after="90")).send(
        call(*CREATE, payload={}), policy=policy, total_timeout=60
    )
    assert (outcome.error.status, outcome.attempts, outcome.in_doubt, outcome.retryable) == (
        503,
        1,
        False,
        True,
    )


def test_a_doubt_outlives_the_total():
    server = Server(httpx.ReadError("x"), refused(429, retry_after="50"))
    outcome = server.send(calls()["delete"], total_timeout=40)
    assert (outcome.error.status, outcome.attempts, outcome.in_doubt) == (429, 2, True)


def test_somebody_elses_timeout_is_not_taken_for_ours():
    with pytest.raises(TimeoutError, match="not ours"):
        Server(TimeoutError("not ours")).send(call(*LIST))


def test_a_cancelled_request_is_cancelled():
    async def main():
        made = Client(options(), httpx.MockTransport(lambda _: asyncio.Event().wait()))
        task = asyncio.create_task(made.call(call(*LIST)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


# With other people's tools, and over a real socket


def test_a_respx_router_may_stand_in_for_the_network():
    router = respx.Router()
    route = router.get("http://api.test/v1/files", params={"limit": "2"}).respond(json={"data": []})
    made = Client(options(), httpx.MockTransport(router.async_handler))
    assert asyncio.run(made.call(call(*LIST, query={"limit": 2}))).value == {"data": []}
    assert route.called


def over_socket(one, *scripts, **given):
    async def main():
        async with FaultServer(*scripts) as server:
            given.setdefault("policy", Policy(max_wait=0, outage=0))
            settings = options(base_uri=server.url("/v1"), **given)
            made = Client(settings, Transport(), schema=CATALOGUE.schema)
            try:
                return await made.send(one, made.prepare(one, key="k")), server
            finally:
                await made.aclose()

    return asyncio.run(main())


JSON_TYPE = "Content-Type: application/json"


def test_a_request_reaches_a_server_and_its_answer_comes_back():
    outcome, server = over_socket(call(*COMPUTE, payload={"input": "x"}), replies(chunked(b'{"a"', b": 1}")))
    assert outcome.unwrap().value == {"a": 1}
    head, _, body = bytes(server.received[0]).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/moderations HTTP/1.1\r\n")
    assert json.loads(body) == {"input": "x"}


def test_a_form_is_whole_on_every_attempt():
    busy = answer(b"{}", status="503 Busy", headers=JSON_TYPE)
    payload = {"purpose": "batch", "file": {"content": "x" * 600_000, "filename": "rows.jsonl"}}
    outcome, server = over_socket(call(*UPLOAD, payload=payload), replies(busy, busy, answer(b'{"id": "f"}')))
    assert (outcome.unwrap().value, outcome.attempts) == ({"id": "f"}, 3)
    assert server.count(b'filename="rows.jsonl"') == 3
    assert server.count(b"x" * 600_000) == 3


async def drip(peer):
    await peer.request()
    await peer.drip(answer(b" " * 100_000 + b"{}"), every=0.01)


async def lose(peer):
    await peer.request()
    peer.reset()


async def cut(peer):
    await peer.request()
    await peer.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id":')
    peer.close()


async def silence(peer):
    await peer.request()
    await peer.silence()


@pytest.mark.parametrize("script", [drip, silence])
def test_the_total_bounds_an_answer_that_drips_or_never_comes(script):
    outcome, _ = over_socket(call(*LIST), script, total_timeout=0.2)
    assert str(outcome.error) == "GET /files: no whole answer within timeout.total (0.2 s)"
    assert (outcome.in_doubt, outcome.retryable) == (True, True)


@pytest.mark.parametrize("script", [lose, cut])
def test_a_connection_that_breaks_leaves_a_doubt(script):
    outcome, server = over_socket(calls()["create"], script, replies(answer()))
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert (outcome.attempts, outcome.in_doubt, len(server.received)) == (1, True, 1)
    outcome, server = over_socket(calls()["delete"], script, replies(answer()))
    assert (outcome.answer is not None, outcome.attempts, outcome.in_doubt) == (True, 2, True)


@pytest.mark.parametrize("bad", [html(), answer(b"", headers=JSON_TYPE), answer(b'{"a', headers=JSON_TYPE)])
def test_an_unusable_page_is_asked_for_again(bad):
    outcome, _ = over_socket(call(*LIST), replies(bad, answer(b'{"data": []}')))
    assert (outcome.unwrap().value, outcome.attempts) == ({"data": []}, 2)


def test_a_gzip_bomb_is_given_up(monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_BODY", 1_000_000)
    outcome, _ = over_socket(calls()["create"], replies(gzip_bomb(5_000_000)))
    assert "unpacks to more than 1000000 bytes" in str(outcome.error)


def test_a_server_that_is_away_is_never_reached():
    async def main():
        async with FaultServer(silence) as server:
            base = server.url("/v1")
        async with Transport() as transport:
            made = Client(options(base_uri=base, policy=Policy(max_wait=0, outage=0)), transport)
            return await made.send(calls()["create"], made.prepare(calls()["create"]))

    outcome = asyncio.run(main())
    assert isinstance(outcome.error, UnavailableError)
    assert (outcome.attempts, outcome.in_doubt) == (4, False)


def test_plain_text_where_tls_is_spoken_gets_no_request():
    async def speak_plainly(peer):
        await peer.send(html())
        await peer.rest()

    async def main():
        async with FaultServer(speak_plainly) as server, Transport() as transport:
            base = server.url("/v1").replace("http:", "https:")
            made = Client(options(base_uri=base, policy=Policy(attempts=1, outage=0)), transport)
            return await made.send(call(*LIST), made.prepare(call(*LIST))), server

    outcome, server = asyncio.run(main())
    assert isinstance(outcome.error, SetupError)
    assert TOKEN.encode() not in server.received[0]
