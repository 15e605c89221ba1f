"""The page of every entity: its examples lint clean, and make the requests that it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_blocks import blocks
from ruamel.yaml import YAML

from connectory import AsyncConnector, Catalogue
from connectory.config import check_against, config_from_dict

FOLDER = Path(__file__).parent.parent / "docs" / "reference" / "entities"
CATALOGUE = Catalogue.load()
CLIENT = {"openai": {"prototype": "openai", "token": "sk-made-up", "admin_token": "sk-made-up-admin"}}


def test_every_entity_is_on_one_page():
    headings = [
        name
        for page in FOLDER.glob("*.md")
        for name in re.findall(r"^## (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(headings) == sorted(CATALOGUE)


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_every_example_lints_clean_and_is_a_valid_request(page):
    seen = set()
    for block in blocks(page):
        written = YAML(typ="safe").load(block.text)
        config = config_from_dict({"version": 1, "clients": CLIENT, **written})
        assert [str(problem) for problem in check_against(config, CATALOGUE)] == [], str(block)
        connector = AsyncConnector(config)
        for one in written.get("incoming", {}).values():
            asked = one.get("request_parameters", {})
            request = connector.prepare("read", one["entity"], validate="error", **asked)
            assert request.method == "GET"
            seen.add((one["entity"], "read"))
        for one in written.get("outgoing", {}).values():
            request = connector.prepare(
                one["action"],
                one["entity"],
                path=one.get("path", {}),
                payload=one.get("payload"),
                validate="error",
            )
            assert request.method == {"create": "POST", "delete": "DELETE"}[one["action"]]
            seen.add((one["entity"], one["action"]))
    entities = [one for one in CATALOGUE.values() if one.group == page.stem]
    assert seen == {(entity.name, action) for entity in entities for action in entity.actions}
