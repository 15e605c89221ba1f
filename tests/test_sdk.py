"""A client library is read as text: its calls, its types, and nothing of it is run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from jsonschema import Draft202012Validator
from pinned_sdk import needs_pinned_sdk

from connectory_schemas import generate as generating
from connectory_schemas import sdk
from connectory_schemas.errors import SdkError
from connectory_schemas.generate import generate, main, read_library
from connectory_schemas.joining import operations_of, refinements
from connectory_schemas.overlay import Overlay

FILES = {
    "__init__.py": "raise RuntimeError('it is never run')",
    "_types.py": "FileTypes = object\nclass SequenceNotStr: ...\n",
    "pagination.py": """
        class SyncPage(BaseSyncPage[_T], BasePage[_T], Generic[_T]):
            data: List[_T]
            has_more: Optional[bool] = None
            last_id: Optional[str] = None
        class SyncTokenPage(BaseSyncPage[_T], Generic[_T]):
            data: List[_T]
            next: Optional[str] = None
        """,
    "resources/__init__.py": "",
    "resources/zoo/__init__.py": "from .zoo import Zoo",
    "resources/zoo/zoo.py": '''
        from ..._types import FileTypes
        from ...pagination import SyncPage, SyncTokenPage
        from ...types.zoo import animal_create_params, animal_list_params
        from ...types.zoo.animal import Animal
        from ...types.zoo.sound import Sound

        class Zoo(SyncAPIResource):
            def create(self, zoo_id: str, *, name: str, extra_headers=None) -> Animal:
                extra_headers = {"Zoo-Beta": "animals=v1", "Accept": "*/*", **(extra_headers or {})}
                return self._post(
                    path_template("/zoos/{zoo_id}/animals", zoo_id=zoo_id),
                    body=maybe_transform({"name": name, "from_": x, "when": w}, animal_create_params.AnimalCreateParams),
                    options=make_request_options(security={"admin_api_key_auth": True}),
                    cast_to=Animal,
                )

            def list(self, zoo_id: int) -> SyncPage[Animal]:
                return self._get_api_list(
                    path_template("/zoos/{zoo_id}/animals", zoo_id=zoo_id),
                    page=SyncPage[Animal],
                    options=make_request_options(
                        query=maybe_transform({"limit": limit, "after": after}, animal_list_params.AnimalListParams),
                        security={"bearer_auth": True},
                    ),
                    model=Animal,
                )

            def photos(self) -> SyncTokenPage[Animal]:
                return self._get_api_list("/photos", page=SyncTokenPage[Animal], options=make_request_options())

            def upload(self, *, file: FileTypes) -> Sound:
                body = deepcopy_with_paths({"file": file, "notes": notes}, [["file"]])
                files = extract_files(body, paths=[["file"]])
                extra_headers = {"Content-Type": "multipart/form-data", **(extra_headers or {})}
                return self._post("/sounds", body=maybe_transform(body, animal_create_params.Upload), files=files,
                    options=make_request_options(), cast_to=cast(Any, Sound))

            def feed(self) -> None:
                return self._post("/feed", options=make_request_options(), cast_to=NoneType)

            @typing_extensions.deprecated("gone soon")
            def picture(self) -> HttpxBinaryResponseContent:
                return self._get("/picture", options=o, cast_to=_legacy_response.HttpxBinaryResponseContent)

            def text(self) -> str:
                return self._get("/text", options=o, cast_to=str)

            def listen(self) -> Stream[Sound]:
                return self._get("/listen", options=o, cast_to=cast(Any, Sound), stream=True, stream_cls=Stream[Sound])

            def close(self, zoo_id: str) -> None:
                """Deprecated: it never closes."""
                return self._delete(path_template("/zoos/{zoo_id}", zoo_id=zoo_id), options=o, cast_to=NoneType)

            @deprecated("use feed")
            def feed_again(self) -> None:
                return self._post("/feed", options=make_request_options(), cast_to=NoneType)

        class AsyncZoo(AsyncAPIResource):
            async def only_here(self):
                return await self._get("/async", options=o, cast_to=Animal)
        ''',
    "types/__init__.py": "",
    "types/zoo/__init__.py": "from .animal import Animal as Animal",
    "types/zoo/animal.py": """
        from typing import Any, ClassVar, Dict, Generic, List, Optional, Union
        from datetime import datetime
        from typing_extensions import Literal, TypeAlias
        from ..._models import BaseModel

        __all__ = ["Animal"]
        Kind: TypeAlias = Union[str, Literal["cat", "dog"]]

        class Being(BaseModel):
            id: str

        class Animal(Being):
            hidden: ClassVar[int] = 3
            kind: Kind
            born: datetime
            tags: List[str]
            scores: Dict[str, float]
            extra: Dict[str, object]
            mother: Optional["Animal"] = None
            from_: Optional[str] = FieldInfo(alias="from", default=None)
            size: int = FieldInfo(alias="cm")
            level: Literal[1, 2]
            mark: str | None = None
            odd: Mystery[int]
        """,
    "types/zoo/sound.py": """
        from typing import Union
        from typing_extensions import TypeAlias, Annotated
        from .animal import Animal
        Sound: TypeAlias = Annotated[Union[Bark, Animal], PropertyInfo(discriminator="type")]
        class Bark(BaseModel):
            type: Literal["bark"]
        """,
    "types/zoo/animal_create_params.py": '''
        from typing import Iterable, Optional, Union
        from typing_extensions import Annotated, Literal, Required, TypedDict
        from ..._types import FileTypes, SequenceNotStr
        _Reserved = TypedDict("_Reserved", {"class": str}, total=False)

        class Nested(_Reserved, total=False):
            deep: Required[bool]

        class AnimalCreateParams(TypedDict, total=False):
            zoo_id: Required[str]
            name: Required[str]
            """Its name, in words that stay out."""
            from_: Annotated[str, PropertyInfo(alias="from")]
            when: Annotated[Union[str, datetime, None], PropertyInfo(format="iso8601")]

        class Upload(TypedDict, total=False):
            file: Required[FileTypes]
            notes: Iterable[Nested]
            names: SequenceNotStr[str]
        ''',
    "types/zoo/animal_list_params.py": '''
        class AnimalListParams(TypedDict):
            limit: NotRequired[int]
            """How many, between 1 and 100."""
            after: str
            zoo_id: Required[str]
        ''',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "acme"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


@pytest.fixture(scope="module")
def library(folder):
    return sdk.read(folder, "1.2.3")


@pytest.fixture(scope="module")
def catalogue(library):
    files = generate(library.document, Overlay(query_style="brackets"), name="acme")
    return json.loads(files["acme.json"])["entities"], json.loads(files["acme.schemas.json"])["$defs"]


def operation(library, method, template):
    return library.document["paths"][template][method]


def parameters(one, place):
    return {entry["name"]: entry for entry in one["parameters"] if entry["in"] == place}


def test_every_blocking_call_is_an_operation(library):
    found = {(method, path) for path, item in library.document["paths"].items() for method in item}
    assert found == {
        ("post", "/zoos/{zoo_id}/animals"),
        ("get", "/zoos/{zoo_id}/animals"),
        ("delete", "/zoos/{zoo_id}"),
        ("get", "/photos"),
        ("post", "/sounds"),
        ("post", "/feed"),
        ("get", "/picture"),
        ("get", "/text"),
        ("get", "/listen"),
    }
    assert (library.name, library.version) == ("acme", "1.2.3")
    assert "acme" not in sys.modules


def test_an_operation_is_called_as_in_a_program(library):
    assert operation(library, "post", "/sounds")["operationId"] == "zoo.upload"


def test_a_method_sends_its_constant_headers_and_none_that_follow_from_the_content(library):
    create = operation(library, "post", "/zoos/{zoo_id}/animals")
    assert parameters(create, "header")["Zoo-Beta"]["schema"] == {"type": "string", "enum": ["animals=v1"]}
    assert len(parameters(create, "header")) == 1
    assert parameters(operation(library, "post", "/sounds"), "header") == {}


def test_security_says_which_token(library):
    assert operation(library, "post", "/zoos/{zoo_id}/animals")["security"] == [{"AdminApiKeyAuth": []}]
    assert operation(library, "get", "/zoos/{zoo_id}/animals")["security"] == [{"ApiKeyAuth": []}]


def test_a_body_has_the_fields_that_are_sent_and_not_those_of_the_path(library):
    create = operation(library, "post", "/zoos/{zoo_id}/animals")
    schema = create["requestBody"]["content"]["application/json"]["schema"]
    assert list(schema["properties"]) == ["name", "from", "when"]
    assert schema["required"] == ["name"]
    when = {"anyOf": [{"type": "string"}, {"type": "string", "format": "date-time"}], "nullable": True}
    assert schema["properties"]["when"] == {**when, "format": "date-time"}


def test_a_query_has_its_types_and_what_is_required(library):
    listed = parameters(operation(library, "get", "/zoos/{zoo_id}/animals"), "query")
    assert {name: (one["schema"]["type"], one["required"]) for name, one in listed.items()} == {
        "limit": ("integer", False),
        "after": ("string", True),
    }


def test_a_path_parameter_has_the_type_of_the_argument(library):
    one = operation(library, "get", "/zoos/{zoo_id}/animals")
    assert parameters(one, "path")["zoo_id"]["schema"] == {"type": "integer"}


def test_a_model_is_an_object_with_its_bases_fields_and_the_names_on_the_wire(library):
    animal = library.document["components"]["schemas"]["sdk.zoo.Animal"]
    assert animal["required"] == ["id", "kind", "born", "tags", "scores", "extra", "cm", "level", "odd"]
    assert animal["properties"] == {
        "id": {"type": "string"},
        "kind": {"$ref": "#/components/schemas/sdk.zoo.animal.Kind"},
        "born": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "extra": {"type": "object"},
        "mother": {"$ref": "#/components/schemas/sdk.zoo.Animal", "nullable": True},
        "from": {"type": "string", "nullable": True},
        "cm": {"type": "integer"},
        "level": {"enum": [1, 2], "type": "integer"},
        "mark": {"type": "string", "nullable": True},
        "odd": {},
    }


def test_what_cannot_be_read_accepts_anything_and_is_told(library):
    assert library.unread == ("acme.types.zoo.animal: Mystery[int]",)


def test_an_alias_of_a_union_is_a_component(library):
    schemas = library.document["components"]["schemas"]
    assert schemas["sdk.zoo.Sound"]["anyOf"] == [
        {"$ref": "#/components/schemas/sdk.zoo.sound.Bark"},
        {"$ref": "#/components/schemas/sdk.zoo.Animal"},
    ]
    assert schemas["sdk.zoo.animal.Kind"] == {
        "anyOf": [{"type": "string"}, {"enum": ["cat", "dog"], "type": "string"}]
    }


def test_a_page_is_a_list_that_pages_as_its_class_does(catalogue):
    entities, _ = catalogue
    read = entities["zoo.animals"]["actions"]["read"]
    assert (read["kind"], read["response"]["items"]) == ("list", "data")
    assert read["response"]["pagination"] == {
        "style": "cursor",
        "parameter": "after",
        "cursor": "last_id",
        "item_field": "id",
        "more": "has_more",
        "page_size": 100,
    }


def test_files_make_a_form(library):
    content = operation(library, "post", "/sounds")["requestBody"]["content"]
    upload = content["multipart/form-data"]["schema"]
    assert upload["properties"]["file"] == {"type": "string", "format": "binary"}
    nested = library.document["components"]["schemas"]["sdk.zoo.animal_create_params.Nested"]
    assert (list(nested["properties"]), nested["required"]) == (["class", "deep"], ["deep"])


def test_answers_are_json_bytes_text_events_or_nothing(catalogue):
    entities, _ = catalogue
    kinds = {
        name: next(iter(entities[name]["actions"].values()))["response"]["kind"]
        for name in ("sounds", "picture", "text", "listen", "feed", "photos")
    }
    assert kinds == {
        "sounds": "json",
        "picture": "binary",
        "text": "text",
        "listen": "sse",
        "feed": "empty",
        "photos": "json",
    }


def test_what_is_marked_deprecated_is_unless_another_method_of_it_stays(catalogue):
    entities, _ = catalogue
    given_up = {
        name for name, one in entities.items() if any(a.get("deprecated") for a in one["actions"].values())
    }
    assert given_up == {"picture", "zoo"}


def test_its_schemas_are_valid_and_without_prose(catalogue):
    _, definitions = catalogue
    for schema in definitions.values():
        Draft202012Validator.check_schema(schema)
    assert "words that stay out" not in json.dumps(catalogue)


def test_reading_twice_gives_the_same(folder, library):
    assert json.dumps(sdk.read(folder, "1.2.3").document) == json.dumps(library.document)


def test_of_operations_that_are_known_the_answer_is_not_read(folder, library):
    document = {
        "openapi": "3.1.0",
        "paths": {"/zoos/{id}/animals": {"post": {"responses": {}}}, "/picture": {"get": {"responses": {}}}},
    }
    brief = sdk.read(folder, "1.2.3", operations_of(document))
    known = brief.document["paths"]["/zoos/{zoo_id}/animals"]["post"]
    assert known == {
        name: one
        for name, one in library.document["paths"]["/zoos/{zoo_id}/animals"]["post"].items()
        if name != "responses"
    }
    assert refinements(document, brief.document) == [
        {"templates": ["/picture"], "actions": ["read"], "action": {"deprecated": True}},
        {
            "templates": ["/zoos/{id}/animals"],
            "actions": ["create"],
            "action": {"headers": {"Zoo-Beta": "animals=v1"}},
        },
    ]
    assert refinements(document, brief.document) == refinements(document, library.document)


def test_a_library_adds_what_the_document_lacks_and_the_version_is_recorded(folder):
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Zoo", "version": "9"},
        "paths": {"/zoos/{id}/animals": {"post": {"operationId": "add", "responses": {}}}},
    }
    library = sdk.read(folder, "1.2.3", operations_of(document))
    files = generate(document, Overlay(), name="zoo", library=library)
    made = json.loads(files["zoo.json"])
    assert made["source"] == {"title": "Zoo", "version": "9", "sdk": "acme 1.2.3"}
    animals = made["entities"]["zoo.animals"]
    assert animals["path"] == "/zoos/{id}/animals"
    assert animals["aliases"] == {"add": "create", "zoo.list": "read"}
    assert {slot: one.get("origin") for slot, one in animals["actions"].items()} == {
        "read": "sdk",
        "create": None,
    }
    assert animals["actions"]["create"]["headers"] == {"Zoo-Beta": "animals=v1"}
    assert files == generate(document, Overlay(), name="zoo", library=library)


# The one that is installed


def test_a_package_that_is_not_installed_is_told():
    with pytest.raises(SdkError, match="package 'acme_zoo' is not installed"):
        sdk.installed("acme_zoo")


def test_finding_the_library_imports_nothing_of_it():
    before = {name for name in sys.modules if name.startswith("openai")}
    folder, version = sdk.installed()
    assert (folder / "resources").is_dir()
    assert version
    assert {name for name in sys.modules if name.startswith("openai")} == before


@needs_pinned_sdk
def test_check_wants_the_version_that_is_pinned(tmp_path, monkeypatch, capsys):
    constraints = tmp_path / ".ci" / "constraints.txt"
    constraints.parent.mkdir()
    constraints.write_text("openai-agents==1\nopenai==0.1\n")
    monkeypatch.setattr(generating, "CONSTRAINTS", constraints)
    spec = Path(__file__).parent / "cases" / "petstore.openapi.json"
    assert main([str(spec), "--check"]) == 2
    told = capsys.readouterr().err
    assert f"openai {sdk.installed()[1]} is installed, and the catalogue is checked with 0.1" in told
    assert told.strip().endswith("pip install openai==0.1")
    assert read_library({"paths": {}}).name == "openai"


def test_without_a_constraints_file_every_version_will_do(tmp_path):
    assert sdk.pinned("openai", tmp_path / "none.txt") is None


def test_the_version_in_the_catalogue_is_the_pinned_one():
    catalogue = generating.HERE / "catalogue" / "openai.json"
    wanted = sdk.pinned("openai", generating.CONSTRAINTS)
    assert json.loads(catalogue.read_text())["source"]["sdk"] == f"openai {wanted}"
