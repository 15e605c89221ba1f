"""What an editor does with the schema: the real yaml-language-server, spoken to as an editor speaks to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import connectory
from language_server import LanguageServer, install

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MODELINE = "# yaml-language-server: $schema=.connectory/schema.json\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    try:
        program = install()
    except RuntimeError as error:
        reason = f"NO EDITOR WAS TRIED: yaml-language-server cannot be had here: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("editor")
    assert connectory("init", "--no-input", folder=folder).code == 0
    config = folder / "connectory.yaml"
    config.write_text(config.read_text() + "transformers:\n  clean: [compact]\n")
    assert connectory("schema", "--write", folder=folder).code == 0
    with LanguageServer(program, folder) as running:
        yield running


def offers(server: LanguageServer, text: str) -> dict[str, Any]:
    with server.open(MODELINE + text) as opened:
        return opened.offers()


def hover(server: LanguageServer, text: str) -> str:
    with server.open(MODELINE + text) as opened:
        return opened.hover()


def problems(server: LanguageServer, text: str) -> list[tuple[int, str]]:
    """Give what is underlined; line 1 is the one after the modeline."""
    with server.open(MODELINE + text) as opened:
        return [(line - 1, message) for line, message in opened.problems()]


def incoming(below: str) -> str:
    return f"incoming:\n  example:\n    {below}"


def outgoing(below: str) -> str:
    return f"outgoing:\n  example:\n    {below}"


STEPS = "incoming:\n  example:\n    entity: files\n    transformers:\n      - "


# -- what is offered


def test_transformers_are_offered_with_those_of_the_project_and_its_chains(server):
    offered = offers(server, f"{STEPS}|")
    assert {"set", "keep_if", "chunk", "compact", "tidy", "clean", "use", "prototype"} <= offered.keys()
    assert "Add or replace fields" in str(offered["set"]["documentation"])


def test_transformers_are_offered_while_a_name_is_written(server):
    assert {"chat", "chunk"} <= offers(server, f"{STEPS}ch|").keys()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("chunk:\n          |", {"field", "size", "overlap", "by", "into"}),
        ("chunk:\n          field: text\n          |", {"size", "overlap", "by", "into"}),
        ("tidy:\n          |", {"field"}),
        ("when:\n          |", {"condition", "do", "otherwise"}),
        ("prototype: chunk\n        parameters:\n          |", {"field", "size", "overlap", "by", "into"}),
        (
            "when:\n          condition: a\n          do:\n            - chunk:\n                |",
            {"field", "size"},
        ),
    ],
)
def test_the_options_of_a_transformer_are_offered(server, step, expected):
    offered = set(offers(server, STEPS + step))
    assert expected <= offered
    assert not offered & {"condition", "field", "messages"} - expected - {"field"}


def test_the_values_of_an_option_are_offered(server):
    assert set(offers(server, f"{STEPS}chunk:\n          field: text\n          by: |")) == {
        "words",
        "sentences",
    }


@pytest.mark.parametrize(
    ("connection", "there", "not_there"),
    [
        (incoming("entity: |"), {"files", "file", "models"}, {"moderations", "embeddings"}),
        (
            outgoing("action: create\n    entity: |"),
            {"moderations", "files", "vector_store"},
            {"file", "models"},
        ),
        (outgoing("action: delete\n    entity: |"), {"file", "vector_store"}, {"moderations", "files"}),
        (outgoing("entity: |"), {"moderations", "file"}, {"vector_store", "models"}),
        (incoming("each: |"), {"files", "fine_tuning.jobs"}, {"moderations"}),
    ],
)
def test_entities_are_offered_by_what_is_done_with_them(server, connection, there, not_there):
    offered = offers(server, connection)
    assert there <= offered.keys()
    assert not not_there & offered.keys()
    assert (
        not {"listFiles", "deleteFile", "createModeration", "null", "true"} & offered.keys()
    )  # aliases are only taken


def test_an_entity_is_offered_with_its_path(server):
    assert "/files/{file_id}" in str(offers(server, incoming("entity: |"))["file"]["documentation"])


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (incoming("entity: file\n    request_parameters:\n      path:\n        |"), {"file_id"}),
        (
            incoming("entity: container.file\n    request_parameters:\n      path:\n        |"),
            {"container_id", "file_id"},
        ),
        (outgoing("entity: file\n    path:\n      |"), {"file_id"}),
        (outgoing("entity: deleteFile\n    path:\n      |"), {"file_id"}),
        (outgoing("action: create\n    entity: vector_store.files\n    path:\n      |"), {"vector_store_id"}),
    ],
)
def test_the_path_parameters_of_the_entity_are_offered(server, connection, expected):
    assert set(offers(server, connection)) == expected


def test_keys_are_offered_at_every_depth(server):
    assert {"clients", "incoming", "outgoing", "routes"} <= offers(server, "version: 1\n|").keys()
    assert {"token", "base_uri", "limits"} <= offers(server, "clients:\n  a:\n    |").keys()
    assert {"requests_per_minute", "concurrency"} <= offers(
        server, "clients:\n  a:\n    limits:\n      |"
    ).keys()
    assert {"entity", "payload", "validate"} <= offers(server, outgoing("|")).keys()


# -- what is shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (incoming("ent|ity: files"), "Which entity to read"),
        (incoming("entity: fi|le"), "File"),
        (f"{STEPS}chu|nk: {{field: text}}", "Give one record for each piece of a text"),
        (f"{STEPS}chunk: {{fi|eld: text}}", "the text"),
        (f"{STEPS}chunk: {{si|ze: 5}}", "2000"),
        (incoming("entity: file\n    request_parameters: {path: {file|_id: a}}"), "path parameter"),
        ("clients:\n  a:\n    tok|en: x", "OPENAI"),
    ],
)
def test_a_key_is_explained(server, text, expected):
    assert expected in hover(server, text)


def test_an_entity_is_not_explained_by_a_list_of_all(server):
    shown = hover(server, incoming("entity: fi|les"))
    assert "file.content" in shown
    assert "models" not in shown


# -- what is underlined


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (incoming("entitty: files"), 3, "entitty"),
        ("clients:\n  a:\n    tokn: x", 3, "tokn"),
        (incoming("entity: fils"), 3, "no entity of this name can be read"),
        (incoming("entity: moderations"), 3, "no entity of this name can be read"),
        (outgoing("entity: files\n    action: delete"), 3, "no entity of this name can be deleted"),
        (outgoing("entity: vector_store"), 3, "say which with 'action'"),
        (incoming("entity: file"), 2, "needs the path parameter 'file_id'"),
        (incoming("entity: file\n    request_parameters: {path: {file: a}}"), 4, "it has: file_id"),
        (outgoing("entity: file\n    path: {file: a}"), 4, "it has: file_id"),
        (f"{STEPS}sett: {{a: b}}", 5, "no transformer of this name"),
        (f"{STEPS}keep_if", 5, "has options that it needs"),
        (f"{STEPS}chunk: {{field: text, sise: 5}}", 5, "sise"),
        (f"{STEPS}chunk: {{field: text, size: five}}", 5, "integer"),
        (f"{STEPS}tidy: {{feld: text}}", 5, "feld"),
        (f"{STEPS}when: {{condition: a, do: [{{chunk: {{feld: a}}}}]}}", 5, "feld"),
        (f"{STEPS}use: nothing", 5, "module:function"),
        (incoming("entity: files\n    pagination: al"), 4, '"first"'),
        ("clients:\n  a: {prototype: opnai}", 2, "openai-compatible"),
    ],
)
def test_a_mistake_is_underlined_where_it_stands(server, text, line, words):
    found = problems(server, text)
    assert any(at == line and words in message for at, message in found), found


def test_what_is_near_a_mistake_is_not_underlined(server):
    text = f"clients:\n  a: {{}}\n{incoming('entity: files')}\n  b:\n    entitty: files\n"
    assert [line for line, _ in problems(server, text)] == [7]


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("docs/examples/*/connectory.yaml")), ids=lambda file: file.parent.name
)
def test_nothing_is_underlined_in_an_example(server, file):
    text = file.read_text(encoding="utf-8").replace("|", "¦")
    with server.open(MODELINE + text) as opened:
        assert opened.problems() == []


def test_nothing_is_underlined_in_a_new_project(server):
    text = (server.folder / "connectory.yaml").read_text().replace("|", "¦")
    with server.open(text) as opened:
        assert opened.problems() == []


def test_aliases_and_variables_are_not_underlined(server):
    text = """
clients: {a: {}}
incoming:
  a: {entity: LIST-files, request_parameters: }
  b: {entity: retrieveFile, request_parameters: {path: {file_id: a}}}
  c: {entity: "${E}", only: "${O}", pagination: {pages: "${P:-3}"}, output: ""}
  d: {entity: file, each: files, transformers: , description: }
outgoing:
  a: {entity: deleteFile, path: {file_id: "&{id}"}, until: true}
routes:
transformers:
  other: [compact, {other_too: }, {set: "${STEP}"}]
"""
    assert problems(server, text) == []
