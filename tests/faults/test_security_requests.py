"""Where requests go and what may be in them (rows S3, S4, S7, S8, S10): what data says never changes it."""

from __future__ import annotations

import json

import pytest
from canary import canary, plant
from command import connectory
from connected import Server, connected, run
from echo_server import EchoServer

from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, ConnectoryError, CredentialsError, RequestError

TOKEN = canary("requests-token")
JSON = {"Content-Type": "application/json"}
ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data",
    "https://evil.test/v1/things",
    "//evil.test/v1/things",
    "/\\evil.test/v1/things",
    "\\\\evil.test\\v1",
    "http:evil.test/v1",
    "http:///evil.test/v1",
    "https://api.test@evil.test/v1/x",
    "https://api.test:444/v1/x",
    "https://api.test.evil.test/v1/x",
    "http://api.test/v1/x",
    "HTTPS://API.TEST.:443@evil.test/v1/x",
    "file:///etc/passwd",
    "gopher://api.test/v1/x",
    "https://api.test/v1/../../admin",
    "https://api.test/v1/%2e%2e/admin",
    "https://api.test/v10/x",
    "https://api.test\r\nHost: evil.test/v1/x",
    "https://api.test\tevil.test/v1/x",
    "",
]


def hosts(server):
    return {(one.url.scheme, one.url.host, one.url.port) for one in server.requests}


def outcomes(server, name, records, **connections):
    async def main():
        async with connected(server, **connections) as connector:
            return [result async for result in connector.outgoing(name, records)]

    return run(main)


@pytest.mark.fault(
    "S3", "A record's URL that is not below the client's own server is that record's error; nothing is sent."
)
@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_records_url_never_leads_elsewhere(url):
    server = Server()
    (result,) = outcomes(
        server, "raw", [{"url": url, "payload": {}}], outgoing={"raw": {"request": {"method": "POST"}}}
    )
    assert (result.status, result.error.kind, server.requests) == ("error", "request", [])


@pytest.mark.fault("S3", "A URL typed for a raw request is refused as well: it takes a path.")
@pytest.mark.parametrize("path", [one for one in ELSEWHERE if not one.startswith("https://api.test/v10")])
def test_a_raw_request_takes_no_other_server(path):
    server = Server()

    async def main():
        async with connected(server) as connector:
            await connector.request("GET", path)

    with pytest.raises(RequestError):
        run(main)
    assert server.requests == []


@pytest.mark.fault("S3", "A value that fills a path parameter stays one segment of the path, or is refused.")
@pytest.mark.parametrize(
    "value", [one for one in ELSEWHERE if one] + ["..", "%2e%2e", "a/../../b", "x?y=z#w"]
)
def test_a_path_value_stays_one_segment(value):
    server = Server()
    (result,) = outcomes(
        server,
        "raw",
        [{"at": value}],
        outgoing={
            "raw": {"request": {"method": "POST", "path": "/things/{id}/run"}, "path": {"id": "&{at}"}}
        },
    )
    if result.ok:
        assert hosts(server) == {("https", "api.test", None)}
        segments = server.requests[0].url.raw_path.split(b"/")
        assert (len(segments), segments[:3], segments[4]) == (5, [b"", b"v1", b"things"], b"run")
        assert b"?" not in segments[3]
    else:
        assert server.requests == []


@pytest.mark.fault("S4", "The method comes from the connection's list; another one is that record's error.")
@pytest.mark.parametrize(
    "method", ["DELETE", "post", "CONNECT", "TRACE", "POST /x HTTP/1.1\r\nHost: e", 1, None, ["POST"]]
)
def test_a_record_chooses_among_the_methods_of_the_list_only(method):
    server = Server()
    raw = {"request": {"methods": ["POST", "PUT"], "path": "/things"}}
    (result,) = outcomes(server, "raw", [{"method": method, "payload": {}}], outgoing={"raw": raw})
    assert (result.status, server.requests) == ("error", [])
    assert "allowed are POST, PUT" in result.error.message


@pytest.mark.fault("S4", "Columns that look like a client's settings are only data.")
def test_a_record_chooses_no_host_and_no_credentials():
    server = Server()
    record = {
        "host": "evil.test",
        "base_uri": "http://evil.test",
        "client": "other",
        "scheme": "http",
        "token": "x",
        "url": "/things",
        "headers": {
            "Host": "evil.test",
            "Authorization": "Bearer x",
            "Cookie": "c",
            "X-Own": "1",
            "api-key": "k",
        },
        "payload": {},
    }
    (result,) = outcomes(server, "raw", [record], outgoing={"raw": {"request": {"method": "POST"}}})
    (request,) = server.requests
    assert result.ok
    assert hosts(server) == {("https", "api.test", None)}
    assert (request.headers["host"], request.headers["authorization"]) == ("api.test", "Bearer made-up")
    assert (request.headers["x-own"], "cookie" in request.headers, "api-key" in request.headers) == (
        "1",
        False,
        False,
    )


@pytest.mark.fault(
    "S4", "A record's header with a line break, or any character that no header has, is refused unseen."
)
@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\0b", "naïve", "\x7f"])
@pytest.mark.parametrize("where", ["value", "name"])
def test_a_records_header_injects_nothing(value, where):
    server = Server()
    headers = {"X-Own": f"private-{value}"} if where == "value" else {f"X-{value}": "1"}
    record = {"url": "/things", "headers": headers, "payload": {}}
    (result,) = outcomes(server, "raw", [record], outgoing={"raw": {"request": {"method": "POST"}}})
    assert (result.status, server.requests) == ("error", [])
    assert "private-" not in result.error.message


@pytest.mark.fault(
    "S4", "A header of the configuration with a line break is refused, and its value is not shown."
)
@pytest.mark.parametrize("key", ["headers", "organization", "project", "webhook"])
def test_a_configured_header_injects_nothing(key):
    value = f"{TOKEN}\r\nX-Injected: 1"
    client = {"headers": {"X-Own": value}} if key == "headers" else {key: value}
    data = {"version": 1, "clients": {"a": client if key != "webhook" else {}}}
    if key == "webhook":
        data["incoming"] = {
            "i": {"entity": "files", "output": {"webhook": "https://h/x", "headers": {"X": value}}}
        }
    for given in (data, json.loads(json.dumps(data).replace(json.dumps(value), '"${CANARY}"'))):
        with pytest.raises(ConfigError, match="line break or another control character") as caught:
            config_from_dict(given, environ={"CANARY": value})
        assert TOKEN not in repr(caught.value.problems)


@pytest.mark.fault("S4", "A token with a line break inside is refused before anything is sent.")
def test_a_token_injects_nothing():

    server = Server()

    async def main():
        client = {"base_uri": "https://api.test/v1", "token": f"{TOKEN}\r\nX-Injected: 1"}
        async with AsyncConnector.from_dict({"version": 1, "clients": {"a": client}}) as connector:
            await connector.request("GET", "/things")

    with pytest.raises(CredentialsError) as caught:
        run(main)
    assert TOKEN not in str(caught.value)
    assert server.requests == []


def redirecting(status, location):
    return lambda _asked: (status, {**JSON, "Location": location}, b"{}")


@pytest.mark.fault(
    "S3",
    "A redirect, to the same server or another, is an error that names the other host; nobody follows it.",
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["elsewhere", "same", "//", "file"])
def test_no_redirect_is_followed(tmp_path, status, where):
    with EchoServer(lambda _asked: (200, JSON, b"{}")) as other:
        location = {
            "elsewhere": f"{other.uri}/v1/things",
            "//": f"//127.0.0.1:{other.port}/v1/things",
            "same": "/v1/other",
            "file": "file:///etc/passwd",
        }[where]
        with EchoServer(redirecting(status, location)) as server:
            plant(
                tmp_path / "connectory.yaml",
                f'version: 1\nclients: {{a: {{base_uri: "{server.uri}/v1", token: {TOKEN}}}}}\n',
            )
            done = connectory("request", "POST", "/things", "--payload", "{}", folder=tmp_path)
        assert (done.code, len(server.asked), other.asked) == (1, 1, [])
        assert "a redirect" in done.said
        assert "never followed" in done.said


@pytest.mark.fault("S10", "Proxies that the environment names see nothing, and neither does a netrc file.")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_of_the_environment_are_not_used(tmp_path, scheme):
    with (
        EchoServer(lambda _asked: (200, JSON, b'{"data": []}')) as server,
        EchoServer(lambda _asked: (502, {}, b"")) as proxy,
    ):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password other\n")
        base = server.uri if scheme == "http" else f"https://127.0.0.1:{server.port}"
        plant(
            tmp_path / "connectory.yaml",
            f'version: 1\nclients: {{a: {{base_uri: "{base}/v1", token: {TOKEN}, retry: {{attempts: 1}}}}}}\n',
        )
        environ = {
            name: proxy.uri
            for one in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
            for name in (one, one.lower())
        }
        done = connectory("request", "GET", "/things", folder=tmp_path, HOME=str(tmp_path), **environ)
    assert proxy.asked == []
    if scheme == "http":
        assert done.code == 0, done.said
        assert server.asked[0]["headers"]["authorization"] == f"Bearer {TOKEN}"
    else:  # no TLS there: it was asked directly, and the proxy was not
        assert done.code != 0


@pytest.mark.fault("S10", "`check` shows the proxy that is used, without its credentials.")
def test_check_shows_the_proxy(tmp_path):
    password = canary("proxy-password")
    with EchoServer(lambda _asked: (200, JSON, b'{"data": []}')) as proxy:
        plant(
            tmp_path / "connectory.yaml",
            f'version: 1\nclients: {{a: {{base_uri: "http://localhost:1/v1", token: {TOKEN}, '
            f'proxy: "http://user:{password}@127.0.0.1:{proxy.port}"}}}}\n',
        )
        done = connectory("check", folder=tmp_path)
    assert done.code == 0, done.said
    assert f"proxy    127.0.0.1:{proxy.port}\n" in done.said
    assert proxy.asked[0]["headers"]["proxy-authorization"].startswith("Basic ")


@pytest.mark.fault("S7", "Certificates are always checked: whoever asks for less hears of `ca_file`.")
@pytest.mark.parametrize(
    "key", ["verify", "verify_ssl", "ssl_verify", "insecure", "tls-verify", "skip_verify"]
)
def test_no_key_turns_the_checking_of_certificates_off(key):
    with pytest.raises(ConfigError, match=r"certificates are always checked: .*'ca_file'"):
        config_from_dict({"version": 1, "clients": {"a": {key: False}}})


EXPOSED = [
    ({"token": TOKEN}, "its token"),
    ({"token": "${UNSET_TOKEN}"}, "its token"),
    ({"admin_token": TOKEN}, "its admin_token"),
    ({"token_file": "token.txt"}, "its token"),
    ({"token_command": "print-token"}, "its token"),
    ({"headers": {"X-Api-Key": TOKEN}}, "its header 'X-Api-Key'"),
    ({"query": {"sig": TOKEN}}, "its query parameter 'sig'"),
]


@pytest.mark.fault(
    "S8", "A credential that would go over http:// to another machine stops at the configuration."
)
@pytest.mark.parametrize(("settings", "what"), EXPOSED)
@pytest.mark.parametrize(
    "host", ["10.0.0.5:8000", "llm.internal", "192.168.1.2", "[fd00::1]:80", "localhost.evil.test"]
)
def test_no_credential_crosses_a_network_in_the_clear(settings, what, host):
    client = {"base_uri": f"http://{host}/v1", **settings}
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"version": 1, "clients": {"a": client}}, environ={})
    message = str(caught.value)
    assert f"{what} would cross the network in the clear" in message
    assert "https://" in message
    assert "allow_http: true" in message
    assert TOKEN not in message
    assert config_from_dict({"version": 1, "clients": {"a": {**client, "allow_http": True}}}, environ={})


@pytest.mark.fault(
    "S8", "This machine may be spoken to over http://, and so may any server without a credential."
)
@pytest.mark.parametrize(
    "client",
    [
        {"base_uri": "http://localhost:8000/v1", "token": TOKEN},
        {"base_uri": "http://LOCALHOST./v1", "token": TOKEN},
        {"base_uri": "http://127.0.0.1/v1", "token": TOKEN},
        {"base_uri": "http://127.9.9.9/v1", "token": TOKEN},
        {"base_uri": "http://[::1]:1/v1", "token": TOKEN},
        {"base_uri": "http://vllm.localhost/v1", "token": TOKEN},
        {"base_uri": "http://10.0.0.5/v1"},
        {"base_uri": "http://10.0.0.5/v1", "token": ""},
        {"base_uri": "http://10.0.0.5/v1", "headers": {"X-Team": "red"}},
        {"base_uri": "https://10.0.0.5/v1", "token": TOKEN},
        {"proxy": "http://10.0.0.5:3128", "token": TOKEN},
        {"proxy": "http://user:password@localhost:3128", "token": TOKEN},
    ],
)
def test_what_stays_on_this_machine_or_holds_no_credential_may_be_http(client):
    assert config_from_dict({"version": 1, "clients": {"a": client}}).clients["a"].base_uri == client.get(
        "base_uri"
    )


@pytest.mark.fault("S8", "A proxy's password is treated alike.")
def test_a_proxys_password_does_not_cross_a_network_in_the_clear():
    client = {"proxy": "http://user:canary-password@10.0.0.5:3128"}
    with pytest.raises(ConfigError, match="'proxy' of client 'a' has a user") as caught:
        config_from_dict({"version": 1, "clients": {"a": client}})
    assert "canary-password" not in str(caught.value)
    assert config_from_dict({"version": 1, "clients": {"a": {**client, "allow_http": True}}})


@pytest.mark.fault("S8", "A token that a program gives is refused alike.")
def test_a_program_gets_the_same_answer():

    with pytest.raises(ConnectoryError, match="in the clear"):
        AsyncConnector.openai(token=TOKEN, base_uri="http://10.0.0.5/v1")
