"""A client for a sandbox in this process, and requests for every operation."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory.catalogue import Catalogue
from connectory.sandbox.app import create_app
from connectory.schemas.examples import minimal

CATALOGUE = Catalogue.load()
JSON = "application/json"
OPERATIONS = [(name, action) for name, entity in CATALOGUE.items() for action in entity.actions]

EXTRA: dict[str, dict[str, Any]] = {
    "/responses": {"background": True},
    "/uploads": {"bytes": 5},
    "/chat/completions": {"store": True},
    "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions": {"project_ids": ["proj_1"]},
    "/conversations/{conversation_id}/items": {
        "items": [{"type": "message", "role": "user", "content": "hi"}]
    },
}
"""What a request must say besides, for an item to be kept and to be under way."""

NAMES = {
    "training_file": "/files",
    "validation_file": "/files",
    "file_id": "/files",
    "file_ids": "/files",
    "assistant_id": "/assistants",
}
"""Fields that must name an item of a collection."""

COMPLETED = {"/videos"}
"""Collections whose items must be at their end for what is below them."""


class Caller:
    """A client in this process, for one sandbox."""

    def __init__(self, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.app = create_app(CATALOGUE, **options)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://sandbox",
            headers={"authorization": "Bearer any"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **options))

    def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = self(method, path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()


def request_of(action: Any) -> dict[str, Any]:
    """Make the smallest valid request for an action."""
    query = {
        name: minimal(one.schema, CATALOGUE.resolve) for name, one in action.query.items() if one.required
    }
    made: dict[str, Any] = {"params": {**query, **action.fixed_query}}
    if action.body is None:
        return made
    kind = next(iter(action.body.content))
    body = minimal(action.body.content[kind], CATALOGUE.resolve)
    if kind != "multipart/form-data":
        return {**made, "json": body}
    schema = CATALOGUE.resolve(action.body.content[kind])
    files = {
        name for name, one in schema.get("properties", {}).items() if "binary" in str(CATALOGUE.resolve(one))
    }
    parts: list[tuple[str, Any]] = []
    for name, value in body.items():
        if name in files:
            parts.append((name, ("a.txt", b"hello")))
        elif isinstance(value, dict):
            parts += [(f"{name}[{key}]", (None, str(part))) for key, part in value.items()]
        else:
            parts.append((name, (None, str(value))))
    return {**made, "files": parts}


def fitted(call: Caller, path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Let a request name items that are there."""
    if "json" not in request:
        return request
    body = renamed(call, request["json"])
    if "part_ids" in body:
        part = call.ok("POST", path.replace("/complete", "/parts"), files=[("data", ("part", b"hello"))])
        body = {"part_ids": [part["id"]]}
    return {**request, "json": body}


def renamed(call: Caller, value: Any) -> Any:
    if isinstance(value, list):
        return [renamed(call, one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: named(call, key, one) for key, one in value.items()}


def named(call: Caller, key: str, value: Any) -> Any:
    if key not in NAMES or value is None:
        return renamed(call, value)
    name = an_item(call, NAMES[key], NAMES[key])
    return [name] if isinstance(value, list) else name


def filled_path(call: Caller, entity: Any, upto: int | None = None) -> str:
    """Fill an entity's path, making or finding an item for each parameter."""
    segments = entity.path.strip("/").split("/")[:upto]
    for count, segment in enumerate(segments):
        if segment.startswith("{"):
            template = "/" + "/".join(entity.path.strip("/").split("/")[:count])
            segments[count] = an_item(call, template, "/" + "/".join(segments[:count]))
    return "/" + "/".join(segments)


def an_item(call: Caller, template: str, path: str) -> str:
    collections = [one for one in CATALOGUE.values() if one.path == template]
    create = next((one.actions["create"] for one in collections if "create" in one.actions), None)
    if create is not None and (create.kind == "create" or template in EXTRA):
        request = fitted(call, path, request_of(create))
        request.get("json", {}).update(EXTRA.get(template, {}))
        made = call.ok("POST", path, **request)
        made = made["data"][0] if isinstance(made.get("data"), list) else made
        parameter = next(
            (
                one.path_parameters[-1]
                for one in CATALOGUE.values()
                if one.path.rpartition("/")[0] == template
            ),
            "id",
        )
        if template in COMPLETED:
            read_to_the_end(call, f"{path}/{made['id']}")
        return str(made.get("id") or request["json"][parameter])
    read = next((one.actions["read"] for one in collections if "read" in one.actions), None)
    if read is None:
        return "some-name"
    if not (found := call.ok("GET", path, **request_of(read))["data"]):
        read_to_the_end(call, path.rpartition("/")[0])
        found = call.ok("GET", path, **request_of(read))["data"]
    return str(found[0]["id"])


def read_to_the_end(call: Caller, path: str) -> list[str]:
    """Read an item until its state stays the same; give the states that it went through."""
    states = [call.ok("GET", path)["status"]]
    while len(states) < 2 or states[-1] != states[-2]:
        states.append(call.ok("GET", path)["status"])
    return states[:-1]


def violations(schema: Any, value: Any) -> list[str]:
    validator = Draft202012Validator(CATALOGUE.schema(schema), registry=Registry())
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]


def a_file(call: Caller, content: bytes = b'{"messages": []}\n', purpose: str = "fine-tune") -> str:
    parts = [("file", ("a.jsonl", content)), ("purpose", (None, purpose))]
    return str(call.ok("POST", "/files", files=parts)["id"])
