"""A request of ours is, part by part, the one that the official SDK makes of the same arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

from connectory import AsyncConnector, Catalogue
from connectory.catalogue import Entity
from connectory.errors import RequestError
from connectory.schemas.validation import RequestChecker
from connectory_schemas.generate import CONSTRAINTS
from connectory_schemas.modules import Package
from connectory_schemas.naming import nameless
from connectory_schemas.sdk import calls as calls_in
from connectory_schemas.sdk import installed, pinned

PINNED, INSTALLED = pinned("openai", CONSTRAINTS), version("openai")
if PINNED not in (None, INSTALLED):
    reason = f"openai {INSTALLED} is installed; the catalogue knows the requests of {PINNED}"
    pytest.skip(reason, allow_module_level=True)

from sdk_calls import BASE_URI, STEPS, Argument, Method, methods  # noqa: E402 - another version may lack what it needs

CATALOGUE = Catalogue.load()
PREFIX = httpx.URL(BASE_URI).path
SENDING = [one for one in methods() if one.sends]
"""Helpers that loop, poll, stream or connect make no request of their own."""


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


EITHER = {"vector_stores.file_batches.create": "of two optional arguments one must be given: no type says so"}
"""Methods that can be called with too little."""

each_method = pytest.mark.parametrize("method", [pytest.param(one, id=one.name) for one in SENDING])


@each_method
def test_requests_are_those_of_the_sdk(method):
    different = DIFFERENCES.get(method.name, Difference(""))
    for arguments, theirs in calls(method, *STEPS):
        expected = parts(theirs)
        if different.json_without_file and not any(isinstance(one.value, tuple) for one in arguments):
            expected |= {"type": "application/json", "body": {one.wire: one.sent for one in arguments}}
        asked = Asked.of(theirs, arguments)
        if different.added:
            asked = replace(asked, payload={**different.added, **asked.payload})
        headers = {one.wire: one.sent for one in arguments if one.is_header}
        assert parts(asked.request(headers)) == expected


@each_method
def test_what_the_sdk_must_be_given_is_enough(method):
    for arguments, theirs in calls(method, "required"):
        asked = Asked.of(theirs, arguments)
        if method.name in EITHER:
            with pytest.raises(RequestError, match="is missing"):
                asked.check(None)
        else:
            asked.check(None)


@each_method
def test_whatever_the_sdk_may_be_given_is_known(method):
    for arguments, theirs in calls(method, "full", "other"):
        said: list[str] = []
        Asked.of(theirs, arguments).check(said.append)
        assert [one for one in said if "unknown" in one] == []


def test_every_call_in_the_sdks_code_is_made():
    package = Package(installed()[0])
    written = {(one.method.upper(), nameless(one.template)) for one in calls_in(package)}
    made = {
        (theirs.method, _template(Asked.of(theirs, arguments)))
        for method in SENDING
        for arguments, theirs in calls(method, "required")
    }
    assert written == made


def test_every_exception_is_of_a_method_that_there_is():
    assert DIFFERENCES.keys() | EITHER.keys() <= {one.name for one in SENDING}


def calls(method: Method, *steps: str) -> Iterator[tuple[list[Argument], Any]]:
    """Call a method in every way that it may be called; give the arguments and the request."""
    for signature in method.signatures():
        for step in steps:
            arguments = method.arguments(signature, step)
            yield arguments, method.request(arguments)


@dataclass(frozen=True)
class Asked:
    """A request of the SDK in our words."""

    entity: Entity
    action: str
    path: Mapping[str, str]
    query: Mapping[str, Any]
    payload: Any

    @classmethod
    def of(cls, theirs: Any, arguments: list[Argument]) -> Asked:
        """Put the arguments in their places; only where the SDK sends them is taken from its request."""
        target = theirs.url.raw_path.decode("ascii").removeprefix(PREFIX)
        entity, action, path = CATALOGUE.match(theirs.method, target)
        named = [one for one in arguments if not one.is_header and one.sent not in path.values()]
        assert len(named) + sum(one.is_header for one in arguments) + len(path) == len(arguments)
        in_query = {name.partition("[")[0] for name, _ in parse_qsl(theirs.url.query.decode())}
        query = {one.wire: one.sent for one in named if theirs.method != "POST" or one.wire in in_query}
        payload = {one.wire: one.sent for one in named if one.wire not in query}
        return cls(entity, action, path, query, _payload(payload, theirs))

    def request(self, headers: Mapping[str, str]) -> httpx.Request:
        return connector(headers).prepare(
            self.action,
            self.entity.name,
            path=self.path,
            query=self.query,
            payload=self.payload,
            validate="off",
        )

    def check(self, warn: Callable[[str], None] | None) -> None:
        """Hold the request against the schemas; what is wrong is told to `warn`, or raised without one."""
        checker = RequestChecker(CATALOGUE.schema, warn or (lambda _: None))
        action = self.entity.actions[self.action]
        checker.check(
            action, self.query, self.payload, what=self.entity.name, mode="warn" if warn else "error"
        )


def _template(asked: Asked) -> str:
    fixed = urlencode(asked.entity.actions[asked.action].fixed_query)
    return nameless(asked.entity.path) + (f"?{fixed}" if fixed else "")


def _payload(payload: dict[str, Any], theirs: Any) -> Any:
    kind = media_type(theirs)
    if kind not in {"application/json", "multipart/form-data", ""}:  # a body that is one argument's text
        (text,) = payload.values()
        return text
    return payload if theirs.content else None


_CONNECTORS: dict[str, AsyncConnector] = {}


def connector(headers: Mapping[str, str]) -> AsyncConnector:
    """Give a connector; what the SDK takes as an argument and sends as a header is a client's header here."""
    client = {"token": "t", "admin_token": "t", "base_uri": BASE_URI, "headers": dict(headers)}
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
