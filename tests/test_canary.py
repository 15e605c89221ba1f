"""A secret in every field that can hold one, and every way in which a run can end: it comes out nowhere (row S1)."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback

import pytest
from canary import canary, leaks, plant
from command import connectory
from connected import run
from echo_server import EchoServer, escaped, ok, page, portal, refused, stream, unauthorized

from connectory.cli.setup import run_loop
from connectory.config import config_from_dict, load_config
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, ConnectoryError

FIELDS = {
    name: canary(name)
    for name in (
        "token",
        "admin",
        "file",
        "command",
        "header",
        "header-env",
        "bearer",
        "query",
        "query-env",
        "proxy",
        "hook-path",
        "hook-query",
        "hook-header",
        "option",
    )
}
ENVIRON = {
    "CANARY_TOKEN": FIELDS["token"],
    "CANARY_TEAM": FIELDS["header-env"],
    "CANARY_TENANT": FIELDS["query-env"],
    "CANARY_OPTION": FIELDS["option"],
    "CONNECTORY_ALLOW_COMMANDS": "1",
}
LEAKY = """
import os
from connectory import Context


class Local:
    pass


def show(record: dict, *, api_key: str) -> dict:
    return {**record, "key": api_key, "token": os.environ["CANARY_TOKEN"]}


def fail(record: dict, *, api_key: str) -> dict:
    secret = os.environ["CANARY_TOKEN"]
    try:
        raise KeyError(secret)
    except KeyError as error:
        error.add_note(f"note: {secret}")
        raise ValueError({"key": [api_key, secret]}) from error


def bug(record: dict, *, api_key: str) -> dict:
    raise BaseException(f"{api_key} and {os.environ['CANARY_TOKEN']}")
"""
CONFIGURATION = """
version: 1
clients:
  default:
    base_uri: {uri}/v1
    token: "${{CANARY_TOKEN}}"
    admin_token: {admin}
    headers: {{x-api-key: {header}, x-team: "${{CANARY_TEAM}}", x-other-auth: "Basic {bearer}"}}
    query: {{sig: {query}, tenant: "${{CANARY_TENANT}}"}}
    retry: {{attempts: 2, max_wait: 0}}
    timeout: {{connect: 5, total: 30}}
  filed: {{base_uri: "{uri}/v1", token_file: token.txt, retry: {{attempts: 1}}}}
  commanded: {{base_uri: "{uri}/v1", token_command: {command}, retry: {{attempts: 1}}}}
  proxied: {{base_uri: "http://localhost:1/v1", proxy: "http://user:{proxy}@{host}", token: x, retry: {{attempts: 1}}}}
  tls: {{base_uri: "https://{host}/v1", token: "${{CANARY_TOKEN}}", retry: {{attempts: 1}}}}
  away: {{base_uri: "http://127.0.0.1:1/v1", token: "${{CANARY_TOKEN}}", retry: {{attempts: 1, outage: 1}}}}
incoming:
  things: {{request: {{path: /things}}}}
  shown-items: {{request: {{path: /things}}, transformers: [{{use: "leaky:show", options: {{api_key: "${{CANARY_OPTION}}"}}}}]}}
  failing-items: {{request: {{path: /things}}, transformers: [{{use: "leaky:fail", options: {{api_key: "${{CANARY_OPTION}}"}}}}]}}
outgoing:
  post: {{request: {{method: POST, path: /things}}, payload: "&{{@}}"}}
  shaped:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    result: {{headers: "&{{http.headers}}", response: "&{{response}}"}}
  shown:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    response_transformers: [{{use: "leaky:show", options: {{api_key: "${{CANARY_OPTION}}"}}}}]
  failing:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    transformers: [{{use: "leaky:fail", options: {{api_key: "${{CANARY_OPTION}}"}}}}]
  dying:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    transformers: [{{use: "leaky:bug", options: {{api_key: "${{CANARY_OPTION}}"}}}}]
  chat: {{entity: chat.completions, stream: events, validate: "off", payload: "&{{@}}"}}
  hooked:
    request: {{method: POST, path: /things}}
    payload: "&{{@}}"
    output:
      webhook: "{hook}/T0/{hook_path}?key={hook_query}"
      headers: {{x-api-key: {hook_header}}}
"""


def project(folder, server, hook="http://127.0.0.1:1"):
    """Write a configuration that has every field."""
    names = {name.replace("-", "_"): value for name, value in FIELDS.items()}
    plant(folder / "secret.py", f"print({FIELDS['command']!r})")
    command = json.dumps([sys.executable, str(folder / "secret.py")])
    text = CONFIGURATION.format(
        uri=server.uri, host=f"127.0.0.1:{server.port}", hook=hook, **{**names, "command": command}
    )
    plant(folder / "connectory.yaml", text)
    plant(folder / "token.txt", FIELDS["file"])
    (folder / "leaky.py").write_text(LEAKY)
    (folder / "posts.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    return folder


def clean(*texts):
    for text in texts:
        assert leaks(text, FIELDS.values()) == []


OUTCOMES = {
    "ok": (ok, 0),
    "escaped": (escaped, 0),
    "401": (unauthorized, 4),
    "400": (refused, 1),
    "500": (page, 1),
    "portal": (portal, 1),
    "stream": (stream, 0),
}
COMMANDS = {
    "run outgoing": ("run", "outgoing", "post", "--input", "posts.jsonl"),
    "run outgoing, shaped": (
        "run",
        "outgoing",
        "shaped",
        "--input",
        "posts.jsonl",
        "--output",
        "results.jsonl",
    ),
    "run outgoing, streamed": ("run", "outgoing", "chat", "--input", "posts.jsonl"),
    "run incoming": ("run", "incoming", "things"),
    "read": ("read", "model", "--path", "model=m"),
    "create": ("create", "moderations", "--payload", '{"input": "x"}'),
    "request, token_file": ("request", "POST", "/things", "--payload", "{}", "--client", "filed"),
    "request, token_command": ("request", "GET", "/things", "--client", "commanded"),
    "check": ("check", "default"),
}
MATRIX = [("run outgoing", outcome) for outcome in OUTCOMES] + [
    (command, outcome) for command in [*COMMANDS][1:] for outcome in ("ok", "400", "stream")
]


@pytest.mark.fault(
    "S1",
    "Secrets in every field of the configuration, and a server that says them back in every form: results, dead "
    "letters, messages, logs and exceptions show stars.",
)
@pytest.mark.parametrize(("command", "outcome"), MATRIX)
def test_what_a_server_says_back_is_blanked(tmp_path, command, outcome):
    respond, code = OUTCOMES[outcome]
    with EchoServer(respond) as server:
        done = connectory(
            *COMMANDS[command], folder=project(tmp_path, server), **ENVIRON
        )  # which searches what came out
    assert server.asked
    if command == "run outgoing":
        assert done.code == code, done.said
    clean(done.out, done.said)


@pytest.mark.fault(
    "S1", "With `--log-format json` and every line told, no field of the log holds a secret either."
)
@pytest.mark.parametrize("outcome", ["escaped", "400"])
def test_a_log_of_json_that_tells_everything_shows_no_secret(tmp_path, outcome):
    respond, code = OUTCOMES[outcome]
    options = ("--log-format", "json", "--log-level", "debug")
    with EchoServer(respond) as server:
        done = connectory(*COMMANDS["run outgoing"], *options, folder=project(tmp_path, server), **ENVIRON)
        broken = connectory(
            *("run", "outgoing", "dying", "--input", "posts.jsonl"),
            *options,
            folder=tmp_path,
            traceback=True,
            **ENVIRON,
        )
    assert (done.code, broken.code) == (code, 70)
    lines = [json.loads(line) for line in (done.said + broken.said).splitlines()]
    assert {"request", "record", "error"} <= {line["event"] for line in lines}
    assert "BaseException: **** and ****" in lines[-1]["exception"]
    clean(done.out, done.said, broken.out, broken.said)


@pytest.mark.parametrize("client", ["proxied", "tls", "away"])
def test_a_server_that_is_not_reached_is_told_without_secrets(tmp_path, client):
    with EchoServer(page) as server:
        done = connectory(
            "request", "GET", "/things", "--client", client, folder=project(tmp_path, server), **ENVIRON
        )
    assert done.code in {1, 3, 5}
    clean(done.out, done.said)


@pytest.mark.parametrize("name", ["shown", "failing"])
def test_what_a_transformer_shows_is_blanked(tmp_path, name):
    with EchoServer(ok) as server:
        words = ("run", "outgoing", name, "--input", "posts.jsonl")
        done = connectory(*words, folder=project(tmp_path, server), **ENVIRON)
        items = connectory("run", "incoming", f"{name}-items", folder=tmp_path, **ENVIRON)
    assert "****" in done.out
    assert "****" in items.out + items.said
    clean(done.out, done.said, items.out, items.said)


def test_a_bug_is_told_with_a_traceback_that_shows_no_secret(tmp_path):
    with EchoServer(ok) as server:
        words = ("run", "outgoing", "dying", "--input", "posts.jsonl")
        done = connectory(*words, folder=project(tmp_path, server), traceback=True, **ENVIRON)
    assert done.code == 70
    assert "BaseException: **** and ****" in done.said
    clean(done.out, done.said)


@pytest.mark.parametrize("kind", ["outgoing post --input posts.jsonl", "outgoing failing", "incoming things"])
def test_a_preview_shows_no_secret(tmp_path, kind):
    with EchoServer(ok) as server:
        done = connectory(
            "preview", *kind.split(), folder=project(tmp_path, server), stdin='{"id": 1}\n', **ENVIRON
        )
    assert "****" in done.out
    clean(done.out, done.said)


@pytest.mark.parametrize("answers", [refused, page])
def test_a_webhook_that_refuses_is_told_by_its_host_alone(tmp_path, answers):
    with EchoServer(ok) as server, EchoServer(answers) as hook:
        words = ("run", "outgoing", "hooked", "--input", "posts.jsonl")
        done = connectory(*words, folder=project(tmp_path, server, hook.uri), **ENVIRON)
    assert FIELDS["hook-path"] in hook.asked[0]["line"]
    assert FIELDS["hook-header"] in hook.asked[0]["headers"]["x-api-key"]
    assert "does not take the results" in done.said
    clean(done.out, done.said, json.dumps([one["body"] for one in hook.asked]))


def test_a_webhook_that_is_away_is_told_by_its_host_alone(tmp_path):
    with EchoServer(ok) as server:
        words = ("run", "outgoing", "hooked", "--input", "posts.jsonl")
        done = connectory(*words, folder=project(tmp_path, server), **ENVIRON)
    assert "does not take the results" in done.said
    clean(done.out, done.said)


# Configurations that are wrong

SECRET = canary("written")
SK = "sk-proj-" + SECRET
NUMBER = "73519284650193847561"
RIGHT = {"a header outside ascii", "a line break", "in a proxy"}
"""What only the client itself finds wrong, when it is made."""

MISTAKES = {
    "mistyped key": 'version: 1\nclients: {a: {tokne: "SK"}}\n',
    "mistyped key, plain": "version: 1\nclients:\n  a:\n    tokne: SECRET\n",
    "a list": "version: 1\nclients: {a: {token: [SECRET]}}\n",
    "a mapping": "version: 1\nclients: {a: {token: {value: SECRET}}}\n",
    "no quotes": "version: 1\nclients: {a: {token: ${SECRET}}}\n",
    "a line break": 'version: 1\nclients: {a: {token: "SECRET\\nmore"}}\n',
    "a header with a line break": 'version: 1\nclients: {a: {headers: {x: "SECRET\\r\\nY: z"}}}\n',
    "a header that is no text": "version: 1\nclients: {a: {headers: {x-api-key: [SECRET]}}}\n",
    "a header outside ascii": 'version: 1\nclients: {a: {headers: {x-api-key: "SECRETé"}}}\n',
    "a default": "version: 1\nclients: {a: {token: ${KEY:-SECRET}}}\n",
    "in a query": 'version: 1\nclients: {a: {base_uri: "https://host/v1?key=SECRET"}}\n',
    "in base_uri": 'version: 1\nclients: {a: {base_uri: "https://u:SECRET@host/", token: x}}\n',
    "in the clear": "version: 1\nclients: {a: {base_uri: 'http://10.0.0.1', token: SECRET}}\n",
    "in a proxy": 'version: 1\nclients: {a: {proxy: "socks5://u:SECRET@localhost", token: x}}\n',
    "twice": "version: 1\nclients:\n  a:\n    token: SECRET\n    token: SECRET\n",
    "never closed": 'version: 1\nclients:\n  a:\n    token: "SECRET\n    x: 1\n',
    "no client": "version: 1\ntoken: SECRET\n",
    "a client that is a text": "version: 1\nclients: {a: SECRET}\n",
    "a webhook": 'version: 1\nincoming: {a: {entity: files, output: {webhook: "ftp://h/SECRET"}}}\n',
    "a number": "version: 1\nclients: {a: {token: 73519284650193847561}}\n",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_beside_a_secret_is_told_without_it(tmp_path, name):
    text = MISTAKES[name].replace("SECRET", SECRET).replace("SK", SK)
    plant(tmp_path / "connectory.yaml", text)
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3 or name in RIGHT, done.said
    assert leaks(done.out + done.said, [SECRET, NUMBER]) == []


def test_a_token_with_a_line_break_in_the_environment_is_refused_and_not_shown(tmp_path):
    plant(tmp_path / "connectory.yaml", 'version: 1\nclients: {a: {token: "${CANARY}"}}\n')
    done = connectory("check", folder=tmp_path, CANARY=f"{SECRET}\nX-Injected: {SECRET}")
    assert done.code == 4
    assert "the token holds a space, a line break" in done.said
    assert leaks(done.said, [SECRET]) == []


# Python


def told(error):
    """Give all that an exception, and those behind it, can be made to say."""
    seen, waiting, texts = set(), [error], []
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return "\n".join(texts)


def config_of(server, **settings):
    client = {
        "base_uri": f"{server.uri}/v1",
        "token": FIELDS["token"],
        "headers": {"x-api-key": FIELDS["header"]},
        "query": {"sig": FIELDS["query"]},
        "retry": {"attempts": 2, "max_wait": 0},
        **settings,
    }
    raw = {"method": "POST", "path": "/things"}
    return {
        "version": 1,
        "clients": {"a": client},
        "outgoing": {"post": {"request": raw, "payload": "&{@}"}},
        "incoming": {"things": {"request": {"path": "/things"}}},
    }


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_exceptions_results_events_and_logs_show_no_secret(outcome, caplog):
    heard = []

    async def main(server):
        texts = []
        async with AsyncConnector.from_dict(config_of(server), listen=heard.append) as connector:
            client = connector.client()
            texts += [repr(connector.config), repr(client.options), repr(client.options.credential)]
            try:
                answer = await connector.request("POST", "/things", payload={"a": 1})
                texts += [repr(answer), repr(answer.headers)]
            except ConnectoryError as error:
                texts += [told(error), "".join(traceback.format_exception(error))]
                captured = traceback.TracebackException.from_exception(error, capture_locals=True)
                texts.append("".join(captured.format()))
            try:
                texts += [repr(result.as_dict()) + told(result.cause or ValueError())
                          async for result in connector.outgoing("post", [{"id": 1}])]  # fmt: skip
            except ConnectoryError as error:
                texts.append(told(error))
            try:
                texts += [repr(record) async for record in connector.incoming("things")]
            except ConnectoryError as error:
                texts.append(told(error))
        async with AsyncConnector.from_dict(config_of(server)) as connector:  # events to the log
            try:
                texts.append(repr(await connector.request("DELETE", "/things")))
            except ConnectoryError as error:
                logging.getLogger("connectory").exception("it failed")
                texts.append(told(error))
        return texts

    with caplog.at_level("DEBUG"), EchoServer(OUTCOMES[outcome][0]) as server:
        texts = run(lambda: main(server))
    clean(*texts, repr(heard), caplog.text, repr([record.__dict__ for record in caplog.records]))


def test_a_token_that_is_read_again_is_blanked_too(tmp_path):
    old, new = canary("before"), canary("after")
    file = plant(tmp_path / "token", old)

    def rotate(asked):
        plant(file, new)
        return unauthorized(asked)

    async def main(server):
        config = config_of(server, token_file=str(file))
        del config["clients"]["a"]["token"]
        async with AsyncConnector.from_dict(config) as connector:
            with pytest.raises(ConnectoryError) as caught:
                await connector.request("GET", "/things")
        return told(caught.value)

    with EchoServer(rotate) as server:
        text = run(lambda: main(server))
    assert [one["headers"]["authorization"] for one in server.asked] == [f"Bearer {old}", f"Bearer {new}"]
    assert leaks(text, [old, new]) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_configuration_that_is_wrong_raises_without_the_secret(tmp_path, name):
    path = plant(tmp_path / "connectory.yaml", MISTAKES[name].replace("SECRET", SECRET).replace("SK", SK))
    try:
        config = load_config(path, environ={})
    except ConfigError as error:
        texts = [told(error), repr(error.problems), "".join(traceback.format_exception(error))]
    else:
        texts = [repr(config), str(config)]
    assert leaks("\n".join(texts), [SECRET, NUMBER]) == []


def test_secrets_of_one_client_are_blanked_in_the_answers_of_another():
    async def main(server):
        config = config_of(server)
        config["clients"]["default"] = {"base_uri": f"{server.uri}/v1", "token": "another-token"}
        async with AsyncConnector.from_dict(config) as connector:
            return await connector.request("POST", "/x", payload={"said": FIELDS["token"]})

    with EchoServer(ok) as server:
        answer = run(lambda: main(server))
    assert server.asked[0]["headers"]["authorization"] == "Bearer another-token"
    assert leaks(repr(answer.value), [FIELDS["token"], "another-token"]) == []


def test_a_task_that_dies_unheard_is_logged_without_secrets(caplog):
    config = config_from_dict({"clients": {"a": {"token": FIELDS["token"]}}})

    async def main():
        error = ValueError(FIELDS["token"])
        asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": error})

    run_loop(main)
    assert "ValueError: ****" in caplog.text
    clean(caplog.text)
    assert config
