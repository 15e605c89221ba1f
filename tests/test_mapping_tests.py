"""Tests that stand in a configuration: what they say, how they are judged, what is told when they fail."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from command import connectory

from connectory.config import config_from_dict
from connectory.errors import ConfigError
from connectory.trials import differences

CONFIG = """
version: 1
clients: {openai: {token: "${OPENAI_API_KEY}"}}
transformers:
  tidy: [{rename: {txt: text}}, {keep_if: "text != ''"}]
tests:
  tidy: TIDY
incoming:
  models:
    entity: models
    transformers: [{set: {project: "&{parent.id}"}}]
    tests: MODELS
outgoing:
  moderate:
    entity: moderations
    transformers: [tidy]
    payload: {input: "&{text}"}
    accept: "response.results[0].flagged == `false`"
    result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
    tests: MODERATE
  raw:
    entity: moderations
    transformers: [{split: all}]
    tests: RAW
  purge: {entity: file, action: delete, path: {file_id: "&{id}"}, tests: PURGE}
  speak:
    entity: audio.speech
    payload: {model: tts-1, voice: alloy, input: "&{text}"}
    save_to: "&{id}.mp3"
    tests: SPEAK
"""
SECTIONS = {"TIDY", "MODELS", "MODERATE", "RAW", "PURGE", "SPEAK"}


def ran(folder, *words, **tests):
    """Run the tests of a configuration that has these, each as YAML in one line."""
    text = CONFIG
    for name in SECTIONS:
        text = text.replace(name, f"[{tests.get(name.lower(), '')}]")
    (folder / "connectory.yaml").write_text(text)
    return connectory("test", *words, folder=folder)


PASSING = [
    ("tidy", "{given: {txt: a}, expect: {text: a}}"),
    ("tidy", "{given: [{txt: a}, {txt: ''}, {txt: b}], expect: [{text: a}, {text: b}]}"),
    ("tidy", "{given: {txt: ''}, expect: null}"),
    ("tidy", "{given: {txt: ''}, expect: []}"),
    ("tidy", "{given: {txt: a, id: 1, x: [{y: 1, z: 2}]}, expect: {x: [{y: 1}]}, match: part}"),
    ("tidy", "{given: {tx: a}, error: did you mean 'tx'}"),
    ("models", "{given: {id: m}, parent: {id: p}, expect: {id: m, project: p}}"),
    ("moderate", "{given: {txt: hi}, expect: {text: hi}}"),
    ("moderate", "{given: {txt: hi}, request: {method: POST, payload: {input: hi}, path: {}}}"),
    ("moderate", "{given: {txt: ''}, expect: null, request: null, result: null}"),
    ("moderate", "{given: {id: 1, txt: hi}, result: {id: 1, flagged: false}}"),
    ("moderate", "{given: [{id: 1, txt: hi}, {id: 2, txt: ''}], result: [{id: 1, flagged: false}]}"),
    (
        "moderate",
        "{given: {id: 1, txt: hi}, response: {results: [{flagged: false}]}, result: {id: 1, flagged: false}}",
    ),
    (
        "raw",
        "{given: {all: [{payload: {input: a}}, {payload: {input: b}}]}, request: [{payload: {input: a}}, {}]}",
    ),
    ("raw", "{given: {all: [{payload: {inptu: a}}]}, error: inptu}"),
    ("purge", "{given: {id: f-1}, request: {method: DELETE, path: {file_id: f-1}, payload: null}}"),
    ("purge", "{given: {id: f-1}, result: {status: ok, response: {already_gone: true}}, match: part}"),
    (
        "purge",
        "{given: {id: f-1}, response: {deleted: true}, result: {response: {deleted: true}}, match: part}",
    ),
    ("speak", "{given: {id: 1, text: hi}, request: {payload: {model: tts-1, voice: alloy, input: hi}}}"),
]


def test_every_kind_of_expectation_can_be_met(tmp_path):
    tests: dict[str, str] = {}
    for section, test in PASSING:
        tests[section] = f"{tests.get(section, '')} {test},"
    done = ran(tmp_path, **tests)

    assert "FAIL" not in done.said
    assert (done.code, done.out) == (0, "")
    assert done.last == f"connectory.yaml: {len(PASSING)} passed, 0 failed"
    assert not (tmp_path / ".connectory").exists()


@pytest.mark.parametrize(
    ("section", "test", "told"),
    [
        ("tidy", "{given: {txt: a}, expect: {text: b}}", ["expect.text", 'expected  "b"', 'came      "a"']),
        ("tidy", "{given: {txt: a}, expect: null}", ["0 expected, 1 came", "expect[0]", "expected  nothing"]),
        ("tidy", "{given: {txt: a}, expect: [{text: a}, {}]}", ["2 expected, 1 came", "came      nothing"]),
        ("tidy", "{given: {tx: a}, expect: {}}", ["the record fails:", "did you mean 'tx'?"]),
        ("tidy", "{given: {txt: a}, error: x}", ["a record was expected to fail with 'x', and none did"]),
        ("tidy", "{given: {tx: a}, error: zzz}", ["a message with 'zzz'", "the record has no 'text'"]),
        ("models", "{given: {id: m}, expect: {}}", ["the record fails:", "there is no parent here"]),
        (
            "moderate",
            "{given: {txt: hi}, request: {query: {a: 1}, payload: {input: ho}}}",
            ["request.query.a", "request.payload.input", 'expected  "ho"'],
        ),
        (
            "moderate",
            "{given: {id: 1, txt: hi}, result: {id: 1, flaged: false}}",
            ["result.flaged", "did you mean 'flagged'?"],
        ),
        (
            "moderate",
            "{given: {id: 1, txt: hi}, response: {results: [{flagged: true}]}, result: {}}",
            ["the answer does not meet `accept`"],
        ),
        ("moderate", "{given: {id: 1, txt: I will kill you}, result: {}}", ["does not meet `accept`"]),
        ("raw", "{given: {all: [{payload: {inptu: a}}]}, request: {}}", ["the record fails:", "'inptu'"]),
        ("speak", "{given: {id: 1, text: hi}, result: {}}", ["'save_to' would write files", "'response'"]),
    ],
)
def test_what_came_otherwise_is_told_by_its_place(tmp_path, section, test, told):
    done = ran(tmp_path, **{section: test})

    assert done.code == 1
    assert [words for words in told if words not in done.said] == []
    assert "0 passed, 1 failed" in done.said
    assert "(connectory.yaml:" in done.said
    assert not list(tmp_path.glob("*.mp3"))


def test_a_failure_ends_with_the_next_command(tmp_path):
    chain = ran(tmp_path, tidy="{given: {txt: a}, expect: null}")
    outgoing = ran(tmp_path, moderate="{given: {txt: a}, expect: null}")

    assert chain.last == "connectory transformers try tidy"
    assert outgoing.last == "connectory preview outgoing moderate --steps"


def test_some_tests_are_chosen_by_their_title(tmp_path):
    tests = {
        "tidy": "{given: {txt: a}, expect: null}",
        "moderate": "{name: kind, given: {txt: a}, expect: {text: a}}",
    }

    assert ran(tmp_path, "--only", "kind", **tests).last == "connectory.yaml: 1 passed, 0 failed"
    assert ran(tmp_path, "--only", "chain tidy", **tests).code == 1


def test_no_test_at_all_is_no_success(tmp_path):
    assert ran(tmp_path).code == 3
    chosen = ran(tmp_path, "--only", "nothing", tidy="{given: {txt: a}, expect: {text: a}}")

    assert (chosen.code, "no test with 'nothing' in its title" in chosen.said) == (3, True)


def test_a_report_for_build_servers_has_every_test(tmp_path):
    done = ran(
        tmp_path,
        *("--junit", "report.xml"),
        tidy='{name: "<odd> \\e name", given: {txt: a}, expect: null}, {given: {txt: a}, expect: {text: a}}',
        purge="{given: {id: f}, request: {path: {file_id: f}}}",
    )
    root = ET.parse(tmp_path / "report.xml").getroot()  # noqa: S314 - the report was just written here
    cases = root.findall("./testsuite/testcase")

    assert done.code == 1
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    assert [one.get("name") for one in root] == ["chain tidy", "outgoing purge"]
    assert [one.get("name") for one in cases] == ["<odd> \\u001b name", "test 2", "test 1"]
    assert [one.get("line") for one in cases] == ["7", "7", cases[2].get("line")]
    failure = cases[0].find("failure")
    assert failure is not None
    assert failure.get("message") == "expect: 0 expected, 1 came"
    assert "expect[0]" in str(failure.text)


def test_a_report_that_cannot_be_written_is_told(tmp_path):
    done = ran(tmp_path, "--junit", "none/report.xml", tidy="{given: {txt: a}, expect: {text: a}}")

    assert done.code == 2
    assert "cannot write 'none/report.xml': no such file or directory" in done.said


@pytest.mark.parametrize(
    ("section", "test", "message"),
    [
        ("tidy", "{given: {a: 1}}", "this test expects nothing; write 'expect' or 'error'"),
        ("moderate", "{given: {a: 1}}", "write 'expect' or 'request' or 'result' or 'error'"),
        ("moderate", "{given: {a: 1}, error: x, expect: null}", "a record that fails gives no 'expect'"),
        ("moderate", "{given: {a: 1}, response: 1, expect: null}", "'response' is for 'result'"),
        ("moderate", "{expect: {a: 1}}", "test 1 of outgoing 'moderate' has no 'given'"),
        ("tidy", "{given: 5, expect: null}", "'given' of test 1 of chain 'tidy' must be a mapping or a list"),
        (
            "tidy",
            "{given: {a: 1}, expect: [5]}",
            "item 1 of 'expect' of test 1 of chain 'tidy' must be a mapping",
        ),
        ("tidy", "{given: {a: 1}, request: {}}", "unknown key 'request' in test 1 of chain 'tidy'"),
        ("tidy", "{given: {a: 1}, expct: {}}", "did you mean 'expect'?"),
        ("moderate", "{given: {a: 1}, request: {paylod: 1}}", "unknown key 'paylod' in 'request' of test 1"),
        ("tidy", "{given: {a: 1}, expect: {}, match: prt}", "must be 'exact' or 'part', not 'prt'"),
    ],
)
def test_what_is_wrong_with_a_test_is_told_with_its_place(tmp_path, section, test, message):
    done = ran(tmp_path, **{section: test})

    assert done.code == 3
    assert message in done.said
    assert done.said.startswith("connectory.yaml:")
    assert done.last == "connectory lint connectory.yaml"


def test_tests_of_a_chain_that_there_is_not_are_refused():
    data = {
        "version": 1,
        "transformers": {"tidy": ["compact"]},
        "tests": {"tidi": [{"given": {}, "expect": {}}]},
    }

    with pytest.raises(ConfigError, match="no chain 'tidi'; did you mean 'tidy'"):
        config_from_dict(data)


@pytest.mark.parametrize(
    ("expected", "came", "part", "paths"),
    [
        ({"a": 1}, {"a": 1.0}, False, []),
        ({"a": 1}, {"a": True}, False, ["x.a"]),
        ({"a": 0}, {"a": False}, False, ["x.a"]),
        ({"a": 1}, {"a": "1"}, False, ["x.a"]),
        ({"a": None}, {}, False, ["x.a"]),
        ({}, {"a": None}, False, ["x.a"]),
        ({}, {"a": None}, True, []),
        ([{"a": 1}], [{"a": 1, "b": 2}], True, []),
        ([1, 2], [1], True, ["x[1]"]),
        ({"a b": {"c": [1]}}, {"a b": {"c": [2]}}, False, ['x."a b".c[0]']),
        ({"a": {}}, {"a": []}, False, ["x.a"]),
        ("a", "a", False, []),
    ],
)
def test_values_are_held_against_each_other_place_by_place(expected, came, part, paths):
    assert [one.path for one in differences(expected, came, "x", part=part)] == paths
