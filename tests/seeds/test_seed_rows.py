"""Everything that five other products do works here: one test for each row of what they offer."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jmespath
import pytest
from command import connectory
from connected import run
from seed_hook import Hook

from connectory.catalogue import Catalogue
from connectory.connector import AsyncConnector
from connectory.events import Noticed
from connectory.sandbox.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "cases" / "seed_rows.json").read_text("utf-8")
)
FOLDER = Path(__file__).parent.parent.parent / "docs" / "how-to" / "coming-from"
PAGES = {
    "Alumio": "alumio.md",
    "Tray.io": "tray.md",
    "DronaHQ": "dronahq.md",
    "Microsoft Power Platform": "power-platform.md",
    "Nexla": "nexla.md",
}
CATALOGUE = Catalogue.load()
CLIENTS = {"openai": {"token": "made-up"}}
COUNTS = {"Alumio": 20, "Tray.io": 10, "DronaHQ": 25, "Microsoft Power Platform": 20, "Nexla": 13}


class Recorded(httpx.AsyncBaseTransport):
    """A sandbox in this process that remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self._network = httpx.ASGITransport(create_app(CATALOGUE))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        return await self._network.handle_async_request(request)


class Seen:
    """What one row's connection did."""

    def __init__(self) -> None:
        self.network = Recorded()
        self.lines: list[Any] = []
        self.notes: list[str] = []
        self.known: dict[str, str] = {}

    def hear(self, event: Any) -> None:
        if isinstance(event, Noticed):
            self.notes.append(event.message)


def test_the_rows_are_those_of_the_five_products():
    assert Counter(row["product"] for row in ROWS) == COUNTS
    assert len({row["id"] for row in ROWS}) == sum(COUNTS.values()) == 88


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_what_another_product_does_works_here(row: dict[str, Any], tmp_path: Path):
    assert cell(row["row"]) in (FOLDER / PAGES[row["product"]]).read_text("utf-8")
    if "cli" in row:
        check_command(row, tmp_path)
    elif "lint" in row:
        assert written(tmp_path, row["lint"], "lint").code == 0
    elif "config" in row or "options" in row:
        check(row)
    else:
        assert row["fact"], "a row is either tried or a plain fact"


def check(row: dict[str, Any]) -> None:
    """Run the row's connection in front of a sandbox, and compare what was sent and what came out."""
    seen, expected = Seen(), row["expect"]

    async def main() -> None:
        for step in row.get("before", ()):
            async with AsyncConnector.from_dict(
                {"version": 1, "clients": CLIENTS}, transport=seen.network, listen=lambda _event: None
            ) as other:
                seen.known[step["as"]] = await made(other, step, seen.known)
        seen.network.requests.clear()
        seen.network.bodies.clear()
        config = {
            "version": 1,
            "clients": row.get("clients", CLIENTS),
            **filled(row.get("config", {}), seen.known),
        }
        async with AsyncConnector.from_dict(config, transport=seen.network, listen=seen.hear) as connector:
            await act(connector, row, seen)

    run(main)
    compare(filled(expected, seen.known), seen)


async def made(connector: AsyncConnector, step: dict[str, Any], known: dict[str, str]) -> str:
    """Make what a row needs, or find it, and give its id."""
    if "list" in step:
        found = [item["id"] async for item in connector.read(step["list"])]
        return str(found[0])
    result = await connector.create(step["entity"], payload=filled(step["payload"], known))
    return str(result.response["id"])


async def act(connector: AsyncConnector, row: dict[str, Any], seen: Seen) -> None:
    if "options" in row:
        seen.lines += await connector.options(**row["options"])
        return
    kind, name = row["run"].split()
    if kind == "incoming":
        seen.lines += [item async for item in connector.incoming(name)]
        return
    begun = time.monotonic()
    async for result in connector.outgoing(name, filled(row["send"], seen.known)):
        assert result.ok, result.error
        seen.lines += result.lines()
    if row.get("throttle"):
        assert time.monotonic() - begun >= 1.0  # three at a hundred a minute, of which one and a bit at once


def compare(expected: dict[str, Any], seen: Seen) -> None:
    requests, bodies = seen.network.requests, seen.network.bodies
    if "requests" in expected:
        wanted = expected["requests"]
        assert [line_of(one, whole="://" in wanted[0]) for one in requests] == wanted
    for name, value in expected.get("headers", {}).items():
        assert requests[0].headers[name] == value
    if "payload" in expected:
        assert json.loads(bodies[0]) == expected["payload"]
    for text in expected.get("sent", ()):
        assert text in bodies[0].decode("latin-1")
    assert seen.notes == expected.get("notes", [])
    compare_lines(expected, seen.lines)


def compare_lines(expected: dict[str, Any], lines: list[Any]) -> None:
    if "lines" in expected:
        assert len(lines) == expected["lines"]
    for expression, value in expected.get("line", {}).items():
        assert jmespath.search(expression, lines[0]) == value, (expression, lines[0])


def line_of(request: httpx.Request, *, whole: bool) -> str:
    url = str(request.url) if whole else request.url.raw_path.decode()
    return f"{request.method} {url}"


def filled(value: Any, known: dict[str, str]) -> Any:
    """Put what is known by now, such as the id of something that was just made, into the row."""
    text = json.dumps(value)
    for name, found in known.items():
        text = text.replace(f"{{{{{name}}}}}", found)
    assert not re.search(r"\{\{\w+_id\}\}", text)
    return json.loads(text)


# -- the command line


def written(folder: Path, config: dict[str, Any], *words: str) -> Any:
    text = json.dumps({"version": 1, "clients": CLIENTS, **config})  # JSON is YAML too
    (folder / "connectory.yaml").write_text(text, encoding="utf-8")
    return connectory(*words, folder=folder)


def check_command(row: dict[str, Any], folder: Path) -> None:
    for name, lines in row.get("files", {}).items():
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    for hook in hooks(row):
        config = filled(row.get("config", {}), {"hook": hook.url} if hook else {})
        done = written(folder, config, *row["cli"])
        assert done.code == 0, done.said
        if hook:
            assert len(hook.taken) == row["expect"]["hooked"]
            compare_lines(row["expect"], hook.taken)
        else:
            compare_lines(row["expect"], done.lines)


def hooks(row: dict[str, Any]) -> Iterator[Hook | None]:
    if not row.get("webhook"):
        yield None
        return
    with Hook() as hook:
        yield hook


def cell(text: str) -> str:
    """Write a text as the page's tables do."""
    return text.replace("|", "\\|")
