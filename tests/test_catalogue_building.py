"""A catalogue built of another server's document works like the built-in one."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest
from command import connectory

from connectory import AsyncConnector
from connectory.catalogue import Catalogue
from connectory.sandbox.app import create_app

PETSTORE = Path(__file__).parent / "cases" / "petstore.openapi.json"
CONFIGURATION = """
version: 1
catalogue: [catalogue/pets.json]
clients:
  shop: {prototype: openai-compatible, base_uri: "https://shop.test", token: x, admin_token: y}
incoming:
  pets: {entity: pets, request_parameters: {query: {page: ""}}}
outgoing:
  adopt: {entity: pets, action: create}
"""


@pytest.fixture
def shop(tmp_path):
    shutil.copy(PETSTORE, tmp_path / "shop.json")
    done = connectory("catalogue", "build", "shop.json", "-o", "catalogue", "--name", "pets", folder=tmp_path)
    assert done.code == 0, done.said
    (tmp_path / "connectory.yaml").write_text(CONFIGURATION)
    return tmp_path


def test_build_says_what_it_wrote_what_it_left_out_and_what_to_do(shop):
    done = connectory("catalogue", "build", "shop.json", folder=shop)
    assert (done.code, done.out) == (0, "")
    assert done.said.splitlines() == [
        "left out: PUT /pets/{petId} (actions are GET, POST and DELETE)",
        "wrote corner-pet-shop.json",
        "wrote corner-pet-shop.schemas.json",
        "add to connectory.yaml: catalogue: [corner-pet-shop.json]",
    ]


def test_its_entities_are_listed_and_shown(shop):
    listed = connectory("entities", "list", "--search", "addPet", "--json", folder=shop)
    assert [one["name"] for one in listed.lines] == ["pets"]
    shown = connectory("entities", "show", "pets", "--example", folder=shop)
    assert "name" in json.loads(shown.out)


def test_records_are_created_and_read_through_the_configuration(shop):
    """One sandbox for both: what was created is on the list."""

    async def run():
        app = create_app(Catalogue.load(shop / "catalogue" / "pets.json"))
        connector = AsyncConnector.from_file(shop / "connectory.yaml", transport=httpx.ASGITransport(app))
        async with connector:
            results = [one async for one in connector.outgoing("adopt", [{"payload": {"name": "Rex"}}])]
            pets = [one async for one in connector.incoming("pets")]
        return results, pets

    results, pets = asyncio.run(run())
    assert [(one.status, one.response["name"]) for one in results] == [("ok", "Rex")]
    assert [one["name"] for one in pets] == ["Rex"]


def test_the_embedded_sandbox_knows_the_catalogue_of_the_configuration(shop):
    done = connectory(
        "run", "outgoing", "adopt", "--sandbox", folder=shop, stdin='{"payload": {"name": "Rex"}}\n'
    )
    assert done.code == 0, done.said
    assert done.lines[0]["response"]["name"] == "Rex"
    read = connectory("run", "incoming", "pets", "--sandbox", folder=shop)
    assert (read.code, read.out) == (0, "")


def test_a_wrong_payload_is_refused_by_the_built_schema(shop):
    done = connectory(
        "run", "outgoing", "adopt", "--sandbox", folder=shop, stdin='{"payload": {"name": 3}}\n'
    )
    assert done.code == 1
    assert "name" in done.out


def test_diff_tells_the_changes_and_ends_with_1(shop):
    same = connectory("catalogue", "diff", "shop.json", "catalogue/pets.json", folder=shop)
    assert (same.code, same.out) == (0, "")
    changed = json.loads((shop / "shop.json").read_text())
    del changed["paths"]["/shops"]
    (shop / "new.json").write_text(json.dumps(changed))
    done = connectory("catalogue", "diff", "shop.json", "new.json", folder=shop)
    assert (done.code, done.out) == (1, 'removed  entity     shops: "/shops"\n')
    lines = connectory("catalogue", "diff", "shop.json", "new.json", "--json", folder=shop).lines
    assert [(one["change"], one["what"], one["entity"]) for one in lines] == [("removed", "entity", "shops")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["build", "none.json"],
            "building a catalogue of 'none.json': No such file or directory: 'none.json'",
        ),
        (["build", "connectory.yaml"], "not an OpenAPI 3 document"),
        (["diff", "shop.json", "connectory.yaml"], "is neither an OpenAPI 3 document nor a catalogue file"),
    ],
)
def test_a_document_that_will_not_do_is_told(shop, words, says):
    done = connectory("catalogue", *words, folder=shop)
    assert done.code == 2
    assert says in done.said
