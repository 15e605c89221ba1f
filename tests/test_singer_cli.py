"""`connectory singer`: the commands as a host starts them, their settings, and what they say where something is wrong."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from command import connectory
from singing import lines_of, message

from connectory.cli import main
from connectory.cli.singer import singer
from connectory.errors import ConfigError
from connectory.singer import TapSettings, TargetSettings
from connectory.singer.settings import read_json, read_settings

CONFIG = """
version: 1
clients:
  openai: {token: "${OPENAI_API_KEY}"}
incoming:
  models: {entity: models}
  files: {entity: files, only: new}
outgoing:
  moderate: {entity: moderations, payload: {model: omni-moderation-latest, input: "&{text}"}}
"""
SCHEMA = message("SCHEMA", "posts", schema={"properties": {"text": {"type": "string"}}}, key_properties=[])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    return tmp_path


def test_what_is_discovered_is_taken_as_the_catalogue_and_the_last_state_as_the_state(folder):
    found = connectory("singer", "tap", "--config", "connectory.yaml", "--discover", folder=folder)
    assert found.code == 0
    assert "cannot be a stream" in found.said
    (folder / "catalog.json").write_text(found.out)
    (folder / "settings.json").write_text(
        json.dumps({"config": "connectory.yaml", "sandbox": True, "client": None})
    )
    words = ["singer", "tap", "--config", "settings.json", "--catalog", "catalog.json"]
    first = connectory(*words, folder=folder)
    assert first.code == 0, first.said
    assert "stream models: 14 records" in first.said
    (folder / "state.jsonl").write_text(lines_of(one for one in first.lines if one["type"] == "STATE"))
    second = connectory(*words, "--state", "state.jsonl", folder=folder)
    assert second.lines[0] == first.lines[-1]
    assert len(second.lines) == 1 + len(first.lines)
    assert sorted(path.name for path in folder.iterdir()) == [
        "catalog.json",
        "connectory.yaml",
        "settings.json",
        "state.jsonl",
    ]  # the tap keeps nothing


def test_the_target_prints_states_alone_and_says_what_failed_and_how_to_send_it_again(folder):
    (folder / "settings.json").write_text(json.dumps({"streams": {"posts": "moderate"}}))
    records = [message("RECORD", "posts", record=one) for one in ({"text": "a"}, {"no": "b"}, {"text": "c"})]
    done = connectory(
        *("singer", "target", "--config", "settings.json", "--sandbox"),
        folder=folder,
        stdin=lines_of([SCHEMA, *records, message("STATE", value={"at": 3})]),
    )
    assert (done.code, done.out) == (1, '{"at":3}\n')
    assert "1 x expression: expression 'text'" in done.said
    assert "outgoing moderate: 3 records = 2 done + 1 dead + 0 pending" in done.said
    assert done.last.startswith("connectory replay ")
    lists = connectory("runs", "list", folder=folder)
    assert "3 = 2 done + 1 dead + 0 pending" in lists.out


def test_a_bad_line_is_named(folder):
    done = connectory(
        *("singer", "target", "--sandbox"),
        folder=folder,
        stdin=lines_of([{**SCHEMA, "stream": "moderate"}, "oh"]),
    )
    assert done.code == 1
    assert "error: reading the Singer messages: line 2 (byte" in done.said


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('{"stream": {}}', "there is no setting 'stream'; did you mean 'streams'?"),
        ('{"x": {}}', "there is no setting 'x'; there is config, client, sandbox, streams, job, yes"),
        ('{"streams": ["a"]}', "streams: input should be a valid dictionary"),
        ("[]", "are no JSON object"),
        ("{", "no JSON: "),
        ("", "are no JSON object"),
    ],
)
def test_settings_that_are_wrong_are_told_without_their_values(tmp_path, written, problem):
    file = tmp_path / "settings.json"
    file.write_text(written)
    with pytest.raises(ConfigError) as caught:
        read_settings(TargetSettings, str(file))
    assert problem in str(caught.value)


def test_a_configuration_in_yaml_stands_for_settings_that_name_it():
    assert read_settings(TapSettings, "my/connectory.yaml") == TapSettings(config="my/connectory.yaml")
    assert read_settings(TapSettings, None) == TapSettings()
    with pytest.raises(ConfigError, match=r"cannot read the state in 'nowhere\.json': no such file"):
        read_json("nowhere.json", "the state")


@pytest.mark.parametrize("name", ["tap", "target"])
def test_about_tells_name_capabilities_and_settings(name):
    done = CliRunner().invoke(main, ["singer", name, "--about"])
    about = json.loads(done.output)
    assert about["name"] == f"{name}-connectory"
    assert {"about", "catalog", "discover", "properties", "state"} >= set(about["capabilities"])
    assert about["settings"]["properties"]["config"]["description"]
    assert set(singer.commands) == {"tap", "target"}
