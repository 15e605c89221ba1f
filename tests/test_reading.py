"""Fan-out and incremental reading: parents, children, marks, and every moment at which a run can break off."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from connected import Kept, Server, connected, refusal, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectory.errors import ConfigError, RecordError
from connectory.events import Noticed
from connectory.interfaces import Item
from connectory.journal import MemoryJournal
from connectory.journal.seen import _text, digest

PARENTS: dict[str, Any] = {"request": {"path": "/parents"}}
CHILDREN: dict[str, Any] = {
    "request": {"path": "/parents/{parent}/children"},
    "request_parameters": {"path": {"parent": "&{parent.id}"}},
    "each": "incoming:parents",
}


class Tree(Server):
    """Answers lists below paths, newest first, in pages of `size`; a path that it does not know is a 404."""

    def __init__(self, lists: dict[str, list[Any]], size: int = 2) -> None:
        super().__init__()
        self.lists, self.size = lists, size
        self.broken: set[str] = set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        if path in self.broken:
            return refusal(400)
        if path not in self.lists:
            return refusal(404)
        items, after = self.lists[path], request.url.params.get("after")
        start = next((n + 1 for n, one in enumerate(items) if one.get("id") == after), 0)
        page = items[start : start + self.size]
        last = page[-1]["id"] if page else None
        return httpx.Response(
            200, json={"data": page, "last_id": last, "has_more": start + self.size < len(items)}
        )

    @property
    def asked(self) -> Counter[str]:
        return Counter(str(one.url).removeprefix("https://api.test/v1") for one in self.requests)


class Recalled:
    """What `Seen` does, without files: shared when a run is at its end."""

    def __init__(self) -> None:
        self.shared: dict[bytes, bytes] = {}
        self.own: dict[bytes, bytes] = {}

    def has(self, keys: Any, body: bytes | None) -> bool:
        key = digest(_text("item", keys))
        found = self.own.get(key) or self.shared.get(key)
        return found is not None and (body is None or found == body)

    def mark(self, keys: Any) -> Any:
        found = self.shared.get(digest(_text("mark", keys)))
        return None if found is None else json.loads(found)

    def share(self) -> None:
        self.shared.update(self.own)
        self.own = {}


class Noting(MemoryJournal):
    """A journal in memory that notes what was seen where it belongs."""

    def __init__(self, seen: Recalled) -> None:
        super().__init__("run-1")
        self.kept_by = seen

    async def commit(self, stream: str, cursor: Any, *, drop: str = "", seen: Any = ()) -> None:
        await super().commit(stream, cursor, drop=drop)
        self.kept_by.own.update(seen)


def read(
    server: Any, incoming: dict[str, Any], name: str = "children", *, seen: Any = None, **options: Any
) -> tuple[list[Any], list[Any]]:
    """Run an incoming to its end; give what the sink holds, and what was told."""
    told: list[Any] = []

    async def main():
        async with connected(server, incoming=incoming, listen=told.append) as made:
            journal = Noting(seen) if seen is not None else None
            sink = Kept()
            options.setdefault("look", seen is None)
            await made.subscriber(name, journal=journal, seen=seen, **options).run(sink)
            return sink.lines

    lines = run(main)
    if seen is not None:
        seen.share()
    return lines, [one.message for one in told if isinstance(one, Noticed)]


def family(*sizes: int) -> dict[str, list[Any]]:
    """Parents p0, p1, ... with so many children each, newest first."""
    lists: dict[str, list[Any]] = {"/parents": [{"id": f"p{n}", "at": 100 - n} for n in range(len(sizes))]}
    for n, size in enumerate(sizes):
        lists[f"/parents/p{n}/children"] = [{"id": f"p{n}c{k}", "at": 100 - k} for k in range(size)]
    return lists


def ids(lines: list[Any]) -> list[str]:
    return [one["id"] for one in lines]


def every_child(lists: dict[str, list[Any]]) -> list[str]:
    return sorted(one["id"] for path, items in lists.items() if path != "/parents" for one in items)


# -- each


def test_every_child_of_every_parent_is_read_in_its_order():
    lists = family(3, 0, 1, 5)
    lines, _ = read(Tree(lists), {"parents": PARENTS, "children": CHILDREN})
    assert sorted(ids(lines)) == every_child(lists)
    assert [one for one in ids(lines) if one.startswith("p3")] == [f"p3c{k}" for k in range(5)]


def test_an_entity_is_read_for_each_of_its_parents_without_another_word():
    server = Tree(
        {
            "/fine_tuning/jobs": [{"id": "ftjob-1"}, {"id": "ftjob-2"}],
            "/fine_tuning/jobs/ftjob-1/events": [{"id": "e1"}],
            "/fine_tuning/jobs/ftjob-2/events": [{"id": "e2"}],
        }
    )
    wanted = {"entity": "fine_tuning.job.events", "each": "fine_tuning.jobs", "keep_parent": {"job": "id"}}
    lines, _ = read(server, {"children": wanted})
    assert sorted(lines, key=lambda one: one["id"]) == [
        {"id": "e1", "job": "ftjob-1"},
        {"id": "e2", "job": "ftjob-2"},
    ]


def test_the_parents_of_an_entity_that_is_a_parent_are_found_too():
    server = Tree(
        {
            "/vector_stores": [{"id": "vs-1"}],
            "/vector_stores/vs-1/files": [{"id": "file-1"}, {"id": "file-2"}, {"id": "file-3"}],
            **{f"/vector_stores/vs-1/files/file-{n}/content": [{"id": f"c{n}"}] for n in (1, 2, 3)},
        }
    )
    lines, _ = read(
        server, {"children": {"entity": "vector_store.file.content", "each": "vector_store.files"}}
    )
    assert sorted(ids(lines)) == ["c1", "c2", "c3"]


@pytest.mark.parametrize(
    ("keep", "added"),
    [
        (True, {"parent": {"id": "p0", "at": 100}}),
        (["at"], {"parent": {"at": 100}}),
        ({"of": "id", "then": "at"}, {"of": "p0", "then": 100}),
    ],
)
def test_an_item_keeps_of_its_parent_what_is_wanted(keep: Any, added: Any):
    lines, _ = read(Tree(family(1)), {"parents": PARENTS, "children": {**CHILDREN, "keep_parent": keep}})
    assert lines == [{"id": "p0c0", "at": 100, **added}]


def test_transformers_see_the_parent():
    steps = [{"build": {"id": "&{id}", "of": "&{parent.id}"}}]
    lines, _ = read(Tree(family(1)), {"parents": PARENTS, "children": {**CHILDREN, "transformers": steps}})
    assert lines == [{"id": "p0c0", "of": "p0"}]


def test_parents_can_be_left_out_by_their_own_transformers():
    parents = {**PARENTS, "transformers": [{"keep_if": "id != 'p0'"}]}
    lines, _ = read(Tree(family(1, 1)), {"parents": parents, "children": CHILDREN})
    assert ids(lines) == ["p1c0"]


def test_a_parent_that_is_gone_is_passed_over_and_told_once():
    lists = family(1, 1, 1)
    del lists["/parents/p0/children"], lists["/parents/p2/children"]
    lines, told = read(Tree(lists), {"parents": PARENTS, "children": CHILDREN})
    assert ids(lines) == ["p1c0"]
    (note,) = told
    assert "2 of 3 parents were passed over" in note
    assert "404 to GET /parents/{parent}/children" in note


def test_where_every_parent_is_gone_the_path_is_doubted():
    server = Tree({"/parents": [{"id": "a"}, {"id": "b"}]})
    _, told = read(server, {"parents": PARENTS, "children": CHILDREN})
    assert [note.partition("; ")[2] for note in told] == [
        "as it knows none of them, look whether the path is right"
    ]


def test_a_parent_for_which_nothing_can_be_read_does_not_stop_the_others():
    server, failures = Tree(family(1, 1)), list[RecordError]()
    server.broken.add("/parents/p0/children")
    lines, _ = read(server, {"parents": PARENTS, "children": CHILDREN}, on_error=failures.append)
    assert (ids(lines), len(failures)) == (["p1c0"], 1)


def test_a_record_limit_bounds_all_children_together():
    lines, _ = read(Tree(family(5, 5)), {"parents": PARENTS, "children": CHILDREN}, limit=3)
    assert ids(lines) == ["p0c0", "p0c1", "p0c2"]


def test_no_more_than_eight_parents_are_read_for_at_once():
    class Counting(Tree):
        now = most = 0

        async def answer(self, request: httpx.Request) -> httpx.Response:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            return await super().answer(request)

    server = Counting(family(*[1] * 30), size=30)
    lines, _ = read(server, {"parents": PARENTS, "children": CHILDREN})
    assert len(lines) == 30
    assert 1 < server.most <= 8


# -- input


class Records:
    """A source over a list, with marks."""

    def __init__(self, *records: Any) -> None:
        self.records, self.start = records, 0
        self.total = len(records)

    def resume(self, mark: Any, given: int) -> None:
        assert mark == {"n": given}
        self.start = given

    async def __aiter__(self):
        for n, record in enumerate(self.records[self.start :], self.start + 1):
            error = RecordError("no object") if record is None else None
            yield Item(str(n), record, error, mark={"n": n})

    async def acknowledge(self, item: Item) -> None:
        pass


BY_INPUT: dict[str, Any] = {
    "request": {"path": "/parents/{parent}/children"},
    "request_parameters": {"path": {"parent": "&{name}"}},
    "input": "names.jsonl",
    "keep_parent": {"of": "name"},
}


def test_every_record_of_the_input_is_a_set_of_request_parameters():
    failures: list[RecordError] = []
    source = Records({"name": "p0"}, None, {"nome": "p1"}, {"name": "p1"}, {"name": "gone"})
    lines, _ = read(Tree(family(1, 1)), {"children": BY_INPUT}, source=source, on_error=failures.append)
    assert sorted((one["id"], one["of"]) for one in lines) == [("p0c0", "p0"), ("p1c0", "p1")]
    assert (
        len(failures) == 3
    )  # a line that is no record, one without the field, and one that the server does not know


# -- incremental

NEWEST: dict[str, Any] = {"request": {"path": "/parents"}, "incremental": {"field": "at"}}


def test_the_second_run_reads_as_far_as_the_mark():
    server, seen = (
        Tree({"/parents": [{"id": f"i{n}", "at": n} for n in range(9, -1, -1)]}, size=3),
        Recalled(),
    )
    first, _ = read(server, {"in": NEWEST}, "in", seen=seen)
    assert len(first) == 10
    server.requests.clear()
    assert read(server, {"in": NEWEST}, "in", seen=seen)[0] == []
    assert len(server.requests) == 1
    server.lists["/parents"][:0] = [{"id": f"i{n}", "at": n} for n in (12, 11, 10)]
    server.requests.clear()
    assert ids(read(server, {"in": NEWEST}, "in", seen=seen)[0]) == ["i12", "i11", "i10"]
    assert len(server.requests) == 2


def test_an_item_of_the_same_second_as_the_mark_is_not_lost():
    server, seen = Tree({"/parents": [{"id": "a", "at": 5}, {"id": "b", "at": 4}]}), Recalled()
    read(server, {"in": NEWEST}, "in", seen=seen)
    server.lists["/parents"].insert(0, {"id": "late", "at": 5})
    assert ids(read(server, {"in": NEWEST}, "in", seen=seen)[0]) == ["late"]


def test_a_list_that_is_oldest_first_is_read_whole_and_gives_what_is_new():
    server, seen = Tree({"/parents": [{"id": f"i{n}", "at": n} for n in range(5)]}), Recalled()
    read(server, {"in": NEWEST}, "in", seen=seen)
    server.lists["/parents"].append({"id": "i5", "at": 5})
    assert ids(read(server, {"in": NEWEST}, "in", seen=seen)[0]) == ["i5"]


def test_the_mark_moves_only_after_a_complete_walk():
    server, seen = Tree({"/parents": [{"id": f"i{n}", "at": n} for n in range(5, -1, -1)]}), Recalled()
    assert len(read(server, {"in": NEWEST}, "in", seen=seen, limit=3)[0]) == 3
    assert sorted(ids(read(server, {"in": NEWEST}, "in", seen=seen)[0])) == ["i0", "i1", "i2"]


def test_an_item_that_failed_is_read_again_by_the_next_run():
    server, seen = Tree({"/parents": [{"id": "a", "at": 3}, {"id": "b", "at": 2, "x": "bad"}]}), Recalled()
    steps = {**NEWEST, "transformers": [{"keep_if": "x == 'good'"}]}
    lines, told = read(server, {"in": steps}, "in", seen=seen)
    assert lines == []
    assert len(told) == 1  # a has no x
    server.lists["/parents"][0]["x"] = "good"
    assert ids(read(server, {"in": steps}, "in", seen=seen)[0]) == ["a"]


def test_each_parent_has_a_mark_of_its_own():
    server, seen = Tree(family(4, 4), size=3), Recalled()
    incoming = {"parents": PARENTS, "children": {**CHILDREN, "incremental": {"field": "at"}}}
    assert len(read(server, incoming, seen=seen)[0]) == 8
    server.lists["/parents/p1/children"].insert(0, {"id": "new", "at": 101})
    server.requests.clear()
    assert ids(read(server, incoming, seen=seen)[0]) == ["new"]
    assert sum(server.asked.values()) == 3


def test_a_parents_mark_stays_when_a_child_could_not_be_read():
    server, seen = Tree(family(2, 2)), Recalled()
    incoming = {"parents": {**PARENTS, "incremental": {"field": "at"}}, "children": CHILDREN}
    server.broken.add("/parents/p1/children")
    assert ids(read(server, incoming, seen=seen, on_error=lambda _error: None)[0]) == ["p0c0", "p0c1"]
    server.broken.clear()
    assert ids(read(server, incoming, seen=seen)[0]) == ["p1c0", "p1c1"]
    assert read(server, incoming, seen=seen)[0] == []


@pytest.mark.parametrize(
    ("incremental", "mark", "asked"),
    [
        ({"field": "at", "query": "start_time", "start": 7}, 7, "start_time=7"),
        ({"field": "at", "query": "at[gte]", "start": "2025-01-01"}, None, "at%5Bgte%5D=2025-01-01"),
        ({"field": "at", "query": "start_time", "lookback": "1m"}, 1000, "start_time=940"),
    ],
)
def test_a_server_that_filters_is_given_the_mark(incremental: Any, mark: Any, asked: str):
    server, seen = Tree({"/parents": [{"id": "a", "at": 1000}]}), Recalled()
    wanted = {"request": {"path": "/parents"}, "incremental": incremental}
    if "start" not in incremental:
        read(server, {"in": wanted}, "in", seen=seen)
        server.requests.clear()
    read(server, {"in": wanted}, "in", seen=seen)
    assert list(server.asked) == [f"/parents?{asked}"]


def test_a_cursor_goes_on_behind_the_last_item():
    server, seen = Tree({"/parents": [{"id": f"i{n}"} for n in range(3)]}), Recalled()
    wanted = {"request": {"path": "/parents"}, "incremental": {"field": "id", "query": "after"}}
    assert len(read(server, {"in": wanted}, "in", seen=seen)[0]) == 3
    server.lists["/parents"].append({"id": "i3"})
    assert ids(read(server, {"in": wanted}, "in", seen=seen)[0]) == ["i3"]


@pytest.mark.parametrize(("only", "second"), [("new", ["c"]), ("changed", ["a", "c"])])
def test_only_leaves_out_what_earlier_runs_gave(only: str, second: list[str]):
    server, seen = Tree({"/parents": [{"id": "a", "n": 1}, {"id": "b", "n": 1}]}), Recalled()
    wanted = {"request": {"path": "/parents"}, "only": only}
    assert len(read(server, {"in": wanted}, "in", seen=seen)[0]) == 2
    server.lists["/parents"] = [{"id": "a", "n": 2}, {"id": "b", "n": 1}, {"id": "c", "n": 1}]
    assert ids(read(server, {"in": wanted}, "in", seen=seen)[0]) == second


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_with_a_mark_the_same_thing_at_another_time_is_another_item(size: int):
    wanted = {"request": {"path": "/parents"}, "incremental": {"field": "at"}, "identifier": "name"}
    things = [{"id": str(n), "name": "a", "at": n} for n in range(5, 0, -1)]
    server, seen = Tree({"/parents": things}, size), Recalled()
    given = [one["at"] for one in read(server, {"in": wanted}, "in", seen=seen)[0]]
    assert given == [5, 4, 3, 2, 1]
    server.lists["/parents"].insert(0, {"id": "6", "name": "a", "at": 6})
    assert [one["at"] for one in read(server, {"in": wanted}, "in", seen=seen)[0]] == [6]
    assert read(server, {"in": wanted}, "in", seen=seen)[0] == []


def test_an_identifier_may_be_made_of_several_fields():
    server, seen = Tree({"/parents": [{"id": "1", "a": 1, "b": 1}, {"id": "2", "a": 1, "b": 2}]}), Recalled()
    wanted = {"request": {"path": "/parents"}, "only": "new", "identifier": ["a", "b"]}
    assert len(read(server, {"in": wanted}, "in", seen=seen)[0]) == 2
    server.lists["/parents"].append({"id": "3", "a": 1, "b": 2})
    assert read(server, {"in": wanted}, "in", seen=seen)[0] == []


def test_in_python_a_memory_is_missed_before_anything_is_asked():
    with pytest.raises(ConfigError, match="connectory run"):
        read(Tree({}), {"in": NEWEST}, "in", look=False)


# -- every moment at which a run can break off


class KilledError(Exception):
    """The process is gone."""


async def broken_run(
    server: Tree, incoming: Any, journal: Noting, sink: list[Any], kill: int
) -> tuple[bool, int]:
    """Read until the `kill`-th thing that happens to sink and journal; what was not committed is lost."""
    step, kept = 0, len(sink)

    def tick() -> None:
        nonlocal step
        step += 1
        if step == kill:
            raise KilledError

    async with connected(server, incoming=incoming) as made:
        subscriber = made.subscriber(
            "children", journal=journal, seen=journal.kept_by, on_error=lambda _e: None
        )
        try:
            async with aclosing(subscriber.pages()) as pages:
                async for page in pages:
                    tick()
                    sink += page.records
                    tick()
                    for name, count in subscriber.counts.as_dict().items():
                        journal.counts[name] = count
                    await journal.commit(page.stream, page.cursor, drop=page.drop, seen=page.seen)
                    kept = len(sink)
        except KilledError:
            del sink[kept:]  # the file is cut back to what the journal knows
            return False, step
    return True, step


@given(
    sizes=st.lists(st.integers(0, 5), max_size=5),
    kills=st.lists(st.integers(1, 12), max_size=6),
    grown=st.integers(0, 3),
    size=st.integers(1, 3),
    incremental=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_however_often_a_run_breaks_off_the_sink_holds_each_item_once(
    sizes: list[int], kills: list[int], grown: int, size: int, incremental: bool
):
    lists = family(*sizes)
    server, seen, sink = Tree(lists, size), Recalled(), list[Any]()
    children = {**CHILDREN, "incremental": {"field": "at"}} if incremental else CHILDREN
    incoming = {"parents": PARENTS, "children": children}

    async def main() -> None:
        journal = Noting(seen)
        for kill in [*kills, 0]:
            done, _ = await broken_run(server, incoming, journal, sink, kill)
            if done:
                break
        assert sorted(ids(sink)) == every_child(lists)
        # each life asks again for the pages that were under way: one for each of the walks at once, and their parents'
        pages = sum(max(1, -(-len(one) // size)) for one in lists.values())
        assert len(server.requests) <= pages + len(kills) * 9
        streams = [one for one in journal.cursors if one.count("/") > 1]
        assert streams == []  # what was read for a parent is forgotten with its page
        seen.share()
        if not incremental:
            return
        for n in range(grown if sizes else 0):
            lists["/parents/p0/children"].insert(0, {"id": f"new{n}", "at": 200 + n})
        before = len(sink)
        for kill in [*kills, 0]:
            done, _ = await broken_run(server, incoming, journal := Noting(seen), sink, kill)
            if done:
                break
            seen.own = {}
            del sink[before:]  # --new: what the broken run gave is thrown away, and what it saw is not seen
        assert sorted(ids(sink)) == every_child(lists)

    run(main)
