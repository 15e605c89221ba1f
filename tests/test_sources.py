"""Runs whose records come from CSV, a folder or a table, and whose lines go to a table: also killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import ROOTS, connectory

TABLE = "CREATE TABLE posts (id INTEGER PRIMARY KEY, text TEXT, flagged INTEGER, changes INTEGER DEFAULT 0)"
QUERY = "SELECT id, text FROM posts WHERE flagged IS NULL ORDER BY id"
FLAG = "UPDATE posts SET flagged = :flagged, changes = changes + 1 WHERE id = :id"
RESULT = {"id": "&{input.id}", "flagged": "&{response.results[0].flagged}"}


class Moderating(ThreadingHTTPServer):
    """Flags a text that has an odd number in it; counts how often each text was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen: Counter[str] = Counter()
        self.pause = 0.0
        self.refused: set[str] = set()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Moderating

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        self.server.seen[asked] += 1
        time.sleep(self.server.pause)
        status, answer = (
            200,
            {"id": "m", "model": "x", "results": [{"flagged": int(asked.split()[-1]) % 2 == 1}]},
        )
        if asked in self.server.refused:
            status, answer = 400, {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with suppress(ConnectionError):  # who asked was killed
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with Moderating() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def configure(folder, server, **outgoing):
    client = {
        "prototype": "openai-compatible",
        "base_uri": f"http://127.0.0.1:{server.server_port}",
        "limits": {"concurrency": 8},
    }
    moderate = {"entity": "moderations", "payload": {"input": "&{text}"}, "result": RESULT, **outgoing}
    config = {"version": 1, "clients": {"local": client}, "outgoing": {"moderate": moderate}}
    (folder / "connectory.yaml").write_text(json.dumps(config))


def table(folder, count):
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute(TABLE)
        rows = [(number, f"post {number}") for number in range(1, count + 1)]
        connection.executemany("INSERT INTO posts (id, text) VALUES (?, ?)", rows)
        connection.commit()


def ask(folder, query):
    with closing(sqlite3.connect(folder / "shop.db", timeout=30)) as connection:
        return connection.execute(query).fetchall()


def moderated(folder, server, *, count, **more):
    table(folder, count)
    ends = {
        "input": {"sql": QUERY, "database": "shop.db", "key": "id"},
        "output": {"sql": FLAG, "database": "sqlite:///shop.db"},
    }
    configure(folder, server, **ends, **more)


def go(folder, *words):
    return connectory("run", "outgoing", "moderate", *words, folder=folder)


def killed(folder, code="", *, after=None):
    """Run in a process that is killed: by the code that it begins with, or when `after` says so."""
    program = f"{code}\nfrom connectory.cli import main\nmain(['run', 'outgoing', 'moderate'])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, env=environment, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        while after is not None and not after() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if after is not None:
            process.kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said.decode()


def run_shown(folder):
    (run,) = connectory("runs", "list", "--json", folder=folder).lines
    return run


KILL_AT = """
import os, signal
from {module} import {owner}
real, calls = {owner}.{method}, [0]
def killing(self, *args, **kwargs):
    calls[0] += 1
    {before}
    if calls[0] == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    {behind}
{owner}.{method} = killing
"""


def kill_at(module, owner, method, call, *, done):
    """Code that kills its process at a call of a method: before it does anything, or when it is done."""
    before, behind = (
        ("value = real(self, *args, **kwargs)", "return value")
        if done
        else ("", "return real(self, *args, **kwargs)")
    )
    return KILL_AT.format(module=module, owner=owner, method=method, call=call, before=before, behind=behind)


# -- a table, and back into it


@pytest.mark.fault(
    "X1", "a run from a table into a table: every row gets its own flag; the last rows are written twice"
)
@pytest.mark.parametrize(
    ("place", "order"),
    [
        # the database has the flags, and the journal does not know it yet: the query does not give these rows any more
        (kill_at("connectory.journal.disk", "DiskJournal", "place", 1, done=False), "input"),
        (kill_at("connectory.journal.disk", "DiskJournal", "place", 5, done=False), "completion"),
        (kill_at("connectory.sql.databases", "Sqlite", "execute", 3, done=False), "input"),
        (kill_at("connectory.sql.databases", "Sqlite", "execute", 3, done=True), "input"),
        (kill_at("connectory.files.kept", "Kept", "add", 1, done=False), "input"),
        (kill_at("connectory.files.kept", "Kept", "add", 1, done=True), "input"),
        (kill_at("connectory.files.kept", "Kept", "add", 2, done=True), "input"),
        (kill_at("connectory.journal.log", "ResultsLog", "append", 7, done=True), "completion"),
    ],
    ids=[
        "first note",
        "fifth note",
        "before a commit",
        "after a commit",
        "before the rows are kept",
        "after the rows are kept",
        "after the next rows are kept",
        "an answer came",
    ],
)
def test_every_row_gets_its_own_flag_wherever_a_run_is_killed(tmp_path, server, place, order):
    moderated(tmp_path, server, count=40, order=order)
    small = "from connectory.adapters import sqlsource\nsqlsource.ROWS = 16\n"
    killed(tmp_path, small + place)

    done = go(tmp_path)

    assert done.code == 0, done.said
    assert ask(tmp_path, "SELECT id, flagged FROM posts") == [(number, number % 2) for number in range(1, 41)]
    assert set(server.seen) == {f"post {number}" for number in range(1, 41)}
    assert max(server.seen.values()) <= 2
    assert sum(server.seen.values()) - 40 <= 8  # as many as are under way at once
    assert (run_shown(tmp_path)["done"], run_shown(tmp_path)["dead"]) == (40, 0)


@pytest.mark.fault("X1", "a run from a table into a table is killed again and again, and goes on each time")
def test_a_run_over_a_table_that_is_killed_again_and_again_comes_to_its_end(tmp_path, server):
    moderated(tmp_path, server, count=300)
    server.pause = 0.01
    for kill in range(1, 5):
        killed(tmp_path, after=lambda kill=kill: sum(server.seen.values()) >= 50 * kill)

    done = go(tmp_path)

    assert "resuming run" in done.said
    assert done.code == 0, done.said
    assert ask(tmp_path, "SELECT id, flagged FROM posts") == [
        (number, number % 2) for number in range(1, 301)
    ]
    assert sum(server.seen.values()) <= 300 + 4 * 8
    shown = run_shown(tmp_path)
    assert (shown["total"], shown["done"], shown["dead"], shown["pending"]) == (300, 300, 0, 0)


def test_a_second_run_finds_nothing_to_do_and_then_the_rows_that_came(tmp_path, server):
    moderated(tmp_path, server, count=5)
    assert go(tmp_path).code == 0
    second = go(tmp_path)
    assert second.code == 0
    assert sum(server.seen.values()) == 5
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("INSERT INTO posts (id, text) VALUES (3000, 'post 3001')")
        connection.commit()
    assert go(tmp_path).code == 0
    assert sum(server.seen.values()) == 6
    assert ask(tmp_path, "SELECT flagged, changes FROM posts") == [
        (1, 1),
        (0, 1),
        (1, 1),
        (0, 1),
        (1, 1),
        (1, 1),
    ]


def test_failed_records_never_reach_the_table_and_a_replay_writes_to_it(tmp_path, server):
    moderated(tmp_path, server, count=4)
    server.refused = {"post 2"}
    first = go(tmp_path)
    assert first.code == 1
    assert ask(tmp_path, "SELECT id FROM posts WHERE flagged IS NULL") == [(2,)]
    server.refused = set()
    again = connectory("replay", run_shown(tmp_path)["run"], folder=tmp_path)
    assert again.code == 0, again.said
    assert again.out == ""
    assert ask(tmp_path, "SELECT flagged, changes FROM posts") == [(1, 1), (0, 1), (1, 1), (0, 1)]


def test_a_line_without_a_parameter_stops_the_run_and_mending_it_sends_nothing_again(tmp_path, server):
    moderated(tmp_path, server, count=4)
    text = (tmp_path / "connectory.yaml").read_text()
    (tmp_path / "connectory.yaml").write_text(text.replace('"flagged": "&{', '"flag": "&{'))
    broken = go(tmp_path)
    assert broken.code == 3
    assert "has no 'flagged', which the statement names: it has id, flag; `result`" in broken.said
    assert "4 records = 0 done + 0 dead + 4 pending" in broken.said
    sent = sum(server.seen.values())
    (tmp_path / "connectory.yaml").write_text(text)
    assert go(tmp_path).code == 0
    assert ask(tmp_path, "SELECT flagged FROM posts") == [(1,), (0,), (1,), (0,)]
    assert (sent, sum(server.seen.values())) == (4, 4)


def test_a_database_that_refuses_stops_the_run_with_everything_pending(tmp_path, server):
    moderated(tmp_path, server, count=3)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON posts BEGIN SELECT RAISE(ABORT, 'closed for today'); END"
        )
    broken = go(tmp_path)
    assert broken.code == 5
    assert "closed for today" in broken.said
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("DROP TRIGGER no")
    assert go(tmp_path).code == 0
    assert ask(tmp_path, "SELECT count(*) FROM posts WHERE flagged IS NOT NULL") == [(3,)]
    assert sum(server.seen.values()) == 3


def test_rows_that_are_not_found_are_told(tmp_path, server):
    moderated(tmp_path, server, count=2)
    text = (tmp_path / "connectory.yaml").read_text()
    (tmp_path / "connectory.yaml").write_text(text.replace("&{input.id}", "no &{input.id}"))
    done = go(tmp_path)
    assert done.code == 0
    assert "2 lines changed no row of the database" in done.said


def test_an_incoming_writes_to_a_table(tmp_path):
    table(tmp_path, 0)
    incoming = {
        "entity": "models",
        "transformers": [{"build": {"text": "&{id}"}}],
        "output": {"sql": "INSERT INTO posts (text) VALUES (:text)", "database": "shop.db"},
    }
    config = {
        "version": 1,
        "clients": {"openai": {"token": "${OPENAI_API_KEY}"}},
        "incoming": {"models": incoming},
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config))
    done = connectory("run", "incoming", "models", "--sandbox", folder=tmp_path)
    assert done.code == 0, done.said
    assert done.out == ""
    assert len(ask(tmp_path, "SELECT text FROM posts")) > 1


# -- CSV


def csv_of(folder, count, name="posts.csv"):
    lines = ["id,text", *(f'{number},"a\n""b"" {number}"' for number in range(1, count + 1))]
    (folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.fault("X1", "a run over CSV goes on at the row where it was, quotes over several lines included")
def test_a_run_over_csv_that_is_killed_goes_on(tmp_path, server):
    csv_of(tmp_path, 200)
    configure(tmp_path, server, input="posts.csv", output="results.jsonl")
    server.pause = 0.01
    for kill in (1, 2, 3):
        killed(tmp_path, after=lambda kill=kill: sum(server.seen.values()) >= 40 * kill)
    done = go(tmp_path)
    assert done.code == 0, done.said
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines == [{"id": str(number), "flagged": number % 2 == 1} for number in range(1, 201)]
    assert sum(server.seen.values()) <= 200 + 3 * 8
    shown = run_shown(tmp_path)
    assert (shown["total"], shown["done"]) == (200, 200)


def test_a_csv_file_that_was_changed_is_refused(tmp_path, server):
    csv_of(tmp_path, 50)
    configure(tmp_path, server, input="posts.csv", output="results.jsonl")
    server.pause = 0.01
    killed(tmp_path, after=lambda: sum(server.seen.values()) >= 10)
    run = run_shown(tmp_path)["run"]
    assert "50 = " in (shown := connectory("runs", "show", run, folder=tmp_path)).out + shown.said
    csv_of(tmp_path, 51)
    refused = go(tmp_path)
    assert refused.code == 3
    assert "is not the file that the unfinished run" in refused.said


def test_a_csv_file_of_the_command_line_is_read_as_the_configured_one(tmp_path, server):
    (tmp_path / "other.csv").write_bytes("id;text\n1;é 3\n".encode("cp1252"))
    configure(tmp_path, server, input={"csv": "posts.csv", "delimiter": ";", "encoding": "cp1252"})
    done = go(tmp_path, "--input", "other.csv")
    assert done.lines == [{"id": "1", "flagged": True}], done.said
    told = go(tmp_path, "--input", "{csv: other.csv, delimiter: ';'}")
    assert told.code == 3
    assert 'write input: {csv: other.csv, delimiter: ";", encoding: cp1252}' in told.said
    forms = go(tmp_path, "--input", "{csv: other.csv, delimiter: ';', encoding: cp1252, columns: [id, text]}")
    assert forms.code == 1  # the header is a row like others then, and its text has no number
    assert {"id": "1", "flagged": True} in forms.lines


def test_csv_comes_through_a_pipe(tmp_path, server):
    configure(tmp_path, server, input={"csv": "-"})
    done = connectory("run", "outgoing", "moderate", folder=tmp_path, stdin="id,text\n7,x 7\n")
    assert done.lines == [{"id": "7", "flagged": True}]


def test_a_bad_row_is_set_aside_with_its_line(tmp_path, server):
    (tmp_path / "posts.csv").write_text("id,text\n1,x 1\n2\n3,x 3\n")
    configure(tmp_path, server, input="posts.csv", dead_letters="dead.jsonl")
    done = go(tmp_path)
    assert done.code == 1
    (dead,) = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert (dead["record"], dead["position"]) == ("2", "3")
    assert dead["error"]["message"] == "line 3 (byte 14): 1 values, and there are 2 columns"


def test_a_preview_shows_the_requests_of_a_table_and_changes_nothing(tmp_path, server):
    moderated(tmp_path, server, count=3)
    shown = connectory("preview", "outgoing", "moderate", "--limit", "2", folder=tmp_path)
    assert [one["record"] for one in shown.lines] == [
        {"id": 1, "text": "post 1"},
        {"id": 2, "text": "post 2"},
    ]
    assert not (tmp_path / ".connectory").exists()


# -- a folder


def test_a_file_that_comes_after_a_kill_belongs_to_the_next_run(tmp_path, server):
    (tmp_path / "texts").mkdir()
    for number in range(100, 150):
        (tmp_path / "texts" / f"{number}.txt").write_text("x")
    configure(
        tmp_path,
        server,
        input={"files": "texts/*.txt"},
        payload={"input": "post &{file.stem}"},
        result={"file": "&{input.file.path}"},
        output="results.jsonl",
    )
    server.pause = 0.01
    killed(tmp_path, after=lambda: sum(server.seen.values()) >= 20)
    (tmp_path / "texts" / "000.txt").write_text("new")
    (tmp_path / "texts" / "149.txt").unlink()
    done = go(tmp_path)
    assert done.code == 0, done.said
    lines = [json.loads(line)["file"] for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines == [f"texts/{number}.txt" for number in range(100, 150)]
    assert sum(server.seen.values()) <= 50 + 8
    assert go(tmp_path).code == 0
    lines = [json.loads(line)["file"] for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines == ["texts/000.txt", *(f"texts/{number}.txt" for number in range(100, 149))]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"files": "nowhere/*.mp3"}, "there is no folder"),
        ({"sql": "SELECT id FROM post", "database": "shop.db", "key": "id"}, "no such table: post"),
        ({"sql": QUERY, "database": "none.db", "key": "id"}, "there is no database"),
        ({"sql": QUERY, "database": "shop.db", "key": "number"}, "the query has no column 'number'"),
    ],
)
def test_an_input_that_cannot_be_opened_is_told_with_its_place(tmp_path, server, written, told):
    table(tmp_path, 1)
    configure(tmp_path, server, input=written)
    done = go(tmp_path)
    assert done.code == 3
    assert told in done.said
    assert "connectory.yaml:1:" in done.said
    assert not list(Path(tmp_path, ".connectory", "runs").glob("*"))


def test_lint_names_the_line_of_a_wrong_input(tmp_path):
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients: {a: {token: '${X:-}'}}\noutgoing:\n  m:\n    entity: moderations\n"
        "    input: {csv: a.csv, delimiter: ';;'}\n    output: {sql: UPDATE x}\n"
    )
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert "connectory.yaml:6:36: 'delimiter' of 'input' of outgoing 'm' must be one character" in done.said
    assert "connectory.yaml:7:5: 'output' of outgoing 'm' has no 'database'" in done.said
