"""The command line: streams, exit codes, and one clear message for each thing that can be wrong."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from command import connectory

from connectory.sandbox import EmbeddedSandbox

CONFIG = """
version: 1
clients:
  openai:
    token: "${OPENAI_API_KEY}"
incoming:
  models: {entity: models}
  files: {entity: files}
  one-model:
    entity: model
    request_parameters: {path: {model: gpt-5-mini}}
  asleep: {entity: models, disabled: true}
outgoing:
  moderate:
    entity: moderations
    payload: {input: "&{text}"}
    result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
  moderate-raw:
    entity: createModeration
    transformers:
      - set: {payload: {input: "&{text}"}}
  upload:
    entity: files
    payload: {purpose: batch, file: {content: "&{text}", filename: "&{id}.jsonl"}}
  purge:
    entity: file
    action: delete
    path: {file_id: "&{id}"}
routes:
  purge-files: [files, purge]
"""
POSTS = '{"id": "a", "text": "hello"}\n{"id": "b", "text": "I will kill you"}\n'


@pytest.fixture
def project(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    (tmp_path / "posts.jsonl").write_text(POSTS)
    return tmp_path


@pytest.fixture(scope="module")
def sandbox():
    with EmbeddedSandbox(token="sk-right") as running:
        yield running


def pointed_at(project, base_uri):
    """Write the configuration with a base URI of one's own."""
    (project / "connectory.yaml").write_text(
        CONFIG.replace(
            'token: "${OPENAI_API_KEY}"',
            f'token: "${{OPENAI_API_KEY}}"\n    base_uri: {base_uri}\n    retry: {{attempts: 2, max_wait: 0, outage: 0}}',
        )
    )


def test_incoming_prints_items_on_stdout_and_the_rest_on_stderr(project):
    done = connectory("run", "incoming", "models", "--sandbox", folder=project)

    assert done.code == 0
    assert all(item["object"] == "model" for item in done.lines)
    assert "incoming models:" in done.said


def test_a_path_parameter_chooses_the_item(project):
    done = connectory("run", "incoming", "one-model", "--sandbox", folder=project)

    assert [item["id"] for item in done.lines] == ["gpt-5-mini"]


def test_limit_ends_an_incoming_early(project):
    done = connectory("run", "incoming", "models", "--sandbox", "--limit", "2", folder=project)

    assert len(done.lines) == 2


def test_outgoing_reads_stdin_and_shapes_its_results(project):
    done = connectory("run", "outgoing", "moderate", "--sandbox", folder=project, stdin=POSTS)

    assert done.code == 0
    assert done.lines == [{"id": "a", "flagged": False}, {"id": "b", "flagged": True}]


def test_outgoing_takes_the_payload_that_transformers_made(project):
    done = connectory(
        "run", "outgoing", "moderate-raw", "--input", "posts.jsonl", "--sandbox", folder=project
    )

    assert done.code == 0
    assert [line["status"] for line in done.lines] == ["ok", "ok"]
    assert [line["response"]["results"][0]["flagged"] for line in done.lines] == [False, True]


def test_output_goes_to_a_file(project):
    done = connectory(
        "run",
        "outgoing",
        "moderate",
        "--input",
        "posts.jsonl",
        "--output",
        "out.jsonl",
        "--sandbox",
        folder=project,
    )

    assert (done.code, done.out) == (0, "")
    assert len((project / "out.jsonl").read_text().splitlines()) == 2


def test_a_route_deletes_what_was_listed(project, sandbox):
    pointed_at(project, sandbox.base_uri)
    key = {"OPENAI_API_KEY": "sk-right"}
    uploaded = connectory("run", "outgoing", "upload", "--input", "posts.jsonl", folder=project, **key)
    listed = connectory("run", "incoming", "files", folder=project, **key)
    refused = connectory("run", "route", "purge-files", folder=project, **key)
    deleted = connectory("run", "route", "purge-files", "--yes", folder=project, **key)
    after = connectory("run", "incoming", "files", folder=project, **key)

    assert uploaded.code == 0
    assert {item["filename"] for item in listed.lines} == {"a.jsonl", "b.jsonl"}
    assert refused.code == 2
    assert "delete 2 records?" in refused.said
    assert {line["response"]["id"] for line in deleted.lines} == {item["id"] for item in listed.lines}
    assert after.lines == []


def test_a_single_delete_wants_yes_away_from_a_terminal(project):
    done = connectory("delete", "file", "--path", "file_id=file-1", "--sandbox", folder=project)

    assert done.code == 2
    assert "--yes" in done.said


def test_single_calls_need_no_configuration(tmp_path):
    read = connectory("read", "models", "--sandbox", folder=tmp_path)
    created = connectory(
        "create", "moderations", "--payload", '{"input": "hi"}', "--sandbox", folder=tmp_path
    )
    deleted = connectory("delete", "file", "--path", "file_id=file-1", "--yes", "--sandbox", folder=tmp_path)
    raw = connectory("request", "GET", "/v1/models/gpt-5-mini", "--sandbox", folder=tmp_path)

    assert {read.code, created.code, deleted.code, raw.code} == {0}
    assert created.lines[0]["results"][0]["flagged"] is False
    assert deleted.lines == [{"already_gone": True}]
    assert raw.lines[0]["id"] == "gpt-5-mini"


def test_a_raw_request_never_leaves_the_clients_server(tmp_path):
    for path in ("https://example.com/v1/models", "//example.com/v1/models", "models"):
        done = connectory("request", "GET", path, "--sandbox", folder=tmp_path)

        assert done.code == 2
        assert "never a server" in done.said


def test_preview_sends_nothing_and_masks_the_token(project):
    done = connectory(
        "preview",
        "outgoing",
        "moderate",
        "--input",
        "posts.jsonl",
        folder=project,
        OPENAI_API_KEY="sk-secret-value",
    )

    assert done.code == 0
    request = done.lines[0]["requests"][0]
    assert request["method"] == "POST"
    assert request["url"] == "https://api.openai.com/v1/moderations"
    assert request["payload"] == {"input": "hello"}
    assert "sk-secret-value" not in done.out + done.said


def test_preview_of_an_outgoing_needs_no_key(project):
    done = connectory("preview", "outgoing", "moderate", "--input", "posts.jsonl", folder=project)

    assert done.code == 0
    assert done.lines[0]["requests"][0]["headers"]["authorization"] == "Bearer ****"


def test_lint_warns_of_variables_that_are_not_set(project):
    done = connectory("lint", folder=project)

    assert done.code == 0
    assert "connectory.yaml:5:12: warning: the environment variable 'OPENAI_API_KEY' is not set" in done.said


def test_preview_shows_a_file_by_its_name_and_size(project):
    (project / "rows.jsonl").write_text('{"a": 1}\n')
    send = "{entity: files, files_root: ., payload: {purpose: batch, file: {path: '&{name}'}}}"
    (project / "connectory.yaml").write_text(CONFIG.replace("outgoing:", f"outgoing:\n  send: {send}"))
    (project / "names.jsonl").write_text('{"name": "rows.jsonl"}\n{"name": "../x"}\n')
    done = connectory("preview", "outgoing", "send", "--input", "names.jsonl", folder=project)

    assert done.code == 1
    (shown,) = done.lines[0]["requests"]
    assert shown["payload"] == {"purpose": "batch", "file": "<file rows.jsonl, 9 bytes>"}
    assert "below files_root" in done.lines[1]["error"]


def test_create_writes_the_bytes_of_a_binary_answer(project):
    payload = json.dumps({"model": "tts-1", "voice": "alloy", "input": "hi"})
    done = connectory(
        "create", "audio.speech", "--payload", payload, "--output", "out/hi.mp3", "--sandbox", folder=project
    )

    assert (done.code, done.lines) == (0, [])
    sound = (project / "out" / "hi.mp3").read_bytes()
    assert sound.startswith(b"\xff\xfb")
    assert f"hi.mp3: {len(sound)} bytes, audio/mpeg" in done.said


def test_create_sends_a_file_from_the_current_folder_alone(project):
    (project / "rows.jsonl").write_text('{"a": 1}\n')
    payload = '{"purpose": "batch", "file": {"path": "rows.jsonl"}}'
    done = connectory("create", "files", "--payload", payload, "--sandbox", folder=project)

    assert [(one["filename"], one["bytes"]) for one in done.lines] == [("rows.jsonl", 9)]
    done = connectory(
        "create", "files", "--payload", payload.replace("rows", "../rows"), "--sandbox", folder=project
    )
    assert done.code == 2
    assert "below files_root" in done.said


def test_read_writes_the_bytes_of_a_file_that_was_sent(project, sandbox):
    pointed_at(project, sandbox.base_uri)
    key = {"OPENAI_API_KEY": "sk-right"}
    (project / "rows.jsonl").write_text('{"a": 1}\n')
    payload = '{"purpose": "batch", "file": {"path": "rows.jsonl"}}'
    made = connectory("create", "files", "--payload", payload, folder=project, **key)
    words = ["--path", f"file_id={made.lines[0]['id']}", "--output", "copy.jsonl"]
    done = connectory("read", "file.content", *words, folder=project, **key)

    assert (done.code, done.lines) == (0, [])
    assert (project / "copy.jsonl").read_text() == '{"a": 1}\n'
    words[-1] = "file.json"
    connectory("read", "file", *words, folder=project, **key)
    assert json.loads((project / "file.json").read_text())["filename"] == "rows.jsonl"


def test_dry_run_is_preview(project):
    dry = connectory(
        "run", "outgoing", "moderate", "--input", "posts.jsonl", "--dry-run", "--sandbox", folder=project
    )

    assert dry.code == 0
    assert dry.lines[0]["requests"][0]["payload"] == {"input": "hello"}


def test_preview_of_an_incoming_shows_each_step(project):
    (project / "connectory.yaml").write_text(
        CONFIG.replace(
            "models: {entity: models}",
            "models: {entity: models, transformers: [{keep: [id]}, {set: {seen: true}}]}",
        )
    )
    done = connectory("preview", "incoming", "models", "-n", "1", "--sandbox", folder=project)

    assert done.lines[0]["request"]["method"] == "GET"
    assert [step["step"] for step in done.lines[1]["steps"]] == ["keep", "set"]
    assert done.lines[1]["steps"][-1]["records"] == [{"id": "gpt-5", "seen": True}]


def test_check_names_the_models_and_limits(project):
    done = connectory("check", "--sandbox", folder=project)

    assert done.code == 0
    assert "GET /models 200" in done.said
    assert "requests a minute" in done.said


def test_entities_can_be_listed_searched_and_shown(tmp_path):
    listed = connectory("entities", "list", "--json", folder=tmp_path)
    deletable = connectory("entities", "list", "--action", "delete", "--search", "vector", folder=tmp_path)
    shown = connectory("entities", "show", "file", folder=tmp_path)
    example = connectory("entities", "show", "moderations", "--example", folder=tmp_path)

    assert len(listed.lines) == 252
    assert "vector_store.file " in deletable.out
    assert "/files/{file_id}" in shown.out
    assert "input" in json.loads(example.out)


def test_transformers_can_be_listed_and_shown(tmp_path):
    listed = connectory("transformers", "list", "--json", folder=tmp_path)
    shown = connectory("transformers", "show", "keep_if", folder=tmp_path)

    assert {one["name"] for one in listed.lines} >= {
        "set",
        "build",
        "rename",
        "remove",
        "keep",
        "keep_if",
        "map",
        "split",
    }
    assert shown.out.startswith("keep_if:")


def test_the_schema_of_the_configuration_is_json(tmp_path):
    done = connectory("schema", folder=tmp_path)

    assert {"clients", "incoming", "outgoing", "routes"} <= json.loads(done.out)["properties"].keys()


BAD_INPUT = {
    "a line that is no JSON": (
        '{"id": "a", "text": "x"}\n{oops\n{"id": "c", "text": "y"}\n',
        "line 2 (byte 25): not JSON",
    ),
    "a record that is no object": (
        '{"id": "a", "text": "x"}\n[1]\n{"id": "c", "text": "y"}\n',
        "line 2 (byte 25): a record must be a JSON object",
    ),
    "a record without the field": (
        '{"id": "a", "text": "x"}\n{"id": "b"}\n{"id": "c", "text": "y"}\n',
        "the record has no 'text'",
    ),
}


@pytest.mark.parametrize(("records", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_a_bad_record_is_set_aside_and_the_others_are_done(project, records, message):
    done = connectory("run", "outgoing", "moderate", "--sandbox", folder=project, stdin=records)

    assert done.code == 1
    assert done.lines[0] == {"id": "a", "flagged": False}
    assert done.lines[1]["status"] == "error"
    assert message in done.lines[1]["error"]["message"]
    assert done.lines[2] == {"id": "c", "flagged": False}
    (letters,) = project.glob(".connectory/runs/*/dead_letters.jsonl")
    (letter,) = map(json.loads, letters.read_text().splitlines())
    assert message in letter["error"]["message"]
    assert "record" in letter
    assert str(letters.relative_to(project)) in done.said


BAD_CONFIGURATION = {
    "yaml": ("version: 1\nclients: [\n", "connectory.yaml:", "connectory lint"),
    "unknown key": ('version: 1\nclients: {a: {tokne: "x"}}\n', "did you mean 'token'?", "connectory lint"),
    "duplicate key": ("version: 1\nversion: 1\n", "connectory.yaml:2", "connectory lint"),
    "unknown entity": (
        "version: 1\nclients: {a: {token: x}}\nincoming: {models: {entity: modls}}\n",
        "did you mean 'models'?",
        "connectory",
    ),
    "unresolved placeholder": (
        'version: 1\nclients: {a: {token: x}}\noutgoing: {models: {entity: moderations, payload: "&{text"}}\n',
        "brace",
        "connectory lint",
    ),
    "bad expression": (
        'version: 1\nclients: {a: {token: x}}\nincoming: {models: {entity: models, transformers: [{keep_if: "a ="}]}}\n',
        "connectory.yaml:3",
        "connectory lint",
    ),
    "unknown transformer": (
        "version: 1\nclients: {a: {token: x}}\nincoming: {models: {entity: models, transformers: [keepif]}}\n",
        "did you mean 'keep_if'?",
        "connectory",
    ),
}


@pytest.mark.parametrize(
    ("config", "message", "next_command"), BAD_CONFIGURATION.values(), ids=BAD_CONFIGURATION
)
def test_a_bad_configuration_is_refused_by_run_and_by_lint(tmp_path, config, message, next_command):
    (tmp_path / "connectory.yaml").write_text(config)
    kind = "outgoing" if "outgoing" in config else "incoming"
    ran = connectory("run", kind, "models", "--sandbox", folder=tmp_path)
    linted = connectory("lint", folder=tmp_path)

    assert ran.code == linted.code == 3
    assert message in ran.said
    assert message in linted.said
    assert ran.last.startswith(next_command)
    assert ran.out == ""


def test_lint_tells_what_is_wrong_with_some_connections_beside_what_others_cannot_be_read_for(tmp_path):
    (tmp_path / "connectory.yaml").write_text(
        """version: 1
clients: {ours: {token: x, base_uri: "https://api.test/v1"}}
incoming:
  broken: {entity: filess}
  child: {entity: model, each: "incoming:broken", transformers: [{keep_if: "a["}]}
  fine: {entity: files, transformers: [{keep_if: "a["}]}
outgoing:
  moderate: {entity: moderations, sequence: "b[", untill: true}
  other: {entity: moderations, sequence: "c[", payload: {input: "${NOT_SET}"}}
"""
    )
    done = connectory("lint", folder=tmp_path)
    places = [line.split(": ")[0] for line in done.said.splitlines() if line.startswith("connectory.yaml:")]
    assert [place.split(":")[1] for place in places[:-1]] == ["4", "6", "8", "9"]
    assert "4 errors" in done.said
    assert done.last == "connectory lint connectory.yaml"


def test_a_variable_that_is_not_set_is_a_warning_of_lint_and_told_once(tmp_path):
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients: {ours: {token: x}}\n"
        'outgoing: {moderate: {entity: moderations, payload: {input: "&{text}", model: "${NOT_SET}"}}}\n'
    )
    done = connectory("lint", folder=tmp_path)
    assert done.code == 0
    assert done.said.count("'NOT_SET' is not set") == 1


def test_missing_files_are_named(project, tmp_path):
    no_input = connectory("run", "outgoing", "moderate", "--input", "nope.jsonl", "--sandbox", folder=project)
    no_config = connectory("run", "incoming", "models", "--config", "nope.yaml", folder=project)
    no_name = connectory("run", "incoming", "modelss", "--sandbox", folder=project)
    asleep = connectory("run", "incoming", "asleep", "--sandbox", folder=project)

    assert {no_input.code, no_config.code, no_name.code, asleep.code} == {3}
    assert "'nope.jsonl'" in no_input.said
    assert "nope.yaml" in no_config.said
    assert "did you mean 'models'?" in no_name.said
    assert "disabled" in asleep.said


def test_a_wrong_command_line_is_2(project):
    assert connectory("run", "incomming", "x", folder=project).code == 2
    assert connectory("run", "incoming", "models", "--path", "novalue", folder=project).code == 2


def test_an_unset_variable_is_named_with_its_place(project):
    done = connectory("run", "incoming", "models", folder=project)

    assert done.code == 3
    assert "connectory.yaml:5:12" in done.said
    assert "OPENAI_API_KEY" in done.said


def test_a_wrong_token_stops_the_run_without_being_shown(project, sandbox):
    pointed_at(project, sandbox.base_uri)
    wrong = {"OPENAI_API_KEY": "sk-wrong-and-secret"}
    outgoing = connectory("run", "outgoing", "moderate", "--input", "posts.jsonl", folder=project, **wrong)
    incoming = connectory("run", "incoming", "models", folder=project, **wrong)
    checked = connectory("check", folder=project, **wrong)

    assert (outgoing.code, incoming.code, checked.code) == (4, 4, 4)
    for done in (outgoing, incoming, checked):
        assert "401" in done.said
        assert "sk-wrong-and-secret" not in done.out + done.said
    assert outgoing.out == ""
    assert outgoing.last == "connectory check"


def test_a_server_that_is_down_is_5_and_nothing_is_set_aside(project):
    pointed_at(project, "http://127.0.0.1:9/v1")
    key = {"OPENAI_API_KEY": "sk-right"}
    outgoing = connectory("run", "outgoing", "moderate", "--input", "posts.jsonl", folder=project, **key)
    incoming = connectory("run", "incoming", "models", folder=project, **key)

    assert (outgoing.code, incoming.code) == (5, 5)
    assert "connection refused" in outgoing.said
    assert outgoing.out == ""
    assert not list(project.glob(".connectory/runs/*/dead_letters.jsonl"))
    assert outgoing.last == "connectory check"


def test_input_and_output_may_not_be_one_file(project):
    done = connectory(
        "run",
        "outgoing",
        "moderate",
        "--input",
        "posts.jsonl",
        "--output",
        "./posts.jsonl",
        "--sandbox",
        folder=project,
    )

    assert done.code == 3
    assert (project / "posts.jsonl").read_text() == POSTS


def test_a_reader_that_goes_away_ends_a_read_quietly(project):
    command = f"{sys.executable} -m connectory run incoming models --sandbox | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_interrupt_finishes_what_is_under_way(project):
    process = subprocess.Popen(
        [sys.executable, "-m", "connectory", "run", "outgoing", "moderate", "--sandbox"],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(POSTS.encode())
    process.stdin.flush()
    first = process.stdout.readline()  # the run is under way, and waits for more records
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert json.loads(first) == {"id": "a", "flagged": False}
    assert process.returncode == 130
    assert b"Traceback" not in said


def test_records_go_to_stdout_also_where_a_terminal_is_told_the_rest(project):
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "CI"} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "connectory",
            "run",
            "outgoing",
            "moderate",
            "--input",
            "posts.jsonl",
            "--sandbox",
        ],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environ,
    )
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert len(out.splitlines()) == 2
    assert "2 ok, 0 failed" in shown
    assert '"id"' not in shown


def test_help_shows_examples_and_version_is_quick_to_say(tmp_path):
    version = connectory("--version", folder=tmp_path)
    shown = connectory("run", "outgoing", "--help", folder=tmp_path)

    assert version.out.startswith("connectory")
    assert "connectory run outgoing moderate --input" in shown.out


def test_a_run_that_fails_leaves_the_earlier_output_as_it_was(project, sandbox):
    pointed_at(project, sandbox.base_uri)
    (project / "out.jsonl").write_text("earlier\n")
    words = ["run", "outgoing", "moderate", "--input", "posts.jsonl", "--output", "out.jsonl"]
    refused = connectory(*words, folder=project, OPENAI_API_KEY="sk-wrong")
    kept = (project / "out.jsonl").read_text()
    done = connectory(*words, folder=project, OPENAI_API_KEY="sk-right")

    assert (refused.code, kept) == (4, "earlier\n")
    assert "2 records = 0 done + 0 dead + 2 pending" in refused.said
    assert "the same command goes on: connectory run outgoing moderate --input" in refused.said
    assert done.code == 0
    assert "resuming run" in done.said
    assert "earlier" not in (project / "out.jsonl").read_text()


def test_a_hard_link_to_the_input_is_no_output(project):
    os.link(project / "posts.jsonl", project / "other.jsonl")
    words = ["run", "outgoing", "moderate", "--input", "posts.jsonl", "--output", "other.jsonl", "--sandbox"]
    done = connectory(*words, folder=project)

    assert done.code == 3
    assert (project / "posts.jsonl").read_text() == POSTS


def test_the_last_line_sends_the_dead_letters_again_in_the_same_way(project):
    records = '{"id": "a"}\n'
    done = connectory(
        "run", "outgoing", "moderate", "--sandbox", "-c", "connectory.yaml", folder=project, stdin=records
    )
    (run,) = [path.name for path in project.glob(".connectory/runs/*")]

    assert done.code == 1
    assert done.last == f"connectory replay {run} --config connectory.yaml --sandbox"


def test_preview_shows_nothing_that_the_client_adds_to_every_request(project):
    client = 'token: "${OPENAI_API_KEY}"\n    headers: {x-team: hidden-1}\n    query: {api_key: hidden-2}'
    (project / "connectory.yaml").write_text(CONFIG.replace('token: "${OPENAI_API_KEY}"', client))
    done = connectory("preview", "outgoing", "moderate", "--input", "posts.jsonl", folder=project)

    assert done.code == 0
    assert "hidden-" not in done.out + done.said


def test_braces_without_an_ampersand_in_a_path_are_refused(project):
    text = CONFIG.replace('path: {file_id: "&{id}"}', 'path: {file_id: "{id}"}')
    (project / "connectory.yaml").write_text(text)
    done = connectory("lint", folder=project)

    assert done.code == 3
    assert "a value of the record is written '&{id}'" in done.said


def test_what_was_typed_wrong_is_2(tmp_path):
    no_json = connectory("create", "moderations", "--payload", "{input: hi}", "--sandbox", folder=tmp_path)
    no_payload = connectory("create", "moderations", "--sandbox", folder=tmp_path)
    no_path = connectory("delete", "file", "--yes", "--sandbox", folder=tmp_path)
    no_port = connectory("sandbox", "--port", "99999", folder=tmp_path)

    assert {no_json.code, no_payload.code, no_path.code, no_port.code} == {2}
