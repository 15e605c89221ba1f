"""What is logged: one set of fields, as JSON where that is wanted, and nothing at all where nobody asks."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys

import pytest
from command import ROOTS, connectory

from connectory.cli.saying import Voice
from connectory.events import BatchChanged, PageRead, RunBroken, RunFinished, StateChanged
from connectory.listeners.logs import FIELDS, JsonFormatter, line_of, log_event
from connectory.listeners.telling import Everyone, hears_requests
from connectory.text.redaction import Redactor

CONFIG = """
version: 1
clients: {default: {token: x}}
outgoing:
  chat:
    entity: chat.completions
    payload: {model: gpt-5-mini, messages: [{role: user, content: "&{text}"}]}
"""
POSTS = '{"id": "a", "text": "hi"}\n{"id": "b"}\n{"id": "c", "text": "yo"}\n'
RUN = ("run", "outgoing", "chat", "--sandbox", "--input", "posts.jsonl")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    (tmp_path / "posts.jsonl").write_text(POSTS)
    return tmp_path


def logged(done):
    lines = [json.loads(line) for line in done.said.splitlines()]
    for line in lines:
        assert set(line) <= set(FIELDS), line
        assert {"time", "level", "logger", "message", "event"} <= set(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    return lines


def test_every_line_of_a_run_is_json_with_the_run_and_stdout_holds_the_records_alone(project):
    done = connectory(*RUN, "--log-format", "json", "-v", folder=project)
    lines = logged(done)
    assert [one["id"] for one in done.lines] == ["a", "b", "c"]
    assert len({line["run"] for line in lines}) == 1
    assert {line["connection"] for line in lines} == {"chat"}
    events = [line["event"] for line in lines]
    assert events[0] == "run_started"
    assert events[-4:] == ["run_finished", "summary", "causes", "next"]
    asked = {line["record"]: line for line in lines if line["event"] == "request"}
    finished = {line["record"]: line for line in lines if line["event"] == "record"}
    assert set(asked) == {"a", "c"}
    assert set(finished) == {"a", "b", "c"}
    assert asked["a"]["request_id"] == finished["a"]["request_id"] == done.lines[0]["request_id"]
    assert (asked["a"]["entity"], asked["a"]["method"]) == ("chat.completions", "POST")
    assert finished["b"]["level"] == "warning"
    assert finished["b"]["error_class"] == "expression"
    assert lines[-1]["next"] == f"connectory replay {lines[0]['run']} --sandbox"
    assert lines[-2]["causes"][0]["records"] == ["b"]


def test_the_environment_asks_for_json_also_of_what_ends_a_command(project):
    asked = {"CONNECTORY_LOG_FORMAT": "json", "CONNECTORY_LOG_LEVEL": "error"}
    unknown = connectory("run", "outgoing", "chatt", folder=project, **asked)
    mistyped = connectory("run", "outgoing", "chat", "--bogus", folder=project, **asked)
    (found,) = logged(unknown)
    assert (found["code"], found["error_class"], found["next"]) == (
        3,
        "UnknownNameError",
        "connectory config show",
    )
    (found,) = logged(mistyped)
    assert found["code"] == mistyped.code == 2
    assert found["next"].endswith("run outgoing --help")


def test_a_word_that_no_level_has_is_told(project):
    done = connectory("lint", folder=project, CONNECTORY_LOG_LEVEL="loud")
    assert done.code == 2
    assert "CONNECTORY_LOG_LEVEL: 'loud' is none of debug, info, warning, error" in done.said


def test_quiet_leaves_the_next_command_and_verbose_tells_each_request(project):
    quiet = connectory(*RUN, "--quiet", folder=project)
    assert quiet.said.splitlines() == [quiet.last]
    assert quiet.last.startswith("connectory replay ")
    verbose = connectory(*RUN, "--verbose", "--new", folder=project)
    assert re.search(r"debug: POST /chat/completions: 200 in [\d.]+ s \(req_\w+\)", verbose.said)
    assert "debug: chat: record 'a' is ok" in verbose.said
    both = connectory(*RUN, "-q", "-v", folder=project)
    assert (both.code, "exclude each other" in both.said) == (2, True)


def test_a_library_says_nothing_that_nobody_asked_for(project):
    program = """
from connectory import Connector
from connectory.sandbox import EmbeddedSandbox
with EmbeddedSandbox() as box, Connector.openai(token=box.token, base_uri=box.base_uri) as connector:
    list(connector.read("models"))
import logging
logging.getLogger("connectory").warning("nobody hears this")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_closed_stderr_stops_no_run(project):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "connectory", *RUN, "-v", "--output", "out.jsonl"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        stderr=writer,
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (1, b"")
    assert len((project / "out.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("event", "level", "fields"),
    [
        (PageRead("in", 3, 2, "r"), "DEBUG", {"event": "page", "items": 3, "records": 2}),
        (
            StateChanged("out", 0, "a", "job-1", "queued", "r"),
            "INFO",
            {"event": "state", "record": "a", "item": "job-1", "status": "queued"},
        ),
        (
            BatchChanged("out", 1, "batch_1", "failed", 5, 2, 3, "r"),
            "INFO",
            {"event": "batch", "ok": 2, "failed": 3, "total": 5, "status": "failed"},
        ),
        (RunFinished("r", "in", {"items": 1, "errors": 2}), "INFO", {"items": 1, "failed": 2}),
        (RunBroken("r", "out", {"ok": 1}, 1.0, "UnavailableError", "gone"), "WARNING", {"ok": 1}),
        (RunBroken("r", "out", {"ok": 1}, 1.0), "INFO", {"event": "run_broken"}),
    ],
    ids=["page", "state", "batch", "finished", "broken", "left"],
)
def test_an_event_is_a_line_with_its_fields(event, level, fields):
    line = line_of(event)
    assert line is not None
    assert (logging.getLevelName(line.level), line.message % line.arguments != "") == (level, True)
    assert fields.items() <= line.fields.items()
    assert line.fields["run"] == "r"
    assert set(line.fields) <= set(FIELDS)


def test_the_fields_of_a_line_hold_no_secret_whoever_formats_it(caplog):
    redactor = Redactor(["sk-very-secret"])
    with caplog.at_level(logging.DEBUG, "connectory"):
        log_event(StateChanged("out", 0, "sk-very-secret", "job\nsk-very-secret", "queued", "r"))
    (record,) = caplog.records
    assert redactor
    assert (record.record, record.item) == ("****", "job\\n****")
    assert "very-secret" not in JsonFormatter().format(record)


def test_an_exception_is_a_field_of_its_line():
    error = ValueError("no")
    found = (ValueError, error, None)
    logger = logging.getLogger("elsewhere")
    record = logger.makeRecord("elsewhere", logging.CRITICAL, __file__, 1, "it broke", (), found)
    line = json.loads(JsonFormatter({"run": "r-1"}).format(record))
    assert (line["level"], line["run"], line["logger"]) == ("error", "r-1", "elsewhere")
    assert line["exception"].endswith("ValueError: no")


def test_requests_are_told_only_where_somebody_reads_lines_of_them(caplog):
    with caplog.at_level(logging.INFO, "connectory"):
        assert not hears_requests(log_event)
        assert not hears_requests(Everyone(log_event, print))
    with caplog.at_level(logging.DEBUG, "connectory"):
        assert hears_requests(Everyone(print, log_event))


def test_a_line_below_the_level_is_not_said(capsys):
    voice = Voice()
    voice.set(level="warning")
    voice.say("outgoing x: done")
    voice.say("note: look")
    voice.say("error: no")
    assert capsys.readouterr().err == "note: look\nerror: no\n"
