"""`connectory config show`: every value in force, where it comes from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import connectory
from ruamel.yaml import YAML

from connectory.catalogue import Catalogue
from connectory.config import ClientConfig, Config, IncomingConfig, effective, load_config

CONFIG = """\
version: 1
clients:
  ours:
    prototype: openai-compatible
    base_uri: "https://${HOST:-api.example.com}/v1"
    token: "${KEY}"
    organization: "${ORG:-none-given}"
    headers: {X-Api-Key: "k-1", X-Team: search, X-Old: "${UNSET}"}
    proxy: "http://me:pass-word-9@localhost:3128"
    timeout: {total: 30}
    prices: {models: {gpt-5-mini: {input: 0.5, output: 4}}}
incoming:
  models:
    entity: models
    transformer: [{set: {a: "&{id}"}}]
outgoing:
  purge: {entity: file, path: {file_id: "&{id}"}, validate: warn}
  both: {entity: vector_store, path: {vector_store_id: "&{id}"}, action: create}
"""
ENVIRON = {"KEY": "sk-made-up-secret", "HOST": "here.example.com"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    return tmp_path / "connectory.yaml"


def shown(file: Path, **given: str) -> dict[str, tuple[Any, str, int]]:
    config = load_config(file, environ=ENVIRON)
    found = effective(config, Catalogue.load(), given=given, environ=ENVIRON)
    return {".".join(map(str, one.path)): (one.value, one.origin, one.line) for one in found}


def test_every_value_says_where_it_comes_from(file: Path):
    found = shown(file)
    assert {name: found[name] for name in EXPECTED} == EXPECTED


EXPECTED: dict[str, tuple[Any, str, int]] = {
    "version": (1, "file", 1),
    "journal": (".connectory", "default", 0),
    "clients.ours.base_uri": ("https://here.example.com/v1", "environment HOST", 5),
    "clients.ours.path_prefix": (None, "default", 0),
    "clients.ours.token": ("****", "environment KEY", 6),
    "clients.ours.organization": ("none-given", "default of ORG, which is not set", 7),
    "clients.ours.headers.X-Api-Key": ("****", "file", 8),
    "clients.ours.headers.X-Team": ("search", "file", 8),
    "clients.ours.headers.X-Old": ("${UNSET}", "environment UNSET, which is not set", 8),
    "clients.ours.proxy": ("http://****@localhost:3128", "file", 9),
    "clients.ours.timeout.total": (30, "file", 10),
    "clients.ours.prices.models.gpt-5-mini.input": (0.5, "file", 11),
    "clients.ours.timeout.idle": (60, "default", 0),
    "clients.ours.limits.concurrency": ("auto", "default", 0),
    "incoming.models.client": ("ours", "the only client", 0),
    "incoming.models.transformer": ([{"set": {"a": "&{id}"}}], "file", 15),
    "outgoing.purge.action": ("delete", "entity file", 0),
    "outgoing.purge.validate": ("warn", "file", 17),
    "outgoing.both.action": ("create", "file", 18),
}


def test_a_command_line_comes_before_the_file(file: Path):
    assert shown(file, client="other")["incoming.models.client"] == ("other", "--client", 0)


def test_every_key_of_every_part_is_shown(file: Path):
    found = shown(file)
    for model, below in ((Config, ""), (ClientConfig, "clients.ours."), (IncomingConfig, "incoming.models.")):
        keys = {info.alias or name for name, info in model.model_fields.items()} - {"input_transformers"}
        assert [key for key in keys if not any(f"{one}.".startswith(f"{below}{key}.") for one in found)] == []


def test_the_command_prints_yaml_with_the_origins_beside(file: Path):
    environ = {**ENVIRON, "UNSET": "old-value-123456"}
    done = connectory("config", "show", "--origin", folder=file.parent, **environ)
    assert done.code == 0, done.said
    assert '    token: "****"  # environment KEY (connectory.yaml:6)\n' in done.out
    assert "    prototype: openai-compatible  # connectory.yaml:4\n" in done.out
    plain = connectory("config", "show", "--json", folder=file.parent, **environ)
    assert YAML(typ="safe").load(done.out) == json.loads(plain.out)
    for secret in ("sk-made-up-secret", "pass-word-9", "k-1", "old-value-123456"):
        assert secret not in done.out + plain.out


def test_a_client_that_there_is_not_is_told(file: Path):
    done = connectory("config", "show", "--client", "hours", folder=file.parent)
    assert (done.code, "did you mean 'ours'?" in done.said) == (3, True)
    lines = connectory("config", "show", "--sandbox", "--origin", "--json", folder=file.parent).lines
    token = next(one for one in lines if one["path"] == ["clients", "ours", "token"])
    assert token["origin"] == "--sandbox"
