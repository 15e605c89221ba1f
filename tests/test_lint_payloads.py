"""What of a payload is wrong whatever the record is, told by `lint` with its place."""

from __future__ import annotations

import pytest

from connectory.cli.linting import problems_of

CHAT = 'messages: [{role: user, content: "&{text}"}]'


def told(tmp_path, payload, *, entity="chat.completions", more=""):
    path = tmp_path / "connectory.yaml"
    path.write_text(
        f"""\
version: 1
clients: {{openai: {{token: none}}}}
outgoing:
  one:
    entity: {entity}
    payload: {payload}
{more}""",
        encoding="utf-8",
    )
    return [(one.severity, one.message, one.line, one.column) for one in problems_of(path)]


@pytest.mark.parametrize(
    ("payload", "message", "column"),
    [
        (f"{{model: gpt-5-mini, {CHAT}, temperature: 9}}", "payload.temperature: 9 is not allowed; must be at most 2", None),
        (f'{{model: gpt-5-mini, {CHAT}, max_completion_tokens: "5"}}', "payload.max_completion_tokens: a text, must be a whole number or null", None),
        (f"{{model: gpt-5-mini, {CHAT}, temprature: 1}}", "payload: unknown field 'temprature'; did you mean 'temperature'?", None),
        ("{model: gpt-5-mini}", "payload: 'messages' is missing", 5),
        ('{model: gpt-5-mini, messages: [{role: user, content: "&{text}", nme: x}]}', "payload.messages[0]: unknown field 'nme'; did you mean 'name'?", 78),
    ],
    ids=["a bound", "a type", "a misspelt field", "a missing field", "a misspelt field further down"],
)  # fmt: skip
def test_what_no_record_can_mend_is_a_warning_at_its_place(tmp_path, payload, message, column):
    ((severity, said, line, where),) = told(tmp_path, payload)

    assert (severity, said, line) == ("warning", message, 6)
    assert column in {None, where}


@pytest.mark.parametrize(
    "payload",
    [
        f'{{model: "&{{m}}", {CHAT}, temperature: "&{{t}}", stop: ["a"]}}',
        '"&{@}"',
        '{model: gpt-5-mini, messages: "&{turns}"}',
    ],
    ids=["values of the record", "the record itself", "a list of the record"],
)
def test_what_a_record_brings_is_not_judged(tmp_path, payload):
    assert told(tmp_path, payload) == []


def test_with_validation_off_nothing_is_judged(tmp_path):
    assert told(tmp_path, "{mesages: []}", more="    validate: 'off'\n") == []


def test_a_form_with_a_file_is_not_judged(tmp_path):
    assert (
        told(
            tmp_path, '{purpose: batch, file: {path: "&{path}"}}', entity="files", more="    files_root: .\n"
        )
        == []
    )
