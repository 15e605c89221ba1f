"""A packed run that breaks off anywhere sends the same packs again: nothing is lost, and what was answered is not bought."""

from __future__ import annotations

import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from connected import body_of, refusal
from journaled import Project, Wall

from connectory.cost.usage import Tally
from connectory.errors import StorageError, UnavailableError
from connectory.events import Noticed
from connectory.journal.intents import INTENTS, Intents

COUNT, SIZE, CONCURRENCY = 22, 4, 2
PACKED: dict[str, Any] = {
    "entity": "embeddings",
    "payload": {"model": "m", "input": "&{text}"},
    "pack": {"size": SIZE, "wait": 0.05},
    "concurrency": CONCURRENCY,
}
POINTS = [
    *(("request", number) for number in (1, 2, 3, 6)),
    *(("intend_pack", number) for number in (1, 2, 3, 6)),
    *(("record_pack", number) for number in (1, 2, 3, 6)),
    *(("show", number) for number in (1, 4, 5, 9, COUNT)),
    ("close_item", 1),
    ("close_item", COUNT),
    ("place", 2),
    ("flush", 1),
    ("finish", 1),
]


def texts(count: int = COUNT, *, bad: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [{"id": n, "text": f"bad {n}" if n in bad else f"text {n}"} for n in range(count)]


def inputs(request: httpx.Request) -> list[str]:
    sent = body_of(request)["input"]
    return sent if isinstance(sent, list) else [sent]


def answer(request: httpx.Request, size: int = 0) -> httpx.Response:
    sent = inputs(request)
    if any(text.startswith("bad") for text in sent):
        return refusal(400, "made_up", "'$.input' is invalid")
    data = [
        {"object": "embedding", "index": place, "embedding": [len(text) + 0.5], "text": "x" * size}
        for place, text in enumerate(sent)
    ]
    used = {"total_tokens": 10 * len(sent)}
    return httpx.Response(200, json={"object": "list", "data": data, "model": "m", "usage": used})


class Packs(Wall):
    """Judges requests of many records."""

    def __init__(self, size: int = 0) -> None:
        super().__init__(partial(answer, size=size))

    @property
    def packs(self) -> list[tuple[str, tuple[str, ...]]]:
        """The key of each request, and what was in it."""
        return [(request.headers["idempotency-key"], tuple(inputs(request))) for request in self.requests]

    def of(self, text: str) -> int:
        """How many requests a record was in."""
        return sum(text in sent for _, sent in self.packs)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, outgoing={"out": dict(PACKED)})
    project.give(texts())
    return project


def judge(project: Project, wall: Packs, *, crashes: int = 1) -> None:
    """Hold everything that is promised against what the server saw and what was written."""
    lines = project.lines
    assert [line["index"] for line in sorted(lines, key=lambda line: line["index"])] == list(range(COUNT))
    needed = -(-COUNT // SIZE)
    assert len(wall.requests) - needed <= crashes * CONCURRENCY
    members: dict[str, tuple[str, ...]] = {}
    for key, sent in wall.packs:
        assert members.setdefault(key, sent) == sent  # a key means the same pack for ever
    assert len(members) == needed  # what was under way was sent again as it was
    twice = {f"{n}" for n in range(COUNT) if wall.of(f"text {n}") > 1}
    assert twice <= {line["id"] for line in lines if line["in_doubt"]}
    assert len(set(wall.request_ids)) == len(wall.requests)
    assert all(line["response"]["data"][0]["embedding"] for line in lines)
    assert sum(line["usage"]["total_tokens"] for line in lines) == 10 * COUNT
    summary = project.summary
    assert (summary.state, summary.done, summary.dead, summary.pending) == ("finished", COUNT, 0, 0)


@pytest.mark.fault(
    "X1", "a packed run that is killed at any step sends the same packs again under the same keys"
)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]} {point[1]}")
@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_packed_run_that_is_killed_at_any_moment_goes_on_where_it_was(project, point: Any, order: str):
    project.connections["outgoing"]["out"]["order"] = order
    wall = Packs()
    first = project.send(wall, crash=point)
    second = project.send(wall)
    assert (first.crashed, second.resumed, second.error) == (True, True, None)
    judge(project, wall)


def test_a_packed_run_that_is_killed_in_every_life_comes_to_its_end(project):
    wall, lives = Packs(), 0
    while project.send(wall, crash=("record_pack", 2)).crashed:
        lives += 1
    judge(project, wall, crashes=lives)


def test_a_pack_that_was_under_way_is_sent_again_with_another_size_set(project):
    wall = Packs()
    project.send(wall, crash=("request", 1))
    under_way = wall.packs[0]
    project.connections["outgoing"]["out"]["pack"] = {"size": 7}
    project.send(wall)
    again = [pack for pack in wall.packs[1:] if pack == under_way]
    assert len(again) == 1
    assert {line["id"] for line in project.lines if line["in_doubt"]} >= {
        text.split()[1] for text in under_way[1]
    }
    assert project.summary.done == COUNT


def test_a_record_that_was_under_way_alone_goes_alone_again(project):
    project.connections["outgoing"]["out"]["pack"] = {"size": 1}
    wall = Packs()
    project.send(wall, crash=("request", 1))
    project.connections["outgoing"]["out"]["pack"] = {"size": SIZE}
    project.send(wall)
    assert wall.packs.count(wall.packs[0]) == 2
    assert len(wall.packs[0][1]) == 1
    assert project.summary.done == COUNT


def test_what_a_torn_write_left_is_kept_and_the_rest_of_the_pack_is_sent_again(project):
    wall = Packs()
    project.send(wall, crash=("record_pack", 1))
    log = project.path / "results.jsonl"
    whole = log.read_bytes().splitlines(keepends=True)
    assert len(whole) == SIZE
    with log.open("r+b") as file:
        os.ftruncate(file.fileno(), len(b"".join(whole[:2])) + 10)
    project.send(wall)
    kept, lost = wall.packs[0][1][:2], wall.packs[0][1][2:]
    assert {wall.of(text) for text in kept} == {1}
    assert [sent for _, sent in wall.packs].count(lost) == 1
    assert {line["id"] for line in project.lines if line["in_doubt"]} >= {text.split()[1] for text in lost}
    assert project.summary.done == COUNT


def test_a_pack_whose_requests_changed_is_sent_again_and_told(project):
    wall = Packs()
    project.send(wall, crash=("request", 1))
    project.connections["outgoing"]["out"]["payload"] = {"model": "n", "input": "&{text}"}
    life = project.send(wall)
    assert any("is sent changed" in one.message for one in life.events if isinstance(one, Noticed))
    assert project.summary.done == COUNT


def test_held_packs_are_set_aside_and_never_sent_twice(project):
    project.connections["outgoing"]["out"]["on_uncertain"] = "hold"
    wall = Packs()
    project.send(wall, crash=("request", 1))
    under_way = {text for _, sent in wall.packs for text in sent}
    project.send(wall)
    assert all(wall.of(f"text {n}") <= 1 for n in range(COUNT))
    assert {line["id"] for line in project.dead} <= {text.split()[1] for text in under_way} | {
        str(n) for n in range(COUNT) if not wall.of(f"text {n}")
    }
    assert {line["in_doubt"] for line in project.dead} == {True}
    assert project.summary.done + project.summary.dead == COUNT


@pytest.mark.fault(
    "X10", "with `pack` the records of the request that ended five lives are set aside together"
)
def test_a_pack_that_ends_every_life_is_set_aside_alone(project):
    class Deadly(Packs):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            return await super().__call__(request)

    wall = Deadly()
    for _ in range(5):
        assert project.send(wall, crash=("request", 1)).crashed
    last = project.send(wall)
    assert last.error is None
    dead = {line["id"] for line in project.dead}
    assert dead == {text.split()[1] for text in wall.packs[0][1]}
    assert project.summary.done == COUNT - SIZE


@pytest.mark.parametrize("point", [("request", number) for number in range(1, 12)], ids=str)
def test_a_kill_while_a_pack_is_divided_loses_nothing(project, point: Any):
    project.give(texts(bad=(6,)))
    wall = Packs()
    project.send(wall, crash=point)
    before = len(wall.requests)
    noted = {one.pack or one.key for one in Intents(project.path / INTENTS).peek()}
    project.send(wall)
    lines = project.lines
    earlier, later = wall.packs[:before], wall.packs[before:]
    for one in (f"text {line['id']}" for line in lines if line["in_doubt"] and line["id"] != "6"):
        again = next(pack for pack in later if one in pack[1])
        assert again[0] in noted  # the same pack, before it is divided on
        assert all(pack == again for pack in earlier if pack[0] == again[0])
    assert [line["index"] for line in lines] == list(range(COUNT))
    assert [line["id"] for line in lines if line["status"] == "error"] == ["6"]
    assert [line["id"] for line in project.dead] == ["6"]
    assert project.summary.done == COUNT - 1


def test_refusals_that_all_share_leave_every_record_pending(project):
    class Refusing(Packs):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(400, "unsupported", "no such dimensions")

    project.give(texts(300))
    project.connections["outgoing"]["out"]["pack"] = {"size": 64}
    life = project.send(Refusing())
    assert "the first 20 records all failed alike" in str(life.error)
    assert isinstance(life.error, UnavailableError)
    assert (project.summary.done, project.summary.dead, project.summary.in_doubt) == (0, 0, 0)
    wall = Packs()
    project.send(wall)
    assert project.summary.done == 300
    assert all(wall.of(f"text {n}") == 1 for n in range(300))
    assert not any(line["in_doubt"] for line in project.lines)


@pytest.mark.parametrize(("only", "changed"), [("new", 0), ("changed", 1)])
def test_only_looks_at_each_record_of_a_pack(project, only: str, changed: int):
    project.connections["outgoing"]["out"] |= {"only": only, "identifier": "id"}
    project.give(texts(10))
    wall = Packs()
    project.send(wall)
    assert project.summary.done == 10
    records = texts(12)
    records[3]["text"] = "another text"
    project.give([*records, {"id": 11, "text": "text 11"}])
    project.send(wall, new=True)
    sent = [text for _, pack in wall.packs[3:] for text in pack]
    assert sorted(sent) == sorted(["text 10", "text 11", *["another text"] * changed])
    statuses = [line["status"] for line in project.lines]
    assert statuses.count("ok") == len(sent)
    assert statuses.count("skipped") == 13 - len(sent)


def test_only_is_noted_also_for_what_a_killed_life_bought(project):
    project.connections["outgoing"]["out"] |= {"only": "changed", "identifier": "id"}
    wall = Packs()
    project.send(wall, crash=("record_pack", 2))
    project.send(wall)
    seen = len(wall.requests)
    project.send(wall, new=True)
    assert len(wall.requests) == seen


@pytest.mark.parametrize("point", [("record_pack", number) for number in (1, 3, 6)], ids=str)
def test_a_budget_counts_requests_over_all_lives(project, point: Any):
    project.connections["outgoing"]["out"] |= {"budget": {"requests": 100}, "concurrency": 1}
    wall = Packs()
    project.send(wall, crash=point)
    life = project.send(wall)
    assert life.counts["requests"] == len(wall.requests)
    assert Tally(project.runs.summary(life.run, usage=True).usage).tokens == 10 * COUNT


def test_a_repaired_journal_counts_requests_and_not_records(project):
    project.connections["outgoing"]["out"] |= {"budget": {"requests": 100}, "concurrency": 1}
    wall = Packs()
    project.send(wall, crash=("record_pack", 3))
    project.runs.repair(project.only_run)
    life = project.send(wall)
    assert life.counts["requests"] == len(wall.requests)
    assert project.summary.done == COUNT


@contextmanager
def room_for(size: int) -> Generator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault(
    "X4", "with `pack` a full disk stops the run, and no request is bought twice beyond those under way"
)
def test_wherever_the_disk_fills_up_a_packed_run_goes_on_when_there_is_room(tmp_path):
    stopped = 0
    for size in (0, 5_000, 13_000, 40_000, 60_000, *range(100_000, 1_400_000, 130_000)):
        (tmp_path / str(size)).mkdir()
        project = Project(tmp_path / str(size), outgoing={"out": dict(PACKED)})
        project.give(texts())
        wall = Packs(size=25_000)
        error: BaseException | None = None
        with room_for(size):
            try:
                error = project.send(wall).error
            except StorageError as refused:  # the run could not even begin
                error = refused
        assert error is None or isinstance(error, StorageError), (size, error)
        stopped += error is not None
        if error is not None:
            assert project.send(wall).error is None, size
        judge(project, wall)
    assert stopped > 5
