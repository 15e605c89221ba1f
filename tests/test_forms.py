from __future__ import annotations

import asyncio
from email import message_from_bytes

import pytest

from connectory.catalogue import Body
from connectory.errors import RequestError
from connectory.files.sent import locate
from connectory.requests.bodies import compose
from connectory.requests.forms import Form

JSON, FORM = "application/json", "multipart/form-data"
SCHEMA = {
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "image": {"type": "array", "items": {"format": "binary"}},
    }
}
TAKES_BOTH = Body(required=True, content={JSON: {}, FORM: SCHEMA})
TAKES_FORMS = Body(required=True, content={FORM: SCHEMA})


def content(form):
    async def main():
        return b"".join([piece async for piece in form])

    return asyncio.run(main())


def parts(form):
    parsed = message_from_bytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + content(form))
    return [
        (
            one.get_param("name", header="content-disposition"),
            one.get_filename(),
            one.get_payload(decode=True),
        )
        for one in parsed.get_payload()
    ]


@pytest.fixture
def file(tmp_path):
    (tmp_path / "rows.csv").write_bytes(bytes(range(256)) * 2000)
    return locate(tmp_path / "rows.csv", None)


def test_a_form_has_the_length_that_it_says_and_the_same_bytes_each_time(file):
    form = Form([("purpose", None, b"batch", None), ("file", "rows.csv", file, "text/csv")])
    assert len(content(form)) == form.length
    assert content(form) == content(form)
    assert parts(form) == [("purpose", None, b"batch"), ("file", "rows.csv", bytes(range(256)) * 2000)]
    assert b"Content-Type: text/csv\r\n\r\n\x00\x01" in content(form)


def test_a_form_without_files_on_disk_is_there_at_once(file):
    assert content(plain := Form([("a", "a.txt", b"1", "text/plain")])) == plain.whole
    assert Form([("a", "a.txt", file, "text/plain")]).whole is None


@pytest.mark.parametrize("name", ['a"b.txt', "a\\b", "é日.txt", "a;b=c", "100%.txt"])
def test_a_file_name_cannot_leave_its_quotes(name):
    form = Form([("file", name, b"x", "text/plain"), ("next", None, b"y", None)])
    assert [(field, text) for field, _, text in parts(form)] == [("file", b"x"), ("next", b"y")]


@pytest.mark.parametrize("name", ['x"; filename="y', "a\r\nContent-Type: text/html\r\n\r\n", "a\nb"])
def test_a_field_name_cannot_add_a_header(name):
    head = content(Form([(name, None, b"v", None)])).partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == 1
    assert head.count(b'"') == 2


def test_the_identity_is_that_of_the_content_and_not_of_the_boundary(file):
    def made(*parts):
        return Form(parts).identity

    one = ("file", "a", b"1", "t")
    assert made(one) == made(one)
    different = {made(one), made(("file", "b", b"1", "t")), made(("file", "a", b"2", "t")), made(one, one)}
    different |= {made(("file", "a", file, "t")), made(("file", "a", file.part(0, 5), "t"))}
    assert len(different) == 6


def test_files_are_shown_by_name_and_size(file):
    form = Form(
        [
            ("purpose", None, b"batch", None),
            ("file", "rows.csv", file, "text/csv"),
            ("image[]", "a.png", b"12", "image/png"),
            ("image[]", "b.png", b"345", "image/png"),
        ]
    )
    assert form.shown == {
        "file": "<file rows.csv, 512000 bytes>",
        "image": ["<file a.png, 2 bytes>", "<file b.png, 3 bytes>"],
    }


def composed(body, payload, **options):
    return compose("POST /x", body, payload, schema=lambda schema: schema, **options)


def test_a_payload_becomes_what_the_entity_takes(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert composed(TAKES_BOTH, {"a": 1}) == (JSON, b'{"a":1}')
    kind, form = composed(TAKES_BOTH, {"file": {"path": "a"}, "n": 1}, files_root=tmp_path)
    assert kind.startswith(FORM)
    assert parts(form) == [("n", None, b"1"), ("file", "a", b"abc")]
    assert composed(Body(required=False, content={JSON: {}}), None) is None


@pytest.mark.parametrize(
    ("body", "payload", "says"),
    [
        (TAKES_FORMS, None, "needs a payload"),
        (None, {}, "takes no payload"),
        (TAKES_FORMS, [], "must be an object"),
        (Body(required=True, content={JSON: {}}), {"a": {1}}, "the payload is"),
        (TAKES_FORMS, {"a": {1}}, "cannot be a set"),
        (TAKES_FORMS, {"a": "\ud800"}, "half a character"),
        (TAKES_FORMS, {"file": {"path": "a"}}, "set `files_root`"),
    ],
)
def test_a_payload_that_is_none_is_an_error_of_the_record(body, payload, says):
    with pytest.raises(RequestError, match=says):
        composed(body, payload)
