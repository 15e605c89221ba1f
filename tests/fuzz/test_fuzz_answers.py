"""Any answer of a server: a value, or an error of its record; every walk over pages ends."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import httpx
from connected import connected, run
from fuzzing import TEXTS, VALUES, examples
from hypothesis import example, given
from hypothesis import strategies as st

from connectory.answers.meaning import Answer, Expected, interpret, refusal
from connectory.answers.receiving import receive
from connectory.answers.sse import EventStreamError, Parser
from connectory.catalogue import Catalogue
from connectory.errors import ApiError, OutcomeUnknownError, RecordError, RunStoppedError
from connectory.pagination import MOST_EMPTY_PAGES
from connectory.retry import Failed, Policy, decide, wait_hint
from connectory.text.json import dumps

ENVELOPES = st.fixed_dictionaries(
    {
        "error": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["message", "type", "code", "param"], VALUES)
        )
        | VALUES
    }
)
BODIES = (
    st.binary(max_size=40)
    | (VALUES | ENVELOPES).map(lambda value: json.dumps(value).encode())
    | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
)
HEADER_VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12) | st.sampled_from(
    ["0", "1", "-1", "1e400", "nan", "inf", "9" * 30, "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "1m30s", "6ms", "gzip", "application/json", "text/event-stream", "text/html; charset=utf-16", "application/json; charset=nope"]
)  # fmt: skip
HEADER_NAMES = (
    "content-type content-encoding retry-after retry-after-ms date x-should-retry x-request-id location "
    "x-ratelimit-reset-requests x-ratelimit-remaining-tokens x-ratelimit-limit-requests"
)
HEADERS = st.dictionaries(st.sampled_from(HEADER_NAMES.split()), HEADER_VALUES, max_size=4).map(
    lambda headers: httpx.Headers(
        [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    )
)
"""Headers as they come from a wire: bytes."""

STATUSES = st.sampled_from(
    [200, 201, 204, 301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 599]
) | st.integers(100, 999)
KINDS = st.sampled_from(["json", "binary", "text", "empty", "sse"])
LISTS = [
    entity.name
    for entity in Catalogue.load().values()
    if "read" in entity.actions and entity.actions["read"].kind == "list"
]


class Chunks:
    """A body in pieces."""

    def __init__(self, body: bytes, cut: int) -> None:
        self.pieces = [body[start : start + cut] for start in range(0, len(body), cut)]

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        """Nothing is held."""


@examples(500)
@given(kind=KINDS, status=STATUSES, headers=HEADERS, body=BODIES)
def test_any_answer_is_a_value_or_an_error_of_its_record(kind, status, headers, body):
    try:
        answer = interpret(Expected("POST /x", kind), status, headers, body)
    except (ApiError, OutcomeUnknownError) as error:
        assert str(error)  # noqa: PT017 - most answers are errors
    else:
        assert isinstance(answer, Answer)
        dumps(answer.value)


@examples(400)
@given(status=STATUSES, headers=HEADERS, value=VALUES | ENVELOPES)
def test_any_refusal_is_explained_and_decided(status, headers, value):
    error = refusal(Expected("POST /x"), status, headers, value, told="nothing")
    assert f"{status}" in str(error)
    assert len(str(error)) < 10_000
    for attempt in (1, 9):
        failed = Failed(
            sent=True,
            repeatable=True,
            status=status,
            code=error.code,
            message=str(error),
            headers=headers,
        )
        assert decide(failed, attempt=attempt, policy=Policy(), luck=0.5) is not None


@examples(300)
@given(headers=HEADERS)
def test_a_wait_that_a_server_asks_for_is_a_number_of_seconds(headers):
    wait = wait_hint(headers)
    assert wait is None or (math.isfinite(wait) and wait >= 0)


FRAME_PARTS = st.sampled_from(
    [b"data: ", b"event: ", b"id: 1", b"retry: x", b":", b"\n", b"\r\n", b"\r", b"\n\n", b"[DONE]", b"{}", b"\xff", b"\xef\xbb\xbf"]
)  # fmt: skip
FRAME_FIELDS = dict.fromkeys(
    ("type", "choices", "delta", "index", "response", "object", "id", "error"), VALUES
)
FRAMES = (VALUES | st.fixed_dictionaries({}, optional=FRAME_FIELDS)).map(
    lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"
)
FRAME_NAMES = (
    "response.output_item.added response.output_text.delta response.completed error transcript.text.delta "
    "thread.run.completed image_generation.partial_image speech.audio.delta"
)
NAMES = st.sampled_from(FRAME_NAMES.split()).map(lambda name: f"event: {name}\n".encode())
EVENTS = st.lists(FRAME_PARTS | FRAMES | NAMES, max_size=9).map(b"".join)


@examples(300)
@given(body=EVENTS | st.binary(max_size=40), cut=st.integers(1, 30))
def test_any_bytes_are_the_same_events_however_they_are_cut(body, cut):
    def events(size: int) -> Any:
        parser, found = Parser(), []
        try:
            for start in range(0, len(body), size):
                found += parser.feed(body[start : start + size])
        except EventStreamError as error:
            return str(error)
        return found

    assert events(cut) == events(len(body) + 1)


@examples(500)
@given(body=EVENTS, cut=st.integers(1, 50), wanted=st.booleans(), kind=KINDS)
def test_any_stream_is_a_value_or_an_error_of_its_record(body, cut, wanted, kind):
    headers = httpx.Headers({"content-type": "text/event-stream"})
    try:
        answer = asyncio.run(
            receive(
                Expected("POST /x", kind),
                200,
                headers,
                Chunks(body, cut),
                events=wanted,
            )
        )
    except (ApiError, OutcomeUnknownError) as error:
        assert str(error)  # noqa: PT017 - most streams are cut off
    else:
        dumps([answer.value, answer.events])


PAGES = (
    st.fixed_dictionaries(
        {"data": st.lists(VALUES | st.fixed_dictionaries({"id": VALUES}), max_size=3)},
        optional={
            "has_more": VALUES,
            "last_id": VALUES,
            "next": VALUES,
            "next_page": VALUES,
            "first_id": VALUES,
        },
    )
    | VALUES
)


@examples(150)
@given(entity=st.sampled_from(LISTS), pages=st.lists(PAGES, min_size=1, max_size=4), once=st.booleans())
@example(entity="files", pages=[{"data": [], "has_more": True, "last_id": "a"}], once=False)
def test_any_pages_end_in_bounded_requests(entity, pages, once):
    asked = 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal asked
        page = pages[min(asked, len(pages) - 1) if once else asked % len(pages)]
        asked += 1
        return httpx.Response(
            200, content=json.dumps(page).encode(), headers={"content-type": "application/json"}
        )

    path = dict.fromkeys(CATALOGUE[entity].path_parameters, "x")

    async def main():
        errors: list[RecordError] = []
        incoming = {"entity": entity, "request_parameters": {"path": path}}
        async with connected(answer, incoming={"in": incoming}) as made:
            subscriber = made.subscriber("in", on_error=errors.append)
            async for page in subscriber.pages():
                dumps(page.records)
        return errors

    try:
        errors = run(main)
    except (ApiError, RunStoppedError) as error:
        errors = [error]
    assert all(str(error) for error in errors)
    assert asked <= MOST_EMPTY_PAGES + 2


CATALOGUE = Catalogue.load()
