"""Routes that break off anywhere: each step goes on where it was."""

from __future__ import annotations

from typing import Any

import pytest
from connected import body_of
from journaled import lines_of
from routed import ECHO, PURGE, Routed, Things

from connectory.errors import ConfigError
from connectory.journal import DEAD_LETTERS

NAMES = [f"t{number}" for number in range(6)]


def step(name: str, **more: Any) -> dict[str, Any]:
    return {
        **ECHO,
        "request": {"method": "POST", "path": f"/{name}"},
        "concurrency": 2,
        "result": {"id": "&{input.id}"},
        **more,
    }


@pytest.fixture
def route(tmp_path):
    return Routed(tmp_path, first=step("first"), second=step("second"))


def sent(server: Things, name: str) -> list[str]:
    return [body_of(one)["id"] for one in server.requests if one.url.path.endswith(name) and one.content]


POINTS = [
    *((0, "commit", number) for number in (1, 2, 3)),
    (0, "flush", 1),
    (0, "finish", 1),
    *(
        (whose, name, number)
        for whose in (1, 2)
        for name in ("intend", "record", "show")
        for number in (1, 3, 6)
    ),
    *((whose, "flush", 1) for whose in (1, 2)),
    *((whose, "finish", 1) for whose in (1, 2)),
    *((1, "request", number) for number in (2, 5, 9, 13, 15)),
]


@pytest.mark.fault("X1", "a route that is killed anywhere goes on in every step where it was")
@pytest.mark.parametrize("point", POINTS, ids=lambda point: " ".join(map(str, point)))
def test_a_route_that_is_killed_at_any_moment_goes_on_where_each_step_was(route, point: Any):
    server = Things()
    first = route.travel(server, crash=point)
    second = route.travel(server)

    assert (first.crashed, second.resumed, second.error) == (True, True, None)
    assert route.lines == [{"id": name} for name in NAMES]
    for name in ("first", "second"):
        assert sorted(set(sent(server, name))) == NAMES
        assert len(sent(server, name)) <= 6 + 2
    keys = [request.headers["x-client-request-id"] for request in server.requests if request.method == "POST"]
    assert len(set(keys)) == len(keys)
    for number in (1, 2):
        summary = route.runs.summary(f"{second.run}.{number}")
        assert (summary.state, summary.done, summary.dead, summary.pending) == ("finished", 6, 0, 0)
    assert route.runs.summary(second.run).state == "finished"


@pytest.mark.parametrize("order", ["input", "completion"])
@pytest.mark.parametrize("point", [(1, "record", 4), (2, "record", 3), (2, "show", 2)], ids=str)
def test_a_route_whose_steps_answer_in_any_order_loses_nothing_either(tmp_path, order: str, point: Any):
    route, server = (
        Routed(tmp_path, first=step("first", order=order), second=step("second", order=order)),
        Things(),
    )
    route.travel(server, crash=point)
    route.travel(server)

    assert sorted(line["id"] for line in route.lines) == NAMES


@pytest.mark.fault(
    "X1", "a deleting route that is killed anywhere deletes the rest of its list, and nothing else"
)
@pytest.mark.parametrize(
    "point",
    [
        (0, "commit", 2),
        *((1, name, number) for name in ("request", "intend", "record", "show") for number in (1, 4)),
        (1, "finish", 1),
    ],
    ids=str,
)
def test_a_deleting_route_that_is_killed_deletes_what_its_list_still_holds(tmp_path, point: Any):
    if point[1] == "request":
        point = (*point[:2], point[2] + 3)  # behind the pages
    route, server = Routed(tmp_path, purge=PURGE), Things()
    assert route.travel(server, crash=point).crashed
    late = server.things and "t9"
    if late and point[0]:
        server.things.append("t9")  # it came after the list was read
    second = route.travel(server)

    assert second.error is None
    assert server.things == (["t9"] if late and point[0] else [])
    assert len(route.lines) == 6
    assert {line["status"] for line in route.lines} == {"ok"}
    if point[0]:
        assert server.methods.count("GET") == 3  # the list is not read again


def test_dead_letters_of_a_step_are_there_once(tmp_path):
    route, server = (
        Routed(tmp_path, first=step("first"), second=step("second", payload="&{x || id}")),
        Things(),
    )
    route.connections["outgoing"]["second"] = step("second", transformers=[{"set": {"y": "&{absent}"}}])
    route.travel(server, crash=(2, "show", 1))
    route.travel(server)

    assert sorted(letter["record"]["id"] for letter in route.letters(2)) == NAMES


@pytest.mark.parametrize("gone", ["spool-0.jsonl", "spool-1.jsonl"])
@pytest.mark.parametrize("how", ["removed", "cut"])
def test_a_file_between_steps_that_is_not_what_it_was_is_refused_before_anything_is_sent(
    route, gone: str, how: str
):
    server = Things()
    first = route.travel(server, crash=(2, "show", 3))
    spool = route.runs.path(first.run) / gone
    spool.unlink() if how == "removed" else spool.write_bytes(b"")
    sent_before = len(server.requests)
    with pytest.raises(ConfigError, match=rf"run {first.run} cannot go on: its file .*{gone}"):
        route.travel(server)

    assert len(server.requests) == sent_before
    assert route.travel(server, new=True).error is None


def test_a_file_between_steps_on_which_nobody_has_worked_is_made_again(route):
    server = Things()
    first = route.travel(server, crash=(0, "place", 1))  # a page is in it, and nobody knows of it yet
    (route.runs.path(first.run) / "spool-0.jsonl").unlink()

    assert sent(server, "first") == []
    assert route.travel(server).error is None
    assert route.lines == [{"id": name} for name in NAMES]


def test_the_dead_letters_of_an_earlier_step_that_were_removed_are_refused_too(tmp_path):
    route, server = Routed(tmp_path, first=step("first"), second=step("second")), Things()
    route.connections["outgoing"]["first"] = step("first", transformers=[{"keep_if": "id != 't0' || absent"}])
    first = route.travel(server, crash=(2, "show", 3))
    letters = route.runs.path(f"{first.run}.1") / DEAD_LETTERS
    assert [letter["record"]["id"] for letter in lines_of(letters)] == ["t0"]
    letters.unlink()
    with pytest.raises(ConfigError, match="cannot go on"):
        route.travel(server)
