"""The configuration: what it holds, what is wrong with it and where, and what never shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from pydantic import SecretStr, ValidationError

import connectory.config
from connectory.catalogue import Catalogue
from connectory.config import (
    check_against,
    config_from_dict,
    config_schema,
    lint,
    lint_warnings,
    load_config,
    parse_step,
)
from connectory.errors import ConfigError, UnknownNameError
from connectory.placeholders import compile_template

if TYPE_CHECKING:
    from connectory.errors import Problem

CASES = json.loads((Path(__file__).parent / "cases" / "config_problems.json").read_text())
CLIENT = {"openai": {"token": "made-up"}}
EXAMPLE = """\
    version: 1
    clients:
      openai:
        prototype: openai
        base_uri: https://api.openai.com/v1
        token: "${OPENAI_API_KEY}"
        organization: "${OPENAI_ORG_ID:-}"
    incoming:
      files: {entity: files}
      one-model:
        entity: model
        request_parameters: {path: {model: gpt-5-mini}}
    outgoing:
      moderate:
        entity: moderations
        payload: {model: omni-moderation-latest, input: "&{text}"}
        result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
      purge:
        entity: file
        action: delete
        transformers:
          - keep_if: "created_at < ago('30d')"
        path: {file_id: "&{id}"}
    routes:
      purge-old-files: [files, purge]
    """


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def write(folder: Path, text: str, name: str = "connectory.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def as_line(problem: Problem) -> str:
    severity = "" if problem.severity == "error" else f"{problem.severity}: "
    return f"{problem.line}:{problem.column}: {severity}{problem.message}"


def problems_of(data: Any, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_from_dict(data, environ=environ)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


# -- what is wrong, and where


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_lint_names_every_problem_with_its_line_and_column(case, tmp_path, catalogue):
    found = lint(write(tmp_path, case["yaml"]), catalogue, {})
    assert [as_line(problem) for problem in found] == case["problems"]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_every_underlined_column_lies_in_its_excerpt(case, tmp_path, catalogue):
    for problem in lint(write(tmp_path, case["yaml"]), catalogue, {}):
        if problem.excerpt:
            assert problem.column + problem.width - 2 < len(problem.excerpt)


def test_a_problem_is_rendered_with_its_line_underlined(tmp_path):
    path = write(
        tmp_path,
        """\
        clients:
          openai:
            base_url: https://example.test/v1
            timeout: {total: -1}
        """,
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert str(caught.value) == dedent(f"""\
        {path}:3:5: unknown key 'base_url' in client 'openai'; did you mean 'base_uri'?
            3 |     base_url: https://example.test/v1
              |     ^^^^^^^^
        {path}:4:22: 'total' of 'timeout' of client 'openai' must be more than 0
            4 |     timeout: {{total: -1}}
              |                      ^^""")


def test_a_syntax_error_is_rendered_with_the_placeholder_underlined(tmp_path):
    path = write(tmp_path, "outgoing:\n  moderate: {payload: &{text}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == dedent(f"""\
        {path}:2:23: put quotes around a value with a placeholder in it: "&{{text}}"
            2 |   moderate: {{payload: &{{text}}}}
              |                       ^^^^^^^""")


def test_a_duplicate_key_is_rendered_with_the_first_line(tmp_path):
    path = write(tmp_path, "clients:\n  openai: {}\nclients: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == dedent(f"""\
        {path}:3:1: the key 'clients' stands here twice, first in line 1
            3 | clients: {{}}
              | ^^^^^^^""")


def test_a_configuration_given_as_data_names_the_path_instead_of_the_line():
    assert problems_of({"clients": {"openai": {"retry": {"attempts": 0}}}}) == [
        "clients.openai.retry.attempts: 'attempts' of 'retry' of client 'openai' must be at least 1"
    ]


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_data_that_is_no_mapping_is_refused(data):
    assert len(problems_of(data)) == 1


def test_data_that_contains_itself_is_refused():
    data: dict[str, Any] = {"clients": {}}
    data["clients"]["openai"] = data
    assert "nested" in problems_of(data)[0]


@pytest.mark.parametrize("value", [object(), {1: "a"}, {2}, b"bytes"])
def test_a_payload_holds_only_what_json_holds(value):
    assert (
        "payload"
        in problems_of({"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": {"x": value}}}})[0]
    )


def test_keys_that_are_no_text_are_refused_with_the_names_intact():
    found = problems_of(
        {"clients": {1: {}, "openai": {}}, "incoming": {"a": {"entity": "files", "client": "opena"}}}
    )
    assert found == [
        "clients.1: '1' in 'clients' must be text",
        "incoming.a.client: no client 'opena'; did you mean 'openai'?",
    ]


# -- files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfec\x00l\x00", "1:1: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"version: 1\nclients: {a: caf\xe9}\n", "2:17: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (
            b"version: 1\nclients: {a: \x07}\n",
            "2:14: the character U+0007 is not allowed; write an escape in double quotes",
        ),
        (b"#" * (1024 * 1024 + 1), "0:0: the file is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_text_is_refused(content, message, tmp_path):
    path = tmp_path / "connectory.yaml"
    path.write_bytes(content)
    assert [as_line(problem) for problem in lint(path)] == [message]


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert str(lint(tmp_path / "no.yaml")[0]) == (
        f"{tmp_path / 'no.yaml'}: there is no such file; `connectory init` writes one, or give the name of yours"
    )
    assert str(lint(tmp_path)[0]) == f"{tmp_path}: this is a folder; name the configuration file in it"


def test_a_byte_order_mark_and_windows_line_ends_change_no_position(tmp_path):
    path = tmp_path / "connectory.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\nclients:\r\n  openai: {tokn: x}\r\n")
    assert [as_line(problem) for problem in lint(path, None, {})] == [
        "3:12: unknown key 'tokn' in client 'openai'; did you mean 'token'?"
    ]


def test_json_is_read_with_tabs_and_escapes(tmp_path):
    data = {"clients": CLIENT, "outgoing": {"a": {"entity": "moderations", "payload": {"input": "é😀/\t"}}}}
    path = write(tmp_path, json.dumps(data, indent="\t").replace("/", "\\/"), "connectory.json")
    assert load_config(path).outgoing["a"].payload == {"input": "é😀/\t"}


def test_files_are_found_beside_the_configuration(tmp_path, monkeypatch):
    config = load_config(write(tmp_path, "catalogue: [own.json]\n"))
    assert config.file(config.catalogue[0]) == config.folder / "own.json" == tmp_path.resolve() / "own.json"
    monkeypatch.chdir(tmp_path)
    assert config_from_dict({}).folder == Path.cwd()


def test_a_client_may_be_shared_by_an_anchor(tmp_path):
    path = write(
        tmp_path,
        """\
        clients:
          one: &base {token: "${KEY}", retry: {attempts: 2}}
          two: {<<: *base, token: other}
        """,
    )
    config = load_config(path, environ={"KEY": "x"})
    assert (config.clients["two"].retry.attempts, config.clients["two"].token) == (2, SecretStr("other"))


# -- what it holds


def test_the_example_of_the_design_is_without_problems(tmp_path, catalogue):
    path = write(tmp_path, EXAMPLE)
    assert lint(path, catalogue, {}) == []
    config = load_config(path, environ={"OPENAI_API_KEY": "Bearer x"})
    assert config.clients["openai"].token == SecretStr("Bearer x")
    assert config.clients["openai"].organization is None
    assert config.routes == {"purge-old-files": ("files", "purge")}


def test_the_defaults_are_those_of_the_reference():
    config = config_from_dict(
        {"clients": {"a": {}}, "outgoing": {"o": {"entity": "x"}}, "incoming": {"i": {"entity": "x"}}}
    )
    client, incoming, outgoing = config.clients["a"], config.incoming["i"], config.outgoing["o"]
    assert (client.prototype, client.limits.concurrency) == ("openai", None)
    assert (client.timeout.connect, client.timeout.idle, client.timeout.total) == (10, 60, 600)
    assert (client.retry.attempts, client.retry.max_wait, client.retry.outage) == (4, 60, 300)
    assert (incoming.page_limit, outgoing.order, outgoing.concurrency) == (None, "input", None)
    assert not outgoing.has_payload
    assert not outgoing.has_result


@pytest.mark.parametrize("empty", [[], {}, None])
def test_an_empty_list_means_empty_parameters(empty):
    config = config_from_dict(
        {
            "clients": CLIENT,
            "incoming": {"i": {"entity": "x", "request_parameters": {"path": empty, "query": empty}}},
            "outgoing": {"o": {"entity": "x", "request_parameters": {"path": empty, "query": empty}}},
        }
    )
    assert config.incoming["i"].request_parameters.path == config.outgoing["o"].request_parameters.query == {}


def test_a_template_is_a_mapping_a_placeholder_or_an_empty_list():
    outgoing = {"a": {"entity": "x", "path": [], "query": "&{query}"}, "b": {"entity": "x", "path": {"a": 1}}}
    config = config_from_dict({"clients": CLIENT, "outgoing": outgoing})
    assert (config.outgoing["a"].path, config.outgoing["a"].query, config.outgoing["b"].path) == (
        {},
        "&{query}",
        {"a": 1},
    )


def test_sections_with_nothing_below_them_are_empty(tmp_path):
    config = load_config(
        write(tmp_path, "clients:\nincoming:\noutgoing:\nroutes:\ntransformers:\ncatalogue:\n")
    )
    assert (len(config.clients), len(config.incoming), len(config.routes), config.catalogue) == (0, 0, 0, ())


def test_a_null_payload_is_not_the_same_as_none():
    config = config_from_dict({"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": None}}})
    assert config.outgoing["a"].has_payload
    assert config.outgoing["a"].payload is None


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [({"method": "POST"}, ("POST",)), ({"methods": ["DELETE", "POST"]}, ("DELETE", "POST"))],
)
def test_a_raw_request_knows_its_methods(request_, allowed):
    config = config_from_dict({"clients": CLIENT, "outgoing": {"a": {"request": {**request_, "path": "/x"}}}})
    assert config.outgoing["a"].request is not None
    assert config.outgoing["a"].request.allowed == allowed


@pytest.mark.parametrize(("pagination", "pages"), [("all", None), ("first", 1), ({"pages": 3}, 3)])
def test_pagination_says_how_many_pages(pagination, pages):
    config = config_from_dict(
        {"clients": CLIENT, "incoming": {"a": {"entity": "x", "pagination": pagination}}}
    )
    assert config.incoming["a"].page_limit == pages


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ("a.pem", ("a.pem", None)),
        ({"certificate": "a.pem", "key": "b.pem"}, ("a.pem", "b.pem")),
        (None, None),
    ],
)
def test_a_client_certificate_is_one_file_or_two(written, files):
    assert (
        config_from_dict({"clients": {"a": {"client_certificate": written}}}).clients["a"].certificate_files
        == files
    )


def test_the_tree_cannot_be_changed():
    config = config_from_dict({"clients": {"openai": {"headers": {"X-A": "1"}}}})
    with pytest.raises(ValidationError):
        config.clients["openai"].prototype = "other"
    with pytest.raises(TypeError):
        config.clients["new"] = config.clients["openai"]  # pyright: ignore[reportIndexIssue] - this is the test
    with pytest.raises(TypeError):
        config.clients["openai"].headers["X-B"] = "2"  # pyright: ignore[reportIndexIssue] - this is the test


def test_the_configuration_keeps_nothing_of_the_data_it_was_made_of():
    payload = {"input": ["a"]}
    config = config_from_dict({"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": payload}}})
    payload["input"].append("b")
    assert config.outgoing["a"].payload == {"input": ["a"]}


def test_a_connection_uses_its_own_client_the_only_one_or_default():
    incoming = {"a": {"entity": "x", "client": "one"}, "b": {"entity": "x"}}
    config = config_from_dict({"clients": {"one": {}, "default": {}}, "incoming": incoming})
    assert [config.client_name(one) for one in config.incoming.values()] == ["one", "default"]
    assert config_from_dict({"clients": {"one": {}}}).client_name() == "one"
    with pytest.raises(ConfigError, match="which client"):
        config_from_dict({"clients": {"a": {}, "b": {}}}).client()
    with pytest.raises(ConfigError, match="no client is configured"):
        config_from_dict({}).client()
    with pytest.raises(UnknownNameError, match="did you mean 'one'"):
        config.client(config.incoming["a"].model_copy(update={"client": "onee"}))


# -- steps


@pytest.mark.parametrize(
    ("written", "name", "use", "options", "below"),
    [
        ("tidy", "tidy", None, None, ()),
        ({"keep_if": "a > `1`"}, "keep_if", None, "a > `1`", ("keep_if",)),
        ({"tidy": None}, "tidy", None, None, ("tidy",)),
        ({"use": "a.b:c"}, None, "a.b:c", None, ()),
        ({"use": "a:b.c", "options": {"x": 1}}, None, "a:b.c", {"x": 1}, ("options",)),
        ({"prototype": "set", "parameters": {"x": 1}}, "set", None, {"x": 1}, ("parameters",)),
        ({"prototype": "tidy"}, "tidy", None, None, ()),
    ],
)
def test_a_step_has_one_shape_whatever_its_form(written, name, use, options, below):
    config = config_from_dict(
        {"clients": CLIENT, "incoming": {"a": {"entity": "x", "transformers": ["first", written]}}}
    )
    step = config.incoming["a"].transformers[1]
    path = ("incoming", "a", "transformers", 1)
    assert (step.name, step.use, step.options) == (name, use, options)
    assert (step.path, step.options_path) == (path, (*path, *below))
    assert parse_step(written, path=path) == step


def test_a_step_points_into_the_file_under_the_name_that_was_written(tmp_path):
    path = write(
        tmp_path,
        """\
        clients: {openai: {}}
        incoming:
          files:
            entity: files
            transformer:
              - keep_if: 'a > b'
        """,
    )
    config = load_config(path)
    step = config.incoming["files"].input_transformers[0]
    assert str(config.problem(step.options_path, "no such field", offset=4, width=1)) == dedent(f"""\
        {path}:6:23: no such field
            6 |       - keep_if: 'a > b'
              |                       ^""")
    assert as_line(config.problem(step.path, "x", severity="warning")) == "6:9: warning: x"
    assert as_line(config.problem((*step.path, "nothing", "here"), "x")) == "6:9: x"


# -- the environment


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("${A}${B}", "1two"),
        ("x${A}y", "x1y"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NO:-d e}", "d e"),
        ("${NO:-}", ""),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("${NESTED}", "${A}"),
        ("$A", "$A"),
        ("${NO}", "${NO}"),
        ("${NO}${A}", "${NO}1"),
    ],
)
def test_a_reference_is_replaced_once(text, value):
    environ = {"A": "1", "B": "two", "EMPTY": "", "NESTED": "${A}"}
    config = config_from_dict({"clients": {"a": {"path_prefix": text}}}, environ=environ)
    assert config.clients["a"].path_prefix == value


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A-B}", "${A:=x}", "${A", "${A:-{x}}", "${ A }"])
def test_a_reference_that_is_none_is_a_problem(text):
    assert "has a '${' that is not ${NAME}" in problems_of({"clients": {"a": {"project": text}}})[0]


def test_keys_are_never_replaced():
    config = config_from_dict({"clients": {"a": {"deployments": {"${A}": "${A}"}}}}, environ={"A": "x"})
    assert config.clients["a"].deployments == {"${A}": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${V}", "&{secret}"),
        ("${V}", "?{secret}"),
        ("x ${V} y", "a &{secret} b"),
        ("&${V}", "{secret}"),
        ("${V}{secret}", "&"),
        ("${V}${W}", "&"),
        ("&${V}", "&{secret}"),
        ("?${V}", "{secret}"),
        ("${V}", "&&{secret}"),
        ("${NO:-&}{secret}", ""),
    ],
)
def test_nothing_from_the_environment_becomes_an_expression(text, value):
    data = {"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": {"input": text}}}}
    config = config_from_dict(data, environ={"V": value, "W": "{secret}"})
    rendered = compile_template(config.outgoing["a"].payload).render({"secret": "leaked"}, {})
    assert "leaked" not in rendered["input"]
    assert "{secret}" in rendered["input"]


def test_an_expression_beside_a_variable_still_works():
    data = {"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": {"input": "${V}: &{text}"}}}}
    config = config_from_dict(data, environ={"V": "a"})
    assert compile_template(config.outgoing["a"].payload).render({"text": "b"}, {}) == {"input": "a: b"}


def test_a_value_that_would_switch_an_expression_off_is_a_problem():
    data = {"clients": CLIENT, "outgoing": {"a": {"entity": "x", "payload": {"input": "${V}&{text}"}}}}
    assert "ends with '&' right before an expression" in problems_of(data, V="a&")[0]


def test_numbers_and_booleans_may_come_from_the_environment():
    data = {
        "clients": {"a": {"limits": {"concurrency": "${N}"}, "retry": {"max_wait": "${W:-1.5}"}}},
        "incoming": {"i": {"entity": "x", "disabled": "${D}", "pagination": {"pages": "${N}"}}},
    }
    config = config_from_dict(data, environ={"N": "8", "D": "true"})
    assert (config.clients["a"].limits.concurrency, config.clients["a"].retry.max_wait) == (8, 1.5)
    assert (config.incoming["i"].disabled, config.incoming["i"].page_limit) == (True, 8)
    assert problems_of({"clients": {"a": {"limits": {"concurrency": "${N}"}}}}, N="many") == [
        "clients.a.limits.concurrency: 'concurrency' of 'limits' of client 'a' must be a whole number, not text"
    ]


def test_an_unset_variable_is_a_problem_only_when_it_is_required(tmp_path):
    path = write(tmp_path, 'clients:\n  a: {token: "${KEY}", project: "${P}"}\n  b: {token: "${KEY}"}\n')
    config = load_config(path, environ={})
    assert [(one.path, one.variable) for one in config.unset] == [
        (("clients", "a", "token"), "KEY"),
        (("clients", "a", "project"), "P"),
        (("clients", "b", "token"), "KEY"),
    ]
    config.require(("incoming",))
    config.require(("clients", "a"), ignore=("token", "project"))
    with pytest.raises(ConfigError) as caught:
        config.require(("clients", "a"), ignore=("project",))
    assert [as_line(one) for one in caught.value.problems] == [
        "2:14: the environment variable 'KEY' is not set"
    ]


def test_the_environment_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setenv("CONNECTORY_TEST_PROJECT", "p")
    assert (
        config_from_dict({"clients": {"a": {"project": "${CONNECTORY_TEST_PROJECT}"}}}).clients["a"].project
        == "p"
    )


# -- secrets

CANARY = "hunter2canary"
LEAKS = [
    "clients: {a: {token: [CANARY]}}",
    "clients: {a: {tokn: CANARY}}",
    "clients: {a: {token: CANARY, zzz: 1}}",
    "clients: {a: {bearer: CANARY}}",
    "clients: {a: {api_key: CANARY}}",
    "clients: {a: {headers: {X: CANARY, 'Y Z': CANARY}}}",
    'clients: {a: {headers: {X: "CANARY\\nb"}}}',
    "clients: {a: {headers: [CANARY]}}",
    "clients: {a: {query: {key: [CANARY]}}}",
    "clients: {a: {base_uri: 'https://user:CANARY@example.test'}}",
    "clients: {a: {proxy: 'http://user:CANARY@example.test', zzz: 1}}",
    "clients: {a: {token_command: {x: CANARY}}}",
    "clients: {a: {admin_token: {x: CANARY}}}",
    "clients: {a: {token: CANARY}, b: c: d}",
    "clients: {token: CANARY}",
    "token: CANARY",
    'token: "CANARY',
    "clients:\n  a:\n    token: |\n      CANARY\n    zzz: 1\n",
    "x: &x {token: CANARY, zzz: 1}\nclients: {a: *x}",
    'clients: {a: {limits: {concurrency: "${SECRET}"}}}',
    'clients: {a: {base_uri: "${SECRET}"}}',
    'clients: {a: {prototype: "x", headers: {"A B": "${SECRET}"}}}',
    'clients: {a: {}}\noutgoing: {o: {entity: x, order: "${SECRET}"}}',
    "clients: {a: {token: sk-CANARY}}",
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_problem_shows_a_secret(text, tmp_path, catalogue):
    found = lint(write(tmp_path, text.replace("CANARY", CANARY)), catalogue, {"SECRET": CANARY})
    assert found
    for problem in found:
        assert CANARY not in str(problem)
        assert CANARY not in repr(problem)


def test_a_configuration_does_not_show_its_secrets():
    client = {
        "token": CANARY,
        "admin_token": CANARY,
        "headers": {"X": CANARY},
        "query": {"k": CANARY},
        "proxy": f"http://u:{CANARY}@localhost",
    }
    config = config_from_dict({"clients": {"a": client}})
    assert CANARY not in repr(config)
    assert CANARY not in str(config.clients)


def test_an_api_key_in_the_file_is_a_warning_wherever_it_stands(tmp_path):
    config = load_config(write(tmp_path, 'clients: {a: {headers: {X: "Bearer sk-0123456789"}}}\n'))
    (warning,) = lint_warnings(config)
    assert (warning.severity, warning.line, warning.column) == ("warning", 1, 28)
    assert "${OPENAI_API_KEY}" in warning.message
    assert (
        lint_warnings(
            load_config(write(tmp_path, 'clients: {a: {token: "${K}"}}'), environ={"K": "sk-0123456789"})
        )
        == []
    )


# -- the catalogue


def test_a_retired_entity_is_a_warning_that_names_its_replacement(tmp_path):
    entity = {
        "path": "/engines",
        "retired": True,
        "replacement": "models",
        "actions": {"read": {"kind": "list"}},
    }
    own = tmp_path / "own.json"
    own.write_text(
        json.dumps(
            {"format": 1, "source": {"title": "t", "version": "1"}, "entities": {"old.engines": entity}}
        )
    )
    found = lint(
        write(tmp_path, "clients: {a: {}}\nincoming: {x: {entity: old.engines}}\n"), Catalogue.load(own), {}
    )
    assert [as_line(problem) for problem in found] == [
        "2:24: warning: entity 'old.engines' is retired; use 'models'"
    ]


def test_lint_reads_the_catalogue_files_that_the_configuration_names(tmp_path, catalogue):
    path = write(tmp_path, "clients: {a: {}}\ncatalogue: [own.json]\nincoming: {x: {entity: own.things}}\n")
    assert ["own.json" in problem.message for problem in lint(path, catalogue, {})] == [True]
    entity = {"path": "/things", "actions": {"read": {"kind": "list"}}}
    own = {"format": 1, "source": {"title": "t", "version": "1"}, "entities": {"own.things": entity}}
    write(tmp_path, json.dumps(own), "own.json")
    assert lint(path, catalogue, {}) == []


def test_an_unset_entity_is_not_looked_up(catalogue):
    data = {"clients": {"a": {"prototype": "${P}"}}, "incoming": {"x": {"entity": "${E}"}}}
    assert check_against(config_from_dict(data, environ={}), catalogue) == []
    assert len(check_against(config_from_dict(data, environ={"P": "p", "E": "e"}), catalogue)) == 2


# -- the schema for editors


@pytest.fixture(scope="module")
def schema(catalogue: Catalogue) -> dict[str, Any]:
    return config_schema(catalogue)


def test_the_schema_is_valid_and_the_same_every_time(schema, catalogue):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.dumps(config_schema(catalogue)) == json.dumps(schema)


def test_every_key_of_a_model_has_a_description_with_its_default(schema):
    models = {name: one for name, one in schema["$defs"].items() if name[0].isupper()}
    assert len(models) > 20
    for model in [schema, *models.values()]:
        for name, described in model.get("properties", {}).items():
            text = described["description"]
            assert "(default: " in text or name in model.get("required", ()) or "required" in text, name
            assert "\n" not in text


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case["problems"]], ids=lambda case: case["case"]
)
def test_the_schema_accepts_what_is_without_problems(case, schema, tmp_path):
    data = load_config(write(tmp_path, case["yaml"]), environ={}).source
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({"clients": None, "incoming": {"a": {"transformer": ["x"], "pagination": {"pages": "${N}"}}}}, True),
        ({"clients": {"a": {"limits": {"concurrency": "${N:-3}"}, "timeout": {"total": 5}}}}, True),
        ({"outgoing": {"a": {"path": [], "query": "&{q}", "payload": [1], "identifier": ["a", "b"]}}}, True),
        ({"clients": {"a": {"tokn": "x"}}}, False),
        ({"clients": {"a": {"timeout": {"total": None}}}}, False),
        ({"clients": {"a": {"timeout": {"total": 0}}}}, False),
        ({"routes": {"a": ["x"]}}, False),
        ({"incoming": {"a": {"transformers": [{"use": "x"}]}}}, False),
        ({"incoming": {"a": {"transformers": [{"a": 1, "b": 2}]}}}, False),
        ({"version": 2}, False),
    ],
)
def test_the_schema_decides_as_the_models_do(data, valid, schema):
    assert jsonschema.Draft202012Validator(schema).is_valid(data) is valid


@pytest.mark.parametrize("name", [name for name in vars(connectory.config) if name.endswith("Config")])
def test_every_model_is_frozen_refuses_unknown_keys_and_hides_its_input(name):
    settings = getattr(connectory.config, name).model_config
    assert (settings["extra"], settings["frozen"], settings["hide_input_in_errors"]) == ("forbid", True, True)


# -- what is loaded


def test_ruamel_is_imported_only_when_a_file_is_read():
    code = "import sys, connectory.config as c; c.config_from_dict({}); assert not any(m.startswith('ruamel') for m in sys.modules)"
    root = Path(__file__).resolve().parent.parent
    environ = {"PYTHONPATH": f"{root / 'connector'}:{root / 'schemas'}"}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
