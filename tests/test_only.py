"""`only: new` and `only: changed`: what earlier runs had answered is passed over."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from connected import body_of, run
from journaled import ECHO, Project, Wall, numbered, refusing

from connectory.errors import ConfigError, StorageError
from connectory.journal import Known, digest

NEW = {**ECHO, "only": "new"}
CHANGED = {**ECHO, "only": "changed"}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, outgoing={"out": NEW})
    project.give(numbered(4))
    return project


def statuses(project: Project) -> list[str]:
    return [line["status"] for line in project.lines]


def test_records_that_an_earlier_run_had_answered_are_skipped(project):
    wall = Wall()
    project.send(wall)
    project.give(numbered(6))
    project.send(wall)

    assert wall.times() == dict.fromkeys(range(6), 1)
    assert statuses(project) == ["skipped"] * 4 + ["ok"] * 2


def test_records_that_failed_are_sent_by_the_next_run(project):
    project.send(Wall(refusing(1)))
    wall = Wall()
    project.send(wall)

    assert wall.ids == [1]


@pytest.mark.parametrize(("only", "expected"), [(NEW, []), (CHANGED, [2])])
def test_a_record_with_the_same_identifier_and_other_content_is_changed_and_not_new(
    project, only: Any, expected: list[int]
):
    project.connections["outgoing"]["out"] = only
    project.send(Wall())
    project.give([{**record, "x": 1} if record["id"] == 2 else record for record in numbered(4)])
    wall = Wall()
    project.send(wall)

    assert wall.ids == expected


def test_the_identifier_is_what_the_connection_says(project):
    project.connections["outgoing"]["out"] = {**NEW, "identifier": ["id", "x"]}
    project.give([{"id": 1, "x": "a"}, {"id": 1, "x": "b"}])
    wall = Wall()
    project.send(wall)
    project.give([{"id": 1, "x": "b"}, {"id": 1, "x": "c"}])
    project.send(wall)

    assert [body_of(request)["x"] for request in wall.requests] == ["a", "b", "c"]


def test_a_record_without_an_identifier_is_in_error(project):
    project.give([{"name": "x"}, {"id": 1}])
    project.send(Wall())

    assert statuses(project) == ["error", "ok"]
    assert "`only` needs an `identifier`" in project.lines[0]["error"]["message"]


def test_equal_records_under_way_at_the_same_time_are_sent_once(project):
    project.connections["outgoing"]["out"] = {**NEW, "concurrency": 4}
    project.give([{"id": 7}] * 4)

    async def slow(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={})

    wall = Wall(slow)
    project.send(wall)

    assert len(wall.requests) == 1
    assert sorted(statuses(project)) == ["ok", "skipped", "skipped", "skipped"]


def test_when_the_first_of_equal_records_fails_the_next_one_is_sent(project):
    project.connections["outgoing"]["out"] = {**NEW, "concurrency": 3}
    project.give([{"id": 7}] * 3)

    class Once(Wall):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusing(7)(request) if len(self.requests) == 1 else httpx.Response(200, json={})

    wall = Once()
    project.send(wall)

    assert len(wall.requests) == 2
    assert sorted(statuses(project)) == ["error", "ok", "skipped"]


@pytest.mark.parametrize("point", [("record", 2), ("show", 2), ("close_item", 1), ("intend", 3)], ids=str)
def test_after_a_crash_no_answered_record_is_missing_from_what_is_known(project, point: Any):
    wall = Wall()
    project.send(wall, crash=point)
    project.send(wall)
    sent = len(wall.requests)
    project.send(wall)

    assert len(wall.requests) == sent
    assert statuses(project) == ["skipped"] * 4


def test_without_state_on_disk_the_option_is_refused(project):
    async def main():
        async with project.made(Wall()) as made:
            with pytest.raises(ConfigError, match="'only' asks what earlier runs did"):
                made.publisher("out")

    run(main)


# -- the table


def test_what_is_noted_is_known_at_once_and_to_the_next_run_when_it_is_written(tmp_path):
    known = Known(tmp_path / "known.db")
    known.add("a", digest("body"))
    rows = known.take()
    assert (known.body("a"), known.body("b")) == (digest("body"), None)
    other = Known(tmp_path / "known.db")
    assert other.body("a") is None
    known.write(rows)
    assert (known.take(), other.body("a"), known.body("a")) == ([], digest("body"), digest("body"))
    known.close()
    other.close()


def test_what_could_not_be_written_is_noted_again_under_what_came_later(tmp_path):
    known = Known(tmp_path / "known.db")
    known.add("a", b"1")
    known.add("b", b"1")
    rows = known.take()
    known.add("b", b"2")
    known.give_back(rows)
    assert dict(known.take()) == {digest("a"): b"1", digest("b"): b"2"}
    known.close()


def test_a_table_that_cannot_be_opened_or_written_is_told(tmp_path):
    with pytest.raises(StorageError, match="cannot open"):
        Known(tmp_path / "absent" / "known.db")
    (tmp_path / "text.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="cannot open"):
        Known(tmp_path / "text.db")
    known = Known(tmp_path / "known.db")
    known._writer.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="cannot write"):
        known.write([(b"a", b"b")])
    known.close()


def test_those_who_need_several_wait_holding_none(tmp_path):
    async def main() -> list[str]:
        known, order = Known(tmp_path / "known.db"), list[str]()

        async def several(name: str, *identifiers: str) -> None:
            async with known.together(identifiers):
                order.append(f"{name} in")
                await asyncio.sleep(0)
                order.append(f"{name} out")

        async def one(identifier: str) -> None:
            async with known.alone(identifier):
                order.append(f"{identifier} in")
                await asyncio.sleep(0)
                order.append(f"{identifier} out")

        await asyncio.wait_for(
            asyncio.gather(
                several("1", "a", "b"), several("2", "b", "a"), several("3", "c"), one("c"), one("a")
            ),
            30,
        )
        known.close()
        return order

    order = asyncio.run(main())
    assert len(order) == 10
    for name, other in (("1", "2"), ("3", "c"), ("1", "a"), ("2", "a")):
        first, second = sorted((name, other), key=lambda one: order.index(f"{one} in"))
        assert order.index(f"{first} out") < order.index(f"{second} in")
