"""Records as lines of an uploaded file: which become one file, what each gets of the answer, and where a file ends."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from connected import Kept, Listed, Server, connected, refusal, run

from connectory.delivery.packing.joining import Member, Pack
from connectory.delivery.packs import Bounds, PackOption, Value
from connectory.delivery.publication import Part
from connectory.interfaces import Item
from connectory.record import Delivery

FILE = re.compile(
    rb'name="file"; filename="([^"]*)"\r\n(?:Content-Type: ([^\r]*)\r\n)?\r\n(.*?)\r\n--', re.DOTALL
)
FINE_TUNE: dict[str, Any] = {
    "entity": "files",
    "action": "create",
    "payload": {"purpose": "fine-tune", "file": "&{@}"},
    "concurrency": 1,
}


class Files(Server):
    """Keeps the files that come."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[tuple[str, str, list[Any]]] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        name, media, content = FILE.search(request.content).groups()  # type: ignore[union-attr]  # a test
        lines = [json.loads(line) for line in content.decode().splitlines()]
        self.files.append((name.decode(), (media or b"").decode(), lines))
        return httpx.Response(
            200, json={"id": f"file-{len(self.files)}", "object": "file", "bytes": len(content)}
        )


def examples(count: int) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": f"naïve {number}"}]} for number in range(count)]


def part(name: str) -> Part:
    return Part(Item(name, {}), 0, Delivery("run-1", name), name, {})


def upload(server: Any, records: Any, **more: Any) -> tuple[list[Any], list[Any]]:
    outgoing = {**FINE_TUNE, "pack": {"size": 4, "wait": "5ms"}, **more}

    async def main() -> Any:
        async with connected(server, outgoing={"out": outgoing}) as made:
            sink, dead = Kept(), Kept()
            await made.publisher("out").run(Listed(records), sink, dead)
            return sink.lines, dead.lines

    return run(main)


def test_records_become_the_lines_of_a_file():
    server = Files()
    lines, dead = upload(server, examples(9))
    assert [content for _, _, content in server.files] == [examples(9)[:4], examples(9)[4:8], examples(9)[8:]]
    assert {name for name, _, _ in server.files} == {"records.jsonl"}
    assert [(line["index"], line["response"]["id"], line["response"]["line"]) for line in lines] == [
        (number, f"file-{number // 4 + 1}", number % 4 + 1) for number in range(9)
    ]
    assert dead == []


def test_a_template_names_the_file():
    payload = {"purpose": "evals", "file": {"filename": "&{kind}.jsonl", "content": "&{data}"}}
    records = [{"kind": "a" if number % 2 else "b", "data": {"n": number}} for number in range(6)]
    server = Files()
    upload(server, records, payload=payload)
    assert sorted((name, content) for name, _, content in server.files) == [
        ("a.jsonl", [{"n": 1}, {"n": 3}, {"n": 5}]),
        ("b.jsonl", [{"n": 0}, {"n": 2}, {"n": 4}]),
    ]


def test_a_file_that_a_record_names_goes_by_itself():
    server = Files()
    records = [
        {"file": {"content": '{"a": 1}\n', "filename": "own.jsonl"}},
        {"file": {"a": 2}},
        {"file": {"a": 3}},
    ]
    lines, _ = upload(server, records, payload={"purpose": "fine-tune", "file": "&{file}"})
    assert sorted((name, content) for name, _, content in server.files) == [
        ("own.jsonl", [{"a": 1}]),
        ("records.jsonl", [{"a": 2}, {"a": 3}]),
    ]
    assert "line" not in lines[0]["response"]


def test_a_purpose_whose_files_are_not_lines_does_not_pack():
    server = Files()
    lines, _ = upload(server, examples(2), payload={"purpose": "assistants", "file": "&{@}"})
    assert server.files == []
    assert {line["status"] for line in lines} == {"error"}


@pytest.mark.parametrize("count", [1, 4])
def test_a_refused_file_is_not_cut_into_many(count: int):
    class Refusing(Files):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            await super().answer(request)
            return refusal(400, "invalid_file", "line 2 is no example")

    server = Refusing()
    lines, dead = upload(server, examples(count))
    assert len(server.files) == 1
    assert [line["error"]["code"] for line in lines] == ["invalid_file"] * count
    assert len(dead) == count


def test_only_knows_each_line_of_a_file(tmp_path):
    async def main() -> list[Any]:
        statuses = []
        for _ in range(2):
            outgoing = {
                **FINE_TUNE,
                "pack": {"size": 4},
                "only": "changed",
                "identifier": "messages[0].content",
            }
            async with connected(Files(), outgoing={"out": outgoing}, journal=str(tmp_path)) as made:
                results = [result async for result in made.outgoing("out", examples(6), job="mine")]
                statuses.append([result.status for result in results])
        return statuses

    assert run(main) == [["ok"] * 6, ["skipped"] * 6]


def test_the_purpose_decides_how_much_a_file_takes():
    by = "purpose", {"batch": Bounds(3, None, 100), "fine-tune": Bounds(None, None, 500)}
    option = PackOption("file", 10, 1.0, "jsonl", None, Bounds(), by)
    assert option.value({"purpose": "batch", "file": {"a": "ü"}}) == (
        Value('{"a":"ü"}', 11, 10 / 3),
        Bounds(3, None, 100),
    )
    assert option.value({"purpose": "assistants", "file": {"a": 1}}) is None
    assert option.value({"purpose": ["batch"], "file": {"a": 1}}) is None
    assert option.value({"purpose": "batch", "file": {"path": "x.jsonl"}}) is None
    assert option.value({"purpose": "batch", "file": "text"}) is None
    assert option.value("text") is None


def test_a_file_ends_before_it_is_too_large():
    pack, line, bounds = Pack(), Value("x", 60, 20.0), Bounds(None, None, 200)
    for _ in range(3):
        assert pack.has_room(line, bounds)
        pack.add(Member(part("a"), None, line))  # type: ignore[arg-type]  # its request is not asked for
    assert not pack.has_room(line, bounds)
    assert pack.has_room(line, Bounds(None, 80, 1000))
    assert not pack.has_room(line, Bounds(None, 79, 1000))
