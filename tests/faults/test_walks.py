"""Lists that do not end, shift, or lead away (rows P9 to P13)."""

from __future__ import annotations

import pytest
from fault_runs import incoming, listed, serving
from fault_server import replies


def ids(ran):
    return [line["id"] for line in ran.lines]


def asked(server):
    """Give the targets that were asked for."""
    lines = [line for data in server.received for line in bytes(data).split(b"\r\n")]
    return [line.split()[1].decode() for line in lines if line.startswith(b"GET ")]


@pytest.mark.fault(
    "P9", "A cursor that comes a second time ends the walk with an error; what was read is kept."
)
def test_a_list_that_goes_round_in_circles_is_given_up(tmp_path):
    pages = [
        listed("a", more=True, last_id="a"),
        listed("b", more=True, last_id="b"),
        listed("c", more=True, last_id="a"),
    ]
    with serving(replies(*pages)) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran), len(asked(server))) == (1, ["a", "b", "c"], 3)
    assert "GET /files: the list gives the cursor 'a' a second time: it would never end (page 3)" in ran.said


@pytest.mark.fault(
    "P9", "The same page for ever is noticed at its second coming, and its items are taken once."
)
def test_the_same_page_for_ever_is_given_up(tmp_path):
    with serving(replies(listed("a", more=True, last_id="a"))) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran), len(asked(server))) == (1, ["a"], 2)


@pytest.mark.fault(
    "P10",
    "An empty page with a new cursor is walked over; a hundred of them in a row end the walk with an error.",
)
def test_empty_pages_are_walked_over_but_not_for_ever(tmp_path):
    empty = [listed(more=True, last_id=f"c{number}") for number in range(200)]
    with serving(replies(*empty[:50], listed("a", last_id="a"))) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran)) == (0, ["a"])
    with serving(replies(*empty)) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran), len(asked(server))) == (1, [], 100)
    assert "gave 100 empty pages in a row" in ran.said


NO_WAY_ON = {
    "no cursor": listed(more=True),
    "a number": listed(7, more=True),
    "an object": listed(more=True, last_id={"id": "b"}),
    "items without id": listed(None, more=True),
    "empty": listed("", more=True, last_id=""),
}


@pytest.mark.fault(
    "P11",
    "More without a usable cursor is an error that names the page; the list is never read from its start again.",
)
@pytest.mark.parametrize("name", NO_WAY_ON)
def test_more_without_a_way_on_is_an_error(tmp_path, name):
    with serving(replies(listed("a", more=True, last_id="a"), NO_WAY_ON[name])) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, len(asked(server)), ids(ran)[:1]) == (1, 2, ["a"])
    assert "says that there is more and gives no cursor to ask with (page 2)" in ran.said
    assert [target.partition("after=")[2] for target in asked(server)] == ["", "a"]


@pytest.mark.fault(
    "P12",
    "Items that come again on the next page, because others came before them, are taken once and counted in a note.",
)
def test_items_that_shift_to_the_next_page_are_taken_once(tmp_path):
    pages = [
        listed("a", "b", more=True, last_id="b"),
        listed("b", "c", more=True, last_id="c"),
        listed("b", "c", "d"),
    ]
    with serving(replies(*pages)) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran)) == (0, ["a", "b", "c", "d"])
    assert (
        ran.said.count("the list changed while it was read: 3 items came on two pages and were taken once")
        == 1
    )
    assert "4 records of 7 items on 3 pages, 0 failed" in ran.said


@pytest.mark.fault(
    "P12", "A page that is deleted meanwhile ends the walk: what the server still gives is read."
)
def test_a_list_that_shrinks_ends(tmp_path):
    with serving(replies(listed("a", more=True, last_id="a"), listed())) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran)) == (0, ["a"])
    assert "changed" not in ran.said


ADDRESSES = [
    "http://localhost:{port}/v1/files",
    "//localhost:{port}/x",
    "file:///etc/passwd",
    "HTTPS://evil.example/",
]


@pytest.mark.fault(
    "P13", "An address instead of a cursor is refused: no other server, file or port is asked."
)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_next_page_elsewhere_is_refused(tmp_path, address):
    with serving() as foreign:
        away = listed("a", more=True, last_id=address.format(port=foreign.port))
        with serving(replies(away, listed("b"))) as server:
            ran = incoming(tmp_path, server.url("/v1"))
        assert foreign.received == []
    assert (ran.code, ids(ran), len(asked(server))) == (1, ["a"], 1)
    assert "gives an address instead of a cursor, and addresses are not followed (page 1)" in ran.said


@pytest.mark.fault("P13", "Any other text stays one value of the query, to the client's own server.")
@pytest.mark.parametrize("cursor", ["../admin?x=1&y=2#z", "a b%2F\u00e9", "@evil.example"])
def test_a_cursor_is_never_more_than_a_value(tmp_path, cursor):
    with serving(replies(listed("a", more=True, last_id=cursor), listed("b"))) as server:
        ran = incoming(tmp_path, server.url("/v1"))
    assert (ran.code, ids(ran)) == (0, ["a", "b"])
    assert all(target.startswith("/v1/files?") for target in asked(server))
    assert "#" not in asked(server)[1]
    assert asked(server)[1].count("&") == asked(server)[0].count("&") + 1
