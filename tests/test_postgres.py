"""Runs from and to a real PostgreSQL: killed in the middle, refused, away for a while, and never with its password."""

from __future__ import annotations

import json
import threading

import pytest
from command import connectory
from postgres import PASSWORD, URL_PASSWORD, Postgres
from test_sources import Moderating, kill_at, killed, run_shown

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed: the extra 'sql' brings it")

from connectory.errors import ConfigError, RunStoppedError, StorageError
from connectory.sql.alchemy import Server

TABLE = (
    "DROP TABLE IF EXISTS posts, flags",
    "CREATE TABLE posts (id bigint PRIMARY KEY, text text NOT NULL, flagged boolean, changes int NOT NULL DEFAULT 0)",
    "CREATE TABLE flags (id bigint PRIMARY KEY, flagged boolean, note text)",
    """CREATE OR REPLACE FUNCTION changed() RETURNS trigger AS
    'BEGIN NEW.changes = OLD.changes + 1; RETURN NEW; END' LANGUAGE plpgsql""",
    "CREATE TRIGGER changed BEFORE UPDATE ON posts FOR EACH ROW EXECUTE FUNCTION changed()",
)


@pytest.fixture(scope="module")
def database():
    with Postgres() as running:
        yield running


@pytest.fixture
def server():
    with Moderating() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def secret(database, monkeypatch):
    monkeypatch.setenv("SHOP_URL", database.url)
    monkeypatch.setenv("SHOP_PASSWORD", URL_PASSWORD)


def fill(database, count):
    rows = ", ".join(f"({number}, 'post {number}')" for number in range(1, count + 1))
    database.ask(*TABLE, f"INSERT INTO posts (id, text) VALUES {rows}")  # noqa: S608 - the test's own


def configure(folder, server, database, output, *, result=None, **more):
    client = {
        "prototype": "openai-compatible",
        "base_uri": f"http://127.0.0.1:{server.server_port}",
        "limits": {"concurrency": 8},
    }
    url = f"postgresql://shop:${{SHOP_PASSWORD}}@127.0.0.1:{database.port}/postgres"
    moderate = {
        "entity": "moderations",
        "input": {
            "sql": url,
            "query": "SELECT id, text FROM posts WHERE flagged IS NULL ORDER BY id",
            "key": "id",
        },
        "payload": {"input": "&{text}"},
        "result": result or {"id": "&{input.id}", "flagged": "&{response.results[0].flagged}"},
        "output": {"database": "${SHOP_URL}", **output},
        **more,
    }
    config = {"version": 1, "clients": {"local": client}, "outgoing": {"moderate": moderate}}
    (folder / "connectory.yaml").write_text(json.dumps(config))


def go(folder, *words):
    return connectory("run", "outgoing", "moderate", *words, folder=folder)


def nowhere(folder, *said):
    """Say that the password is in no file of the run, and in nothing that was said."""
    texts = [path.read_bytes() for path in (folder / ".connectory").rglob("*") if path.is_file()]
    for text in [*texts, *(one.encode() for one in said)]:
        assert PASSWORD.encode() not in text
        assert URL_PASSWORD.encode() not in text


UPDATE = {"table": "posts", "write": "update", "key": "id"}
INSERT = {"table": "flags", "write": "insert", "key": "id"}


@pytest.mark.usefixtures("secret")
@pytest.mark.fault(
    "X1", "a run from PostgreSQL and back: every row gets its flag, and an insert doubles no row"
)
@pytest.mark.parametrize(
    ("place", "output"),
    [
        (kill_at("connectory.sql.alchemy", "Server", "execute", 3, done=True), UPDATE),
        (kill_at("connectory.journal.disk", "DiskJournal", "place", 2, done=False), INSERT),
    ],
    ids=["after a commit", "before the note of an insert"],
)
def test_every_row_gets_its_own_flag_wherever_a_run_is_killed(tmp_path, database, server, place, output):
    fill(database, 40)
    configure(tmp_path, server, database, output)
    killed(tmp_path, "from connectory.adapters import sqlsource\nsqlsource.ROWS = 16\n" + place)

    done = go(tmp_path)

    assert done.code == 0, done.said
    found = database.ask(f"SELECT id, flagged FROM {output['table']} ORDER BY id")  # noqa: S608 - the test's own
    assert found == [(number, number % 2 == 1) for number in range(1, 41)]
    assert sum(server.seen.values()) - 40 <= 8
    assert (run_shown(tmp_path)["done"], run_shown(tmp_path)["dead"]) == (40, 0)
    nowhere(tmp_path, done.said, done.out)


@pytest.mark.usefixtures("secret")
def test_a_line_that_the_table_refuses_is_a_dead_letter_and_the_others_are_written(
    tmp_path, database, server
):
    fill(database, 30)
    many = {"id": "&{input.id}", "flagged": "&{response.results[0].flagged}", "note": "&{input.text}"}
    configure(tmp_path, server, database, INSERT, result=many, order="completion")
    database.ask("UPDATE posts SET text = text || ' 9' WHERE id = 30")
    database.ask("ALTER TABLE flags ADD CHECK (note <> 'post 7' AND length(note) < 9)")

    done = go(tmp_path)

    assert done.code == 1, done.said
    assert "28 ok, 2 failed" in done.said
    assert 'new row for relation "flags" violates check constraint' in done.said
    assert database.ask("SELECT count(*) FROM flags") == [(28,)]
    (run,) = connectory("runs", "list", "--json", folder=tmp_path).lines
    assert (run["done"], run["dead"], run["pending"]) == (28, 2, 0)
    database.ask("ALTER TABLE flags DROP CONSTRAINT flags_note_check, DROP CONSTRAINT IF EXISTS flags_check")
    sent = sum(server.seen.values())
    again = connectory("replay", run["run"], "--results", folder=tmp_path)
    assert again.code == 0, again.said
    assert database.ask("SELECT count(*) FROM flags") == [(30,)]
    assert sum(server.seen.values()) == sent == 30
    nowhere(tmp_path, done.said, again.said)


@pytest.mark.usefixtures("secret")
def test_a_number_of_more_than_64_bits_is_a_dead_letter_and_nothing_is_lost(tmp_path, database, server):
    fill(database, 25)
    database.ask("ALTER TABLE posts ADD COLUMN big numeric NOT NULL DEFAULT 1")
    database.ask(
        "UPDATE posts SET big = power(2::numeric, 70) WHERE id = 20",
        "ALTER TABLE flags ADD COLUMN big bigint",
    )
    configure(tmp_path, server, database, INSERT, result={"id": "&{input.id}", "big": "&{input.big}"})
    text = (tmp_path / "connectory.yaml").read_text()
    (tmp_path / "connectory.yaml").write_text(text.replace("SELECT id, text", "SELECT id, text, big"))

    done = go(tmp_path)

    assert done.code == 1, done.said
    assert "bigint out of range" in done.said
    assert database.ask("SELECT count(*), sum(big) FROM flags") == [(24, 24)]
    (letters,) = tmp_path.rglob("dead_letters.jsonl")
    (letter,) = map(json.loads, letters.read_text().splitlines())
    assert letter["record"]["big"] == 2**70
    assert letter["response"]["results"]


@pytest.mark.usefixtures("secret")
def test_a_table_that_refuses_everything_stops_the_run_with_everything_pending(tmp_path, database, server):
    fill(database, 3)
    configure(tmp_path, server, database, INSERT)
    database.ask("ALTER TABLE flags ADD CHECK (id < 0)")
    broken = go(tmp_path)
    assert broken.code == 5
    assert "3 records = 0 done + 0 dead + 3 pending" in broken.said
    database.ask("ALTER TABLE flags DROP CONSTRAINT flags_id_check")
    assert go(tmp_path).code == 0
    assert database.ask("SELECT count(*) FROM flags") == [(3,)]
    assert sum(server.seen.values()) == 3
    nowhere(tmp_path, broken.said)


@pytest.mark.usefixtures("secret")
def test_a_database_that_is_away_for_a_while_is_waited_for(tmp_path, database, server):
    fill(database, 60)
    configure(tmp_path, server, database, UPDATE)
    server.pause = 0.02

    def away():
        while sum(server.seen.values()) < 10:
            pass_time.wait(0.01)
        database.stop()
        pass_time.wait(1)
        database.start()

    pass_time = threading.Event()
    other = threading.Thread(target=away)
    other.start()
    done = go(tmp_path)
    other.join()
    assert done.code == 0, done.said
    assert database.ask("SELECT count(*) FROM posts WHERE flagged IS NULL") == [(0,)]
    assert sum(server.seen.values()) == 60


@pytest.mark.usefixtures("secret")
def test_what_cannot_be_written_or_reached_is_told_before_anything_is_sent(
    tmp_path, database, server, monkeypatch
):
    fill(database, 3)
    configure(tmp_path, server, database, {**UPDATE, "key": "text", "write": "upsert"})
    done = go(tmp_path)
    assert done.code == 3
    assert "there is no unique or exclusion constraint matching the ON CONFLICT" in done.said
    monkeypatch.setenv("SHOP_PASSWORD", "somebody%20else")
    wrong = go(tmp_path)
    assert wrong.code == 5
    assert "password authentication failed" in wrong.said
    assert "somebody%20else" not in wrong.said
    given = json.dumps({"sql": "SELECT id FROM posts", "database": database.url, "key": "id"})
    told = go(tmp_path, "--input", given)
    assert told.code == 3
    assert "a password does not belong on a command line" in told.said
    nowhere(tmp_path, done.said, wrong.said, told.said)
    assert not server.seen


def test_a_configuration_with_a_mistake_shows_no_password(tmp_path, database):
    written = {"sql": f"postgresql://shop:{URL_PASSWORD}@127.0.0.1/x", "table": 5, "write": "no", "key": "id"}
    config = {
        "version": 1,
        "clients": {"a": {"token": "x"}},
        "incoming": {"files": {"entity": "files", "output": written}},
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config, indent=1))
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert URL_PASSWORD not in done.said + done.out
    config["incoming"]["files"]["output"] = {
        "sql": "UPDATE",
        "database": f"postgresql://shop:{URL_PASSWORD}@h",
        "x": 1,
    }
    (tmp_path / "connectory.yaml").write_text(json.dumps(config))
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert URL_PASSWORD not in done.said + done.out


# -- what a server is asked


@pytest.fixture
def shop(database):
    fill(database, 7)
    made = Server(database.url)
    yield made
    made.close()


def test_rows_of_every_type_become_json_and_are_read_on_from_every_key(shop, database, monkeypatch):
    database.ask("DROP TABLE IF EXISTS kinds")
    database.ask(
        "CREATE TABLE kinds AS SELECT g AS i, g * 1.5 AS n, (g::text || 'é') AS t, '2026-01-01'::date + g AS d, "
        "'2026-01-01 00:00:00.000001+00'::timestamptz + g * interval '1 h' AS at, md5(g::text)::uuid AS u, g = 1 AS b, "
        "jsonb_build_object('g', array[g]) AS j, array[g, null] AS a, '\\x00ff'::bytea AS raw, "
        "12345678901234567890.5::numeric + g AS long, 2 ^ 64::numeric + g AS big FROM generate_series(1, 5) g"
    )
    (row,) = shop.rows("SELECT * FROM kinds ORDER BY i", "i", None, 1).rows
    record = dict(zip(shop.columns("SELECT * FROM kinds"), row, strict=True))
    assert record["u"] == "c4ca4238-a0b9-2382-0dcc-509a6f75849b"
    assert record | {"u": "", "at": ""} == {
        "i": 1,
        "n": 1.5,
        "t": "1é",
        "d": "2026-01-02",
        "at": "",
        "u": "",
        "b": True,
        "j": {"g": [1]},
        "a": [1, None],
        "raw": {"base64": "AP8="},
        "long": "12345678901234567891.5",
        "big": 2**64 + 1,
    }
    assert record["at"].endswith(":00:00.000001+00:00")
    for key in ("i", "n", "t", "d", "at", "u", "long", "big"):
        after, seen = None, []
        while rows := shop.rows("SELECT * FROM kinds WHERE t NOT LIKE ':%'", key, after, 2).rows:
            seen += [row[0] for row in rows]
            after = json.loads(json.dumps(dict(zip(record, rows[-1], strict=True))[key]))
        assert sorted(seen) == [1, 2, 3, 4, 5], key
    assert [row[0] for row in shop.every("SELECT * FROM kinds", "i")] == [1, 2, 3, 4, 5]
    assert shop.count("SELECT * FROM kinds", "i", 3) == 2


def test_no_query_can_write(shop, database):
    database.ask(
        "CREATE OR REPLACE FUNCTION evil() RETURNS bigint AS 'DELETE FROM posts; SELECT 1::bigint' LANGUAGE sql"
    )
    with pytest.raises(RunStoppedError, match="read-only transaction"):
        shop.rows("SELECT evil() AS id", "id", None, 1)
    assert database.ask("SELECT count(*) FROM posts") == [(7,)]


def test_two_columns_of_one_name_are_told(shop):
    with pytest.raises(ConfigError, match="the query has two columns 'id'; give one another name with AS"):
        shop.columns("SELECT id, text AS id FROM posts")


def test_a_server_that_is_away_when_a_run_begins_is_told_at_once():
    with pytest.raises(StorageError, match=r"the database 'postgresql://shop@127.0.0.1:1/x' is not there"):
        Server("postgresql://shop:secret@127.0.0.1:1/x").columns("SELECT 1 AS id")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuch://host/x", "is no URL of a database that SQLAlchemy knows"),
        ("mysql+pymysql://host/x", "the driver of 'mysql+pymysql' is not installed: install 'pymysql'"),
        ("postgresql://host:port/x", "is no URL of a database"),
    ],
)
def test_a_url_that_is_none_is_told(url, told):
    with pytest.raises(ConfigError) as caught:
        Server(url)
    assert told in str(caught.value)
