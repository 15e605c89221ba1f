"""Any record, any line, any template: it becomes requests, or it is an error of that record."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from connected import Server, connected
from fuzzing import RECORDS, TEXTS, VALUES, examples, nested
from hypothesis import example, given
from hypothesis import strategies as st

from connectory.delivery.results import dead_letter
from connectory.errors import ConfigError, InputError, RecordError, RunStoppedError
from connectory.expressions import Expression
from connectory.formats.lines import LineSplitter, item_of
from connectory.interfaces import Item
from connectory.placeholders import compile_template
from connectory.record import Failure, Result
from connectory.text.json import DEEPEST, dumps, loads_unique

OUTGOINGS: dict[str, Any] = {
    "moderate": {
        "entity": "moderations",
        "payload": {"model": "m", "input": "&{text}"},
        "result": {"id": "?{input.id}"},
    },
    "whole": {"entity": "embeddings", "payload": "&{@}"},
    "alumio": {"entity": "file", "action": "delete"},
    "delete": {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}, "query": {"a": "&{data}"}},
    "form": {
        "entity": "files",
        "payload": {"purpose": "batch", "file": {"content": "&{text}", "filename": "&{id}.txt"}},
    },
    "record": {"entity": "files"},
    "chat": {
        "entity": "chat.completions",
        "payload": {"model": "m", "messages": [{"role": "user", "content": "say ?{text} &{to_string(@)}"}]},
        "stream": "aggregate",
        "identifier": ["id", "code"],
    },
    "chain": {
        "request": {"method": "POST", "path": "/things"},
        "transformers": [
            {"compact": {}},
            {"parse_json": ["text", "data"]},
            {"rename": {"data": "list.inner"}},
            {"remove": ["secret"]},
            {"split": "list"},
            {"set": {"copy": "&{@}", "at": "?{date(next, '%Y')}"}},
        ],
        "payload": "&{@}",
    },
    "conditions": {
        "request": {"method": "POST", "path": "/things"},
        "transformers": [
            {"keep_if": "id > text"},
            {"map": "{a: id, b: sort_by(list, &id), c: data[?code == `1`] | [0]}"},
        ],
        "payload": "&{@}",
    },
    "address": {"request": {"methods": ["POST", "DELETE"]}, "payload": {"a": 1}},
}


@pytest.fixture(scope="module")
def publishers():
    made = connected(Server(), outgoing=OUTGOINGS)
    return {name: made.publisher(name) for name in OUTGOINGS}


def prepared(publisher: Any, item: Item) -> None:
    """Take an item as far as its requests, and what failed as far as its dead letter."""
    publication = publisher.publication
    for part in publication.parts(item, 0, "run"):
        error: RecordError | None = part.error
        if part.record is not None:
            try:
                call = publication.call(part)
                request = publisher.client.prepare(call, key=part.delivery.key)
                assert isinstance(request, httpx.Request)
                assert request.url.host == "api.test"
                assert request.url.raw_path.startswith(b"/v1/")
                publication.shape(part, call, {"id": 1, "results": []}, http={"status": 200, "headers": {}})
            except RecordError as failed:
                error = failed
        if error is not None:
            result = Result(
                part.index, part.id, "error", error=Failure(error.kind, str(error)), record=item.record
            )
            line = dumps(dead_letter("out", part, result))
            assert b"\n" not in line
            assert json.loads(line)["error"]["message"] == str(error)


@pytest.mark.parametrize("name", OUTGOINGS)
@examples(60)
@given(record=RECORDS)
def test_any_record_becomes_requests_or_an_error(publishers, name, record):
    prepared(publishers[name], Item("1", record))


FIELDS = "text data list code next path query payload url headers method purpose file"
LIKELY = st.fixed_dictionaries({"id": VALUES}, optional=dict.fromkeys(FIELDS.split(), VALUES | TEXTS))


@pytest.mark.parametrize("name", OUTGOINGS)
@examples(60)
@given(record=LIKELY)
def test_any_values_in_the_fields_that_count_become_requests_or_an_error(publishers, name, record):
    prepared(publishers[name], Item("1", record))


@pytest.mark.parametrize("name", OUTGOINGS)
@pytest.mark.parametrize("kind", ["[", "{"])
def test_the_deepest_record_that_is_read_is_prepared(publishers, name, kind):
    deep = nested(DEEPEST - 2, kind)
    record = loads_unique(json.dumps({"id": deep, "text": deep, "data": deep, "list": deep, "payload": deep}))
    prepared(publishers[name], Item("1", record))


LINE_PARTS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b":", b",", b'"id"', b'{"id":1}', b"1e999", b"NaN", b"\xff", b"\0", b"\r", b"\n", b"\xef\xbb\xbf", b"\\ud800", b" ", b"\x1f\x8b"]
)  # fmt: skip


@examples(400)
@given(
    content=st.binary(max_size=40) | st.lists(LINE_PARTS, max_size=12).map(b"".join),
    cut=st.integers(1, 30),
    after=st.booleans(),
)
@example(content=b"\x1f\x8b", cut=1, after=False)
def test_any_bytes_are_records_or_errors(publishers, content, cut, after):
    content = b'{"id": 0}\n' + content if after else content
    splitter, end = LineSplitter(name="x"), 0
    chunks = [content[start : start + cut] for start in range(0, len(content), cut)]
    try:
        for chunk in [*chunks, b""]:
            for line in splitter.numbered(chunk):
                assert end <= line.start < line.end <= max(len(content), line.end if splitter.packed else 0)
                end = line.end
                item = item_of(line)
                assert item.position == str(line.number)
                assert isinstance(item.record, dict) or item.error is not None
                prepared(publishers["whole"], item)
    except InputError:
        assert not after
    except RunStoppedError:
        assert splitter.packed


# -- templates and expressions

PIECES = st.sampled_from(
    ["&{", "?{", "&&{", "??{", "}", "{", "id", "text", ".", "[", "]", "[0]", "[]", "[*]", "*", "|", "||", "&&", "!", "==", "<", "@", "`1`", "'x'",
     "`", "'", '"', "length(", "sort(", "ago('1d')", "now()", "date(", "to_number(", "join(", ")", ",", "a-b", " ", "&", "?", "\\", "é", "\n", "input", "run.id"]
)  # fmt: skip
SOURCES = st.lists(PIECES, max_size=9).map("".join) | TEXTS


@examples(600)
@given(text=SOURCES, record=RECORDS)
def test_any_text_is_an_expression_or_an_error(text, record):
    try:
        expression = Expression(text)
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - there is no error in most cases
        return
    for search in (expression, expression.search, expression.holds):
        try:
            search(record, {"input": record, "run": {"id": "r"}})
        except RecordError as error:
            assert str(error)  # noqa: PT017 - as above


@examples(400)
@given(value=SOURCES | st.dictionaries(SOURCES, SOURCES, max_size=3), record=RECORDS)
def test_any_value_is_a_template_or_an_error(value, record):
    try:
        template = compile_template(value)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - as above
        return
    try:
        made = template.render(record, {"input": record})
    except RecordError as error:
        assert str(error)  # noqa: PT017 - as above
    else:
        assert json.loads(json.dumps(made)) is not ...
        if template.is_constant:
            assert template.render({}, {}) == made
