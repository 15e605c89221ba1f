"""A request of ours is, part by part, the one that the official SDK makes of the same arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import parse_qsl

import httpx
import httpx2
import openai
import pytest

from connectory import AsyncConnector, Catalogue
from connectory_schemas.generate import CONSTRAINTS
from connectory_schemas.sdk import pinned
from sdk_calls import BASE_URI, STEPS, Argument, Method, methods

PINNED = pinned("openai", CONSTRAINTS)
pytestmark = pytest.mark.skipif(
    PINNED not in (None, openai.__version__),
    reason=f"openai {openai.__version__} is installed; the catalogue knows the requests of {PINNED}",
)


@dataclass(frozen=True)
class Difference:
    """Where our request is another one, and why it should be; everything else is still equal."""

    reason: str
    added: Mapping[str, Any] = field(default_factory=dict)
    json_without_file: bool = False


DIFFERENCES = {
    "embeddings.create": Difference(
        "the SDK asks for base64 where the caller says nothing, and gives lists of numbers: its own affair",
        added={"encoding_format": "base64"},
    ),
    "videos.create": Difference(
        "the API takes JSON and forms: without a file, numbers and truth values stay what they are in JSON",
        json_without_file=True,
    ),
}

SENDING = [one for one in methods() if one.sends]
CATALOGUE = Catalogue.load()
PREFIX = httpx.URL(BASE_URI).path


@pytest.mark.parametrize("method", [pytest.param(one, id=one.name) for one in SENDING])
def test_requests_are_those_of_the_sdk(method):
    for signature in method.signatures():
        for step in STEPS:
            arguments = method.arguments(signature, step)
            theirs = method.request(arguments)
            different = DIFFERENCES.get(method.name, Difference(""))
            expected = parts(theirs)
            if different.json_without_file and not any(isinstance(one.value, tuple) for one in arguments):
                expected |= {"type": "application/json", "body": {one.wire: one.sent for one in arguments}}
            assert parts(ours(theirs, arguments, added=different.added)) == expected, step


def test_every_difference_is_of_a_method_that_there_is():
    assert DIFFERENCES.keys() <= {one.name for one in SENDING}


def ours(
    theirs: httpx2.Request,
    arguments: list[Argument],
    *,
    added: Mapping[str, Any] | None = None,
    validate: Any = "off",
) -> httpx.Request:
    """Build our request of the same arguments; only where the SDK sends them is taken from its request."""
    target = theirs.url.raw_path.decode("ascii").removeprefix(PREFIX)
    entity, action, path = CATALOGUE.match(theirs.method, target)
    headers = {one.wire: one.sent for one in arguments if one.is_header}
    named = [one for one in arguments if not one.is_header and one.sent not in path.values()]
    assert len(named) + len(headers) + len(path) == len(arguments)
    in_query = {name.partition("[")[0] for name, _ in parse_qsl(theirs.url.query.decode())}
    query = {one.wire: one.sent for one in named if theirs.method != "POST" or one.wire in in_query}
    payload = {**(added or {}), **{one.wire: one.sent for one in named if one.wire not in query}}
    return connector(headers).prepare(
        action, entity.name, path=path, query=query, payload=_payload(payload, theirs), validate=validate
    )


def _payload(payload: dict[str, Any], theirs: httpx2.Request) -> Any:
    kind = media_type(theirs)
    if kind not in {"application/json", "multipart/form-data", ""}:  # a body that is one argument's text
        (text,) = payload.values()
        return text
    return payload if theirs.content else None


_CONNECTORS: dict[str, AsyncConnector] = {}


def connector(headers: dict[str, str]) -> AsyncConnector:
    """Give a connector; what the SDK takes as an argument and sends as a header is a client's header here."""
    client = {"token": "t", "admin_token": "t", "base_uri": BASE_URI, "headers": headers}
    found = _CONNECTORS.get(repr(headers))
    if found is None:
        found = AsyncConnector.from_dict({"version": 1, "clients": {"api": client}})
        _CONNECTORS[repr(headers)] = found
    return found


def parts(request: Any) -> dict[str, Any]:
    """Take a request apart into what has to be equal; pairs are in order for each name."""
    request.read()
    target: bytes = request.url.raw_path
    path, _, query = target.partition(b"?")
    return {
        "method": request.method,
        "path": path,
        "query": _by_name(parse_qsl(query.decode("ascii"), keep_blank_values=True)),
        "beta": request.headers.get("OpenAI-Beta"),
        "type": media_type(request) if request.content else "",
        "body": _body(request),
    }


def media_type(request: Any) -> str:
    return str(request.headers.get("Content-Type", "").partition(";")[0])


def _by_name(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _body(request: Any) -> Any:
    match media_type(request):
        case "application/json" if request.content:
            return json.loads(request.content)
        case "multipart/form-data":
            head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
            message = message_from_bytes(head + request.content, policy=policy.HTTP)
            return _by_name([_part(one) for one in message.iter_parts()])
        case _:
            return request.content


def _part(part: Any) -> tuple[str, Any]:
    disposition = part["Content-Disposition"].params
    kind = part.get_content_type() if part["Content-Type"] else None
    content = part.get_payload(decode=True)
    if kind == "application/json":
        content = json.loads(content)
    return disposition["name"], (disposition.get("filename"), kind, content)
