"""The kit for authors of transformers: what it lets through, what it tells, and what `add` writes passes it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command import ROOTS, connectory

from connectory import Connector, Context, Record, RecordError, TransformerError
from connectory.cli import adding
from connectory.errors import ConfigError
from connectory.plugins import list_transformers
from connectory.testing import Example, apply_transformer, check_transformer, sandboxed
from connectory.testing.fixtures import connectory_sandbox  # noqa: F401 - the fixture that is tested

ANSWERS = itertools.count()


def tidy(record: Record, *, field: str = "text") -> Record | None:
    """Trim the text in `field`; an empty one drops the record."""
    value = record.get(field)
    if not isinstance(value, str):
        raise TransformerError(f"{field!r} is no text")
    return {**record, field: value.strip()} if value.strip() else None


class Numbered:
    """Number the records, beginning with `start`."""

    def __init__(self, *, start: int = 1) -> None:
        self.number = start - 1

    def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.opened = False

    async def __call__(self, record: Record) -> Record:
        self.number += 1
        return {**record, "number": self.number}


def test_a_sound_transformer_passes():
    check_transformer(
        tidy,
        {"text": "x"},
        Example({"text": " a "}, gives={"text": "a"}),
        Example({"text": " "}, gives=None),
        Example({"t": "b "}, gives=[{"t": "b"}], options={"field": "t"}),
        Example({}, error="'text' is no text"),
    )
    check_transformer(Numbered, Example({"a": 1}, gives={"a": 1, "number": 1}))


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("keep", Example({"a": 1, "b": 2}, gives={"a": 1}, options=["a"])),
        ("compact", Example({"a": None}, gives={})),
        ("keep_if", Example({"a": 1}, gives=None, options="a == `2`")),
        ("split", Example({"l": [{"a": 1}, {"a": 2}]}, gives=[{"a": 1}, {"a": 2}], options="l")),
    ],
)
def test_built_in_transformers_are_called_by_name(name, example):
    assert name in {one.name for one in list_transformers()}
    made = apply_transformer(name, example.record, options=example.options)
    assert made == ([] if example.gives is None else example.gives if name == "split" else [example.gives])


# -- what it tells


def undocumented(record: Record, *, field: str = "text", other=None) -> Record:
    return record


def half_documented(record: Record, *, field: str = "text") -> Record:
    """Do something."""
    return record


def counting(record: Record) -> Record:
    """Count."""
    return {"n": next(ANSWERS)}


def spoiling(record: Record) -> Record:
    """Spoil."""
    record["seen"] = True
    return record


def meddling(record: Record, *, context: Context) -> Record:
    """Meddle."""
    context.scope["input"]["meddled"] = True
    return dict(record)


def dating(record: Record) -> Record:
    """Date."""
    return {"day": date(2026, 1, 1)}


def sharing(record: Record) -> list[Record]:
    """Share."""
    inner: list[Any] = []
    return [{"a": inner}, {"a": inner}]


def bare(record: Record) -> Record:
    """Look up."""
    return {"a": record["a"].upper()}


def forgetful(record: Record) -> Record:
    """Forget."""


async def late(record: Record) -> Record:
    """Come late."""
    raise OSError("no line")


@pytest.mark.parametrize(
    ("function", "examples", "words"),
    [
        (tidy, [], "there is no example"),
        (undocumented, [{}], "it has no docstring"),
        (undocumented, [{}], "the option 'other' has no type"),
        (half_documented, [{}], "the option 'field' is not described"),
        (counting, [{}], "example 1: the same record gave [{'n': "),
        (spoiling, [{}], "example 1: it changed the record it was handed, to {'seen': True}"),
        (meddling, [{}], "example 1: it changed what surrounds the record"),
        (dating, [{}], "example 1: it gave what is"),
        (sharing, [{}], "example 1: its records share []"),
        (bare, [{"a": "x"}], "a record without 'a' ends in a bare KeyError: 'a'; raise connectory.Trans"),
        (bare, [{"a": "x"}], "a record whose 'a' is None ends in a bare AttributeError"),
        (forgetful, [{}], "example 1: it failed: transformer 'forgetful' returned nothing"),
        (late, [{}], "a record like the example ends in a bare OSError: no line"),
        (
            tidy,
            [Example({"text": "a"}, gives={"text": "b"})],
            "gave [{'text': 'a'}], and [{'text': 'b'}] was due",
        ),
        (tidy, [Example({"text": "a"}, error="no")], "gave [{'text': 'a'}], and an error with 'no' was due"),
        (
            tidy,
            [Example({}, error="big")],
            "the error says \"transformer 'tidy': 'text' is no text\", not 'big'",
        ),
        (
            tidy,
            [{"text": "a"}, Example({}, options={"feld": 1})],
            "example 2: feld: transformer 'tidy' has no option",
        ),
        (lambda: None, [{}], "must take the record as its first argument"),
        ("no_such", [{}], "no transformer 'no_such'"),
    ],
)
def test_what_a_chain_would_suffer_from_is_told(function, examples, words):
    with pytest.raises(AssertionError) as caught:
        check_transformer(function, *examples)
    assert words in str(caught.value)


def test_a_transformer_may_change_the_record_it_is_handed_where_the_test_says_so():
    check_transformer(spoiling, Example({}, gives={"seen": True}), in_place=True)


def test_applying_raises_as_a_chain_does_and_closes():
    with pytest.raises(RecordError, match="'text' is no text"):
        apply_transformer(tidy, {})
    with pytest.raises(ConfigError, match="no option 'x'"):
        apply_transformer(tidy, {}, options={"x": 1})
    assert apply_transformer(Numbered, {}, options={"start": 5}) == [{"number": 5}]


# -- the sandbox


def test_a_configuration_is_tested_against_a_sandbox_of_its_own():
    config = {
        "version": 1,
        "clients": {"openai": {"prototype": "openai", "token": "${OPENAI_API_KEY}"}},
        "outgoing": {"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}}},
    }
    with sandboxed(config) as connector:
        [result] = connector.outgoing("moderate", [{"text": "hello"}])
    assert result.ok


def test_the_fixture_is_a_sandbox(connectory_sandbox):  # noqa: F811 - that is how a fixture is asked for
    with Connector.openai(token=connectory_sandbox.token, base_uri=connectory_sandbox.base_uri) as connector:
        assert any(item["object"] == "model" for item in connector.read("models"))


# -- what `add` writes


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_an_added_transformer_is_tested_and_found_at_once(tmp_path):
    done = connectory("add", "transformer", "tidy_up", folder=tmp_path)
    assert done.code == 0
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.py")) == [
        "tests/test_tidy_up.py",
        "transformers/tidy_up.py",
    ]
    passed = run_tests(tmp_path)
    assert (passed.returncode, "1 passed" in passed.stdout) == (0, True), passed.stdout + passed.stderr
    assert "tidy_up" in connectory("transformers", "list", folder=tmp_path).out
    file = tmp_path / "transformers" / "tidy_up.py"
    file.write_text(file.read_text().replace(".split()", ""))
    failed = run_tests(tmp_path)
    assert failed.returncode == 1
    assert "and [{'text': 'Good morning'}] was due" in failed.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keep", "the transformer 'keep' is there already"),
        ("a-b", "'a-b' is no name for a transformer"),
        ("class", "'class' is no name for a transformer"),
        ("_x", "'_x' is no name for a transformer"),
    ],
)
def test_a_name_that_no_transformer_can_have_is_not_added(tmp_path, name, words):
    done = connectory("add", "transformer", name, folder=tmp_path)
    assert (done.code, words in done.said) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tidy.py").write_text("mine\n")
    done = connectory("add", "transformer", "tidy", folder=tmp_path)
    assert done.code != 0
    assert "is there already; nothing was written" in done.said
    assert not (tmp_path / "transformers").exists()
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("")
    assert "is a Python package" in connectory("add", "transformer", "other", folder=tmp_path).said


def test_where_pytest_is_missing_the_extra_that_brings_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients: {openai: {token: none}}\n", encoding="utf-8"
    )
    with_it = CliRunner().invoke(adding.transformer, ["tidy"])
    monkeypatch.setattr(adding, "find_spec", lambda _name: None)
    without = CliRunner().invoke(adding.transformer, ["neat"])

    assert (with_it.exit_code, without.exit_code) == (0, 0)
    assert "connectory[testing]" not in with_it.stderr
    assert (
        without.stderr.splitlines()[-1] == "pytest is not installed here: pip install 'connectory[testing]'"
    )
