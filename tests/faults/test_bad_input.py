"""Whatever stands in the input: one clear error for what cannot be read, and every other record is delivered."""

from __future__ import annotations

import gzip
import json
import os
import threading
import tracemalloc
from typing import Any

import httpx
import pytest
from command import connectory
from connected import POSTS, Kept, Server, connected, run
from fuzzing import nested

from connectory.adapters.jsonl import LineSource
from connectory.errors import InputError, RunStoppedError
from connectory.events import Noticed
from connectory.formats import lines

CONFIG = """
version: 1
clients: {openai: {}}
outgoing:
  moderate:
    entity: moderations
    payload: {input: "&{text}"}
    result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
"""
ECHO = {**POSTS, "payload": "&{@}"}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    return tmp_path


def deliver(
    path: Any, outgoing: Any = None, **options: Any
) -> tuple[Server, list[Any], list[Any], list[Any]]:
    """Send a file's records through a real chain and client; give the server, results, dead letters and notes."""
    server, sink, dead, notes = Server(), Kept(), Kept(), list[Any]()

    async def main():
        async with connected(server, outgoing={"out": outgoing or ECHO}, listen=notes.append) as made:
            await made.publisher("out").run(LineSource(path, **options), sink, dead)

    run(main)
    return server, sink.lines, dead.lines, [one.message for one in notes if isinstance(one, Noticed)]


@pytest.fixture
def sent(tmp_path):
    """Send a file of these bytes."""

    def send(content: bytes, outgoing: Any = None) -> tuple[Server, list[Any], list[Any], list[Any]]:
        path = tmp_path / "records.jsonl"
        path.write_bytes(content)
        return deliver(path, outgoing)

    return send


BAD_LINES = {
    "cut off": (b'{"id": "x", "text": ', "not JSON: expecting value at column"),
    "words": (b"hello there", "not JSON: expecting value at column 1"),
    "two records": (b'{"a": 1} {"b": 2}', "not JSON: extra data at column 10"),
    "a list": (b'[{"a": 1}]', "a record must be a JSON object, this is an array"),
    "a text": (b'"text"', "a record must be a JSON object, this is a string"),
    "a number": (b"17", "a record must be a JSON object, this is a number"),
    "null": (b"null", "a record must be a JSON object, this is null"),
    "NaN": (b'{"a": NaN}', "not JSON: NaN is not JSON"),
    "Infinity": (b'{"a": -Infinity}', "not JSON: -Infinity is not JSON"),
    "1e999": (b'{"a": 1e999}', "not JSON: a number is too large"),
    "a nest": (b'{"a":' * 100_000, "not JSON: nested too deeply"),
    "5,000 digits": (b'{"a": ' + b"7" * 5000 + b"}", "not JSON: Exceeds the limit"),
    "no UTF-8": (b'{"a": "\xff"}', "not JSON: not UTF-8 at byte 7"),
    "NUL": (b'{"a": "\x00"}', "not JSON: invalid control character at column 8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16-le"), "not JSON: "),
    "a key twice": (b'{"a": 1, "b": 2, "a": 3}', "not JSON: an object has the key 'a' twice"),
    "a key twice inside": (b'{"a": [{"b": 2, "b": 2}]}', "not JSON: an object has the key 'b' twice"),
}


@pytest.fixture(scope="module")
def run_of_bad_lines(tmp_path_factory):
    """One run of the command over every kind of bad line, each behind a good one."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "connectory.yaml").write_text(CONFIG)
    offsets, content = {}, b""
    for name, (line, _) in BAD_LINES.items():
        content += json.dumps({"id": f"before {name}", "text": "x"}).encode() + b"\n"
        offsets[name] = len(content)
        content += line + b"\n"
    content += json.dumps({"id": "last", "text": "x"}).encode()
    (folder / "records.jsonl").write_bytes(content)
    done = connectory("run", "outgoing", "moderate", "--input", "records.jsonl", "--sandbox", folder=folder)
    (letters,) = folder.glob(".connectory/runs/*/dead_letters.jsonl")
    dead = [json.loads(line) for line in letters.read_bytes().splitlines()]
    return done, dict(zip(BAD_LINES, dead, strict=True)), offsets


@pytest.mark.fault("B1", "a dead letter with line number and byte offset; the other records are delivered")
@pytest.mark.fault(
    "B3", "what no JSON number is, or no float can hold, is an error of its record and never sent on"
)
@pytest.mark.fault("B4", "an error of its record, caught as one")
@pytest.mark.fault("B5", "an error of its record")
@pytest.mark.fault("B7", "an error of its record that names the key, with and without the extra `fast`")
@pytest.mark.parametrize("name", BAD_LINES)
def test_a_line_that_is_no_record_is_set_aside_with_its_place(run_of_bad_lines, name):
    done, dead, offsets = run_of_bad_lines
    number = 2 + 2 * list(BAD_LINES).index(name)

    assert done.code == 1
    good = [line["id"] for line in done.lines if "flagged" in line]
    assert good == [*(f"before {one}" for one in BAD_LINES), "last"]
    letter = dead[name]
    assert letter["error"]["class"] == "record"
    assert letter["error"]["message"].startswith(
        f"line {number} (byte {offsets[name]}): {BAD_LINES[name][1]}"
    )
    assert (letter["id"], letter["attempts"], letter["error"]["retryable"]) == (str(number), 0, False)
    text = BAD_LINES[name][0].decode("utf-8", "backslashreplace")
    assert letter["record"] == (text if "not JSON" in BAD_LINES[name][1] else json.loads(text))


@pytest.mark.fault(
    "B2", "a dead letter with the line's beginning and length; never held whole; the next line is read"
)
def test_a_line_of_100_mb_is_set_aside_in_bounded_memory(tmp_path):
    path = tmp_path / "records.jsonl"
    with path.open("wb") as file:
        file.write(b'{"id": 1}\n{"id": 2, "text": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"id": 3}')
    tracemalloc.start()
    server, results, (letter,), _ = deliver(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [body["id"] for body in server.bodies] == [1, 3]
    assert [line["status"] for line in results] == ["ok", "error", "ok"]
    assert letter["record"] == '{"id": 2, "text": "' + "x" * (lines.SHOWN - 19)
    assert "line 2 (byte 10): 100000021 bytes long" in letter["error"]["message"]
    assert peak < 1.5 * lines.LONGEST_LINE


@pytest.mark.fault("B2", "a last line without a line feed is a record")
def test_a_last_line_without_its_end_is_a_record(sent):
    server, *_ = sent(b'{"id": 1}\n{"id": 2}')
    assert server.bodies == [{"id": 1}, {"id": 2}]


@pytest.mark.fault("B5", "a byte order mark at the file's start is accepted")
def test_a_byte_order_mark_is_accepted(sent):
    server, *_ = sent(b'\xef\xbb\xbf{"id": 1}\n')
    assert server.bodies == [{"id": 1}]


@pytest.mark.fault(
    "B5",
    "half a character (a lone surrogate) is sent as the escape that it was, or refused where it cannot be",
)
def test_half_a_character_is_kept_in_a_body_and_refused_in_a_path(sent, monkeypatch):
    async def answer(_server, request):
        return httpx.Response(200, content=b'{"got": ' + request.content + b"}" if request.content else b"{}")

    monkeypatch.setattr(Server, "answer", answer)
    server, results, _, _ = sent(b'{"id": "\\ud800", "\\udfff": 1}\n{"id": "fine"}\n')
    assert server.requests[0].content == b'{"id":"\\ud800","\\udfff":1}'
    assert [line["status"] for line in results] == ["ok", "ok"]

    deletes = {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}
    server, results, (letter,), _ = sent(b'{"id": "\\ud800"}\n{"id": "fine"}\n', deletes)
    assert server.lines == ["DELETE /v1/files/fine"]
    assert "half a character" in letter["error"]["message"]


@pytest.mark.fault(
    "B5", "a file in UTF-16 ends the run with exit code 3 and the command that converts it; nothing is sent"
)
@pytest.mark.parametrize(
    "content",
    [
        '{"id": "a", "text": "x"}\n'.encode("utf-16"),
        b"id,text\na,x\n",
        b'[\n {"id": "a",\n "text": "x"}\n]\n',
    ],
)
def test_a_file_that_is_no_json_lines_sends_nothing_and_keeps_earlier_output(project, content):
    (project / "posts.dat").write_bytes(content)
    (project / "out.jsonl").write_text("earlier\n")
    done = connectory(
        "run",
        "outgoing",
        "moderate",
        "--input",
        "posts.dat",
        "--output",
        "out.jsonl",
        "--sandbox",
        folder=project,
    )
    assert done.code == 3
    assert "'posts.dat' is no JSON Lines, one JSON object a line: it looks like" in done.said
    assert "nothing was sent" in done.said
    assert done.last.endswith("> posts.jsonl")
    assert (project / "out.jsonl").read_text() == "earlier\n"
    assert not list(project.glob(".connectory/runs/*/dead_letters.jsonl"))


@pytest.mark.fault("B6", "only a line feed ends a record")
def test_separators_inside_a_text_do_not_cut_it(sent):
    texts = ["a\u2028b\u2029c\x85d\x0be\x0cf\x1cg", "\u2028"]
    content = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    server, *_ = sent(content.encode())
    assert [body["text"] for body in server.bodies] == texts


@pytest.mark.fault("B8", "numbers keep their value, an id of any size its digits")
def test_numbers_keep_their_value(sent):
    deletes = {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}}
    server, *_ = sent(b'{"id": 12345678901234567890123}\n{"id": 9007199254740993}\n', deletes)
    assert server.lines == ["DELETE /v1/files/12345678901234567890123", "DELETE /v1/files/9007199254740993"]

    server, results, _, _ = sent(
        b'{"id": 123456789012345678901, "a": 1.10, "b": 1e2, "c": 0.1, "z": -0.0, "y": 1}\n'
    )
    assert (
        server.requests[0].content == b'{"id":123456789012345678901,"a":1.1,"b":100.0,"c":0.1,"z":-0.0,"y":1}'
    )
    assert results[0]["id"] == "123456789012345678901"


@pytest.mark.fault(
    "B4", "a record that a program or a transformer nests too deeply is an error of its record too"
)
@pytest.mark.parametrize("depth", [300, 900, 5000])
@pytest.mark.parametrize(
    "outgoing",
    [
        ECHO,
        {**POSTS, "payload": {"b": 1}, "result": "&{input}"},
        {**POSTS, "transformers": [{"set": {"b": 1}}], "payload": {"b": 1}},
        {**POSTS, "transformers": [{"parse_json": ["text"]}], "payload": "&{@}"},
    ],
    ids=["sent", "in the result", "copied", "parsed"],
)
def test_nesting_from_elsewhere_is_an_error_of_its_record(outgoing, depth):
    parsed = "parse_json" in str(outgoing)
    deep = {"text": "[" * depth + "]" * depth} if parsed else {"a": nested(depth)}

    levels = list[int]()

    async def answer(request: httpx.Request) -> httpx.Response:
        levels.append(request.content.count(b"["))
        return httpx.Response(200, json={"size": len(request.content)})

    async def main():
        async with connected(answer, outgoing={"out": outgoing}) as made:
            return [one async for one in made.outgoing("out", [{"n": 1}, deep, {"n": 2}])]

    first, middle, last = run(main)
    # where the limit lies is Python's: newer ones walk deeper; what is sent is whole
    possible = {"ok"} if depth == 300 else {"ok", "error"}
    assert (first.status, last.status) == ("ok", "ok")
    assert middle.status in possible
    if middle.status == "ok":
        assert max(levels) == (depth if outgoing["payload"] == "&{@}" else 0)
    else:
        assert "nested too deeply" in middle.error.message or "recursion" in middle.error.message


@pytest.mark.fault(
    "B15", "a value of a wrong type is an error of its record that names the place; nothing of it is sent"
)
def test_values_of_wrong_types_are_errors_of_their_records(sent):
    outgoing = {"entity": "embeddings", "payload": "&{@}"}
    content = [
        {"model": 5, "input": {"a": 1}},
        {"model": "m", "input": "fine"},
        {"model": "m", "input": "x", "dimensions": "many"},
    ]
    server, results, dead, _ = sent(b"\n".join(json.dumps(one).encode() for one in content), outgoing)
    assert server.bodies == [{"model": "m", "input": "fine"}]
    assert [line["status"] for line in results] == ["error", "ok", "error"]
    first, second = (letter["error"]["message"] for letter in dead)
    assert "model" in first
    assert "input" in first
    assert "dimensions" in second


@pytest.mark.fault(
    "B16", "two records with one id are two deliveries; one note says so, whatever else they hold"
)
@pytest.mark.parametrize("second", ['{"id": "a", "n": 1}', '{"id": "a", "n": 2}'])
def test_records_that_share_an_id_are_all_sent(sent, second):
    server, results, dead, notes = sent(f'{{"id": "a", "n": 1}}\n{second}\n{second}\n'.encode())
    assert len(server.requests) == 3
    assert [line["id"] for line in results] == ["a", "a", "a"]
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 3
    assert dead == []
    assert [note for note in notes if "more than one record has the id 'a'" in note] == notes != []


@pytest.mark.fault("B17", "an empty input is a run of no records, exit code 0")
@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_input_is_a_run_of_no_records(project, content):
    (project / "in.jsonl").write_bytes(content)
    done = connectory("run", "outgoing", "moderate", "--input", "in.jsonl", "--sandbox", folder=project)
    assert (done.code, done.out) == (0, "")


@pytest.mark.fault("B17", "CRLF ends a line as LF does")
def test_windows_line_ends_are_read(sent):
    server, *_ = sent(b'{"id": 1}\r\n\r\n{"id": "a\\r"}\r\n')
    assert server.bodies == [{"id": 1}, {"id": "a\r"}]


@pytest.mark.fault("B17", "a gzip file is read as it is, from a file and from a pipe")
def test_gzip_is_read_from_a_file_and_from_a_pipe(project):
    packed = gzip.compress(b'{"id": "a", "text": "hello"}\n{"id": "b", "text": "I will kill you"}\n')
    (project / "posts.jsonl.gz").write_bytes(packed)
    done = connectory("run", "outgoing", "moderate", "--input", "posts.jsonl.gz", "--sandbox", folder=project)
    assert (done.code, done.lines) == (0, [{"id": "a", "flagged": False}, {"id": "b", "flagged": True}])

    os.mkfifo(project / "pipe")
    writer = threading.Thread(target=(project / "pipe").write_bytes, args=(packed,))
    writer.start()
    server, *_ = deliver(project / "pipe")
    writer.join()
    assert [body["id"] for body in server.bodies] == ["a", "b"]


@pytest.mark.fault(
    "B17", "a gzip file that is cut off ends the run after what was whole; it never looks done"
)
def test_a_gzip_file_that_is_cut_off_never_looks_done(tmp_path):
    many = b"".join(b'{"id": %d, "r": "%d"}\n' % (n, n * 7919 % 1000003) for n in range(3000))
    (tmp_path / "in.gz").write_bytes(gzip.compress(many)[:-20])
    server, sink, dead = Server(), Kept(), Kept()

    async def main():
        async with connected(server, outgoing={"out": ECHO}) as made:
            await made.publisher("out").run(LineSource(tmp_path / "in.gz"), sink, dead)

    with pytest.raises(
        RunStoppedError, match=r"the gzip stream of .*in.gz' is damaged: it ends in the middle"
    ):
        run(main)
    assert 0 < len(server.requests) < 3000
    assert [line["status"] for line in sink.lines] == ["ok"] * len(server.requests)
    assert dead.lines == []


@pytest.mark.fault(
    "B17", "input and output that are one file are refused, under whatever names, before it is touched"
)
@pytest.mark.parametrize("name", ["in.jsonl", "./in.jsonl", "link.jsonl", "hard.jsonl"])
def test_the_input_is_never_written_over(project, name):
    (project / "in.jsonl").write_text('{"id": "a", "text": "x"}\n')
    (project / "link.jsonl").symlink_to("in.jsonl")
    (project / "hard.jsonl").hardlink_to(project / "in.jsonl")
    done = connectory(
        "run", "outgoing", "moderate", "--input", "in.jsonl", "--output", name, "--sandbox", folder=project
    )
    assert done.code == 3
    assert "input and output are the same file" in done.said
    assert (project / "in.jsonl").read_text() == '{"id": "a", "text": "x"}\n'


@pytest.mark.fault("B17", "an incoming and a route do not write over the records that they are read for")
@pytest.mark.parametrize("words", ["incoming models", "route way"])
def test_what_an_incoming_is_read_for_is_never_written_over(tmp_path, words):
    config = {
        "version": 1,
        "clients": {"openai": {"token": "${OPENAI_API_KEY}"}},
        "incoming": {
            "models": {
                "entity": "model",
                "input": "names.jsonl",
                "request_parameters": {"path": {"model": "&{name}"}},
            }
        },
        "outgoing": {"moderate": {"entity": "moderations", "payload": {"input": "&{id}"}}},
        "routes": {"way": ["models", "moderate"]},
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config))
    (tmp_path / "names.jsonl").write_text('{"name": "gpt-5"}\n')
    done = connectory("run", *words.split(), "--output", "names.jsonl", "--sandbox", folder=tmp_path)
    assert done.code == 3
    assert "input and output are the same file" in done.said
    assert (tmp_path / "names.jsonl").read_text() == '{"name": "gpt-5"}\n'


@pytest.mark.fault("B17", "dead letters are written neither over the input nor over the output")
@pytest.mark.parametrize(("letters", "other"), [("in.jsonl", "input"), ("out.jsonl", "output")])
def test_dead_letters_are_written_over_nothing(tmp_path, letters, other):
    outgoing = {"entity": "moderations", "payload": {"input": "&{text}"}, "dead_letters": letters}
    config = {
        "version": 1,
        "clients": {"openai": {"token": "${OPENAI_API_KEY}"}},
        "outgoing": {"out": outgoing},
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config))
    records = '{"id": "a", "text": "x"}\n{"id": "b"}\n'
    (tmp_path / "in.jsonl").write_text(records)
    words = ("--input", "in.jsonl", "--output", "out.jsonl", "--sandbox")
    done = connectory("run", "outgoing", "out", *words, folder=tmp_path)
    assert done.code == 3
    assert f"{other} and dead letters are the same file" in done.said
    assert (tmp_path / "in.jsonl").read_text() == records
    assert not (tmp_path / "out.jsonl").exists()


def test_the_error_of_a_foreign_input_is_public_and_carries_its_command(tmp_path):
    (tmp_path / "posts.csv").write_text("id,text\na,x\n")
    with pytest.raises(InputError) as caught:
        deliver(tmp_path / "posts.csv")
    assert "csv.DictReader" in caught.value.command
