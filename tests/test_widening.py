"""What a client library has added to a document's operations is taken over, and is optional."""

from __future__ import annotations

from copy import deepcopy

from connectory_schemas.widening import widened

ANY = {"type": "string"}
FILE = {"type": "string", "format": "binary"}


def enum(*values):
    return {"type": "string", "enum": list(values)}


def tagged(tag, **properties):
    return {"type": "object", "properties": {"type": enum(tag), **properties}, "required": ["type"]}


def document(schema=None, *, media="application/json", query=(), path="/zoos/{id}", more=None, **components):
    content = {media: {"schema": schema}} if schema is not None else {}
    parameters = [{"name": name, "in": "query", "schema": one} for name, one in query]
    post = {"parameters": parameters, "requestBody": {"content": content | (more or {})}, "responses": {}}
    return {"openapi": "3.1.0", "paths": {path: {"post": post}}, "components": {"schemas": components}}


def body(whole, media="application/json", path="/zoos/{id}"):
    return whole["paths"][path]["post"]["requestBody"]["content"][media]["schema"]


def of(**properties):
    return {"type": "object", "properties": properties}


def test_new_fields_are_added_and_none_is_required():
    theirs = {**of(name=ANY, age={"type": "integer"}), "required": ["name", "age"]}
    found = body(widened(document(of(name=ANY)), document(theirs, path="/zoos/{zoo_id}")))
    assert found == of(name=ANY, age={"type": "integer"})


def test_the_document_itself_stays_as_it_is():
    mine = document(of(name=enum("a")), query=[("kind", enum("x"))])
    before = deepcopy(mine)
    widened(mine, document(of(name=enum("b"), age=ANY), query=[("kind", enum("y")), ("new[]", ANY)]))
    assert mine == before


def test_fields_go_where_a_reference_leads():
    mine = document({"$ref": "#/components/schemas/Zoo"}, Zoo={**of(name=ANY), "additionalProperties": False})
    whole = widened(mine, document(of(name=ANY, age=ANY)))
    assert whole["components"]["schemas"]["Zoo"]["properties"] == {"name": ANY, "age": ANY}


def test_query_parameters_and_their_values_are_added():
    theirs = document(query=[("kind", enum("a", "b")), ("ids[]", ANY), ("new", ANY)])
    theirs["paths"]["/zoos/{id}"]["post"]["parameters"][2]["required"] = True
    whole = widened(document(query=[("kind", enum("a")), ("ids", ANY)]), theirs)
    assert whole["paths"]["/zoos/{id}"]["post"]["parameters"] == [
        {"name": "kind", "in": "query", "schema": enum("a", "b")},
        {"name": "ids", "in": "query", "schema": ANY},
        {"name": "new", "in": "query", "schema": ANY, "required": False},
    ]


def test_a_parameter_that_is_part_of_the_path_is_not_one_more():
    mine, theirs = document(path="/a?beta=true"), document(path="/a?beta=true", query=[("beta", ANY)])
    assert widened(mine, theirs) == mine


def test_lists_of_values_grow_also_in_lists_and_objects():
    mine = of(deep=of(kinds={"type": "array", "items": {"anyOf": [ANY, enum("a")]}}))
    theirs = of(deep=of(kinds={"type": "array", "items": {"anyOf": [ANY, enum("b", "a")]}}))
    assert body(widened(document(mine), document(theirs))) == of(
        deep=of(kinds={"type": "array", "items": {"anyOf": [ANY, enum("a", "b")]}})
    )


def test_variants_are_told_apart_by_their_tag_and_new_ones_join_them():
    cat, dog, cow = tagged("cat"), tagged("dog", name=enum("rex")), tagged("cow")
    untagged = of(id=ANY)
    mine = of(pet={"oneOf": [cat, dog, untagged]})
    theirs = of(pet={"anyOf": [tagged("dog", name=enum("bo"), age=ANY), cow, of(id=ANY, more=ANY)]})
    assert body(widened(document(mine), document(theirs))) == of(
        pet={"oneOf": [cat, tagged("dog", name=enum("rex", "bo"), age=ANY), untagged, cow]}
    )


def test_what_variants_of_theirs_say_differently_may_be_either():
    theirs = {"anyOf": [of(name=ANY, kind=enum("a")), of(name=ANY, kind=enum("b"))]}
    found = body(widened(document(of(name=ANY)), document(theirs)))
    assert found["properties"]["kind"] == {"anyOf": [enum("a"), enum("b")]}


def test_a_text_of_any_kind_gets_no_list_of_values():
    assert body(widened(document(of(name=ANY)), document(of(name=enum("a"))))) == of(name=ANY)


def test_types_that_mean_themselves_come_to_an_end():
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    more = {"type": "object", "properties": {**node["properties"], "size": ANY}}
    reference = {"$ref": "#/components/schemas/Node"}
    whole = widened(document(reference, Node=node), document(reference, Node=more))
    assert whole["components"]["schemas"]["Node"] == more


def test_a_body_of_another_type_gets_what_is_no_file():
    form = "multipart/form-data"
    mine = document(of(url=ANY), more={form: {"schema": of(image=FILE)}})
    theirs = document(
        of(image=FILE, mark={"anyOf": [FILE, {"type": "array", "items": FILE}]}, size=ANY), media=form
    )
    whole = widened(mine, theirs)
    assert body(whole) == of(url=ANY, size=ANY)
    assert body(whole, form)["properties"].keys() == {"image", "mark", "size"}
