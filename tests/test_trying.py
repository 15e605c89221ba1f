"""A transformer on one record, and what each step of a connection makes of the first ones."""

from __future__ import annotations

import json

import pytest
from command import connectory

CONFIG = """
version: 1
clients: {openai: {token: "${OPENAI_API_KEY}"}}
transformers:
  tidy:
    - rename: {txt: text}
    - keep: [id, text]
outgoing:
  moderate:
    entity: moderations
    transformers:
      - tidy
      - set: {title: "?{titel}", note: "&{text}"}
    payload: {input: "&{text}"}
    query: {trace: "?{trase}"}
    validate: "off"
incoming:
  models:
    entity: models
    transformers:
      - set: {owner: "?{owned_bi}"}
      - map: "{id: id, tags: not_null(tags[].name, `[]`)}"
      - keep_if: "id == 'nobody'"
"""


def tried(folder, name, *words, record='{"id": 1}'):
    return connectory("transformers", "try", name, *words, folder=folder, stdin=record)


# -- transformers try


@pytest.mark.parametrize(
    ("name", "words", "record", "made"),
    [
        ("rename", ["--options", "{name: full_name}"], {"name": "Ada"}, [{"full_name": "Ada"}]),
        ("keep_if", ["--options", "status == 'done'"], {"status": "done"}, [{"status": "done"}]),
        ("keep_if", ["--options", "'done' == status"], {"status": "done"}, [{"status": "done"}]),
        ("keep_if", ["-o", "condition=status == 'done'"], {"status": "done"}, [{"status": "done"}]),
        ("set", ["--options", '{a: "&{status}!"}'], {"status": "x"}, [{"status": "x", "a": "x!"}]),
        ("set", ["-o", 'fields={a: "&{n}"}'], {"n": 1}, [{"n": 1, "a": 1}]),
        ("split", ["-o", "field=all", "-o", "into=one"], {"all": [1, 2]}, [{"one": 1}, {"one": 2}]),
        ("keep", ["--options", "- id"], {"id": 1, "x": 2}, [{"id": 1}]),
        ("keep_if", ["--options", "status == 'done'"], {"status": "new"}, []),
    ],
)
def test_a_transformer_is_tried_with_the_options_of_a_file(tmp_path, name, words, record, made):
    done = tried(tmp_path, name, *words, record=json.dumps(record))

    assert (done.code, done.lines) == (0, made)
    assert ("dropped" in done.said) == (not made)


def test_a_number_of_an_option_is_a_number(tmp_path):
    done = tried(tmp_path, "chunk", "-o", "field=text", "-o", "size=5", record='{"text": "Ada lovelace"}')

    assert [one["text"] for one in done.lines] == ["Ada", "lovel", "ace"]


@pytest.mark.parametrize(
    "text", ['{"id": 1}\n{"id": 2}\n', '[{"id": 1}, {"id": 2}]', '[\n{"id": 1},\n{"id": 2}\n]']
)
def test_several_records_are_tried_in_their_order(tmp_path, text):
    (tmp_path / "records").write_text(text)
    done = tried(tmp_path, "keep", "--options", "[id]", "--input", "records", record="")

    assert done.lines == [{"id": 1}, {"id": 2}]


def test_a_chain_and_code_of_the_configuration_are_tried(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    (tmp_path / "mine.py").write_text(
        "def shout(record, *, field: str):\n    record[field] += '!'\n    return record\n"
    )

    chain = tried(tmp_path, "tidy", record='{"id": 1, "txt": "a", "x": 0}')
    code = tried(tmp_path, "mine:shout", "-o", "field=a", record='{"a": "hi"}')

    assert chain.lines == [{"id": 1, "text": "a"}]
    assert code.lines == [{"a": "hi!"}]


def test_a_record_that_fails_is_told_and_the_others_go_on(tmp_path):
    done = tried(tmp_path, "keep_if", "--options", "statu == 'x'", record='{"status": "x"}\n{"statu": "x"}\n')

    assert (done.code, done.lines) == (1, [{"statu": "x"}])
    assert "record 1: transformer 'keep_if'" in done.said
    assert "did you mean 'status'?" in done.said
    assert done.last == "connectory transformers show keep_if"


@pytest.mark.parametrize(
    ("name", "words", "record", "said"),
    [
        ("stet", [], "{}", "no transformer 'stet'; did you mean 'set'?"),
        ("chunk", ["-o", "field=a", "-o", "sise=1"], "{}", "has no option 'sise'; did you mean 'size'?"),
        ("set", ["--options", '{a: "&{b"}'], "{}", "has no closing brace"),
        ("set", ["--options", "{a: b"], "{}", "no YAML: this bracket is never closed"),
        ("set", ["-o", "x"], "{}", "'x' is not KEY=VALUE"),
        ("set", ["-o", "x=1", "--options", "{a: b}"], "{}", "not both"),
        ("os:system", [], "{}", "is a function of Python's own"),
        ("two words", [], "{}", "has a name with a space in it"),
        ("keep", ["--options", "[id]"], "", "stdin is empty"),
        ("keep", ["--options", "[id]"], '{"id": 1', "stdin is no JSON: expecting ',' delimiter"),
        ("keep", ["--options", "[id]"], '{"id": 1}\n{"id": }\n', "stdin, line 2 is no JSON"),
        ("keep", ["--options", "[id]"], "[1]", "record 1 is no JSON object"),
        (
            "keep",
            ["--options", "[id]", "--input", "none.json"],
            "",
            "cannot read 'none.json': no such file",
        ),
    ],
)
def test_what_cannot_be_tried_is_told(tmp_path, name, words, record, said):
    done = tried(tmp_path, name, *words, record=record)

    assert done.code == 2
    assert said in done.said


# -- preview --steps


def stepped(folder, *words, records=()):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return connectory("preview", *words, "--steps", folder=folder, stdin=lines)


def test_a_preview_by_steps_shows_every_step_once_with_all_records(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    records = [{"id": n, "txt": text, "x": 0} for n, text in enumerate("ab")]
    done = stepped(tmp_path, "outgoing", "moderate", records=records)

    assert done.code == 0
    assert [(line["step"], line.get("number")) for line in done.lines] == [
        ("input", None),
        ("tidy/rename", 1),
        ("tidy/keep", 2),
        ("set", 3),
        ("request", None),
    ]
    assert done.lines[0]["records"] == records
    assert done.lines[2]["records"] == [{"id": 0, "text": "a"}, {"id": 1, "text": "b"}]
    assert [one["payload"]["input"] for one in done.lines[-1]["requests"]] == ["a", "b"]


def test_what_came_to_nothing_in_all_records_is_a_warning_with_the_nearest_field(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    done = stepped(tmp_path, "outgoing", "moderate", records=[{"id": 1, "txt": "a"}, {"id": 2, "txt": "b"}])

    assert done.lines[3]["warnings"] == [
        "?{titel} is null in all 2 records: the record has no 'titel'; it has 'id', 'text'"
    ]
    (warning,) = done.lines[-1]["warnings"]
    assert warning.startswith("?{trase} is null in all 2 records")
    assert "warning: set: ?{titel} is null" in done.said


def test_what_came_to_nothing_is_told_where_no_request_can_be_made_of_it(tmp_path):
    config = CONFIG.replace('    validate: "off"\n', "").replace('{input: "&{text}"}', '{input: "?{txet}"}')
    (tmp_path / "connectory.yaml").write_text(config)
    done = stepped(tmp_path, "outgoing", "moderate", records=[{"id": 1, "txt": "a"}])

    assert done.code == 1
    assert done.lines[-1]["requests"] == []
    assert len(done.lines[-1]["errors"]) == 1
    assert "?{txet} is null in the one record: the record has no 'txet'; did you mean 'text'?" in done.said


def test_what_one_record_has_is_no_warning(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    config = CONFIG.replace("- keep: [id, text]", "- keep: [id, text, titel, trase]")
    (tmp_path / "connectory.yaml").write_text(config)
    records = [{"id": 1, "txt": "a", "titel": "T", "trase": "x"}, {"id": 2, "txt": "b"}]
    done = stepped(tmp_path, "outgoing", "moderate", records=records)

    assert [line for line in done.lines if "warnings" in line] == []


def test_records_that_fail_are_told_at_their_step_and_make_no_warnings(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    done = stepped(tmp_path, "outgoing", "moderate", "-n", "2", records=[{"id": 1}, {"id": 2}, {"id": 3}])

    assert done.code == 1
    shown = done.lines[3]
    assert (shown["given"], shown["records"], len(shown["errors"])) == (2, [], 2)
    assert "the record has no 'text'" in shown["errors"][0]
    assert "warnings" not in shown


def test_an_incoming_is_shown_by_steps_too(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    done = stepped(tmp_path, "incoming", "models", "--sandbox", "-n", "3")
    request, read, owner, tags, kept = done.lines

    assert request["request"]["method"] == "GET"
    assert len(read["records"]) == 3
    assert owner["warnings"] == [
        "?{owned_bi} is null in all 3 records: the record has no 'owned_bi'; did you mean 'owned_by'?"
    ]
    assert [one["tags"] for one in tags["records"]] == [[], [], []]
    assert (kept["given"], kept["records"], kept["warnings"]) == (3, [], ["no record is left of 3"])
