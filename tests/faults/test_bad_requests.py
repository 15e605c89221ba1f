"""Values that would change what a request means: refused before a byte leaves, and never shown where they are secret."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from connected import BASE, Kept, Listed, Server, connected, run
from hypothesis import given
from hypothesis import strategies as st

from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, ConnectoryError, RequestError
from connectory.requests.encoding import expand_path

DELETES = {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}


class Taker(Server):
    """A server that takes anything."""

    async def answer(self, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": []})


def deliver(records: Any, outgoing: Any) -> tuple[Server, list[Any], list[Any]]:
    """Send records through a real chain and client; give the server, results and dead letters."""
    server, sink, dead = Taker(), Kept(), Kept()

    async def main():
        async with connected(server, outgoing={"out": outgoing}) as made:
            await made.publisher("out").run(Listed(records), sink, dead)

    run(main)
    return server, sink.lines, dead.lines


# -- paths


@pytest.mark.fault(
    "B9", "what stands in a path value stays inside its segment: slash, percent, ? and # are encoded"
)
@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("../x", "..%2Fx"),
        ("a/b", "a%2Fb"),
        ("/etc", "%2Fetc"),
        ("%2F", "%252F"),
        ("a%2F..%2Fb", "a%252F..%252Fb"),
        ("a?b=1", "a%3Fb=1"),
        ("a#b", "a%23b"),
        ("a b", "a%20b"),
        ("...", "..."),
        ("é", "%C3%A9"),
        ("\\..\\x", "%5C..%5Cx"),
        ("//host", "%2F%2Fhost"),
        ("x;y=1", "x;y=1"),
    ],
)  # fmt: skip
def test_a_path_value_stays_in_its_segment(value, target):
    server, results, _ = deliver([{"id": value}], DELETES)
    assert server.lines == [f"DELETE /v1/files/{target}"]
    assert str(server.requests[0].url).startswith(f"{BASE}/files/")
    assert results[0]["status"] == "ok"


@pytest.mark.fault(
    "B9", "a value that is empty, means another path or has control characters is an error of its record"
)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (".", "would mean another path"),
        ("..", "would mean another path"),
        ("%2e%2e", "would mean another path"),
        ("%252E", "would mean another path"),
        (".%2E", "would mean another path"),
        ("a\r\nX-A: b", "has a control character"),
        ("a\x00", "has a control character"),
        ("a\x7f", "has a control character"),
        (None, "must be text or a whole number, not null"),
        (True, "must be text or a whole number, not a boolean"),
        (1.5, "must be text or a whole number, not a number"),
        (["a"], "must be text or a whole number, not a list"),
        ({}, "must be text or a whole number, not an object"),
    ],
)
def test_a_path_value_that_means_something_else_is_refused(value, says):
    server, results, (letter,) = deliver([{"id": "before"}, {"id": value}, {"id": "after"}], DELETES)
    assert server.lines == ["DELETE /v1/files/before", "DELETE /v1/files/after"]
    assert [line["status"] for line in results] == ["ok", "error", "ok"]
    assert letter["error"]["class"] == "request"
    assert says in letter["error"]["message"]
    assert letter["record"] == {"id": value}


@pytest.mark.fault("B9", "whatever the value, the URL has the template's segments")
@given(value=st.text(max_size=20) | st.text(alphabet="./%2eEfF\\?#;\r\n\0 ", max_size=12))
def test_any_value_keeps_the_number_of_segments(value):
    try:
        path = expand_path("/files/{file_id}/content", {"file_id": value})
    except RequestError:
        return
    url = httpx.URL(f"{BASE}{path}")
    before, name, after = url.raw_path.decode().rsplit("/", 2)
    assert (before, after) == ("/v1/files", "content")
    assert unquote(name) == value
    assert not url.query
    assert not url.fragment


# -- headers

BAD_HEADERS = [
    "hush-secret\r\nX-Evil: 1",
    "hush-secret\n",
    "hush-secret\x00",
    "hush-secret-é",
    "hush-\u2028-secret",
]


@pytest.mark.fault(
    "B10", "a header value that no header can have is refused before anything is sent; no error shows it"
)
@pytest.mark.parametrize("value", BAD_HEADERS)
@pytest.mark.parametrize(
    "client",
    [
        {"token": "VALUE"},
        {"organization": "VALUE"},
        {"project": "VALUE"},
        {"headers": {"X-A": "VALUE"}},
        {"token": "${HUSH}"},
        {"headers": {"X-A": "${HUSH}"}},
    ],
    ids=lambda client: "-".join(map(str, client.items())),
)
def test_a_header_value_is_checked_and_never_shown(client, value, monkeypatch):
    server = Taker()
    if "\0" not in value:
        monkeypatch.setenv("HUSH", value)
    elif "${HUSH}" in str(client):
        pytest.skip("no environment variable can hold a NUL")

    def put(one: Any) -> Any:
        return (
            {key: put(below) for key, below in one.items()}
            if isinstance(one, dict)
            else one.replace("VALUE", value)
        )

    async def main():
        settings = {"base_uri": BASE, "token": "fine", **put(client)}
        made = AsyncConnector.from_dict(
            {"version": 1, "clients": {"api": settings}, "incoming": {"in": {"entity": "models"}}},
            transport=httpx.MockTransport(server),
            listen=lambda _event: None,
        )
        async with made:
            return [item async for item in made.incoming("in")]

    if value == "hush-secret\n":  # a line feed at the end, as a file or a shell leaves it, is taken off
        assert run(main) == []
        assert {"hush-secret", "Bearer hush-secret"} & set(server.requests[0].headers.values())
        return
    with pytest.raises(ConnectoryError) as caught:
        run(main)
    assert server.requests == []
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "hush" not in f"{shown} {shown!r} {shown.args}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)


@pytest.mark.fault("B10", "a header that a record brings is checked in the same way: an error of its record")
@pytest.mark.parametrize("value", BAD_HEADERS)
def test_a_header_of_a_record_is_checked_and_never_shown(value):
    outgoing = {"request": {"method": "POST"}, "payload": {"a": 1}}
    records = [{"url": f"{BASE}/things", "headers": {"X-A": one}} for one in ("fine", value, "well")]
    server, results, (letter,) = deliver(records, outgoing)
    assert [request.headers["X-A"] for request in server.requests] == ["fine", "well"]
    assert [line["status"] for line in results] == ["ok", "error", "ok"]
    assert letter["error"]["message"] == "header 'X-A' of the record has a character that no header can have"


# -- environment


@pytest.mark.fault("B13", "a variable that is not set is an error that names the variable and its place")
def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError, match="the environment variable 'NOWHERE' is not set"):
        run(lambda: _read_with("${NOWHERE}"))


@pytest.mark.fault("B13", "an empty variable is no token: an error, before anything is sent")
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_token_is_an_error(monkeypatch, value):
    monkeypatch.setenv("NOWHERE", value)
    with pytest.raises(ConnectoryError, match="token"):
        run(lambda: _read_with("${NOWHERE}"))


async def _read_with(token: str) -> list[Any]:
    made = AsyncConnector.from_dict(
        {"version": 1, "clients": {"api": {"base_uri": BASE, "token": token}}},
        transport=httpx.MockTransport(Server()),
    )
    async with made:
        return [item async for item in made.read("models")]


# -- files that are sent


@pytest.mark.fault("B18", "a file that is missing, a folder, or outside files_root is an error of its record")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.txt", "cannot be read"),
        ("folder", "is no ordinary file"),
        ("../outside.txt", "must be a path below files_root, without '..'"),
        ("folder/../../outside.txt", "must be a path below files_root, without '..'"),
        ("/etc/hostname", "must be a path below files_root"),
        ("link.txt", "leads out of files_root"),
        ("a\0b", "control character"),
        ("", "is empty"),
        (5, "must be text"),
    ],
)
def test_a_file_that_cannot_be_sent_is_an_error_of_its_record(tmp_path, name, says):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "fine.txt").write_text("fine")
    (tmp_path / "outside.txt").write_text("outside")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    outgoing = {
        "entity": "files",
        "files_root": str(root),
        "payload": {"purpose": "assistants", "file": {"path": "&{name}"}},
    }
    server, results, (letter,) = deliver(
        [{"name": "fine.txt"}, {"name": name}, {"name": "fine.txt"}], outgoing
    )
    assert [line["status"] for line in results] == ["ok", "error", "ok"]
    assert len(server.requests) == 2
    assert letter["error"]["class"] == "request"
    assert says in letter["error"]["message"]
