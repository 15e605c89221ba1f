from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory_schemas.convert import convert, reachable, refine
from connectory_schemas.entities import name_entities
from connectory_schemas.errors import GenerateError, OverlayError, SchemaError, SdkError
from connectory_schemas.generate import built_in_overlay, generate, main, read_library
from connectory_schemas.naming import alias_key, entity_name, singular, title
from connectory_schemas.overlay import Overlay, merge
from connectory_schemas.writing import check, differences

CASES = Path(__file__).parent / "cases"
NAMES = json.loads((CASES / "entity_names.json").read_text())
PETSTORE = json.loads((CASES / "petstore.openapi.json").read_text())
PACKAGE = Path(__file__).parent.parent / "schemas" / "connectory_schemas"
OVERLAY = built_in_overlay()
METHODS = {"get": "read", "post": "create", "delete": "delete"}


@pytest.fixture(scope="module")
def spec():
    path = os.environ.get("CONNECTORY_SPEC")
    if not path:
        pytest.skip("CONNECTORY_SPEC is not set: the API's document is not here to compare with")
    return json.loads(Path(path).read_text())


@pytest.fixture(scope="module")
def files(spec):
    try:
        library = read_library(spec, pinned_only=True)
    except SdkError as error:  # `generate --check`, which the gates run, fails here instead
        pytest.skip(str(error))
    return generate(spec, OVERLAY, name="openai", library=library)


@pytest.fixture(scope="module")
def generated(files):
    """Give the part of every entity that the document tells."""
    entities = json.loads(files["openai.json"])["entities"]
    told = {name: {**one, "actions": from_the_document(one)} for name, one in entities.items()}
    return {name: one for name, one in told.items() if one["actions"]}


def from_the_document(entity):
    return {slot: action for slot, action in entity["actions"].items() if "origin" not in action}


@pytest.fixture(scope="module")
def pets():
    files = generate(PETSTORE, Overlay(), name="pets")
    return json.loads(files["pets.json"])["entities"], json.loads(files["pets.schemas.json"])["$defs"]


@pytest.mark.parametrize(("template", "name"), NAMES["names"].items())
def test_an_entity_is_named_by_its_path(template, name):
    assert entity_name(template) == name


@pytest.mark.parametrize(("word", "one"), NAMES["singular"].items())
def test_a_segment_becomes_singular_by_its_ending(word, one):
    assert singular(word) == one


def test_an_overlay_knows_the_exceptions_of_the_singular_rule():
    assert entity_name("/caches/{id}", {"caches": "cache"}) == "cache"


@pytest.mark.parametrize(("name", "written"), NAMES["titles"].items())
def test_a_title_is_made_of_the_name(name, written):
    assert title(name, OVERLAY.title_words) == written


def test_spellings_of_one_alias_are_the_same():
    assert alias_key("list-files") == alias_key("listFiles") == alias_key("List_Files")


def test_templates_that_would_share_a_name_get_their_parameters_in_it():
    names = name_entities(["/pet", "/pet/{petId}", "/a/{b}", "/a/{b}/{c}"], Overlay())
    assert names == {
        "/pet": "pet",
        "/pet/{petId}": "pet.by_pet_id",
        "/a/{b}": "a.by_b",
        "/a/{b}/{c}": "a.by_b_c",
    }


def test_two_entities_never_share_a_name():
    with pytest.raises(GenerateError, match=r"/a-b, /a_b would all be named 'a_b'"):
        name_entities(["/a-b", "/a_b"], Overlay())
    assert name_entities(["/a-b", "/a_b"], Overlay(names={"/a-b": "other"}))["/a-b"] == "other"


def test_one_alias_never_means_two_actions():
    twice = json.loads(json.dumps(PETSTORE))
    twice["paths"]["/pets"]["post"]["operationId"] = "list-pets"
    with pytest.raises(GenerateError, match="'list-pets', 'listPets'"):
        generate(twice, Overlay(), name="pets")


# Conversion of schemas


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        (
            {"oneOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"$ref": "#/components/schemas/A", "nullable": True},
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
        ),
        (
            {"allOf": [{"$ref": "#/components/schemas/A"}, {"nullable": True, "description": "."}]},
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
        ),
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
        ({"exclusiveMinimum": True}, {}),
        ({"exclusiveMaximum": 3}, {"exclusiveMaximum": 3}),
        ({"required": ["a", "b", "a"]}, {"required": ["a", "b"]}),
        ({"required": True}, {}),
        ({"oneOf": [{"const": 1}]}, {"anyOf": [{"const": 1}]}),
        (
            {"anyOf": [{"const": 1}], "oneOf": [{"const": 2}]},
            {"anyOf": [{"const": 1}], "allOf": [{"anyOf": [{"const": 2}]}]},
        ),
        ({"description": "d", "title": "t", "default": 1, "example": 2, "x-a": 3, "min_items": 4}, {}),
        (
            {"properties": {"description": {"type": "string"}, "default": {"default": 1}}},
            {"properties": {"description": {"type": "string"}, "default": {}}},
        ),
        (
            {"additionalProperties": False, "items": {"title": "x"}},
            {"additionalProperties": False, "items": {}},
        ),
    ],
)
def test_a_schema_is_repaired_and_stripped_of_prose(before, after):
    assert convert(before) == after


def test_a_recursive_reference_means_the_component_it_stands_in():
    tree = {"properties": {"children": {"items": {"$recursiveRef": "#"}}}, "$recursiveAnchor": True}
    assert convert(tree, "Tree") == {"properties": {"children": {"items": {"$ref": "#/$defs/Tree"}}}}


def test_a_reference_to_elsewhere_is_refused():
    with pytest.raises(SchemaError, match=r"'other\.json#/A' does not point into"):
        convert({"$ref": "other.json#/A"})


def test_a_reference_to_nothing_is_refused():
    with pytest.raises(SchemaError, match="'B', which the document does not have"):
        reachable({"$ref": "#/$defs/B"}, {"A": {}})


# Unions


def variant(tag, *, required=True, **more):
    schema = {"type": "object", "properties": {"type": {"type": "string", "enum": [tag]}, **more}}
    return schema | ({"required": ["type"]} if required else {})


def when(tag):
    return {"properties": {"type": {"const": tag}}, "required": ["type"]}


A, B = variant("a"), variant("b", x={"type": "string"})
A_OR_B = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": ["a", "b"]}},
    "if": when("a"),
    "then": A,
    "else": {"if": when("b"), "then": B},
}
PLAIN = {"type": "object", "properties": {"x": {"type": "string"}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}),
        (
            {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]},
            {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]},
        ),
        ({"anyOf": [{"type": "string"}, {"enum": ["a"]}]}, {"anyOf": [{"type": "string"}, {"enum": ["a"]}]}),
        ({"anyOf": [{"type": "string"}]}, {"type": "string"}),
        ({"items": {"anyOf": [A, B]}}, {"items": A_OR_B}),
        ({"anyOf": [A, B], "type": "object"}, A_OR_B),
        ({"anyOf": [A, B], "type": "array"}, {"type": "array", "allOf": [A_OR_B]}),
        ({"anyOf": [A, {"type": "string"}, B]}, {"anyOf": [{"type": "string"}, A_OR_B]}),
        ({"anyOf": [A, B, {"type": "null"}]}, {"anyOf": [A_OR_B, {"type": "null"}]}),
        ({"anyOf": [A, PLAIN]}, {"anyOf": [A, PLAIN]}),
        ({"anyOf": [A, A]}, {"anyOf": [A, A]}),
        # a union within a union of objects is one union
        (
            {"anyOf": [{"$ref": "#/$defs/B"}, {"$ref": "#/$defs/Both"}]},
            {
                **A_OR_B,
                "properties": {"type": {"enum": ["b", "a"]}},
                "if": when("b"),
                "then": {"anyOf": [{"$ref": "#/$defs/B"}, B]},
                "else": {"if": when("a"), "then": A},
            },
        ),
        # a variant may go without the tag
        (
            {"anyOf": [A, variant("b", required=False)]},
            {
                "type": "object",
                "properties": {"type": {"enum": ["a", "b"]}},
                "if": when("a"),
                "then": A,
                "else": {
                    "if": when("b"),
                    "then": variant("b", required=False),
                    "else": {"if": {"required": ["type"]}, "else": variant("b", required=False)},
                },
            },
        ),
    ],
)
def test_a_union_says_which_variant_is_meant(before, after):
    definitions = {"B": B, "Both": {"anyOf": [B, A]}}
    assert refine(before, definitions) == after


def test_a_union_accepts_after_refining_what_it_accepted_before():
    branches = [A, B, variant("b", required=False, y={"type": "integer"}), {"type": "string"}]
    before = Draft202012Validator({"anyOf": branches})
    after = Draft202012Validator(refine({"anyOf": branches}, {}))
    values = [
        "text",
        5,
        None,
        [],
        {},
        {"type": "a"},
        {"type": "b"},
        {"type": "c"},
        {"type": 1},
        {"y": 1},
        {"y": ""},
    ]
    values += [{"type": "b", "x": 1}, {"type": "b", "x": 1, "y": 1}, {"type": "b", "x": 1, "y": ""}]
    verdicts = [before.is_valid(value) for value in values]
    assert [after.is_valid(value) for value in values] == verdicts
    assert set(verdicts) == {True, False}


# A document of another API


def test_another_document_gives_its_entities(pets):
    entities, _ = pets
    slots = {name: list(entity["actions"]) for name, entity in entities.items()}
    assert slots == {
        "groom": ["create"],
        "pet": ["read"],
        "pet.by_name": ["read"],
        "pet.by_pet_id": ["read", "delete"],
        "pet.photo": ["read", "create"],
        "pet.walk": ["create"],
        "pets": ["read", "create"],
        "shops": ["read"],
    }


def test_another_documents_list_has_items_and_pages(pets):
    read = pets[0]["pets"]["actions"]["read"]
    assert read["kind"] == "list"
    assert read["response"]["items"] == "data"
    assert read["response"]["pagination"] == {"style": "page", "parameter": "page", "cursor": "next_page"}
    assert read["query"]["page"] == {"schema": {"type": "string"}, "required": True}


def test_a_bare_array_is_a_list_of_itself(pets):
    response = pets[0]["shops"]["actions"]["read"]["response"]
    assert (response["items"], response["pagination"]) == ("@", {"style": "none"})


def test_without_an_overlay_query_lists_are_written_as_the_document_says(pets):
    query = pets[0]["pets"]["actions"]["read"]["query"]
    assert {name: one.get("style") for name, one in query.items()} == {
        "page": None,
        "tags": "form",
        "ids": "brackets",
        "filter": "brackets",
    }


def test_another_documents_kinds_follow_from_its_paths(pets):
    entities, _ = pets
    kinds = {
        f"{name} {slot}": action["kind"]
        for name, one in entities.items()
        for slot, action in one["actions"].items()
    }
    assert kinds["pets create"] == "create"
    assert kinds["pet.walk create"] == "command"
    assert kinds["pet.photo create"] == "update"
    assert kinds["groom create"] == "compute"


def test_response_kinds_follow_from_content_types(pets):
    entities, _ = pets
    kinds = {
        f"{name} {slot}": action["response"]["kind"]
        for name, one in entities.items()
        for slot, action in one["actions"].items()
    }
    assert kinds["pet.photo read"] == "binary"
    assert kinds["pet read"] == "text"
    assert kinds["groom create"] == "sse"
    assert kinds["pet.walk create"] == "empty"
    assert kinds["pets create"] == "json"


def test_an_items_own_parameter_name_is_the_parents_field(pets):
    item = next(one for one in pets[0].values() if one["path"] == "/pets/{petId}")
    assert (item["parent"], item["parent_field"]) == ("pets", "petId")


def test_a_security_scheme_called_admin_wants_the_admin_token(pets):
    assert (pets[0]["pets"]["auth"], pets[0]["shops"]["auth"]) == ("admin", "api")


def test_only_reachable_schemas_are_kept_and_have_no_prose(pets):
    _, definitions = pets
    assert list(definitions) == ["Note", "Pet"]
    text = json.dumps(definitions)
    assert "prose" not in text
    assert "Rex" not in text
    assert definitions["Pet"]["properties"]["description"] == {
        "anyOf": [{"$ref": "#/$defs/Note"}, {"type": "null"}]
    }


def test_a_parts_content_type_is_kept_in_its_schema(pets):
    content = pets[0]["pet.photo"]["actions"]["create"]["body"]["content"]["multipart/form-data"]
    assert content["properties"]["about"]["contentMediaType"] == "application/json"


def test_a_parts_content_type_is_kept_where_the_form_is_a_reference_and_nowhere_else():
    form = {"type": "object", "properties": {"sdp": {"type": "string"}, "session": {"type": "object"}}}
    reference = {"schema": {"$ref": "#/components/schemas/Form"}}
    encoded = {**reference, "encoding": {"sdp": {"contentType": "application/sdp"}}}
    content = {"multipart/form-data": encoded, "application/json": reference}
    document = {
        "openapi": "3.1.0",
        "paths": {"/calls": {"post": {"requestBody": {"content": content}, "responses": {}}}},
        "components": {"schemas": {"Form": form}},
    }
    files = generate(document, Overlay(), name="calls")
    body = json.loads(files["calls.json"])["entities"]["calls"]["actions"]["create"]["body"]["content"]
    typed = {"sdp": {"type": "string", "contentMediaType": "application/sdp"}, "session": {"type": "object"}}
    assert body["multipart/form-data"] == {"type": "object", "properties": typed}
    assert body["application/json"] == {"$ref": "#/$defs/Form"}
    assert json.loads(files["calls.schemas.json"])["$defs"] == {"Form": form}


def test_a_swagger_2_document_is_refused():
    with pytest.raises(GenerateError, match="not an OpenAPI 3 document"):
        generate({"swagger": "2.0"}, Overlay(), name="x")


# Overlays


def test_an_overlay_rule_that_applies_to_nothing_is_an_error():
    with pytest.raises(OverlayError, match="applies to nothing"):
        generate(PETSTORE, Overlay(rules=({"under": ["/cats"], "action": {"kind": "command"}},)), name="x")


def test_an_overlay_with_an_unknown_key_is_an_error():
    with pytest.raises(OverlayError, match="unknown keys \\['rulez'\\]"):
        Overlay.of({"rulez": []})


def test_an_overlay_may_not_name_a_parent_that_is_no_list():
    rules = ({"paths": ["/pets/{petId}/walk"], "entity": {"parent": "groom"}},)
    with pytest.raises(GenerateError, match=r"parent 'groom' of entity 'pet\.walk' is no list"):
        generate(PETSTORE, Overlay(rules=rules), name="x")


def test_an_overlay_relaxes_a_schema_at_its_pointer():
    rule = {"at": "/$defs/Pet", "optional": ["name"], "schema": {"minProperties": 1}}
    pet = {"required": ["name", "id"], "properties": {"name": {}}}
    Overlay(relax=(rule,)).relax_schemas({"$defs": {"Pet": pet}})
    either = {
        "anyOf": [{"required": ["name"]}, {"not": {"required": ["name"]}}]
    }  # so that examples still have it
    assert pet == {"required": ["id"], "properties": {"name": {}}, "minProperties": 1, "allOf": [either]}
    Overlay(relax=({"at": "/$defs/Pet", "optional": ["id"]},)).relax_schemas({"$defs": {"Pet": pet}})
    assert "required" not in pet


def test_an_overlay_may_not_relax_what_is_not_there():
    with pytest.raises(OverlayError, match="leads nowhere at 'Cat'"):
        Overlay(relax=({"at": "/$defs/Cat", "optional": ["name"]},)).relax_schemas({"$defs": {}})
    with pytest.raises(OverlayError, match=r"relaxes \['fur'\] at '/\$defs/Pet'"):
        Overlay(relax=({"at": "/$defs/Pet", "optional": ["fur"]},)).relax_schemas({"$defs": {"Pet": {}}})


def test_later_overlay_files_add_to_earlier_ones():
    both = Overlay.of(
        {"singular": {"a": "b"}, "rules": [{"paths": ["/x"]}]},
        {"singular": {"c": "d"}, "rules": [{"paths": ["/y"]}]},
    )
    assert both.singular == {"a": "b", "c": "d"}
    assert [rule["paths"] for rule in both.rules] == [["/x"], ["/y"]]


def test_an_overlay_rule_names_an_entity_or_a_template():
    rules = (
        {"entities": ["shops"], "entity": {"replacement": "pets"}},
        {"templates": ["/pets/{petId}"], "actions": ["delete"], "action": {"deprecated": True}},
    )
    entities = json.loads(generate(PETSTORE, Overlay(rules=rules), name="x")["x.json"])["entities"]
    assert [name for name, one in entities.items() if "replacement" in one] == ["shops"]
    item = next(one for one in entities.values() if one["path"] == "/pets/{petId}")
    assert [slot for slot, one in item["actions"].items() if one.get("deprecated")] == ["delete"]


def test_an_overlay_may_bring_operations_that_the_document_lacks():
    more = {
        "paths": {
            "/pets/{id}": {
                "get": {"operationId": "ignored", "responses": {}},
                "post": {
                    "operationId": "changePet",
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
                    ],
                    "responses": {},
                },
            },
            "/cages": {
                "get": {
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/Cages"}}
                            }
                        }
                    }
                }
            },
        },
        "components": {"schemas": {"Cages": {"type": "array", "items": {"type": "object"}}}},
    }
    files = generate(PETSTORE, Overlay(documents={"history": more}), name="x")
    entities = json.loads(files["x.json"])["entities"]
    item = next(one for one in entities.values() if one["path"] == "/pets/{petId}")
    assert {slot: one.get("origin") for slot, one in item["actions"].items()} == {
        "read": None,
        "create": "history",
        "delete": None,
    }
    assert list(item["parameters"]) == ["petId"]
    assert "ignored" not in item["aliases"]
    assert entities["cages"]["actions"]["read"]["kind"] == "list"
    with pytest.raises(GenerateError, match="schema 'Pet' of history is also one of the document's"):
        generate(PETSTORE, Overlay(documents={"history": {"components": {"schemas": {"Pet": {}}}}}), name="x")


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        ({"schema": {"maximum": 50}, "description": "between 1 and 9"}, 50),
        ({"schema": {}, "description": "can range between\n1 and 10,000, and"}, 10_000),
        ({"schema": {"description": "between 0 and 20."}}, 20),
        ({"schema": {}, "description": "31 for one kind, 168 for another"}, None),
        (None, None),
    ],
)
def test_the_largest_page_is_the_stated_bound_of_limit(limit, size):
    document = json.loads(json.dumps(PETSTORE))
    if limit is not None:
        document["paths"]["/pets"]["get"]["parameters"].append({"name": "limit", "in": "query", **limit})
    entities = json.loads(generate(document, Overlay(), name="x")["x.json"])["entities"]
    assert entities["pets"]["actions"]["read"]["response"]["pagination"].get("page_size") == size


def test_a_page_that_names_the_next_one_is_asked_for_by_that_name():
    document = json.loads(json.dumps(PETSTORE))
    fields = document["components"]["responses"]["Pets"]["content"]["application/json"]["schema"][
        "properties"
    ]
    fields["next"] = fields.pop("next_page")
    entities = json.loads(generate(document, Overlay(), name="x")["x.json"])["entities"]
    paging = entities["pets"]["actions"]["read"]["response"]["pagination"]
    assert paging == {"style": "page", "parameter": "page", "cursor": "next"}


def test_a_header_that_must_have_one_value_is_sent():
    document = json.loads(json.dumps(PETSTORE))
    document["paths"]["/groom"]["post"]["parameters"] = [
        {"name": "X-Beta", "in": "header", "required": True, "schema": {"enum": ["on"]}},
        {"name": "X-Mood", "in": "header", "required": True, "schema": {"enum": ["calm", "wild"]}},
        {"name": "X-Old", "in": "header", "schema": {"const": "1"}},
    ]
    entities = json.loads(generate(document, Overlay(), name="x")["x.json"])["entities"]
    assert entities["groom"]["actions"]["create"]["headers"] == {"X-Beta": "on"}


def test_null_in_an_overlay_takes_a_key_away():
    target = {"response": {"kind": "json", "schema": {}}}
    merge(target, {"response": {"kind": "binary", "schema": None}})
    assert target == {"response": {"kind": "binary"}}


# The command


def test_the_command_writes_what_check_then_accepts(tmp_path, capsys):
    spec = CASES / "petstore.openapi.json"
    assert main([str(spec), "--out", str(tmp_path)]) == 0
    assert "left out: PUT /pets/{petId}" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "corner-pet-shop.json",
        "corner-pet-shop.schemas.json",
    ]
    assert main([str(spec), "--out", str(tmp_path), "--check"]) == 0


def test_check_names_what_differs_and_writes_nothing(tmp_path, capsys):
    spec = str(CASES / "petstore.openapi.json")
    main([spec, "--out", str(tmp_path)])
    path = tmp_path / "corner-pet-shop.json"
    changed = path.read_text().replace('"Shops"', '"Stores"')
    path.write_text(changed)
    (tmp_path / "corner-pet-shop.schemas.json").unlink()
    capsys.readouterr()
    assert main([spec, "--out", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert 'corner-pet-shop.json: entities.shops.title: "Stores", would be "Shops"' in told
    assert "corner-pet-shop.schemas.json: missing" in told
    assert path.read_text() == changed


def test_check_sees_a_file_that_is_only_written_differently(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert check({"a.json": "{ }\n"}, tmp_path) == ["a.json: same content, written differently"]


def test_differences_are_named_by_path():
    found = list(differences({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}))
    assert found == ["a.b: missing", "a.c: 3, would be 2", "d: not in the document"]


def test_a_yaml_document_is_read_too(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "openapi: 3.1.0\ninfo: {title: Tiny, version: '1'}\npaths: {/a: {get: {responses: {}}}}\n"
    )
    assert main([str(spec), "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "tiny.json").read_text())["entities"]["a"]["path"] == "/a"


def test_a_missing_document_is_told_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("CONNECTORY_SPEC", raising=False)
    assert main([]) == 2
    assert "set CONNECTORY_SPEC" in capsys.readouterr().err
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "{nope", "cannot be read: Expecting property name"),
        ("a.yaml", "a: [", "cannot be read: while parsing a flow"),
        ("a.json", "[]", "holds no object"),
    ],
)
def test_a_file_that_is_no_document_is_told_in_one_line(capsys, tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    assert main([str(tmp_path / name), "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_generating_twice_gives_the_same_bytes():
    assert generate(PETSTORE, Overlay(), name="x") == generate(PETSTORE, Overlay(), name="x")


# The files on disk


@pytest.mark.parametrize("name", ["openai.json", "prototypes.json"])
def test_a_built_in_file_keeps_to_the_format(name):
    schema = json.loads((PACKAGE / "catalogue.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, registry=Registry())
    assert [
        error.message
        for error in validator.iter_errors(json.loads((PACKAGE / "catalogue" / name).read_text()))
    ] == []


def test_every_built_in_schema_is_valid_json_schema():
    definitions = json.loads((PACKAGE / "catalogue" / "openai.schemas.json").read_text())
    Draft202012Validator.check_schema(definitions)


# The API's document


def test_the_files_on_disk_are_what_the_document_gives(files):
    assert check(files, PACKAGE / "catalogue") == []


def test_every_operation_of_the_document_is_an_action(spec, generated):
    ids = [operation["operationId"] for item in spec["paths"].values() for operation in item.values()]
    aliases = {alias: slot for one in generated.values() for alias, slot in one["aliases"].items()}
    assert len(ids) == 288
    assert set(ids) <= set(aliases)
    assert len(generated) == 182
    assert sum(len(entity["actions"]) for entity in generated.values()) == 288


def test_lists_page_in_the_four_ways_that_were_counted(generated):
    reads = [entity["actions"]["read"] for entity in generated.values() if "read" in entity["actions"]]
    paging = [one["response"]["pagination"] for one in reads if "pagination" in one["response"]]
    assert Counter((one["style"], one.get("cursor")) for one in paging) == {
        ("cursor", "last_id"): 40,
        ("cursor", None): 2,
        ("next", "next"): 9,
        ("page", "next_page"): 11,
        ("none", None): 2,
    }
    assert {one["response"]["items"] for one in reads if one["kind"] == "list"} == {"data"}


def test_every_action_has_the_kind_that_was_found_by_reading(generated):
    kinds = Counter(action["kind"] for entity in generated.values() for action in entity["actions"].values())
    assert kinds == {
        "list": 64,
        "read": 58,
        "create": 48,
        "compute": 17,
        "update": 28,
        "command": 30,
        "delete": 43,
    }
    assert generated["eval.run"]["actions"]["create"]["kind"] == "command"
    assert generated["organization.spend_limit"]["actions"]["create"]["kind"] == "update"
    assert generated["embeddings"]["actions"]["create"]["kind"] == "compute"


def test_beta_headers_are_sent_where_the_official_client_sends_them(generated):
    sent = Counter(
        value
        for entity in generated.values()
        for action in entity["actions"].values()
        for value in action.get("headers", {}).values()
    )
    assert sent == {"assistants=v2": 41, "chatkit_beta=v1": 6}


def test_admin_operations_are_marked(generated):
    admin = sum(len(entity["actions"]) for entity in generated.values() if entity["auth"] == "admin")
    assert admin == 119


def test_required_query_parameters_are_the_documents(generated):
    required = [
        name
        for entity in generated.values()
        for action in entity["actions"].values()
        for name, one in action.get("query", {}).items()
        if one.get("required")
    ]
    assert required == ["start_time"] * 11


def test_stream_capable_actions_say_how_to_ask(generated):
    stream = Counter(
        action["response"].get("stream")
        for entity in generated.values()
        for action in entity["actions"].values()
    )
    del stream[None]
    assert stream == {"body.stream": 10, "query.stream": 2, "body.stream_format": 1}


def test_no_sentence_of_the_document_is_in_the_catalogue(generated):
    words = {"description", "title", "summary", "example", "default"}

    def keys(node):
        if isinstance(node, dict):
            if "properties" in node and isinstance(node["properties"], dict):
                node = {**node, "properties": list(node["properties"].values())}
            yield from node
            for one in node.values():
                yield from keys(one)
        elif isinstance(node, list):
            for one in node:
                yield from keys(one)

    definitions = json.loads((PACKAGE / "catalogue" / "openai.schemas.json").read_text())["$defs"]
    assert not words & {key for one in definitions.values() for key in keys(one)}
