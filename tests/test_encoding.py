from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import RequestError
from connectory.requests.encoding import NamedFile, encode_query, expand_path, split_multipart

CASES = Path(__file__).parent / "cases"
PATHS = json.loads((CASES / "paths.json").read_text())
QUERIES = json.loads((CASES / "queries.json").read_text())
PARAMETERS = {"tags": SimpleNamespace(style="form"), "project_ids": SimpleNamespace(style="brackets")}
BINARY = {"type": "string", "format": "binary"}
FORM = {
    "$ref": "#/$defs/Form",
    "$defs": {
        "Form": {
            "allOf": [
                {"properties": {"file": BINARY, "purpose": {"type": "string"}}},
                {
                    "properties": {
                        "image": {"anyOf": [BINARY, {"type": "array", "items": {"$ref": "#/$defs/Blob"}}]},
                        "video": {"anyOf": [BINARY, {"$ref": "#/$defs/Reference"}]},
                        "blob": {"type": "string", "contentEncoding": "binary"},
                        "session": {"allOf": [{"type": "object"}], "contentMediaType": "application/json"},
                        "sdp": {"type": "string", "contentMediaType": "application/sdp"},
                    }
                },
            ]
        },
        "Blob": BINARY,
        "Reference": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
}


@pytest.mark.parametrize("case", PATHS["expanded"])
def test_a_path_is_filled_and_its_values_cannot_leave_their_segment(case):
    assert expand_path(case["template"], case["values"]) == case["path"]


@pytest.mark.parametrize("case", PATHS["refused"])
def test_a_path_value_that_would_mean_another_path_is_refused(case):
    with pytest.raises(RequestError) as caught:
        expand_path("/files/{file_id}", case["values"])
    assert case["says"] in str(caught.value)


def test_a_path_without_parameters_takes_none():
    with pytest.raises(RequestError, match=r"path '/files' has no parameter 'id' \(it takes none\)"):
        expand_path("/files", {"id": "x"})


@given(st.text())
def test_whatever_the_value_the_path_keeps_its_segments(value):
    try:
        path = expand_path("/files/{file_id}/content", {"file_id": value})
    except RequestError:
        return
    first, second, third, fourth = path.split("/")
    assert (first, second, fourth) == ("", "files", "content")
    assert third not in {"", ".", ".."}
    assert not set(third) & set("?#\\ ")
    assert path.isascii()


@pytest.mark.parametrize("case", QUERIES["encoded"])
def test_a_query_is_written_as_the_api_wants_it(case):
    assert encode_query(case["query"], PARAMETERS, case.get("fixed", {})) == case["text"]


def test_a_query_cannot_contradict_the_fixed_one():
    with pytest.raises(RequestError, match="'beta' is always 'true' here; take False out"):
        encode_query({"beta": False}, {}, {"beta": "true"})


@pytest.mark.parametrize(
    ("value", "says"), [(math.nan, r"a number \(nan\)"), (b"x", "a bytes"), ({1, 2}, "a set")]
)
def test_a_value_without_a_place_in_a_query_is_refused(value, says):
    with pytest.raises(RequestError, match=f"parameter 'q' cannot be {says}"):
        encode_query({"q": value}, {}, {})


def test_a_lone_surrogate_in_a_query_is_a_record_error():
    with pytest.raises(RequestError, match="half a character"):
        encode_query({"q": "\ud800"}, {}, {})


def test_the_schema_says_which_fields_are_files():
    fields, files = split_multipart({"file": "a,b\n", "purpose": "batch"}, FORM)
    assert fields == [("purpose", "batch")]
    assert files == [("file", "file.txt", b"a,b\n", "text/plain")]


def test_a_file_may_be_a_path():
    _, files = split_multipart({"file": {"path": "in/rows.csv"}}, FORM)
    assert files == [("file", "rows.csv", NamedFile("in/rows.csv"), "text/csv")]
    _, files = split_multipart({"file": {"path": Path("in/rows.csv"), "filename": "b.csv"}}, FORM)
    assert files == [("file", "b.csv", Path("in/rows.csv"), "text/csv")]
    _, files = split_multipart({"file": Path("in/a.png")}, FORM)
    assert files == [("file", "a.png", Path("in/a.png"), "image/png")]


def test_a_file_may_be_text_with_a_name_and_a_type():
    value = {"content": "{}", "filename": "a.jsonl", "content_type": "application/jsonl"}
    assert split_multipart({"file": value}, FORM)[1] == [("file", "a.jsonl", b"{}", "application/jsonl")]


def test_a_file_may_be_empty_text():
    assert split_multipart({"file": {"content": ""}}, FORM)[1] == [("file", "file.txt", b"", "text/plain")]


def test_a_file_may_be_base64_or_bytes():
    _, files = split_multipart({"file": {"base64": "AAE=", "filename": "a.bin"}, "blob": b"\x02"}, FORM)
    assert files == [
        ("file", "a.bin", b"\x00\x01", "application/octet-stream"),
        ("blob", "blob", b"\x02", "application/octet-stream"),
    ]


def test_many_files_are_sent_with_brackets():
    _, files = split_multipart({"image": [{"content": "a"}, {"content": "b", "filename": "b.png"}]}, FORM)
    assert [(name, filename) for name, filename, _, _ in files] == [
        ("image[]", "image.txt"),
        ("image[]", "b.png"),
    ]


def test_an_object_that_the_schema_allows_beside_a_file_is_fields():
    fields, files = split_multipart({"video": {"id": "video_1"}}, FORM)
    assert (fields, files) == ([("video[id]", "video_1")], [])
    assert split_multipart({"video": {"content": "x"}}, FORM)[1][0][0] == "video"


def test_a_part_with_a_content_type_of_its_own_keeps_it():
    fields, files = split_multipart({"session": {"type": "realtime"}, "sdp": "v=0"}, FORM)
    assert fields == []
    assert files == [
        ("session", None, b'{"type":"realtime"}', "application/json"),
        ("sdp", None, b"v=0", "application/sdp"),
    ]


def test_form_fields_are_written_like_a_query():
    payload = {
        "expires_after": {"anchor": "created_at", "seconds": 1},
        "include": ["a"],
        "keep": True,
        "no": None,
    }
    assert split_multipart(payload, FORM)[0] == [
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "1"),
        ("include[]", "a"),
        ("keep", "true"),
    ]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "file 'file' must be text or an object with one of path, content, base64, not a number (5)"),
        ({}, "file 'file' needs one of path, content, base64; it has only nothing"),
        ({"filename": "a"}, "it has only 'filename'"),
        ({"path": "a", "content": "b"}, "it has both path and content"),
        ({"path": "a", "file_name": "b"}, "unknown key 'file_name'; did you mean 'filename'?"),
        ({"path": ""}, "'path' of file 'file' is empty"),
        ({"path": 1}, "'path' of file 'file' must be text, not a number (1)"),
        ({"base64": "%%"}, "file 'file' is not base64"),
        ({"content": "x", "filename": 'a\r\nb"'}, "filename of file 'file' has a control character"),
        ({"content": "\ud800"}, "half a character"),
    ],
)
def test_a_file_that_cannot_be_made_is_a_record_error(value, says):
    with pytest.raises(RequestError) as caught:
        split_multipart({"file": value}, FORM)
    assert says in str(caught.value)
