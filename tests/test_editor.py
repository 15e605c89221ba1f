"""The JSON Schema of the configuration: it offers what there is, and never calls wrong what lint lets pass."""

from __future__ import annotations

import copy
import json
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
import pytest
from editing import CLIENT, refused, whole, with_step
from markdown_blocks import blocks
from ruamel.yaml import YAML

from connectory.assembly import problems
from connectory.catalogue import Catalogue
from connectory.config import check_against, config_from_dict, config_schema
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
CASES = Path(__file__).parent / "cases"
SECTIONS = {
    "version",
    "clients",
    "incoming",
    "outgoing",
    "routes",
    "transformers",
    "catalogue",
    "tests",
    "journal",
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(whole())
    return jsonschema.Draft202012Validator(whole())


# -- what lint lets pass


def passes(data: Any) -> bool:
    """Say whether lint has nothing against a configuration that is given as data."""
    try:
        config = config_from_dict(copy.deepcopy(data), environ={})
    except ConfigError:
        return False
    catalogue = Catalogue.load()
    return not check_against(config, catalogue) and not problems(config, catalogue)


def completed(written: Any) -> dict[str, Any] | None:
    """Make a configuration of a part of one: sections without their clients, or steps."""
    if isinstance(written, list):
        written = {"incoming": {"example": {"entity": "files", "transformers": written}}}
    if not isinstance(written, dict) or not written.keys() & SECTIONS:
        return None
    return {"version": 1, "clients": CLIENT, **written}


@cache
def configurations() -> list[dict[str, Any]]:
    """Every configuration that is written down anywhere: examples, documents, cases of tests."""
    read = YAML(typ="safe").load
    found = [
        read(file.read_text(encoding="utf-8"))
        for file in sorted(ROOT.glob("docs/examples/*/connectory.yaml"))
    ]
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        found += [read(block.text) for block in blocks(page) if block.language == "yaml"]
    found += [case["config"] for case in cases("seed_rows") if "config" in case]
    for case in cases("transformers"):
        if "problem" not in case:
            step = {case["transformer"]: case["options"]} if "options" in case else case["transformer"]
            found.append([step])
            found.append([{"prototype": case["transformer"], "parameters": case.get("options")}])
    for case in cases("config_problems"):
        try:
            found.append(read(case["yaml"]))
        except Exception:  # noqa: BLE001, S112 - some are no YAML at all
            continue
    return [json.loads(json.dumps(one)) for one in map(completed, map(plain, found)) if one is not None]


def plain(value: Any) -> Any:
    """Leave only what JSON can hold."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (ValueError, TypeError):
        return None


def cases(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def test_there_are_many_configurations_that_lint_lets_pass():
    assert sum(map(passes, configurations())) > 200


def test_nothing_that_lint_lets_pass_is_refused(validator):
    wrong = [
        (data, found) for data in configurations() if (found := refused(validator, data)) and passes(data)
    ]
    assert wrong == []


IN_PLACE = (
    None, [], {}, "", "x", "${UNSET}", "${UNSET:-1}", "5", " 5% ", 5, 0, 1, 1.0, 0.5, True, False, "list-files", "LISTFILES", "yes",
    "incoming:files", "&{a}", ["a"], {"a": "b"}, {"a": None}, "openai", "auto", "a:b", "error", ["compact"], "compact",
)  # fmt: skip
"""What is put in the place of a value, one at a time."""

FURTHER = {
    "action": "delete", "client": "openai", "transformer": ["compact"], "input_transformers": None, "each": "",
    "path": {"file_id": "a"}, "request_parameters": None, "input": "a.jsonl", "only": "new", "until": True,
    "pagination": "${P:-first}", "description": None, "disabled": "${D:-true}", "compact": None, "clean": None,
}  # fmt: skip
"""Keys that are put beside others, one at a time."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def changes(data: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Give every change of one thing: where, and what comes there; `...` takes it away, a pair comes below it."""
    for path in places(data):
        yield path, ...
        for value in (*IN_PLACE, *FURTHER.items()):
            yield path, value


def changed(data: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(data)
    owner = made
    for key in path[:-1]:
        owner = owner[key]
    if value is ...:
        del owner[path[-1]]
    elif not isinstance(value, tuple):
        owner[path[-1]] = value
    elif isinstance(owner[path[-1]], dict):
        owner[path[-1]].setdefault(*value)
    return made


@pytest.mark.parametrize(
    "share", [0.02, pytest.param(1.0, marks=[pytest.mark.full, pytest.mark.timeout(3600)])]
)
def test_nothing_that_is_near_a_right_configuration_and_right_is_refused(validator, share):
    chance = random.Random(20260801)  # noqa: S311 - the same choice every time
    fast = jsonschema_rs.validator_for(whole())
    wrong: dict[str, Any] = {}
    tried = 0
    for data in configurations():
        for path, value in changes(data):
            if chance.random() > share:
                continue
            if value == "${UNSET}" and not passes(data):
                continue  # lint does not look at what waits for a variable, wrong as it may be
            one = changed(data, path, value)
            if not fast.is_valid(one) and passes(one):
                wrong.setdefault(f"{refused(validator, one)[0]} with {value!r} at {path}", one)
            tried += 1
    assert tried > 500
    assert wrong == {}


# -- what is said to be wrong


@pytest.mark.parametrize(
    "step",
    [
        {"sett": {"a": 1}},
        "keep_if",
        {"chunk": {"feld": "a"}},
        {"chunk": {"field": "a", "size": "five"}},
        {"when": {"condition": "a", "do": [{"chunk": {"feld": "a"}}]}},
        {"prototype": "chunk", "parameters": {"feld": "a"}},
        {"prototype": "sett", "options": {}},
        {"use": "nothing"},
        {"keep_if": 3},
        {"set": {"a": 1}, "keep": ["a"]},
        {},
        [],
        3,
    ],
)
def test_a_wrong_step_is_refused(validator, step):
    assert not passes(with_step(step))
    assert refused(validator, with_step(step)) != []


@pytest.mark.parametrize(
    "step",
    [
        "compact",
        {"compact": None},
        "a_chain",
        {"a_chain": None},
        {"prototype": "a_chain"},
        {"use": "a.b:c", "options": {"any": "thing"}},
        {"prototype": "set", "parameters": {"a": "&{b}"}},
        {"chunk": "text"},
        {"chunk": {"field": "text", "size": "${SIZE}"}},
    ],
)
def test_every_form_of_a_step_is_taken(validator, step):
    assert refused(validator, with_step(step)) == []


@pytest.mark.parametrize(
    ("section", "connection"),
    [
        ("incoming", {"entity": "fils"}),
        ("incoming", {"entity": "moderations"}),
        ("incoming", {"entity": "createModeration"}),
        ("incoming", {"entity": "file"}),
        ("incoming", {"entity": "file", "request_parameters": {"query": {"a": 1}}}),
        ("incoming", {"entity": "file", "request_parameters": {"path": {"file": "a"}}}),
        ("incoming", {"entity": "files", "request_parameters": {"path": {"file_id": "a"}}}),
        ("incoming", {"entity": "files", "each": "filez"}),
        ("outgoing", {"entity": "models", "action": "create"}),
        ("outgoing", {"entity": "moderations", "action": "delete"}),
        ("outgoing", {"entity": "vector_store"}),
        ("outgoing", {"entity": "vector_store", "action": None}),
        ("outgoing", {"entity": "listFiles"}),
        ("outgoing", {"entity": "file", "path": {"file": "&{id}"}}),
        ("outgoing", {"entity": "file", "request_parameters": {"path": {"file": "a"}}}),
        ("outgoing", {"entity": "moderations", "dialect": "klingon"}),
    ],
)
def test_a_wrong_target_is_refused(validator, section, connection):
    data = {"version": 1, "clients": CLIENT, section: {"example": connection}}
    assert not passes(data)
    assert refused(validator, data) != []


@pytest.mark.parametrize(
    ("section", "connection"),
    [
        ("incoming", {"entity": "listFiles"}),
        ("incoming", {"entity": "list-files"}),
        ("incoming", {"entity": "LIST FILES"}),
        ("incoming", {"entity": "${ENTITY}"}),
        ("incoming", {"entity": "file", "input": "ids.jsonl"}),
        ("incoming", {"entity": "file", "transformer": [{"set": {"path.file_id": "a"}}]}),
        ("incoming", {"entity": "file", "each": "files"}),
        ("outgoing", {"entity": "deleteFile"}),
        ("outgoing", {"entity": "delete_file", "action": "delete"}),
        ("outgoing", {"entity": "vector_store", "action": "${ACTION}"}),
        ("outgoing", {"entity": "file", "path": "&{where}"}),
        ("outgoing", {"entity": "file"}),
    ],
)
def test_every_way_to_name_a_target_is_taken(validator, section, connection):
    assert refused(validator, {"version": 1, "clients": CLIENT, section: {"example": connection}}) == []


def test_every_spelling_of_an_alias_is_taken_and_none_is_offered(validator):
    chance = random.Random(7)  # noqa: S311 - the same
    catalogue = Catalogue.load()
    offered = json.dumps(whole())
    for entity in catalogue.values():
        for alias, action in entity.aliases.items():
            spelt = "".join(chance.choice((sign, sign.upper(), f"{sign}-", f" {sign}")) for sign in alias)
            section = "incoming" if action == "read" else "outgoing"
            named = {"entity": spelt, "each": "files"} if action == "read" else {"entity": spelt}
            assert refused(validator, {section: {"example": named}}) == [], spelt
            assert alias in catalogue or f'"{alias}"' not in offered


def test_an_entity_of_a_catalogue_file_is_offered(tmp_path: Path):
    entity = {"path": "/things/{thing_id}", "actions": {"read": {}, "delete": {}}}
    source = {"format": 1, "source": {"title": "t", "version": "1"}, "entities": {"own.thing": entity}}
    (tmp_path / "own.json").write_text(json.dumps(source))
    judge = jsonschema.Draft202012Validator(config_schema(Catalogue.load(tmp_path / "own.json")))
    assert refused(judge, {"outgoing": {"a": {"entity": "own.thing", "path": {"thing_id": "a"}}}}) == []
    assert refused(judge, {"outgoing": {"a": {"entity": "own.thing", "path": {"thing": "a"}}}}) != []
    assert refused(judge, {"incoming": {"a": {"entity": "own.thing"}}}) != []
