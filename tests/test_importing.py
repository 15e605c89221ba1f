"""Exports of another product: what becomes of each object, and a configuration that our own loader accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command import ROOTS, connectory

from connectory.catalogue import Catalogue
from connectory.config import lint, load_config
from connectory.config.document import parse
from connectory.config.writing import to_yaml
from connectory.errors import ConfigError
from connectory.importing.alumio import import_alumio
from connectory.importing.exported import as_map

SCHEMA = "https://di.schema.alumio.com/register.configuration.json"


def exported(kind, identifier, prototype="", parameters=None, **more):
    inner = ({"prototype": prototype} if prototype else {}) | {"parameters": parameters or {}}
    whole = {"$schema": SCHEMA, "type": kind, "identifier": identifier, "name": "", "object": inner}
    return {**whole, "description": "", "owner": None, "disabled": False, **more}


def setter(**fields):
    pairs = [{"key": key, "value": value} for key, value in fields.items()]
    return {"prototype": "value-setter", "parameters": {"configurations": pairs}}


def http_incoming(identifier, uri, *, transformer=None, transformers=(), **more):
    parameters = {"client": "openai", "request": {"uri": uri, "payload": None}, "transformer": transformer}
    subscriber = {"prototype": "http-subscriber", "parameters": parameters}
    inner = {"subscriber": subscriber, "transformers": list(transformers), **more}
    return exported("incoming-configuration", identifier, "incoming", inner)


def outgoing(identifier, entity, action, transformers=()):
    publisher = {
        "prototype": "openai-publisher",
        "parameters": {"httpClient": "openai", "entity": entity, "action": action},
    }
    inner = {"publisher": publisher, "transformers": list(transformers)}
    return exported("outgoing-configuration", identifier, "outgoing", inner)


CLIENT = exported(
    "http-client",
    "openai",
    "openai-http-client",
    {
        "baseUri": "https://api.openai.com/v1",
        "token": "${OPENAI_API_KEY}",
        "organizationId": "${OPENAI_ORG:-}",
    },
)
TIDY = {"prototype": "list-transformer-wrapper", "parameters": {"transformer": "tidy"}}
MOVE = {
    "prototype": "pattern-move",
    "parameters": {"from": {"prototype": "pattern", "parameters": {"pattern": "txt"}}, "to": "text"},
}
FLOW = [
    CLIENT,
    exported("entity", "file", "entity", {"identifierPath": ["meta", "code"]}),
    exported(
        "list-transformer",
        "tidy",
        "chain",
        {"transformers": [MOVE, {"prototype": "value-remover", "parameters": {"keys": ["x"]}}]},
    ),
    exported(
        "transformer-test",
        "tidies",
        "test",
        {"entity": {"txt": "a", "x": 1}, "expected": {"expected": [{"text": "a"}]}},
        owner="tidy",
    ),
    http_incoming(
        "files", "/v1/files?purpose=batch&limit=10", entityType="file", transformers=[setter(seen=True)]
    ),
    exported(
        "incoming-transformer-test",
        "sees",
        "test",
        {"entity": {"id": 1}, "expected": {"expected": [{"id": 1, "seen": True}]}},
        owner="files",
    ),
    outgoing("moderate", "createModeration", "Create", [TIDY, setter(**{"payload.input": "&{text}"})]),
    outgoing("purge", "deleteFile", "delete", [setter(**{"path.file_id": "&{id}"})]),
    exported(
        "route-configuration",
        "purge-files",
        "route",
        {"incoming": "files", "outgoing": "purge", "transformers": []},
    ),
]


def imported(*objects):
    text = "".join(json.dumps(one) + "\n" for one in objects).encode()
    data, fates = import_alumio(text, Catalogue.load())
    return data, {fate.identifier: fate for fate in fates}


def linted(data, folder):
    (folder / "connectory.yaml").write_text(to_yaml(data))
    environ = {"OPENAI_API_KEY": "sk-made-up-for-this", "OPENAI_ORG": "org-1"}
    return [str(problem) for problem in lint(folder / "connectory.yaml", Catalogue.load(), environ)]


def test_a_whole_export_becomes_a_configuration_that_lints_clean(tmp_path):
    data, fates = imported(*FLOW)

    assert [fate.identifier for fate in fates.values() if fate.outcome != "mapped"] == ["file"]
    assert fates["files"].notes == [
        "its items are known by 'meta.code': add 'identifier' where you write 'only: new'"
    ]
    assert linted(data, tmp_path) == []
    assert data == {
        "version": 1,
        "clients": {
            "openai": {
                "prototype": "openai",
                "base_uri": "https://api.openai.com/v1",
                "token": "${OPENAI_API_KEY}",
                "organization": "${OPENAI_ORG:-}",
            }
        },
        "transformers": {"tidy": [{"rename": {"txt": "text"}}, {"remove": ["x"]}]},
        "tests": {"tidy": [{"name": "tidies", "given": {"txt": "a", "x": 1}, "expect": [{"text": "a"}]}]},
        "incoming": {
            "files": {
                "client": "openai",
                "entity": "files",
                "request_parameters": {"query": {"purpose": "batch", "limit": "10"}},
                "transformers": [{"set": {"seen": True}}],
                "tests": [{"name": "sees", "given": {"id": 1}, "expect": [{"id": 1, "seen": True}]}],
            }
        },
        "outgoing": {
            "moderate": {
                "client": "openai",
                "entity": "moderations",
                "action": "create",
                "transformers": ["tidy", {"set": {"payload.input": "&{text}"}}],
            },
            "purge": {
                "client": "openai",
                "entity": "file",
                "action": "delete",
                "transformers": [{"set": {"path.file_id": "&{id}"}}],
            },
        },
        "routes": {"purge-files": ["files", "purge"]},
    }


def test_the_command_writes_what_runs_and_reports_each_object(tmp_path):
    objects = [*FLOW, exported("storage", "seen", "storage", {"path": "x"})]
    (tmp_path / "flow.ndjson").write_text("\n".join(map(json.dumps, objects)))
    words = ("import", "alumio", "flow.ndjson", "--output", "connectory.yaml")
    done = connectory(*words, "--report", "report.jsonl", folder=tmp_path)
    report = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    linted_ = connectory("lint", folder=tmp_path, OPENAI_API_KEY="sk-made-up-for-this")
    tested = connectory("test", folder=tmp_path)

    assert (done.code, done.last) == (1, "connectory lint connectory.yaml")
    assert "mapped      line 5: incoming-configuration files -> incoming.files" in done.said
    assert "10 objects: 8 mapped, 0 in part, 2 not" in done.said
    assert [one["line"] for one in report if one["outcome"] != "mapped"] == [2, 10]
    assert report[9]["missing"] == ["there are no storages here; the journal remembers what was done"]
    assert linted_.last == "connectory.yaml: 0 errors, 0 warnings"
    assert (tested.code, tested.last) == (0, "connectory.yaml: 2 passed, 0 failed")


def test_the_command_replaces_no_file_unasked_and_writes_to_stdout_otherwise(tmp_path):
    (tmp_path / "flow.ndjson").write_text(json.dumps(CLIENT))
    (tmp_path / "connectory.yaml").write_text("version: 1\n")
    kept = connectory("import", "alumio", "flow.ndjson", "--output", "connectory.yaml", folder=tmp_path)
    shown = connectory("import", "alumio", "flow.ndjson", folder=tmp_path)
    forced = connectory(
        "import", "alumio", "flow.ndjson", "--output", "connectory.yaml", "--force", folder=tmp_path
    )

    assert (kept.code, "add --force" in kept.said) == (2, True)
    assert shown.code == forced.code == 0
    assert shown.out == (tmp_path / "connectory.yaml").read_text()
    assert "openai:" in shown.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the export is empty"),
        ("{", ":1:1: expecting property name"),
        ('{"type": "storage"}', ":1:1: an object of an export has a 'type' and an 'identifier'"),
        (json.dumps(CLIENT) + "\n[1]", ":2:1: an object of an export is a JSON object"),
    ],
)
def test_what_is_no_export_is_told_by_its_line(text, message):
    with pytest.raises(ConfigError) as raised:
        import_alumio(text.encode(), Catalogue.load(), file="flow.ndjson")

    assert f"flow.ndjson{message}" in str(raised.value).replace("ndjson: ", "ndjson")


def test_the_command_says_what_an_export_looks_like(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n" * 9)
    done = connectory("import", "alumio", "notes.txt", folder=tmp_path)

    assert done.code == 3
    assert "notes.txt is no export of Alumio's: that is NDJSON, one object a line" in done.said
    assert "and 6 lines more" in done.said
    assert done.last == "connectory import alumio --help"


# -- clients


def test_a_secret_in_an_export_is_never_copied():
    data, fates = imported(
        exported("http-client", "openai", "openai-http-client", {"token": "sk-literal-secret"}),
        exported(
            "http-client",
            "shop api",
            "",
            {
                "plugins": [
                    {"prototype": "base-uri", "parameters": {"baseUri": "https://shop.example.com/api"}},
                    {"prototype": "header-append", "parameters": {"name": "X-Key", "value": "secret-value"}},
                    {"prototype": "header-append", "parameters": {"name": "X-Other", "value": "${OTHER}"}},
                    {"prototype": "logger"},
                ],
                "authentications": [{"prototype": "bearer", "parameters": {"token": "secret-bearer"}}],
                "errorHttpCodeRanges": [{"from": 400, "to": 500}],
                "ssl": {"verify": False},
            },
        ),
    )

    assert "secret" not in json.dumps(data)
    assert data["clients"]["openai"] == {"prototype": "openai", "token": "${OPENAI_API_KEY}"}
    assert data["clients"]["shop-api"] == {
        "prototype": "openai-compatible",
        "base_uri": "https://shop.example.com/api",
        "token": "${SHOP_API_TOKEN}",
        "headers": {"X-Other": "${OTHER}"},
    }
    assert fates["openai"].outcome == "mapped"
    assert fates["shop api"].missing == [
        "the header 'X-Key': its value may be secret, write it yourself",
        "the parameter 'ssl'",
    ]
    assert len(fates["shop api"].notes) == 2


# -- connections


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("/v1/files/file-1", {"entity": "file", "request_parameters": {"path": {"file_id": "file-1"}}}),
        ("models", {"entity": "models"}),
        ("https://api.openai.com/v1/models", {"entity": "models"}),
        (
            "/v1/unheard-of?a=1",
            {
                "request": {"method": "GET", "path": "/unheard-of"},
                "request_parameters": {"query": {"a": "1"}},
            },
        ),
    ],
)
def test_a_uri_is_found_among_the_entities(tmp_path, uri, keys):
    data, fates = imported(CLIENT, http_incoming("it", uri))

    assert data["incoming"]["it"] == {"client": "openai", **keys}
    assert fates["it"].outcome == "mapped"
    assert linted(data, tmp_path) == []


def test_request_parameters_may_be_empty_lists_or_json_texts(tmp_path):
    def reading(identifier, given):
        parameters = {
            "client": "openai",
            "entity": "retrieveModel",
            "requestParameters": given,
            "pagination": {"x": 1},
        }
        subscriber = {"prototype": "openai-subscriber", "parameters": parameters}
        return exported("incoming-configuration", identifier, "incoming", {"subscriber": subscriber})

    whole = {"path": {"model": "gpt-5-mini"}, "query": [], "payload": []}
    data, fates = imported(
        CLIENT,
        reading("a", whole),
        reading("b", json.dumps(whole)),
        reading("c", {**whole, "payload": {"x": 1}}),
    )

    assert data["incoming"]["a"]["request_parameters"] == {"path": {"model": "gpt-5-mini"}}
    assert data["incoming"]["a"] == data["incoming"]["b"]
    assert data["incoming"]["c"]["disabled"] is True
    assert fates["c"].missing == ["a payload in the request parameters: a reading sends none"]
    assert linted(data, tmp_path) == []


def test_a_connection_of_which_a_step_is_missing_is_disabled(tmp_path):
    lossy = exported(
        "list-transformer",
        "lossy",
        "chain",
        {"transformers": [{"prototype": "key-filter", "parameters": {}}]},
    )
    wrapped = {"prototype": "list-transformer-wrapper", "parameters": {"transformer": "lossy"}}
    data, fates = imported(
        CLIENT,
        lossy,
        outgoing("direct", "deleteFile", "delete", [{"prototype": "conditional", "parameters": {}}]),
        outgoing("by-chain", "deleteFile", "delete", [wrapped]),
        outgoing("whole", "deleteFile", "delete"),
        http_incoming("files", "/files"),
        exported(
            "route-configuration",
            "way",
            "route",
            {"incoming": "files", "outgoing": "whole", "transformers": [wrapped, setter(a=1)]},
        ),
    )

    assert {name: one.get("disabled", False) for name, one in data["outgoing"].items()} == {
        "direct": True,
        "by-chain": True,
        "whole": False,
        "way-whole": True,
    }
    assert fates["lossy"].missing == ["step 1: 'key-filter': there is no transformer like it here"]
    assert fates["direct"].missing == ["step 1: 'conditional': it has no filters"]
    assert fates["by-chain"].missing == ["a part of the chain 'lossy'"]
    assert data["outgoing"]["way-whole"]["transformers"] == ["lossy", {"set": {"a": 1}}]
    assert data["routes"] == {"way": ["files", "way-whole"]}
    assert linted(data, tmp_path) == []


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (
            exported(
                "outgoing-configuration",
                "it",
                "outgoing",
                {"publisher": {"prototype": "no-action-publisher"}},
            ),
            "its publisher sends nothing",
        ),
        (outgoing("it", "deleteFile", "update"), "there is no action 'update'"),
        (outgoing("it", "listFiles", "create"), "listFiles"),
        (outgoing("it", "createModeratoin", "create"), "did you mean"),
        (http_incoming("it", "/files/&{id}/unheard-of"), "a raw path takes no placeholders"),
        (http_incoming("it", ""), "its request has no 'uri'"),
        (http_incoming("it", "/files?purpose=@{globals.p}"), "there are no global variables here"),
        (
            exported(
                "incoming-configuration",
                "it",
                "incoming",
                {"subscriber": {"prototype": "storage-subscriber", "parameters": {"storage": "s"}}},
            ),
            "makes no HTTP request",
        ),
        (
            exported("route-configuration", "it", "route", {"incoming": "none", "outgoing": "none"}),
            "its incoming 'none' was not mapped",
        ),
        (exported("http-client-test", "it", "test", {"uri": "/"}), "'connectory check' reaches every client"),
        (exported("something-new", "it"), "there is nothing like it here"),
        (
            exported(
                "transformer-test", "it", "test", {"entity": {}, "expected": {"expected": []}}, owner="none"
            ),
            "its owner 'none' was not mapped",
        ),
        (exported("transformer-test", "it", "test", {"entity": {}}), "nothing is expected of it"),
    ],
)
def test_what_has_no_place_here_is_told_with_the_reason(one, reason):
    data, fates = imported(CLIENT, one)

    assert fates["it"].outcome == "not mapped"
    assert reason in fates["it"].missing[0]
    assert data.keys() == {"version", "clients"}


def test_a_connection_whose_client_is_not_there_is_not_mapped():
    data, fates = imported(outgoing("it", "deleteFile", "delete"))

    assert fates["it"].missing == ["its client 'openai' was not mapped"]
    assert data == {"version": 1}


def test_a_reading_that_waits_for_values_is_told():
    data, fates = imported(CLIENT, http_incoming("it", "/v1/files/&{id}"))

    assert data["incoming"]["it"]["request_parameters"] == {"path": {"file_id": "&{id}"}}
    assert (fates["it"].outcome, data["incoming"]["it"]["disabled"]) == ("in part", True)


def test_a_publisher_of_plain_http_sends_its_payload(tmp_path):
    def publishing(identifier, request):
        publisher = {"prototype": "http-publisher", "parameters": {"client": "openai", "request": request}}
        return exported("outgoing-configuration", identifier, "outgoing", {"publisher": publisher})

    data, fates = imported(
        CLIENT,
        publishing("some", {"uri": "/v1/moderations", "method": "POST", "payload": {"input": "&{text}"}}),
        publishing("all", {"uri": "/v1/moderations"}),
        publishing("gone", {"uri": "/v1/files/&{id}", "method": "DELETE"}),
    )

    assert data["outgoing"]["some"]["payload"] == {"input": "&{text}"}
    assert data["outgoing"]["all"]["payload"] == "&{@}"
    assert fates["all"].notes == ["its request has no payload: the whole record is sent"]
    assert data["outgoing"]["gone"]["entity"] == "file"
    assert data["outgoing"]["gone"]["request_parameters"] == {"path": {"file_id": "&{id}"}}
    assert linted(data, tmp_path) == []


def test_a_scheduled_run_is_given_as_a_line_for_cron():
    job = [{"prototype": "run-incoming", "parameters": {"incoming": "files"}}]
    _, fates = imported(
        CLIENT,
        http_incoming("files", "/files"),
        exported("scheduler-entry", "nightly", "entry", {"job": job, "expression": "0 3 * * *"}),
    )

    assert fates["nightly"].outcome == "not mapped"
    assert fates["nightly"].notes == ["0 3 * * * connectory run incoming files"]


# -- steps


@pytest.mark.parametrize(
    ("step", "steps"),
    [
        (setter(a="&{b}", c=[1]), [{"set": {"a": "&{b}", "c": [1]}}]),
        (setter(a="&{b}", c="&{a}"), [{"set": {"a": "&{b}"}}, {"set": {"c": "&{a}"}}]),
        (MOVE, [{"rename": {"txt": "text"}}]),
        (
            {"prototype": "pattern-copy", "parameters": {"source": "a.b", "destination": "c"}},
            [{"set": {"c": "?{a.b}"}}],
        ),
        ({"prototype": "brancher", "parameters": {"pattern": "items.*"}}, [{"split": "items"}]),
        ({"prototype": "value-remover", "parameters": {"keys": ["a.b"]}}, [{"remove": ["a.b"]}]),
        (
            {
                "prototype": "value-setter",
                "parameters": {
                    "configurations": [
                        {"key": "n", "value": "&{a}", "mappers": [{"prototype": "cast-int"}]},
                        {"key": "j", "value": "&{n}", "mappers": [{"prototype": "serialize-json"}]},
                    ]
                },
            },
            [{"set": {"n": "&{a}"}}, {"cast": {"n": "int"}}, {"set": {"j": "&{n}"}}, {"to_json": ["j"]}],
        ),
        (
            {
                "prototype": "conditional",
                "parameters": {
                    "filters": [
                        {"prototype": "key-exists-condition", "parameters": {"key": "a.b"}},
                        {
                            "prototype": "logic-or",
                            "parameters": {
                                "filters": [
                                    {"prototype": "key-not-exists-condition", "parameters": {"key": "c"}},
                                    {
                                        "prototype": "key-condition",
                                        "parameters": {
                                            "key": "d",
                                            "conditions": [
                                                {"prototype": "equals", "parameters": {"value": "x"}}
                                            ],
                                        },
                                    },
                                ]
                            },
                        },
                    ],
                    "transformers": [MOVE],
                    "elseTransformers": [{"prototype": "exception", "parameters": {"message": "no &{id}"}}],
                },
            },
            [
                {
                    "when": {
                        "condition": '(default(a.b, `null`) != `null`) && ((default(c, `null`) == `null`) || (d == `"x"`))',
                        "do": [{"rename": {"txt": "text"}}],
                        "otherwise": [{"fail": "no &{id}"}],
                    }
                }
            ],
        ),
        (
            {
                "prototype": "node",
                "parameters": {
                    "accessor": {"prototype": "pattern", "parameters": {"pattern": "items.*"}},
                    "nodeFilters": [],
                    "nodeTransformers": [MOVE],
                },
            },
            [{"for_each": {"field": "items", "do": [{"rename": {"txt": "text"}}]}}],
        ),
        (
            {
                "prototype": "merger",
                "parameters": {
                    "template": {"details": "&{@}"},
                    "transformer": {
                        "prototype": "http-transformer",
                        "parameters": {"request": {"uri": "/files/&{id}"}},
                    },
                },
            },
            [{"request": {"entity": "file", "path": {"file_id": "&{id}"}, "into": "details"}}],
        ),
        (
            {"prototype": "chain", "parameters": {"transformers": [MOVE, MOVE]}},
            [{"rename": {"txt": "text"}}] * 2,
        ),
    ],
)
def test_a_transformer_becomes_steps(tmp_path, step, steps):
    data, fates = imported(CLIENT, http_incoming("it", "/files", transformers=[step]))

    assert data["incoming"]["it"]["transformers"] == steps
    assert fates["it"].outcome == "mapped"
    assert linted(data, tmp_path) == []


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (
            {
                "prototype": "value-setter",
                "parameters": {
                    "configurations": [{"key": "a", "value": 1, "mappers": [{"prototype": "unserialize"}]}]
                },
            },
            "goes through mappers (unserialize)",
        ),
        (setter(**{"a.*": 1}), "the key 'a.*' is no plain path"),
        (setter(a="&{b.c-d}"), "step 1: 'value-setter': "),
        (setter(a="@{globals.x}"), "there are no global variables here"),
        (
            {"prototype": "pattern-move", "parameters": {"from": "values.*.*", "to": "values.$2.$1"}},
            "is no plain path",
        ),
        ({"prototype": "value-remover", "parameters": {"keys": ["a.*"]}}, "no pattern such as 'a.*'"),
        ({"prototype": "node", "parameters": {}}, "it names no path in a way that is known here"),
        (
            {
                "prototype": "node",
                "parameters": {"pattern": "items.*", "nodeTransformers": [{"prototype": "odd"}]},
            },
            "'node': step 1: 'odd': there is no transformer like it here",
        ),
        ({"prototype": "node", "parameters": {"pattern": "items"}}, "only all elements of one list"),
        ({"prototype": "conditional", "parameters": {}}, "it has no filters"),
        (
            {"prototype": "conditional", "parameters": {"filters": [{"prototype": "odd"}]}},
            "its filter 'odd' is not known",
        ),
        (
            {"prototype": "conditional", "parameters": {"filters": [{}], "elseCases": [{}]}},
            "it has further cases",
        ),
        ({"prototype": "merger", "parameters": {}}, "write it as 'request', or as a route"),
        (
            {
                "prototype": "merger",
                "parameters": {
                    "template": {"a": "&{@}"},
                    "transformer": {
                        "prototype": "http-transformer",
                        "parameters": {"request": {"method": "POST", "uri": "/moderations"}},
                    },
                },
            },
            "a step only reads",
        ),
        ({"prototype": "exception", "parameters": {}}, "it has no message"),
        ({"prototype": "http-transformer", "parameters": {}}, "write it as 'request'"),
        (
            {"prototype": "list-transformer-wrapper", "parameters": {"transformer": "none"}},
            "has no list-transformer 'none'",
        ),
        ({}, "a transformer without prototype"),
    ],
)
def test_a_transformer_without_a_counterpart_is_told(step, reason):
    _, fates = imported(CLIENT, http_incoming("it", "/files", transformers=[step]))

    assert fates["it"].outcome == "in part"
    assert reason in fates["it"].missing[0]


def test_names_that_cannot_be_names_here_are_made_to_fit(tmp_path):
    chain = exported("list-transformer", "set", "chain", {"transformers": [setter(a=1)]})
    wrapped = {"prototype": "list-transformer-wrapper", "parameters": {"transformer": "set"}}
    data, _ = imported(
        CLIENT,
        chain,
        http_incoming("my files", "/files", transformers=[wrapped]),
        http_incoming("my/files", "/models"),
    )

    assert list(data["incoming"]) == ["my-files", "my-files-2"]
    assert data["incoming"]["my-files"]["transformers"] == ["set-chain"]
    assert linted(data, tmp_path) == []


# -- the YAML


def test_what_is_written_is_read_back_as_it_was(tmp_path):
    texts = [
        "yes",
        "no",
        "1",
        "1.5",
        "null",
        "~",
        "&{a}",
        "*a",
        "a: b",
        "# x",
        " a ",
        "",
        "line\nbreak",
        "ü\u2028x",
        "'",
        '"',
        "0o17",
        "-",
        "- a",
        "${A}",
        "@x",
        "a" * 300 + " b",
    ]
    data = {
        "a": texts,
        "b": dict.fromkeys(texts, 1),
        "c": [1, 1.5, True, None, [], {}, [[]]],
        "same": [texts, texts],
    }

    assert parse(to_yaml(data, heading="one\ntwo"), file="x").data == data
    assert to_yaml(data, heading="one\ntwo").startswith("# one\n# two\n")


def test_the_importer_is_loaded_by_its_command_alone():
    script = "import sys, connectory.connector, connectory.cli; print([m for m in sys.modules if m.startswith('connectory.importing')])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_an_empty_object_comes_in_several_forms():
    assert [as_map(one) for one in ([], None, "", "no json", "[]", '{"a": 1}')] == [
        {},
        {},
        {},
        {},
        {},
        {"a": 1},
    ]


def test_the_written_file_is_loaded_by_the_loader(tmp_path):
    data, _ = imported(*FLOW)
    assert linted(data, tmp_path) == []

    assert list(load_config(tmp_path / "connectory.yaml").outgoing) == ["moderate", "purge"]
