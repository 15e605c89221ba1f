"""SQL in and out: rows by their key, whatever becomes of the table meanwhile; a transaction for each flush."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any

import pytest
from connected import run

from connectory.adapters import sqlsource
from connectory.adapters.sqlsink import SqlSink as Sink
from connectory.adapters.sqlsource import SqlSource
from connectory.errors import ConfigError, RunStoppedError, StorageError
from connectory.events import Noticed
from connectory.sql import databases
from connectory.sql.databases import Sqlite
from connectory.sql.statements import Statement, Table

QUERY = "SELECT id, text FROM posts WHERE flagged IS NULL ORDER BY id"
FLAG = "UPDATE posts SET flagged = :flagged WHERE id = :id"


def SqlSink(database, statement, **more):  # noqa: N802 - as the class that it makes
    return Sink(database, Statement(database, statement), **more)


def make(path, *statements, script=""):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        for statement in statements:
            connection.execute(*statement)
        connection.commit()


def ask(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop 100%#?.db"
    make(
        path,
        *[
            ("INSERT INTO posts (id, text) VALUES (?, ?)", (number * 10, f"text {number}"))
            for number in range(1, 8)
        ],
        script="CREATE TABLE posts (id INTEGER PRIMARY KEY, text TEXT, flagged INTEGER)",
    )
    return path


def items_of(source: SqlSource, most: int | None = None) -> list[Any]:
    async def main():
        found = []
        items = aiter(source)
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
        await items.aclose()
        return found

    return run(main)


def keys(items):
    return [item.position for item in items]


# -- reading


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 500])
def test_rows_come_in_the_order_of_the_key_whatever_the_chunks(shop, monkeypatch, rows):
    monkeypatch.setattr(sqlsource, "ROWS", rows)
    source = SqlSource(Sqlite(shop), "SELECT text, id FROM posts ORDER BY text DESC", "id")
    assert source.count() == 7
    items = items_of(source)
    assert keys(items) == ["10", "20", "30", "40", "50", "60", "70"]
    assert items[0].record == {"text": "text 1", "id": 10}


def test_a_chunk_ends_where_its_texts_are_large(shop, monkeypatch):
    monkeypatch.setattr(databases, "LARGE", 3)
    chunk = Sqlite(shop).rows(QUERY, "id", None, 500)
    assert (len(chunk.rows), chunk.following) == (1, (20, "text 2"))
    assert len(items_of(SqlSource(Sqlite(shop), QUERY, "id"))) == 7


def test_a_resumed_run_meets_the_same_rows_although_its_query_gives_others(shop, tmp_path, monkeypatch):
    """The run writes back what its own query asks for: rows leave the query while it is read."""
    monkeypatch.setattr(sqlsource, "ROWS", 3)
    state = tmp_path / "run"
    state.mkdir()
    source = SqlSource(Sqlite(shop), QUERY, "id")
    source.keep_in(state)
    seen = items_of(source, 4)
    make(
        shop,
        ("UPDATE posts SET flagged = 1 WHERE id IN (10, 30, 40, 50)",),
        ("INSERT INTO posts (id) VALUES (35), (80)",),
    )

    for given in range(5):
        again = SqlSource(Sqlite(shop), QUERY, "id")
        again.keep_in(state)
        if given:
            again.resume(json.loads(json.dumps(seen[given - 1].mark)), given)
        assert again.count() == 8
        # 10 to 60 were kept, two chunks of three; 35 came too late for this run, 80 comes in time
        assert keys(items_of(again)) == ["10", "20", "30", "40", "50", "60", "70", "80"][given:]


def test_a_torn_last_row_was_never_used_and_is_read_again(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlsource, "ROWS", 3)
    source = SqlSource(Sqlite(shop), QUERY, "id")
    source.keep_in(tmp_path)
    seen = items_of(source, 1)
    kept = tmp_path / "input.jsonl"
    kept.write_bytes(kept.read_bytes()[:-4])
    make(shop, ("UPDATE posts SET text = 'changed'",))
    again = SqlSource(Sqlite(shop), QUERY, "id")
    again.keep_in(tmp_path)
    again.resume(seen[0].mark, 1)
    assert [(item.position, item.record["text"]) for item in items_of(again)][:3] == [
        ("20", "text 2"),
        ("30", "changed"),
        ("40", "changed"),
    ]


def test_a_limit_holds_over_lives(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlsource, "ROWS", 2)
    source = SqlSource(Sqlite(shop), QUERY, "id", limit=3)
    source.keep_in(tmp_path)
    assert source.count() == 3
    items = items_of(source)
    assert keys(items) == ["10", "20", "30"]
    again = SqlSource(Sqlite(shop), QUERY, "id", limit=3)
    again.keep_in(tmp_path)
    again.resume(items[1].mark, 2)
    assert keys(items_of(again)) == ["30"]


def test_a_query_with_a_limit_gives_no_row_more_whatever_becomes_of_those_that_it_gave(
    shop, tmp_path, monkeypatch
):
    """The run takes rows out of its own query: asked again, the query would go on with the next ones."""
    monkeypatch.setattr(sqlsource, "ROWS", 2)
    limited = "SELECT id FROM posts WHERE flagged IS NULL ORDER BY id LIMIT 5"
    state = tmp_path / "run"
    state.mkdir()
    source = SqlSource(Sqlite(shop), limited, "id")
    source.keep_in(state)
    assert source.count() == 5
    seen = items_of(source, 2)
    make(shop, ("UPDATE posts SET flagged = 1 WHERE id < 30",))
    again = SqlSource(Sqlite(shop), limited, "id")
    again.keep_in(state)
    again.resume(seen[1].mark, 2)
    assert again.count() == 5
    assert keys(seen) == ["10", "20"]
    assert keys(items_of(again)) == ["30", "40", "50"]


@pytest.mark.parametrize(
    "query",
    [
        """SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM posts WHERE flagged IS NULL)
        WHERE place <= 5""",
        "SELECT max(id) AS id FROM posts WHERE flagged IS NULL GROUP BY (id - 1) / 20",
    ],
)
def test_a_query_whose_rows_depend_on_each_other_is_read_whole(shop, tmp_path, monkeypatch, query):
    """Flags that the run writes move what the window and the groups give."""
    monkeypatch.setattr(sqlsource, "ROWS", 2)
    state = tmp_path / "run"
    state.mkdir()
    source = SqlSource(Sqlite(shop), query, "id")
    source.keep_in(state)
    expected = [str(key) for (key,) in sorted(ask(shop, query))]
    found = []

    async def main():
        async for item in source:
            found.append(item.position)
            make(shop, ("UPDATE posts SET flagged = 1 WHERE id = ?", (item.record["id"],)))

    run(main)
    assert found == expected


@pytest.mark.parametrize("key", ["text", "flagged"])
def test_a_query_with_a_limit_wants_a_key_that_tells_rows_apart_too(shop, tmp_path, key):
    make(shop, ("UPDATE posts SET text = 'same'",))
    source = SqlSource(Sqlite(shop), "SELECT text, flagged FROM posts LIMIT 5", key)
    source.keep_in(tmp_path)
    with pytest.raises(RunStoppedError, match="`key` must name a column"):
        items_of(source)


def test_values_become_json(shop):
    make(
        shop,
        ("CREATE TABLE kinds (id TEXT, a)",),
        *[
            ("INSERT INTO kinds VALUES (?, ?)", pair)
            for pair in (("a", None), ("b", 1.5), ("c", b"\x00\xff"), ("d", 2**62), ("1", "é"))
        ],
    )
    items = items_of(SqlSource(Sqlite(shop), "SELECT * FROM kinds", "id"))
    assert [(item.position, item.record["a"]) for item in items] == [
        ('"1"', "é"),
        ("a", None),
        ("b", 1.5),
        ("c", {"base64": "AP8="}),
        ("d", 2**62),
    ]


def test_a_text_that_is_no_utf8_and_a_number_that_json_has_not_are_errors_of_their_row(shop, tmp_path):
    make(
        shop,
        ("UPDATE posts SET text = CAST(x'61ff' AS TEXT) WHERE id = 20",),
        ("UPDATE posts SET text = ? WHERE id = 30", (b"",)),
    )
    make(shop, ("UPDATE posts SET flagged = ? WHERE id = 40", (math.inf,)))
    source = SqlSource(Sqlite(shop), "SELECT * FROM posts", "id")
    source.keep_in(tmp_path)
    errors = {item.position: str(item.error) for item in items_of(source) if item.error}
    assert errors.keys() == {"20", "40"}
    assert errors["20"] == "id 20: the text in 'text' is not UTF-8"
    assert errors["40"].startswith("id 40: ")


@pytest.mark.parametrize(
    ("query", "key", "told"),
    [
        (
            "SELECT id FROM posts",
            "ids",
            "the query has no column 'ids', which `key` names; did you mean 'id'?",
        ),
        (
            "SELECT id, text AS id FROM posts",
            "id",
            "the query has two columns 'id'; give one another name with AS",
        ),
        ("SELECT id FROM post", "id", "no such table: post"),
        ("SELEC id FROM posts", "id", "syntax error"),
        ("DELETE FROM posts RETURNING id", "id", "syntax error"),
        ("SELECT id FROM posts WHERE id > :x", "id", "binding"),
    ],
)
def test_a_query_that_cannot_be_read_is_told_before_the_run(shop, query, key, told):
    with pytest.raises(ConfigError) as caught:
        SqlSource(Sqlite(shop), query, key)
    assert told in str(caught.value)
    assert len(ask(shop, "SELECT * FROM posts")) == 7


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT 1 AS id UNION ALL SELECT 1", "two rows of the query have the 'id' 1"),
        ("SELECT NULL AS id", "a row of the query has no usable 'id'"),
        ("SELECT x'00' AS id", "a row of the query has no usable 'id'"),
        ("SELECT 9e999 AS id", "a row of the query has no usable 'id'"),
    ],
)
@pytest.mark.parametrize("rows", [1, 500])
def test_a_key_that_tells_no_rows_apart_stops_the_run(shop, monkeypatch, query, told, rows):
    monkeypatch.setattr(sqlsource, "ROWS", rows)
    with pytest.raises(RunStoppedError) as caught:
        items_of(SqlSource(Sqlite(shop), query, "id"))
    assert told in str(caught.value)


def test_a_comment_at_the_end_and_a_key_in_quotes_do_no_harm(shop):
    source = SqlSource(Sqlite(shop), 'SELECT id AS "the ""key" FROM posts -- all of them', 'the "key')
    assert len(items_of(source)) == 7


def test_keys_that_a_table_takes_for_the_same_are_told_apart(shop, monkeypatch):
    monkeypatch.setattr(sqlsource, "ROWS", 1)
    make(
        shop,
        script="CREATE TABLE names (name TEXT COLLATE NOCASE); INSERT INTO names VALUES ('a'), ('A'), ('b')",
    )
    assert keys(items_of(SqlSource(Sqlite(shop), "SELECT name FROM names", "name"))) == ["A", "a", "b"]


def test_the_key_is_looked_up_and_the_table_not_read_again_for_each_chunk(shop):
    condition, _ = databases._after("id", 5)
    ordered = f"{databases._of(QUERY)}{condition} ORDER BY {databases._binary('id')} LIMIT 501"
    (plan,) = ask(shop, "EXPLAIN QUERY PLAN SELECT * " + ordered.replace("?", "5"))
    assert "SEARCH posts USING INTEGER PRIMARY KEY (rowid>?)" in plan[-1]


def test_reading_holds_up_nobody_who_writes(shop, monkeypatch):
    monkeypatch.setattr(sqlsource, "ROWS", 2)

    async def main():
        items = aiter(SqlSource(Sqlite(shop), QUERY, "id"))
        await anext(items)
        with closing(sqlite3.connect(shop, timeout=0)) as other:
            other.execute("INSERT INTO posts (id) VALUES (99)")
            other.commit()
        rest = [item.position async for item in items]
        await items.aclose()
        return rest

    assert run(main)[-1] == "99"


HALF_DONE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.executescript("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE")
connection.execute("UPDATE posts SET text = 'half done'")
connection.execute("CREATE TABLE large AS WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n LIMIT 5000) "
                   "SELECT i, hex(randomblob(200)) FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_half_done_is_undone_before_it_is_read(shop):
    subprocess.run([sys.executable, "-c", HALF_DONE, shop], check=False, timeout=60)
    assert shop.with_name(f"{shop.name}-journal").stat().st_size > 0
    items = items_of(SqlSource(Sqlite(shop), "SELECT id, text FROM posts", "id"))
    assert [item.record["text"] for item in items] == [f"text {number}" for number in range(1, 8)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes to every file")
def test_a_database_that_may_only_be_read_is_read(shop):
    shop.chmod(0o444)
    assert len(items_of(SqlSource(Sqlite(shop), QUERY, "id"))) == 7


def test_no_query_can_write(shop):
    database = Sqlite(shop)
    with (
        closing(database._open(writes=False)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM posts")


def test_there_must_be_a_database(tmp_path):
    with pytest.raises(ConfigError, match="there is no database"):
        Sqlite(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("this is no database, and it is long enough to be looked at" * 20)
    with pytest.raises(ConfigError, match="file is not a database"):
        SqlSource(Sqlite(tmp_path / "text.db"), "SELECT id FROM posts", "id")


# -- writing


def written(sink: Sink, *lines: Any) -> None:
    async def main():
        await sink.write(lines)
        await sink.seal()
        await sink.close()

    run(main)


def test_each_line_runs_the_statement(shop):
    heard = []
    sink = SqlSink(Sqlite(shop), FLAG, listen=heard.append)
    assert (sink.position, sink.restore(None), sink.failures) == (None, True, False)
    written(
        sink,
        {"id": 10, "flagged": True, "more": [1]},
        {"id": 20, "flagged": False},
        {"id": 30, "flagged": None},
    )
    assert ask(shop, "SELECT id, flagged FROM posts LIMIT 3") == [(10, 1), (20, 0), (30, None)]
    assert heard == []


def test_lists_and_objects_become_json_text_and_data_is_never_sql(shop):
    sink = SqlSink(Sqlite(shop), "UPDATE posts SET text = :text WHERE id = :id")
    evil = "'; DROP TABLE posts; --"
    written(sink, {"id": 10, "text": [0.5, {"a": None}]}, {"id": 20, "text": evil})
    assert ask(shop, "SELECT text FROM posts LIMIT 2") == [('[0.5,{"a":null}]',), (evil,)]


def test_half_a_character_becomes_the_mark_for_one(shop):
    """JSON can write it, and no text of a database can hold it: the answer was paid for all the same."""
    sink = SqlSink(Sqlite(shop), "UPDATE posts SET text = :text WHERE id = :id")
    written(sink, {"id": 10, "text": "a\ud83d b"})
    assert ask(shop, "SELECT text FROM posts LIMIT 1") == [("a\N{REPLACEMENT CHARACTER} b",)]


def test_a_statement_that_writes_nothing_is_said(shop):
    heard: list[Any] = []
    written(SqlSink(Sqlite(shop), "SELECT :id", listen=heard.append), {"id": 10})
    assert heard == [Noticed(f"1 lines changed no row of the database {str(shop)!r}")]


def test_lines_that_change_no_row_are_counted_and_said(shop):
    heard: list[Any] = []
    written(
        SqlSink(Sqlite(shop), FLAG, listen=heard.append), {"id": 10, "flagged": 1}, {"id": 11, "flagged": 1}
    )
    assert heard == [Noticed(f"1 lines changed no row of the database {str(shop)!r}")]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE posts SET flagged = ? WHERE id = ?",
            "the statement has a '?'; write the name of a field instead, such as :id",
        ),
        ("UPDATE posts SET flagged = 1", "names no field of a line; write :id for the field id"),
        ("UPDATE post SET flagged = :flagged", "no such table: post"),
        ("UPDATE posts SET flagged = :flagged; DELETE FROM posts", "one statement at a time"),
    ],
)
def test_a_statement_that_cannot_be_run_is_told_before_the_run(shop, statement, told):
    with pytest.raises(ConfigError) as caught:
        SqlSink(Sqlite(shop), statement)
    assert told in str(caught.value)
    assert len(ask(shop, "SELECT * FROM posts")) == 7


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"id": 1}, "has no 'flagged', which the statement names: it has id; `result` of an outgoing"),
        ([1], "has no 'flagged', which the statement names: it is [1]; "),
        ({}, "it is {}"),
    ],
)
def test_a_line_that_lacks_a_parameter_is_an_error(shop, line, told):
    with pytest.raises(ConfigError) as caught:
        written(SqlSink(Sqlite(shop), FLAG), line)
    assert told in str(caught.value)


def test_a_transaction_is_done_whole_or_not_at_all(shop):
    make(shop, script="CREATE UNIQUE INDEX only ON posts (flagged)")
    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        written(SqlSink(Sqlite(shop), FLAG), {"id": 10, "flagged": 1}, {"id": 20, "flagged": 1})
    with pytest.raises(StorageError, match="too large"):
        written(SqlSink(Sqlite(shop), FLAG), {"id": 10, "flagged": 1}, {"id": 20, "flagged": 2**70})
    assert ask(shop, "SELECT count(flagged) FROM posts") == [(0,)]


def test_what_is_refused_is_told_for_each_record_and_the_others_are_written(shop):
    sink = SqlSink(Sqlite(shop), "UPDATE posts SET flagged = :flagged WHERE id = :id")

    async def main():
        lines = [
            [{"id": 10, "flagged": 1}],
            [],
            [{"id": 20, "flagged": 2}, {"id": 30, "flagged": 2**70}],
            [{"id": 40, "flagged": 1}],
        ]
        told = await sink.write_records(lines)
        await sink.close()
        return told

    told = run(main)
    assert list(told) == [2]
    assert "too large" in told[2]
    assert ask(shop, "SELECT id FROM posts WHERE flagged IS NOT NULL") == [(10,), (40,)]


def table_sink(path, how, *, key=("id",), **more):
    database = Sqlite(path)
    return Sink(database, Table(database, "posts", how, key), **more)


def test_an_update_touches_only_the_columns_of_its_line_and_adds_no_row(shop):
    make(shop, script="CREATE TABLE other AS SELECT * FROM posts")
    heard: list[Any] = []
    written(
        table_sink(shop, "update", listen=heard.append),
        {"id": 10, "flagged": 1},
        {"id": 20, "text": "x", "flagged": 0},
        {"id": 11, "flagged": 1},
    )
    assert ask(shop, "SELECT * FROM posts LIMIT 3") == [(10, "text 1", 1), (20, "x", 0), (30, "text 3", None)]
    assert ask(shop, "SELECT count(*) FROM posts") == [(7,)]
    assert heard == [Noticed(f"1 lines changed no row of the database {str(shop)!r}")]


@pytest.mark.parametrize(("how", "flag"), [("insert", None), ("upsert", 1)])
def test_a_row_that_is_written_twice_is_there_once(shop, how, flag):
    for _ in range(2):
        written(table_sink(shop, how), {"id": 10, "flagged": 1}, {"id": 5, "text": "new", "flagged": 1})
    assert ask(shop, "SELECT * FROM posts LIMIT 2") == [(5, "new", 1), (10, "text 1", flag)]


def test_names_of_a_table_are_never_sql(tmp_path):
    path = tmp_path / "odd.db"
    make(path, script='CREATE TABLE "a""; --" ("the ""key" TEXT UNIQUE, "select" TEXT)')
    database = Sqlite(path)
    for how in ("insert", "upsert", "update"):
        sink = Sink(database, Table(database, 'a"; --', how, ['the "key']))
        written(sink, {'the "key': how, "select": "x"})
    assert ask(path, 'SELECT * FROM "a""; --"') == [("insert", "x"), ("upsert", "x")]


@pytest.mark.parametrize(
    ("table", "how", "key", "told"),
    [
        ("post", "update", "id", "no such table: post"),
        (
            "posts",
            "update",
            "idd",
            "'key' names 'idd', and the table 'posts' has no such column; did you mean 'id'?",
        ),
        ("posts", "insert", "text", "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint"),
    ],
)
def test_a_table_that_cannot_be_written_is_told_before_the_run(shop, table, how, key, told):
    with pytest.raises(ConfigError) as caught:
        Table(Sqlite(shop), table, how, [key])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            {"flagged": 1},
            "a line for the table 'posts' has no 'id', which 'key' names: it has flagged; `result`",
        ),
        (
            {"id": 1, "flag": 1},
            "a line has the field 'flag', and the table 'posts' has no such column; did you",
        ),
    ],
)
def test_a_line_that_fits_no_row_is_an_error(shop, line, told):
    with pytest.raises(ConfigError) as caught:
        written(table_sink(shop, "update"), line)
    assert told in str(caught.value)


def test_what_waits_is_dropped_when_a_run_breaks_off(shop):
    sink = SqlSink(Sqlite(shop), FLAG)

    async def main():
        await sink.write([{"id": 10, "flagged": 1}])
        await sink.abandon()
        await sink.close()

    run(main)
    assert ask(shop, "SELECT count(flagged) FROM posts") == [(0,)]


def test_a_locked_database_is_waited_for_and_then_told(shop, monkeypatch):
    with closing(sqlite3.connect(shop, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        written(SqlSink(Sqlite(shop), FLAG), {"id": 10, "flagged": 1})
        release.join()
        sink = SqlSink(Sqlite(shop), FLAG)
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(databases, "PATIENCE", 0.05)
        with pytest.raises(StorageError, match="database is locked"):
            written(sink, {"id": 20, "flagged": 1})
        other.execute("ROLLBACK")
    assert ask(shop, "SELECT id FROM posts WHERE flagged = 1") == [(10,)]


def test_many_lines_are_written_before_the_flush(shop, monkeypatch):
    monkeypatch.setattr("connectory.adapters.sqlsink.MOST", 2)

    async def main():
        sink = SqlSink(Sqlite(shop), FLAG)
        await sink.write([{"id": 10, "flagged": 1}])
        before = ask(shop, "SELECT count(flagged) FROM posts")
        await sink.write([{"id": 20, "flagged": 1}])
        after = ask(shop, "SELECT count(flagged) FROM posts")
        await sink.close()
        return before, after

    assert run(main) == ([(0,)], [(2,)])
