"""Sources and sinks of one's own, named by `use`: their options, their errors, and a run that is taken up again."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import connectory

CODE = '''\
"""Orders, and where their answers go."""

import json
from pathlib import Path

from connectory import Sink

FOLDER = Path(__file__).parent


def orders(*, count: int = 3):
    (FOLDER / "calls").touch()
    for number in range(count):
        yield {"id": f"o{number}", "text": f"order {number}"}


async def later(*, count: int = 2):
    for number in range(count):
        yield {"id": f"l{number}", "text": "x"}


def broken():
    yield {"id": "b0", "text": "x"}
    raise OSError("the line is down")


def nothing():
    return 3


class Drawer(Sink):
    """Keep the lines in a file."""

    def __init__(self, *, name: str) -> None:
        self.lines, self.name = [], name

    async def write(self, lines):
        self.lines += lines

    async def flush(self):
        with (FOLDER / self.name).open("a") as file:
            for line in self.lines:
                file.write(json.dumps(line["id"]) + "\\n")
        self.lines = []

    async def close(self):
        await self.flush()
        (FOLDER / "closed").write_text("yes")


class Foreign:
    def write(self): ...
    def flush(self): ...
    def close(self): ...
'''
CONFIG: dict[str, Any] = {
    "version": 1,
    "clients": {"openai": {"prototype": "openai", "token": "${OPENAI_API_KEY}"}},
}


def laid(folder: Path, **settings: Any) -> Path:
    (folder / "used_shop.py").write_text(CODE)
    outgoing = {"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}, **settings}}
    (folder / "connectory.yaml").write_text(json.dumps({**CONFIG, "outgoing": outgoing}))
    return folder


def sent(folder: Path, *words: str) -> Any:
    return connectory("run", "outgoing", "moderate", "--sandbox", *words, folder=folder)


@pytest.mark.parametrize(
    ("use", "options", "ids"),
    [
        ("orders", None, ["o0", "o1", "o2"]),
        ("orders", {"count": "1"}, ["o0"]),
        ("later", {"count": 2}, ["l0", "l1"]),
    ],
)
def test_records_come_from_a_function_of_ones_own(tmp_path, use, options, ids):
    folder = laid(tmp_path, input={"use": f"used_shop:{use}", "options": options})
    done = sent(folder)
    assert (done.code, [line["id"] for line in done.lines]) == (0, ids)
    previewed = connectory("preview", "outgoing", "moderate", "-n", "1", folder=folder)
    assert [line["record"]["id"] for line in previewed.lines] == ids[:1]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"use": "used_shop:order"}, "source 'used_shop:order': module 'used_shop'"),
        (
            {"use": "used_shop:orders", "options": {"cuont": 1}},
            "has no option 'cuont'; did you mean 'count'?",
        ),
        (
            {"use": "used_shop:orders", "options": {"count": "x"}},
            "option 'count': input should be a valid integer",
        ),
        ({"use": "used_shop:nothing"}, "gave a value of type 'int'; return records, or yield them"),
        ({"use": "used_shop.py"}, "is neither 'module:function' nor"),
        ({"use": "os:listdir"}, "is a function of Python's own"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(tmp_path, written, words):
    done = sent(laid(tmp_path, input=written))
    assert (done.code, words in done.said) == (3, True), done.said


def test_lint_tells_of_sources_and_sinks_in_their_places(tmp_path):
    wrong = {"use": "used_shop:orders", "options": {"cuont": 1}}
    folder = laid(tmp_path, input=wrong, output={"use": "used_shop:Drower"})
    done = connectory("lint", folder=folder)
    assert done.code == 3
    assert "source 'used_shop:orders' has no option 'cuont'; did you mean 'count'?" in done.said
    assert "has no 'Drower'; did you mean 'Drawer'?" in done.said
    assert "2 errors" in done.said


def test_a_source_that_fails_later_ends_the_run_after_what_it_gave(tmp_path):
    done = sent(laid(tmp_path, input={"use": "used_shop:broken"}))
    assert (done.code, "source 'used_shop:broken' failed: OSError: the line is down" in done.said) == (
        3,
        True,
    )
    assert [line["id"] for line in done.lines] == ["b0"]


def test_code_that_the_command_line_names_must_be_installed(tmp_path):
    done = sent(laid(tmp_path), "--input", "{use: 'used_shop:orders'}")
    assert (done.code, "no module 'used_shop' in the installed packages" in done.said) == (3, True)


def test_lines_go_to_a_sink_of_ones_own(tmp_path):
    folder = laid(
        tmp_path,
        input={"use": "used_shop:orders"},
        output={"use": "used_shop:Drawer", "options": {"name": "drawer"}},
    )
    done = sent(folder)
    assert (done.code, done.out) == (0, "")
    assert (folder / "drawer").read_text().split() == ['"o0"', '"o1"', '"o2"']
    assert (folder / "closed").exists()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"use": "used_shop:Drawer"}, "sink 'used_shop:Drawer' needs the option 'name' (str)"),
        ({"use": "used_shop:Foreign"}, "is not derived from connectory.Sink"),
        (
            {"use": "used_shop:orders"},
            "sink 'used_shop:orders' has no 'write'; derive it from connectory.Sink",
        ),
    ],
)
def test_what_is_no_sink_is_told_before_anything_is_sent(tmp_path, written, words):
    done = sent(laid(tmp_path, input={"use": "used_shop:orders"}, output=written))
    assert (done.code, words in done.said) == (3, True), done.said
    assert not (tmp_path / "calls").exists()


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path):
    """The server's second answer is that there is no credit; then it has some again."""
    heard: list[Any] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
            poor = text == "order 1" and text not in heard
            heard.append(text)
            error = {
                "error": {"message": "no credit", "type": "insufficient_quota", "code": "insufficient_quota"}
            }
            body = json.dumps(error if poor else {"id": "m", "model": "m", "results": []}).encode()
            self.send_response(429 if poor else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = laid(tmp_path, input={"use": "used_shop:orders"}, concurrency=1, output="answers.jsonl")
        config = json.loads((folder / "connectory.yaml").read_text())
        config["clients"]["openai"] = {
            "prototype": "openai-compatible",
            "base_uri": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "token": "made-up-token",
        }
        (folder / "connectory.yaml").write_text(json.dumps(config))
        first = connectory("run", "outgoing", "moderate", folder=folder)
        second = connectory("run", "outgoing", "moderate", folder=folder)
        server.shutdown()
    assert (first.code, second.code) == (5, 0), first.said + second.said
    assert heard == ["order 0", "order 1", "order 1", "order 2"]
    lines = [json.loads(line)["id"] for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert lines == ["o0", "o1", "o2"]


def test_a_name_that_no_package_has_is_told_by_lint(tmp_path):
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients: {openai: {token: x}}\noutgoing:\n  moderate:\n    entity: moderations\n"
        "    input: {use: oders}\n    output: {use: drawer}\n"
    )
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    hint = "(it is the name that an installed package gives its source, or module:name)"
    assert f"no source 'oders' {hint}" in done.said + done.out
    assert "no sink 'drawer'" in done.said + done.out
