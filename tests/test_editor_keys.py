"""What an editor shows of the schema: each key with a description and an example that is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from editing import whole, with_step

from connectory.assembly import problems
from connectory.catalogue import Catalogue
from connectory.config import config_from_dict
from connectory.plugins import list_transformers, load_transformer

if TYPE_CHECKING:
    from collections.abc import Iterator


def keys(schema: Any, place: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every key that the schema has, wherever; conditions are no keys, nor is what is only asked to be there."""
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from keys(one, f"{place}[{index}]")
    elif isinstance(schema, dict):
        for name, described in schema.get("properties", {}).items():
            if not described.keys() <= {"required", "errorMessage", "properties"}:
                yield f"{place}.{name}", described
            yield from keys(described, f"{place}.{name}")
        for key, one in schema.items():
            if key not in {"properties", "if", "not", "examples", "default", "enum", "const"}:
                yield from keys(one, f"{place}/{key}")


def followed(described: dict[str, Any]) -> dict[str, Any]:
    name = described.get("$ref", "").removeprefix("#/$defs/")
    return {**(whole()["$defs"][name] if name else {}), **described}


def test_every_key_has_a_description_and_an_example():
    found = dict(keys(whole()))
    assert len(found) > 500
    assert [place for place, one in found.items() if not followed(one).get("description")] == []
    by_action = "$/$defs/OutgoingConfig.entity"  # it has those of `then`, by its action
    assert f"{by_action.removesuffix('.entity')}/allOf[0]/then.entity" in found
    assert [place for place, one in found.items() if not followed(one).get("examples")] == [by_action]


@pytest.mark.parametrize("name", sorted(one.name for one in list_transformers()))
def test_no_editor_writes_an_example_at_the_wrong_depth(name: str):
    """An editor puts an only example into the file; the lines of an object would stand where the step's name does."""
    described = whole()["$defs"][f"step.{name}"]
    only = described["examples"] if len(described["examples"]) == 1 else []
    assert "properties" in described or not any(isinstance(one, dict) for one in only)


def test_every_example_is_one():
    """An example is taken where it stands: the schema of its key has nothing against it."""
    wrong = []
    for place, described in keys(whole()):
        judge = jsonschema.Draft202012Validator({**described, "$defs": whole()["$defs"]})
        wrong += [(place, one) for one in followed(described).get("examples", ()) if not judge.is_valid(one)]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(one.name for one in list_transformers()))
def test_every_example_of_a_transformer_is_taken(name: str, tmp_path: Path):
    found = load_transformer(name)
    (tmp_path / "prompts").mkdir()
    for file in ("products.csv", "prompts/translate.txt", "order.schema.json"):
        (tmp_path / file).write_text("{}" if file.endswith("json") else "sku,price\n1,2\n")
    assert found.examples
    for options in found.examples:
        data = {**with_step({name: options})}
        config = config_from_dict(data, folder=tmp_path)
        assert [str(problem) for problem in problems(config, Catalogue.load())] == []


def test_the_schema_is_no_larger_than_an_editor_bears():
    assert len(json.dumps(whole(), indent=1)) < 1_500_000
