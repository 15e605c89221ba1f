from __future__ import annotations

import base64
import gzip
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.answers import meaning as answers
from connectory.answers import unpacking
from connectory.answers.meaning import WORTH_KEEPING, Expected, interpret, is_key_reused, meant_status
from connectory.errors import ApiError, OutcomeUnknownError, TooLargeError
from connectory.text.redaction import Redactor

JSON = {"content-type": "application/json"}


def meaning(body=b"", *, status=200, kind="json", empty=False, **headers):
    fields = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return interpret(Expected("GET /files", kind, empty=empty), status, fields, body)


def refusal(body=b"", status=400, **headers):
    with pytest.raises(ApiError) as caught:
        meaning(body, status=status, **{"content_type": "application/json", **headers})
    return caught.value


def doubt(body=b"", **options):
    with pytest.raises(OutcomeUnknownError) as caught:
        meaning(body, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/problem+json"],
)
def test_json_is_parsed(content_type):
    assert meaning(b'{"a": 1}', content_type=content_type).value == {"a": 1}


@pytest.mark.parametrize("headers", [{}, {"content_type": "text/html"}])
def test_json_that_is_not_called_so_is_parsed_where_json_is_due(headers):
    assert meaning(b'{"a": 1}', **headers).value == {"a": 1}


def test_a_transcript_as_text_is_an_answer():
    answer = meaning(b"1\n00:00 Hello", content_type="text/plain; charset=utf-8")
    assert answer.value == {"content_type": "text/plain", "text": "1\n00:00 Hello"}


def test_text_is_no_answer_where_nothing_but_json_can_be_meant():
    strict = Expected("GET /files", strict=True)
    text = httpx.Headers({"content-type": "text/plain"})
    assert interpret(strict, 200, text, b'{"a": 1}').value == {"a": 1}
    with pytest.raises(OutcomeUnknownError, match="200 with text/plain that is not JSON"):
        interpret(strict, 200, text, b"upstream is away")


LARGE = b'{"data": "%b"}' % (b"x" * WORTH_KEEPING)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (LARGE, True),
        (b" " + LARGE + b" ", True),
        (b'{"data": "x"}', False),  # it is as cheap to write it again
        (LARGE.replace(b": ", b":\n"), False),
        (LARGE.replace(b": ", b":\r"), False),
        (b"\xef\xbb\xbf" + LARGE, False),
        (LARGE.replace(b"xx", b"sk-secret-token-1", 1), False),
    ],
    ids=["large", "spaces", "small", "lines", "returns", "mark", "secret"],
)
def test_a_large_answer_in_one_line_keeps_its_text(body, kept):
    redactor = Redactor()
    redactor.add("sk-secret-token-1")
    answer = interpret(
        Expected("GET /files", redactor=redactor), 200, {"content-type": "application/json"}, body
    )
    assert answer.text == (body if kept else None)
    assert "sk-secret" not in str(answer.value)


def test_the_text_of_what_is_no_json_is_not_kept():
    body = LARGE.replace(b'"', b"'")
    answer = interpret(Expected("GET /files"), 200, {"content-type": "text/plain"}, body)
    assert (answer.value["content_type"], answer.text) == ("text/plain", None)


def test_an_answer_knows_its_request_id():
    assert meaning(b"{}", **JSON, x_request_id="req_1").request_id == "req_1"
    assert meaning(b"{}", **JSON, apim_request_id="azure_1").request_id == "azure_1"
    assert meaning(b"{}", **JSON).request_id is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/html", b"<html>Welcome to the hotel</html>"), ("", b"<html>"), ("application/json", b'{"a": ')],
)
def test_what_is_not_json_where_json_is_due_leaves_a_doubt_and_is_quoted(content_type, body):
    said = doubt(body, content_type=content_type)
    assert said.startswith("GET /files: the server answered 200 with")
    assert repr(body.decode()) in said


def test_a_long_unusable_answer_is_quoted_in_part():
    assert len(doubt(b"<" * 100_000, content_type="text/html")) < 500


def test_an_empty_answer_where_json_is_due_leaves_a_doubt():
    assert doubt(b"", **JSON) == "GET /files: the server answered 200 with an empty body"


@pytest.mark.parametrize("options", [{"status": 204}, {"empty": True}, {"kind": "empty"}, {"kind": "binary"}])
def test_an_empty_answer_is_fine_where_nothing_is_due(options):
    assert meaning(b"", **options).value is None


def test_an_entity_that_answers_nothing_may_answer_anything():
    assert meaning(b'{"deleted": true}', kind="empty", **JSON).value == {"deleted": True}
    assert meaning(b"OK", kind="empty", content_type="text/html").value["text"] == "OK"


@pytest.mark.parametrize("body", [b'{"a": 1.0}', b'{"error": {"code": "x"}}', b"not json at all"])
def test_a_file_keeps_its_bytes_even_where_they_are_called_json(body):
    value = meaning(body, kind="binary", content_type="application/json").value
    assert value == {"content_type": "application/json", "text": body.decode()}


def test_a_file_of_json_lines_is_text():
    value = meaning(b"{}\n{}\n", kind="binary", content_type="application/x-ndjson").value
    assert value == {"content_type": "application/x-ndjson", "text": "{}\n{}\n"}


@pytest.mark.parametrize("content_type", ["audio/mpeg", "text/plain", ""])
def test_bytes_that_are_no_text_are_base64(content_type):
    value = meaning(b"\xff\x00", kind="binary", content_type=content_type).value
    assert value == {
        "content_type": content_type or "application/octet-stream",
        "base64": base64.b64encode(b"\xff\x00").decode(),
    }


ERROR = {"message": "no such file", "type": "invalid_request_error", "param": "file_id", "code": "not_found"}


@pytest.mark.parametrize("body", [{"error": ERROR}, ERROR, {"error": ERROR, "request_id": "req_1"}])
def test_the_apis_error_is_read_wrapped_or_bare(body):
    error = refusal(json.dumps(body).encode(), 404, x_request_id="req_9")
    assert str(error) == "GET /files: the server answered 404: no such file"
    assert (error.status, error.code, error.type, error.param) == (
        404,
        "not_found",
        "invalid_request_error",
        "file_id",
    )
    assert (error.request_id, error.body) == ("req_9", body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"error": "model is loading"}', "model is loading"),
        (b'{"object": "error", "message": "too long", "code": 400}', "too long"),
        (b'{"detail": "Not Found"}', """application/json: '{"detail": "Not Found"}'"""),
        (b'[{"error": {"message": "x"}}]', """application/json: '[{"error": {"message": "x"}}]'"""),
        (b'{"error": {"message": ""}}', """application/json: '{"error": {"message": ""}}'"""),
        (
            b'{"error": {"message": 7, "code": 7}}',
            """application/json: '{"error": {"message": 7, "code": 7}}'""",
        ),
        (b'{"error": null}', """application/json: '{"error": null}'"""),
        (b"null", "application/json: 'null'"),
        (b"oops", "application/json: 'oops'"),
        (b"", "an empty body"),
    ],
)
def test_a_refusal_says_what_the_server_said(body, says):
    assert str(refusal(body, 400)) == f"GET /files: the server answered 400: {says}"


def test_a_code_that_is_a_number_is_text():
    assert refusal(b'{"error": {"message": "m", "code": 429}}', 429).code == "429"


def test_a_page_of_a_proxy_is_quoted():
    error = refusal(b"<html>Bad Gateway</html>", 502, content_type="text/html")
    assert str(error) == "GET /files: the server answered 502: text/html: '<html>Bad Gateway</html>'"
    assert error.body == "<html>Bad Gateway</html>"


def test_an_endless_explanation_is_cut():
    body = json.dumps({"error": {"message": "x" * 1_000_000}}).encode()
    assert len(str(refusal(body, 400))) < 2100


def test_an_error_in_a_200_is_a_refusal():
    error = refusal(b'{"error": {"message": "no", "code": "c"}}', 200)
    assert (error.status, error.code) == (200, "c")


@pytest.mark.parametrize(
    "body", [{"error": None}, {"id": "resp_1", "error": {"message": "m"}}, {"errors": []}]
)
def test_an_entity_may_have_an_error_among_its_fields(body):
    assert meaning(json.dumps(body).encode(), **JSON).value == body


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": 502}, "user_id": "u"},
        {"object": "error", "error": {"message": "no"}, "data": []},
        {"error": "no", "choices": None},
    ],
)
def test_what_stands_beside_an_error_without_being_an_answer_does_not_hide_it(body):
    assert str(refusal(json.dumps(body).encode(), 200)).endswith(": the server answered 200: no")


@pytest.mark.parametrize(
    ("status", "code", "meant"),
    [(200, "429", 429), (200, "rate_limit_exceeded", 429), (200, "x", 200), (400, "429", 400)],
)
def test_an_error_in_an_accepted_answer_says_which_status_it_means(status, code, meant):
    assert meant_status(ApiError("no", status=status, code=code)) == meant


@pytest.mark.parametrize(
    ("status", "message", "reused"),
    [
        (422, "Idempotency key was used with another body", True),
        (422, "no such field", False),
        (409, "Idempotency", False),
    ],
)
def test_a_key_that_was_used_with_another_body_is_known(status, message, reused):
    assert is_key_reused(ApiError(message, status=status)) is reused


@pytest.mark.parametrize(
    ("location", "says"),
    [
        (
            "https://user:secret@evil.example/v1?key=secret",
            "a redirect to 'evil.example', which is never followed",
        ),
        ("/v2/files?key=secret", "a redirect, which is never followed"),
        ("http://[broken", "a redirect, which is never followed"),
    ],
)
def test_a_redirect_is_said_and_its_host_named(location, says):
    error = refusal(b"", 307, location=location)
    assert says in str(error)
    assert "check base_uri" in str(error)
    assert "secret" not in str(error)


def zipped(*pieces):
    return b"".join(gzip.compress(piece, mtime=0) for piece in pieces)


@pytest.mark.parametrize("name", ["gzip", "x-gzip", " GZIP "])
def test_gzip_is_unpacked(name):
    assert meaning(zipped(b'{"a": 1}'), **JSON, content_encoding=name).value == {"a": 1}


def test_gzip_may_come_in_several_pieces():
    assert meaning(zipped(b'{"a"', b": 1}"), **JSON, content_encoding="gzip").value == {"a": 1}


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (zipped(b'{"a": 1}')[:-9], "gzip", "gzip ends too early"),
        (zipped(b'{"a": 1}')[:-1], "gzip", "gzip ends too early"),
        (b'{"a": 1}', "gzip", "broken gzip"),
        (zipped(b"{}") + b"rubbish", "gzip", "broken gzip"),
        (b"x", "br", "encoded as 'br', which was not asked for"),
        (zipped(zipped(b"{}")), "gzip, gzip", "encoded as 'gzip, gzip', which was not asked for"),
    ],
)
def test_an_encoding_that_cannot_be_undone_leaves_a_doubt(body, encoding, says):
    assert says in doubt(body, **JSON, content_encoding=encoding)


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_refusal_keeps_its_status_when_its_explanation_cannot_be_unpacked(encoding):
    error = refusal(b"x", 429, content_encoding=encoding, retry_after="3")
    assert (error.status, error.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize(
    "body", [zipped(bytes(200_000)), zipped(*[bytes(600)] * 2), zipped(bytes(1000), b"1")]
)
def test_a_gzip_bomb_is_given_up_at_the_limit(body, monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_BODY", 1000)
    with pytest.raises(TooLargeError, match="GET /files: the answer unpacks to more than 1000 bytes"):
        meaning(body, **JSON, content_encoding="gzip")


def test_what_unpacks_to_absurdly_much_is_given_up_long_before_the_limit(monkeypatch):
    monkeypatch.setattr(unpacking, "HARMLESS", 100_000)
    body = b"[" + b'"a text that comes again",' * 8000 + b"0]"
    assert len(body) > 100_000
    assert (
        len(
            meaning(
                zipped(*[body[start : start + 5000] for start in range(0, len(body), 5000)]),
                **JSON,
                content_encoding="gzip",
            ).value
        )
        == 8001
    )
    with pytest.raises(TooLargeError, match="unpacks to more than 200 times its size"):
        meaning(zipped(bytes(1_000_000)), **JSON, content_encoding="gzip")


def test_an_answer_of_just_the_limit_is_fine(monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_BODY", 1000)
    body = zipped(b'"' + b"x" * 998 + b'"')
    assert meaning(body, **JSON, content_encoding="gzip").value == "x" * 998


@given(
    st.integers(100, 599),
    st.binary(max_size=60),
    st.sampled_from(["", "gzip", "br"]),
    st.sampled_from(["", "application/json", "text/plain"]),
    st.sampled_from(["json", "binary", "text", "empty", "sse"]),
)
def test_whatever_comes_is_an_answer_a_refusal_or_a_doubt(status, body, encoding, content_type, kind):
    try:
        answer = meaning(body, status=status, kind=kind, content_encoding=encoding, content_type=content_type)
    except (ApiError, OutcomeUnknownError):
        return
    assert 200 <= answer.status < 300
