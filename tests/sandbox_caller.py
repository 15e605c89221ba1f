"""A client for a sandbox in this process, and requests for every operation."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory.catalogue import Catalogue
from connectory.examples import minimal
from connectory.sandbox.app import create_app

CATALOGUE = Catalogue.load()
JSON = "application/json"
OPERATIONS = [(name, action) for name, entity in CATALOGUE.items() for action in entity.actions]

EXTRA = {
    "/chat/completions": {"store": True},
    "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions": {"project_ids": ["proj_1"]},
    "/conversations/{conversation_id}/items": {
        "items": [{"type": "message", "role": "user", "content": "hi"}]
    },
}
"""What a request must say besides, for an item to be kept."""


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
    if create is not None and create.kind == "create":
        request = request_of(create)
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
        return str(made.get("id") or request["json"][parameter])
    read = next((one.actions["read"] for one in collections if "read" in one.actions), None)
    return str(call.ok("GET", path, **request_of(read))["data"][0]["id"]) if read is not None else "some-name"


def violations(schema: Any, value: Any) -> list[str]:
    validator = Draft202012Validator(CATALOGUE.schema(schema), registry=Registry())
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]
