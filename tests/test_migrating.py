"""`connectory migrate`: older words become today's, comments stay, and what is not known is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import connectory

from connectory import ConfigError
from connectory.config.migrating import migrate
from connectory.config.splicing import Text

CASES = Path(__file__).parent / "cases" / "old-configs"
OLD = [path for path in sorted(CASES.glob("*.yaml")) if not path.name.endswith(".now.yaml")]


@pytest.mark.parametrize("file", OLD, ids=lambda path: path.stem)
def test_an_old_configuration_becomes_one_of_today(file: Path):
    made = migrate(file.read_text(encoding="utf-8"))
    assert made.text == file.with_suffix(".now.yaml").read_text(encoding="utf-8")
    again = migrate(made.text)
    assert (again.text, again.changes) == (made.text, [])


def test_a_name_of_ones_own_stays():
    text = "version: 1\ntransformers: {parse: [compact], x: [parse]}\n"
    assert migrate(text, own={"parse"}).changes == []
    assert migrate(text).text == "version: 1\ntransformers: {parse: [compact], x: [parse_json]}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('version: "1"\nclients: {}\n', "version: 1\nclients: {}\n"),
        ("{clients: {}}\n", '{"version": 1, clients: {}}\n'),
        ("# x\r\nclients: {}\r\n", "# x\r\nversion: 1\r\nclients: {}\r\n"),
    ],
)
def test_the_version_is_said(before: str, after: str):
    assert migrate(before).text == after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\n", "of version 2, and this program reads version 1; install a newer one"),
        ("version: 0\n", "the version must be 1"),
        ("version: [1]\n", "the version must be 1"),
        ("- 1\n", "no mapping"),
        ("a: 1\na: 2\n", "stands here twice"),
    ],
)
def test_what_is_of_no_known_version_is_refused(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        migrate(text)


def test_steps_from_one_version_to_the_next_are_taken_in_order():
    def second(text: str, file: str) -> str:
        return text.replace("version: 1", "version: 2")

    def third(text: str, file: str) -> str:
        assert "version: 2" in text
        return text.replace("version: 2", "version: 3").replace("clients:", "servers:")

    made = migrate("version: 1 # first\nclients: {}\n", steps={1: second, 2: third})
    assert made.text == "version: 3 # first\nservers: {}\n"
    assert [one.message for one in made.changes] == [
        "version 1 is now version 2",
        "version 2 is now version 3",
    ]
    with pytest.raises(ConfigError, match="nothing is known that makes version 2 of version 1"):
        migrate("version: 1\n", steps={2: third})


def test_the_command_shows_checks_and_writes(tmp_path: Path):
    file, text = tmp_path / "connectory.yaml", OLD[0].read_text(encoding="utf-8")
    file.write_text(text)
    checked = connectory("migrate", "--check", folder=tmp_path)
    shown = connectory("migrate", "--dry-run", folder=tmp_path)
    assert (checked.code, checked.last) == (1, "connectory migrate connectory.yaml")
    assert "+version: 1\n" in shown.out
    assert file.read_text() == text
    assert connectory("lint", folder=tmp_path).code == 3  # `parse` is no name any more
    written = connectory("migrate", folder=tmp_path)
    assert written.code == 0, written.said
    assert "connectory.yaml:9: 'transformer' is now 'input_transformers'" in written.said
    assert Text(file.read_text()).document.data["version"] == 1
    again = connectory("migrate", "--check", folder=tmp_path)
    assert (again.code, again.said) == (0, "connectory.yaml: version 1, nothing to change\n")


def test_a_newer_version_says_what_to_do_in_every_command(tmp_path: Path):
    (tmp_path / "connectory.yaml").write_text("version: 2\nclients: {}\n")
    for words in (["lint"], ["run", "incoming", "x"], ["migrate"]):
        done = connectory(*words, folder=tmp_path)
        assert (done.code, done.last) == (3, "pip install --upgrade connectory")
        assert "this file is of version 2, and this program reads version 1" in done.said
