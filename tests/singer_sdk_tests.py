"""Singer SDK's own standard tests, run on our tap and target; `test_singer_sdk.py` runs this file where the SDK is.

Its templates ask a class for what they test. Ours are no subclasses of the SDK's: these two classes answer in its words
with what the product's own functions give.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from connected import POSTS, Server, connected, run
from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException
from singer_sdk.testing import SuiteConfig, get_tap_test_class, get_target_test_class
from singer_sdk.testing.pytest_plugin import pytest_generate_tests  # noqa: F401 - a hook, found by its name
from singing import Out, deliver

from connectory.cli import main
from connectory.connector import AsyncConnector
from connectory.sandbox import EmbeddedSandbox
from connectory.singer import Tap, TapSettings, TapState, TargetSettings, about, selected, streams
from connectory.singer.catalog import catalog_of
from connectory.singer.messages import MessageError

INCOMING = {
    "files": {"entity": "files", "incremental": {"field": "created_at"}},
    "models": {"entity": "models"},
    "batches": {"entity": "batches"},
    "shaped": {"entity": "files", "transformers": [{"build": {"id": "&{id}", "size": "&{bytes}"}}]},
    "contents": {"entity": "vector_store.files", "each": "vector_stores", "keep_parent": {"store": "id"}},
}
SERVER = EmbeddedSandbox()


def connector(config: dict[str, Any]) -> AsyncConnector:
    client = {"base_uri": SERVER.base_uri, "token": SERVER.token}
    return AsyncConnector.from_dict(
        {"version": 1, "clients": {"api": client}, **config}, listen=lambda _event: None
    )


@pytest.fixture(scope="module", autouse=True)
def server():
    yield
    SERVER.__exit__(None, None, None)


def fill(folder: Any) -> None:
    """Put something into every list."""

    async def create() -> None:
        async with connector({}) as made:
            (folder / "rows.jsonl").write_text(
                '{"custom_id": "1", "method": "POST", "url": "/v1/moderations", "body": {}}\n'
            )
            for purpose in ("batch", "assistants"):
                file = await made.create("files", payload={"purpose": purpose, "file": folder / "rows.jsonl"})
                payload = {
                    "input_file_id": file.response["id"],
                    "endpoint": "/v1/moderations",
                    "completion_window": "24h",
                }
                if purpose == "batch":
                    await made.create("batches", payload=payload)
                else:
                    await made.create("vector_stores", payload={"file_ids": [file.response["id"]]})

    run(create)


class OurTap:
    """Our tap, as the templates of the SDK ask for one."""

    def __init__(self, *, config: dict[str, Any], catalog: Any = None, **_: Any) -> None:
        self._made = partial(connector, {"incoming": config["incoming"]})
        made = self._made()
        self._found = streams(made.assembly, made.catalogue)
        self._chosen = selected(self._found, catalog)
        self.catalog_dict = catalog_of(self._found)
        self.streams = {one.name: self._stream(one) for one in self._found}

    def _stream(self, one: Any) -> Any:
        seen = SimpleNamespace(transformed_schema=one.schema)
        return SimpleNamespace(name=one.name, schema=one.schema, primary_keys=one.keys, stream_maps=[seen])

    def run_discovery(self) -> str:
        return json.dumps(self.catalog_dict)

    def run_sync_dry_run(self, **_: Any) -> bool:
        out = Out(lambda line: print(json.dumps(line)))
        made, failures = self._made(), list[Any]()
        tap = Tap(made, self._chosen, TapState(None), out, listen=lambda _event: None, fail=failures.append)

        async def sync() -> None:
            async with made:
                await tap.run()

        run(sync)
        assert failures == []
        return True

    run_connection_test = run_sync_dry_run

    def print_version(self) -> None:
        _command("--version")

    def print_about(self, output_format: str | None = None) -> None:
        _command("singer", "tap", "--about")
        assert about(TapSettings, "tap-connectory", ("discover",))["settings"]["properties"].keys() >= {
            "incoming"
        }


class OurTarget:
    """Our target, as the templates of the SDK ask for one: every stream goes to one outgoing."""

    def __init__(self, *, config: dict[str, Any], **_: Any) -> None:
        self._lines: list[str] = []
        self._streams = config["streams"]

    def process_lines(self, lines: Any) -> None:
        self._lines += lines

    def process_endofpipe(self) -> None:
        server = Server()
        outgoing = {"out": {**POSTS, "payload": "&{@}", "validate": "off"}}
        try:
            states, _ = deliver(connected(server, outgoing=outgoing), self._lines, streams=self._streams)
        except MessageError as error:
            kinds = {
                "before its SCHEMA": RecordsWithoutSchemaException,
                "is its key": MissingKeyPropertiesError,
            }
            raise next((kind for text, kind in kinds.items() if text in str(error)), MessageError)(
                str(error)
            ) from None
        sent = [
            message["record"] for line in self._lines if (message := json.loads(line))["type"] == "RECORD"
        ]
        assert sorted(map(json.dumps, server.bodies)) == sorted(map(json.dumps, sent))
        for state in states:
            print(json.dumps(state))

    def print_version(self) -> None:
        _command("--version")

    def print_about(self, output_format: str | None = None) -> None:
        _command("singer", "target", "--about")
        assert TargetSettings(streams=self._streams).streams == self._streams


def _command(*words: str) -> None:
    assert main.main(list(words)) is None


SERVER.__enter__()
with TemporaryDirectory() as _folder:
    fill(Path(_folder))

TestTap = get_tap_test_class(OurTap, config={"incoming": INCOMING}, suite_config=SuiteConfig())
TestTarget = get_target_test_class(OurTarget, config={"streams": {"*": "out"}})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
