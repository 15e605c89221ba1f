"""Any configuration: it is read, or it is a ConfigError whose problems can be printed."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from fuzzing import TEXTS, VALUES, examples
from hypothesis import given
from hypothesis import strategies as st

from connectory.catalogue import Catalogue
from connectory.config import Config, config_from_dict, lint, load_config
from connectory.config.model import ConfigModel
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError

CATALOGUE = Catalogue.load()
GOOD: dict[str, Any] = {
    "version": 1,
    "clients": {
        "openai": {
            "prototype": "openai",
            "base_uri": "https://api.test/v1",
            "token": "${TOKEN}",
            "headers": {"X-A": "b"},
            "timeout": {"total": 5},
            "retry": {"attempts": 2},
            "limits": {"requests_per_minute": 60},
        }
    },
    "incoming": {
        "files": {
            "entity": "files",
            "request_parameters": {"query": {"purpose": "batch"}},
            "pagination": {"pages": 2},
        },
        "one": {
            "entity": "model",
            "request_parameters": {"path": {"model": "m"}},
            "transformers": [{"keep_if": "id"}],
        },
    },
    "outgoing": {
        "moderate": {
            "entity": "moderations",
            "transformers": [{"set": {"a": "&{text}"}}, {"map": "{id: id}"}, "clean"],
            "payload": {"input": "&{text}"},
            "result": {"id": "&{input.id}"},
            "identifier": ["id"],
        },
        "purge": {"entity": "file", "action": "delete", "path": {"file_id": "&{id}"}},
        "raw": {"request": {"method": "POST", "path": "/things"}, "output": {"webhook": "https://h.test/x"}},
    },
    "routes": {"purge-old": ["files", "purge"]},
    "transformers": {"clean": [{"remove": ["secret"]}]},
}
KEYS = sorted({name for model in (ConfigModel, *ConfigModel.__subclasses__()) for name in model.model_fields})
LIKELY = st.sampled_from(
    [*KEYS, "openai", "files", "token", "entity", "payload", "set", "keep_if", "use", "prototype"]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, inner in below for one in places(inner, (*path, key)))]


PLACES = [path for path in places(GOOD) if path]
TREES = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(LIKELY | TEXTS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=10,
)


def mutated(changes: list[tuple[tuple[Any, ...], Any, str]]) -> Any:
    """Change a good configuration in some places: another value, another key, or nothing at all."""
    data = deepcopy(GOOD)
    for path, value, how in changes:
        parent = data
        for key in path[:-1]:
            if not isinstance(parent, dict | list):
                break
            try:
                parent = parent[key]
            except (KeyError, IndexError, TypeError):
                break
        else:
            _change(parent, path[-1], value, how)
    return data


def _change(parent: Any, key: Any, value: Any, how: str) -> None:
    if isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        parent[key] = value
    elif isinstance(parent, dict):
        if how == "drop":
            parent.pop(key, None)
        elif how == "add":
            parent[str(value)] = value
        else:
            parent[key] = value


CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), TREES | LIKELY, st.sampled_from(["set", "set", "drop", "add"])),
    min_size=1,
    max_size=3,
)


def printable(error: ConfigError) -> None:
    """A name of one's own may be in no list: then the error is the message itself."""
    assert error.problems
    assert str(error)
    assert all(problem.message for problem in error.problems)


def judged(data: Any) -> None:
    """Take a configuration as far as a run would, without sending."""
    try:
        config = config_from_dict(data, environ={"TOKEN": "x"}, folder=Path("/nowhere"))
        assert isinstance(config, Config)
        made = AsyncConnector(config)
        for name in config.incoming:
            made.subscriber(name)
        for name in config.outgoing:
            made.publisher(name)
    except ConfigError as error:
        printable(error)


@examples(120)
@given(data=TREES)
def test_any_tree_is_a_configuration_or_an_error(data):
    judged(data)


@examples(250)
@given(changes=CHANGES)
def test_a_good_configuration_with_anything_in_it_is_one_or_an_error(changes):
    judged(mutated(changes))


@examples(40)
@given(changes=CHANGES, indent=st.sampled_from([None, 1]), suffix=st.sampled_from(["yaml", "json"]))
def test_written_down_it_has_the_same_verdict_and_places_that_exist(changes, indent, suffix, tmp_path):
    data = mutated(changes)
    text = json.dumps(data, indent=indent)
    path = tmp_path / f"c.{suffix}"
    path.write_text(text)
    for problem in lint(path, CATALOGUE, {"TOKEN": "x"}):
        assert problem.line <= text.count("\n") + 1
        assert str(problem)


@examples(150)
@given(
    content=st.binary(max_size=60)
    | st.text(alphabet="ab:- \n\t{}[]&*!?|>'\"#,%@\\<0.~", max_size=60).map(str.encode)
)
def test_any_bytes_are_a_configuration_or_an_error(content, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    try:
        load_config(path, environ={})
    except ConfigError as error:
        printable(error)
