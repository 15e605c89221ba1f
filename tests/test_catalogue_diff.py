"""What changed between two documents or catalogues is told: for readers, and as data."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest

from connectory_schemas.diff import changes, read
from connectory_schemas.generate import main

PETSTORE_FILE = Path(__file__).parent / "cases" / "petstore.openapi.json"
PETSTORE = json.loads(PETSTORE_FILE.read_text())


@pytest.fixture
def told(tmp_path):
    def compare(change):
        after = deepcopy(PETSTORE)
        change(after)
        (tmp_path / "after.json").write_text(json.dumps(after))
        found = changes(read(PETSTORE_FILE), read(tmp_path / "after.json"))
        return [(one.change, one.what, one.entity, one.place, one.before, one.after) for one in found]

    return compare


def test_a_document_differs_in_nothing_from_itself_and_from_its_catalogue(tmp_path):
    main([str(PETSTORE_FILE), "--out", str(tmp_path), "--name", "pets"])
    assert changes(read(PETSTORE_FILE), read(PETSTORE_FILE)) == []
    assert changes(read(PETSTORE_FILE), read(tmp_path / "pets.json")) == []


def test_entities_that_come_and_go_are_told(told):
    def change(document):
        del document["paths"]["/shops"]
        document["paths"]["/cages"] = {"get": {"responses": {}}}

    assert told(change) == [
        ("added", "entity", "cages", "", None, "/cages"),
        ("removed", "entity", "shops", "", "/shops", None),
    ]


def test_an_entity_of_the_same_path_under_another_name_was_renamed(told):
    def change(document):
        # without the other `/pet` this one needs no parameter in its name
        document["paths"]["/pet/{id}"] = document["paths"].pop("/pet/{name}")
        del document["paths"]["/pet"]

    assert [one[:4] for one in told(change)] == [
        ("removed", "entity", "pet", ""),
        ("renamed", "entity", "pet.by_id", ""),
        ("changed", "path", "pet.by_id", ""),
    ]


def test_an_action_that_comes_or_goes_is_told(told):
    def change(document):
        del document["paths"]["/pets/{petId}"]["delete"]
        document["paths"]["/shops"]["post"] = {"responses": {}}

    assert told(change) == [
        ("removed", "action", "pet.by_pet_id", "delete", "delete", None),
        ("added", "action", "shops", "create", None, "create"),
    ]


def test_parameters_are_compared(told):
    def change(document):
        listed = document["paths"]["/pets"]["get"]["parameters"]
        listed[1] = {
            "name": "tags",
            "in": "query",
            "required": True,
            "schema": {"type": "array", "items": {"type": "string"}},
        }
        listed[3] = {"name": "colour", "in": "query", "schema": {"type": "string"}}

    assert told(change) == [
        ("added", "parameter", "pets", "read.query.colour", None, "optional"),
        ("removed", "parameter", "pets", "read.query.filter", None, None),
        ("changed", "parameter", "pets", "read.query.tags", "optional", "required"),
    ]


def test_body_fields_are_compared_with_all_they_refer_to(told):
    def change(document):
        del document["components"]["responses"]["Pets"]  # only the body is looked at here
        document["paths"]["/pets"]["get"]["responses"] = {}
        document["components"]["schemas"]["Note"]["maxLength"] = 10
        del document["components"]["schemas"]["Pet"]["properties"]["food"]
        document["components"]["schemas"]["Pet"]["properties"]["wings"] = {"type": "integer"}
        document["components"]["schemas"]["Pet"]["required"] = ["wings"]

    fields = {one[3]: one for one in told(change) if one[1] == "field"}
    assert fields["create.body.food"][0] == "removed"
    assert fields["create.body.wings"][::5] == ("added", "required")
    assert fields["create.body.description"][0] == "changed"
    assert fields["create.body.name"] == (
        "changed",
        "field",
        "pets",
        "create.body.name",
        "required",
        "optional",
    )
    assert "create.body.weight" not in fields


def test_how_a_list_pages_is_compared(told):
    def change(document):
        schema = document["components"]["responses"]["Pets"]["content"]["application/json"]["schema"]
        schema["properties"]["next"] = schema["properties"].pop("next_page")

    assert ("changed", "pagination", "pets", "read.cursor", "next_page", "next") in told(change)


def test_a_changed_result_is_told(told):
    def change(document):
        document["paths"]["/shops"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {
            "type": "object",
            "properties": {"id": {"type": "string"}},
        }

    assert ("added", "result", "shops", "read.response.id", None, "optional") in told(change)
    assert ("changed", "kind", "shops", "read", "list", "read") in told(change)


def test_the_command_prints_lines_or_json_and_says_by_its_code_whether_there_were_any(tmp_path, capsys):
    after = deepcopy(PETSTORE)
    del after["paths"]["/shops"]
    path = tmp_path / "after.json"
    path.write_text(json.dumps(after))
    assert main(["diff", str(PETSTORE_FILE), str(PETSTORE_FILE)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["diff", str(PETSTORE_FILE), str(path)]) == 1
    assert capsys.readouterr().out == 'removed  entity     shops: "/shops"\n'
    assert main(["diff", str(PETSTORE_FILE), str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "entity": "shops",
        "change": "removed",
        "what": "entity",
        "place": "",
        "before": "/shops",
        "after": None,
    }


def test_a_file_that_is_neither_is_told(tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    assert main(["diff", str(PETSTORE_FILE), str(tmp_path / "other.json")]) == 2
    assert "is neither an OpenAPI 3 document nor a catalogue file" in capsys.readouterr().err
