from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from connectory.catalogue import Catalogue
from connectory.errors import ConfigError, UnknownNameError

METHODS = {"get": "read", "post": "create", "delete": "delete"}


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load()


@pytest.fixture(scope="module")
def operations():
    path = os.environ.get("CONNECTORY_SPEC")
    if not path:
        pytest.skip("CONNECTORY_SPEC is not set: the API's document is not here to compare with")
    paths = json.loads(Path(path).read_text())["paths"]
    return [
        (one["operationId"], method.upper(), template)
        for template, item in paths.items()
        for method, one in item.items()
    ]


@pytest.fixture
def written(tmp_path):
    def write(content, name="mine.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps({"format": 1, **content}))
        return path

    return write


def test_a_catalogue_is_a_mapping_of_names_to_entities(catalogue):
    assert len(catalogue) == len(list(catalogue)) >= 182
    assert "files" in catalogue
    assert "filez" not in catalogue
    assert catalogue["files"].name == "files"
    assert catalogue["files"] is catalogue["files"]
    assert repr(catalogue) == f"<Catalogue of {len(catalogue)} entities>"


def test_every_entity_can_be_made(catalogue):
    for name, entity in catalogue.items():
        assert entity.name == name
        assert entity.path_parameters == tuple(entity.parameter_schemas)
        assert set(entity.actions) <= {"read", "create", "delete"}
        assert all(alias_action in entity.actions for alias_action in entity.aliases.values())


def test_every_schema_of_every_entity_is_complete(catalogue):
    for entity in catalogue.values():
        for action in entity.actions.values():
            schemas = [*action.body.content.values()] if action.body else []
            schemas += [action.response.schema] if action.response.schema else []
            schemas += [one.schema for one in action.query.values()]
            for schema in schemas:
                whole = catalogue.schema(schema)
                text = json.dumps(whole)
                assert text.count('"#/components') == 0
                assert all(f'"{name}": ' in text for name in whole.get("$defs", {}))


def test_an_entity_says_what_it_takes(catalogue):
    events = catalogue["fine_tuning.job.events"]
    assert events.path == "/fine_tuning/jobs/{fine_tuning_job_id}/events"
    assert events.path_parameters == ("fine_tuning_job_id",)
    assert (events.parent, events.parent_field, events.auth) == ("fine_tuning.jobs", "id", "api")
    read = events.actions["read"]
    assert (read.method, read.kind, read.response.items) == ("GET", "list", "data")
    assert read.response.pagination.cursor is None
    assert read.response.pagination.item_field == "id"
    assert read.query["limit"].schema == {"type": "integer"}


def test_headers_bodies_and_fixed_queries_are_there(catalogue):
    assert catalogue["assistants"].actions["create"].headers == {"OpenAI-Beta": "assistants=v2"}
    assert catalogue["files"].actions["create"].body.content.keys() == {"multipart/form-data"}
    assert catalogue["files"].actions["create"].body.required
    assert catalogue["beta.responses"].actions["create"].fixed_query == {"beta": "true"}
    assert catalogue["organization.costs"].actions["read"].query["project_ids"].style == "brackets"
    assert catalogue["organization.audit_logs"].actions["read"].query["event_types"].style == "brackets"
    assert catalogue["file.content"].actions["read"].response.kind == "binary"
    assert catalogue["assistants"].deprecated
    assert not catalogue["files"].deprecated


def test_every_parent_is_a_list_whose_parameters_the_child_has(catalogue):
    for entity in catalogue.values():
        if entity.parent:
            parent = catalogue[entity.parent]
            assert parent.actions["read"].kind == "list"
            assert set(parent.path_parameters) <= set(entity.path_parameters[:-1])
    assert catalogue["organization.project.group"].parent_field == "group_id"
    assert catalogue["skill.version"].parent_field == "version"


def test_a_wrong_name_suggests_the_nearest(catalogue):
    with pytest.raises(UnknownNameError, match=r"no entity 'moderation'; did you mean 'moderations'\?"):
        catalogue["moderation"]
    with pytest.raises(KeyError):
        catalogue["moderation"]
    with pytest.raises(UnknownNameError, match="did you mean 'createModeration'"):
        catalogue.find("createModerations")
    with pytest.raises(UnknownNameError, match="no client prototype 'opanai'; did you mean 'openai'"):
        catalogue.prototypes["opanai"]


@pytest.mark.parametrize("alias", ["listFiles", "list-files", "LIST_FILES", "files"])
def test_an_alias_is_found_however_it_is_spelt(catalogue, alias):
    assert catalogue.find(alias, "read").name == "files"
    assert catalogue.find(alias).name == "files"


def test_an_alias_of_another_action_is_an_error_that_says_so(catalogue):
    with pytest.raises(ConfigError, match="alias 'listFiles' means read of entity 'files', not create"):
        catalogue.find("listFiles", "create")


def test_an_action_that_the_entity_does_not_take_is_an_error(catalogue):
    with pytest.raises(ConfigError, match="entity 'files' has no action 'delete'; it takes read, create"):
        catalogue.find("files", "delete")


@pytest.mark.parametrize(
    ("request_line", "name", "action", "parameters"),
    [
        ("GET /files/file-1", "file", "read", {"file_id": "file-1"}),
        ("delete /files/file-1", "file", "delete", {"file_id": "file-1"}),
        ("GET /files/a%2Fb%20c", "file", "read", {"file_id": "a/b c"}),
        ("GET /files?purpose=batch", "files", "read", {}),
        ("POST /threads/runs", "threads.runs", "create", {}),
        ("POST /threads/t1/runs", "thread.runs", "create", {"thread_id": "t1"}),
        ("GET /threads/runs", "thread", "read", {"thread_id": "runs"}),
        ("GET /videos/characters/c", "videos.character", "read", {"character_id": "c"}),
        ("GET /videos/edits/content", "video.content", "read", {"video_id": "edits"}),
        ("POST /responses", "responses", "create", {}),
        ("POST /responses?beta=true", "beta.responses", "create", {}),
        ("POST /responses?beta=false", "responses", "create", {}),
        ("GET /responses/r?stream=true&beta=true", "beta.response", "read", {"response_id": "r"}),
        (
            "GET /threads/t/runs/r/steps/s",
            "thread.run.step",
            "read",
            {"thread_id": "t", "run_id": "r", "step_id": "s"},
        ),
    ],
)
def test_a_request_is_matched_to_its_entity(catalogue, request_line, name, action, parameters):
    entity, found, values = catalogue.match(*request_line.split())
    assert (entity.name, found, values) == (name, action, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/file"), ("PUT", "/files"), ("GET", "/files/"), ("GET", "/"), ("DELETE", "/files")],
)
def test_a_request_that_no_entity_makes_is_unknown(catalogue, method, path):
    with pytest.raises(UnknownNameError, match=f"no operation '{method} {path}'"):
        catalogue.match(method, path)


def test_an_unknown_request_suggests_the_nearest(catalogue):
    with pytest.raises(UnknownNameError, match="did you mean 'GET /files'"):
        catalogue.match("GET", "/file")


def test_prototypes_say_how_to_reach_a_server(catalogue):
    assert set(catalogue.prototypes) == {"openai", "openai-compatible", "azure-openai"}
    openai = catalogue.prototypes["openai"]
    assert (openai.base_uri, openai.path_prefix) == ("https://api.openai.com", "/v1")
    assert openai.auth == {"header": "Authorization", "prefix": "Bearer "}
    assert (openai.organization_header, openai.project_header) == ("OpenAI-Organization", "OpenAI-Project")
    assert (openai.token_required, openai.validate, openai.deployment) == (True, "error", None)
    compatible = catalogue.prototypes["openai-compatible"]
    assert (compatible.base_uri, compatible.token_required, compatible.validate) == (None, False, "warn")
    azure = catalogue.prototypes["azure-openai"]
    assert azure.auth == {"header": "api-key", "prefix": ""}
    assert azure.query == {"api-version": "2024-10-21"}
    assert set(azure.deployment["entities"]) <= set(catalogue)


def test_a_schema_is_self_contained_and_judges_payloads(catalogue):
    schema = catalogue.schema(catalogue["embeddings"].actions["create"].body.content["application/json"])
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"model": "m", "input": "hi"})
    assert not validator.is_valid({"model": "m"})
    assert catalogue.schema("CreateEmbeddingRequest") == schema
    assert catalogue.schema("#/$defs/CreateEmbeddingRequest") == schema
    assert catalogue.schema({"type": "string"}) == {"type": "string"}


def test_repaired_schemas_accept_what_the_document_refused(catalogue):
    completion = Draft202012Validator(catalogue.schema("CreateCompletionRequest"))
    assert completion.is_valid({"model": "m", "prompt": "x", "n": None, "logit_bias": None, "suffix": None})
    compound = Draft202012Validator(catalogue.schema("CompoundFilter"))
    leaf = {"type": "eq", "key": "a", "value": 1}
    assert compound.is_valid({"type": "and", "filters": [leaf, {"type": "or", "filters": [leaf]}]})
    assert not compound.is_valid({"type": "and", "filters": [{"type": "or"}]})
    job = Draft202012Validator(catalogue.schema("CreateFineTuningJobRequest"))
    tuned = {"model": "m", "training_file": "f", "hyperparameters": {"learning_rate_multiplier": 0.5}}
    assert job.is_valid(tuned)
    response = Draft202012Validator(catalogue.schema("CreateResponse"))
    content = [{"type": "input_text", "text": "hi"}]
    assert response.is_valid(
        {"model": "m", "input": [{"type": "message", "role": "user", "content": content}]}
    )


def test_one_level_of_a_reference_is_looked_up(catalogue):
    body = catalogue["moderations"].actions["create"].body.content["application/json"]
    assert "input" in catalogue.resolve(body)["properties"]
    assert catalogue.resolve({"type": "string"}) == {"type": "string"}
    assert catalogue.resolve(True) is True
    beside = catalogue.resolve({**body, "deprecated": True})
    assert beside["deprecated"] is True
    assert "properties" in beside
    assert catalogue.resolve({**body, "type": "array"})["allOf"][0]["type"] == "object"
    deep = catalogue.resolve({"$ref": "#/$defs/CreateEmbeddingRequest/properties/input/anyOf/0"})
    assert deep["type"] == "string"


def test_a_reference_that_leads_nowhere_is_told(catalogue):
    with pytest.raises(
        UnknownNameError, match="no schema 'CreateEmbeddingRequst'; did you mean 'CreateEmbeddingRequest'"
    ):
        catalogue.schema("CreateEmbeddingRequst")
    with pytest.raises(ConfigError, match="leads nowhere at 'nope'"):
        catalogue.resolve({"$ref": "#/$defs/CreateEmbeddingRequest/nope"})
    with pytest.raises(ConfigError, match="does not begin with"):
        catalogue.resolve({"$ref": "https://example.com/a.json"})


def test_nothing_of_it_can_be_changed(catalogue):
    with pytest.raises(FrozenInstanceError):
        catalogue["files"].path = "/x"
    with pytest.raises(TypeError):
        catalogue["files"].actions["delete"] = None
    with pytest.raises(TypeError):
        catalogue["files"] = None
    with pytest.raises(TypeError):
        catalogue.prototypes["openai"] = None


# A user's files


def test_a_users_entity_replaces_the_built_in_one(written):
    path = written({"entities": {"files": {"path": "/documents", "actions": {"read": {}}}}})
    catalogue = Catalogue.load(path)
    assert catalogue["files"].path == "/documents"
    assert len(catalogue) == len(Catalogue.load())
    assert catalogue.match("GET", "/documents")[0].name == "files"
    with pytest.raises(UnknownNameError):
        catalogue.match("GET", "/files")
    with pytest.raises(UnknownNameError):
        catalogue.find("listFiles")
    assert Catalogue.load()["files"].path == "/files"


def test_a_users_entity_needs_no_more_than_a_path_and_actions(written):
    entity = {
        "path": "/rerank/{model}",
        "actions": {"create": {}, "delete": {}, "read": {"response": {"items": "@"}}},
    }
    found = Catalogue.load(written({"entities": {"acme.rerank": entity}}))["acme.rerank"]
    assert (found.title, found.group, found.auth, found.parent_field) == ("acme.rerank", "acme", "api", "id")
    assert found.path_parameters == ("model",)
    assert {name: action.kind for name, action in found.actions.items()} == {
        "create": "create",
        "delete": "delete",
        "read": "list",
    }
    assert found.actions["create"].response.kind == "json"


def test_keys_for_later_are_kept(written):
    action = {
        "derived": {"text": "a"},
        "pack": {"property": "input", "results": "data"},
        "states": {"done": ["x"]},
        "retired": True,
    }
    entity = {"path": "/x", "replacement": "files", "actions": {"create": action}}
    found = Catalogue.load(written({"entities": {"x": entity}}))["x"]
    assert found.actions["create"].extra == {
        "derived": {"text": "a"},
        "pack": {"property": "input", "results": "data"},
        "states": {"done": ["x"]},
    }
    assert (found.retired, found.replacement) == (True, "files")


def test_a_users_prototype_is_added_or_replaces(written):
    mine = {
        "acme": {"base_uri": "http://localhost:9", "auth": {"header": "X-Key"}},
        "openai": {"title": "Ours"},
    }
    prototypes = Catalogue.load(written({"prototypes": mine})).prototypes
    acme = prototypes["acme"]
    assert (acme.title, acme.auth, acme.path_prefix, acme.validate) == (
        "acme",
        {"header": "X-Key", "prefix": ""},
        "",
        "warn",
    )
    assert prototypes["openai"].title == "Ours"
    assert prototypes["openai"].auth["header"] == "Authorization"
    assert len(prototypes) == 4


def test_definitions_of_two_files_do_not_hide_each_other(written):
    def entity(path, ref):
        content = {"application/json": {"$ref": f"#/$defs/{ref}"}}
        return {"path": path, "actions": {"create": {"body": {"content": content}}}}

    first = written(
        {
            "$defs": {"Model": {"properties": {"next": {"$ref": "#/$defs/Model"}, "a": {"type": "string"}}}},
            "entities": {"one": entity("/one", "Model"), "built": entity("/built", "CreateEmbeddingRequest")},
        },
        "first.json",
    )
    (first.parent / "defs.json").write_text(json.dumps({"$defs": {"Model": {"type": "integer"}}}))
    second = written({"schemas": "defs.json", "entities": {"two": entity("/two", "Model")}}, "second.json")
    catalogue = Catalogue.load(first, second)

    def schema(name):
        return catalogue.schema(catalogue[name].actions["create"].body.content["application/json"])

    assert schema("two") == {"type": "integer"}
    assert schema("one")["properties"]["a"] == {"type": "string"}
    assert schema("one")["$defs"]["first:Model"]["properties"]["next"] == {"$ref": "#/$defs/first:Model"}
    assert schema("built")["required"] == catalogue.schema("CreateEmbeddingRequest")["required"]
    assert "id" in catalogue.schema("Model")["properties"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{nope", "1:2: not JSON"),
        ("[]", "$: [] is not of type 'object'"),
        ("{}", "$: 'format' is a required property"),
        ({"format": 2}, "$.format: 1 was expected"),
        ({"entitys": {}}, "$: Additional properties are not allowed ('entitys' was unexpected)"),
        ({"entities": {"x": {"path": "/x"}}}, "$.entities.x: 'actions' is a required property"),
        (
            {"entities": {"x": {"path": "/x", "actions": {"create": {"kind": "list"}}}}},
            "$.entities.x.actions.create.kind: 'list' is not one of ['create', 'compute', 'update', 'command']",
        ),
        (
            {"entities": {"x": {"path": "x", "actions": {"read": {}}}}},
            "$.entities.x.path: 'x' does not match",
        ),
        ({"prototypes": {"a": {"base_uri": "ftp://x"}}}, "$.prototypes.a.base_uri: 'ftp://x' does not match"),
        (
            {"entities": {"x": {"path": "/{a}/{a}", "actions": {"read": {}}}}},
            "$.entities.x.path: path '/{a}/{a}' names a parameter twice",
        ),
        (
            {"entities": {"x": {"path": "/{a}", "parameters": {"b": {}}, "actions": {"read": {}}}}},
            "$.entities.x.parameters: path '/{a}' has no 'b'",
        ),
        (
            {"entities": {"x": {"path": "/a", "aliases": {"gone": "delete"}, "actions": {"read": {}}}}},
            "$.entities.x.aliases.gone: the entity has no action 'delete'",
        ),
        (
            {"entities": {"x": {"path": "/{a}", "parent": "embeddings", "actions": {"read": {}}}}},
            "$.entities.x.parent: 'embeddings' is no entity with a list",
        ),
    ],
)
def test_a_wrong_file_is_told_by_file_and_json_path(written, content, says):
    path = written(content)
    with pytest.raises(ConfigError) as caught:
        Catalogue.load(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


def test_every_problem_of_a_file_is_told_at_once(written):
    entities = {"x": {"path": "x", "actions": {}}, "y": {"path": "/y"}}
    with pytest.raises(ConfigError) as caught:
        Catalogue.load(written({"entities": entities}))
    assert len(caught.value.problems) == 3


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read catalogue file '.*none\.json': No such file"):
        Catalogue.load(tmp_path / "none.json")


# How it is loaded


def test_loading_makes_no_entity_and_reads_no_schema():
    code = (
        "import sys; from connectory.catalogue import Catalogue; c = Catalogue.load(); len(c); 'files' in c; c['files'];"
        "assert 'jsonschema' not in sys.modules and 'connectory_schemas.generate' not in sys.modules;"
        "assert len(c._entities) == 1; assert all(s._definitions is None for s in c._sources)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})


def test_it_works_from_a_zip(tmp_path):
    root = Path(__file__).parent.parent
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for source in ("connector", "schemas"):
            for path in sorted((root / source).rglob("*")):
                if path.suffix in {".py", ".json"}:
                    bundle.write(path, path.relative_to(root / source))
    code = (
        "from connectory.catalogue import Catalogue; c = Catalogue.load();"
        "print(Catalogue.__module__, c.schema('Model')['required'][0], c.match('GET', '/files/a')[0].name)"
    )
    rest = [one for one in sys.path if "site-packages" in one]
    environment = {"PYTHONPATH": os.pathsep.join([str(archive), *rest])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["connectory.catalogue.lookup", "id", "file"]


# The API's document


def test_every_operation_is_found_by_its_id_and_by_its_request(catalogue, operations):
    assert len(operations) == 288
    for identifier, method, template in operations:
        action = METHODS[method.lower()]
        entity = catalogue.find(identifier, action)
        assert entity.aliases[identifier] == action
        path, _, query = template.partition("?")
        example = path.replace("{", "a%2F-").replace("}", "")
        found, slot, values = catalogue.match(method, f"{example}?{query}" if query else example)
        assert found is entity
        assert slot == action
        assert values == {name: f"a/-{name}" for name in entity.path_parameters}


def test_every_operation_is_in_the_catalogue_once(catalogue, operations):
    ours = {
        (action.method, entity.path + ("?beta=true" if action.fixed_query else ""))
        for entity in catalogue.values()
        for action in entity.actions.values()
    }
    assert {(method, template) for _, method, template in operations} <= ours


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat.completions", "compute"),
        ("responses", "compute"),
        ("embeddings", "compute"),
        ("images.generations", "create"),
        ("organization.project.service_account.api_keys", "create"),
        ("batches", "create"),
    ],
)
def test_what_makes_something_or_costs_much_is_no_computation_to_be_sent_twice(name, kind):
    assert Catalogue.load()[name].actions["create"].kind == kind
