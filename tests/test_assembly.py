from __future__ import annotations

import asyncio
import os
import ssl

import httpx
import pytest
import trustme

from connectory.assembly import Assembly, Endpoint, problems, raw_call
from connectory.catalogue import Catalogue
from connectory.client import Client
from connectory.config import config_from_dict, load_config
from connectory.errors import ConfigError, RequestError, UnknownNameError
from connectory.pace.lanes import Limits
from connectory.requests.building import Call
from connectory.requests.parameters import Given
from connectory.retry import Policy

CATALOGUE = Catalogue.load()
TOKEN = "sk-made-up-1234"
RUN = {"id": "r1", "started_at": 0}


def assembly(data, **options):
    return Assembly(config_from_dict({"version": 1, **data}), CATALOGUE, **options)


def one_client(**settings):
    options = {"endpoint": settings.pop("endpoint")} if "endpoint" in settings else {}
    return assembly({"clients": {"ours": {"token": TOKEN, **settings}}}, **options)


def client_options(**settings):
    return one_client(**settings).clients.options("ours")


def connections(**sections):
    return assembly({"clients": {"ours": {"token": TOKEN}}, **sections})


def request_of(one, call):
    return Client(one.clients.options("ours"), httpx.MockTransport(lambda _: httpx.Response(200))).prepare(
        call
    )


# Clients


@pytest.mark.parametrize(
    ("settings", "base_uri"),
    [
        ({}, "https://api.openai.com/v1"),
        ({"base_uri": ""}, "https://api.openai.com/v1"),
        ({"base_uri": "https://api.openai.com/v1/"}, "https://api.openai.com/v1"),
        ({"base_uri": "https://host"}, "https://host/v1"),
        ({"base_uri": "https://host/"}, "https://host/v1"),
        ({"base_uri": "https://host/api/v3"}, "https://host/api/v3"),
        ({"base_uri": "https://host", "path_prefix": ""}, "https://host"),
        ({"base_uri": "https://host/", "path_prefix": "/"}, "https://host"),
        ({"base_uri": "https://host", "path_prefix": "api/v2/"}, "https://host/api/v2"),
        ({"base_uri": "https://host/gate", "path_prefix": "/v2"}, "https://host/gate/v2"),
        ({"base_uri": "HTTP://[::1]:8080"}, "http://[::1]:8080/v1"),
        ({"base_uri": "https://x.test", "prototype": "azure-openai"}, "https://x.test/openai"),
        (
            {"base_uri": "http://localhost:11434", "prototype": "openai-compatible"},
            "http://localhost:11434/v1",
        ),
    ],
)
def test_a_base_uri_without_a_path_gets_the_prototypes(settings, base_uri):
    assert client_options(**settings).base_uri == base_uri


@pytest.mark.parametrize(
    "base_uri",
    [
        "http://user:secret@host/v1",
        "http://user@host/v1",
        "https://host/v1?key=secret",
        "https://host/v1#secret",
        "host/v1",
        "file:///etc",
        "http://",
        "https://host:port",
        "http://ho\nst",
    ],
)
def test_a_base_uri_is_scheme_host_and_path_only(base_uri):
    with pytest.raises(ConfigError, match="'base_uri' of client 'ours'") as caught:
        client_options(base_uri=base_uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["/v1?key=x", "v1#x"])
def test_a_path_prefix_is_a_path_only(prefix):
    with pytest.raises(ConfigError, match=r"clients\.ours\.path_prefix: 'path_prefix' .* is no path"):
        client_options(path_prefix=prefix)


def test_a_prototype_without_a_server_needs_a_base_uri():
    with pytest.raises(ConfigError, match="client 'ours' needs a base_uri"):
        client_options(prototype="openai-compatible")


def test_a_prototype_that_is_unknown_is_suggested():
    with pytest.raises(UnknownNameError, match="no client prototype 'openal'; did you mean 'openai'"):
        client_options(prototype="openal")


def test_organization_and_project_are_headers_only_when_they_are_set():
    headers = client_options(organization="org-1", project=" proj-1\n").headers
    assert headers == {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}
    assert client_options(organization="", project="  ").headers == {}


def test_a_users_header_replaces_another_of_its_name_in_any_case():
    given = {"openai-ORGANIZATION": "org-2", "X-Team": " data\n"}
    headers = client_options(organization="org-1", headers=given).headers
    assert headers == {"openai-ORGANIZATION": "org-2", "X-Team": "data"}


def test_a_header_that_cannot_be_sent_is_a_configuration_error():
    with pytest.raises(ConfigError, match="header 'X-Team' of client 'ours' has a character outside ASCII"):
        client_options(headers={"X-Team": "données"})


def test_queries_of_prototype_and_user_are_merged():
    options = client_options(
        prototype="azure-openai", base_uri="https://h", query={"api-version": "9", "a": "b"}
    )
    assert options.query == {"api-version": "9", "a": "b"}
    options = client_options(prototype="azure-openai", base_uri="https://h")
    assert options.query.keys() == {"api-version"}


def test_settings_become_options():
    options = client_options(
        timeout={"connect": 1, "idle": 2, "total": 3},
        retry={"attempts": 5, "max_wait": 6, "outage": 8},
        limits={"concurrency": 7, "tokens_per_minute": 9},
        deployments={"gpt-5": "ours"},
    )
    assert (options.connect_timeout, options.idle_timeout, options.total_timeout) == (1, 2, 3)
    assert options.policy == Policy(5, 6, 8)
    assert options.limits == Limits(None, 9, 7)
    assert options.deployments == {"gpt-5": "ours"}


def test_credentials_are_the_prototypes_kind():
    assert client_options().credential.headers() == {"Authorization": f"Bearer {TOKEN}"}
    azure = client_options(prototype="azure-openai", base_uri="https://h", token="key")
    assert azure.credential.headers() == {"api-key": "key"}


def test_an_empty_administrators_token_is_none():
    assert client_options(admin_token="").admin_credential is None
    assert client_options(admin_token=" \n").admin_credential is None
    admin = client_options(admin_token="Bearer sk-admin").admin_credential
    assert admin.headers() == {"Authorization": "Bearer sk-admin"}


def test_a_token_file_lies_beside_the_configuration(tmp_path):
    (tmp_path / "key").write_text("from-file")
    file = tmp_path / "connectory.yaml"
    file.write_text("version: 1\nclients:\n  ours: {token_file: key}\n")
    options = Assembly(load_config(file), CATALOGUE).clients.options("ours")
    assert options.credential.current() == "from-file"


def test_a_client_with_an_unset_variable_fails_only_when_it_is_wanted():
    os.environ.pop("CONNECTORY_UNSET", None)
    made = assembly({"clients": {"a": {"token": "${CONNECTORY_UNSET}"}, "b": {"token": TOKEN}}})
    assert made.clients.options("b").credential.current() == TOKEN
    with pytest.raises(ConfigError, match="CONNECTORY_UNSET"):
        made.clients.options("a")


def test_a_sandbox_needs_nothing_that_is_unset_and_gets_no_secret():
    unset = "${CONNECTORY_UNSET}"
    options = client_options(
        prototype="openai-compatible",
        base_uri=unset,
        token=unset,
        admin_token="sk-admin",
        organization=unset,
        headers={"X-Team": unset},
        endpoint=Endpoint("sandbox", "http://127.0.0.1:9"),
    )
    assert options.base_uri == "http://127.0.0.1:9/v1"
    assert options.credential.current() == "sandbox"
    assert options.admin_credential is None


def test_a_sandbox_keeps_the_path_of_the_server_it_stands_for():
    options = client_options(base_uri="https://host/api/v3", endpoint=Endpoint("x", "http://127.0.0.1:9"))
    assert options.base_uri == "http://127.0.0.1:9/api/v3"


def test_the_only_client_or_default_need_not_be_named():
    two = {"a": {"token": "x"}, "default": {"token": "y"}}
    assert assembly({"clients": {"a": {"token": "x"}}}).clients.name() == "a"
    assert assembly({"clients": two}).clients.name() == "default"
    assert assembly({"clients": two}).clients.name("a") == "a"
    with pytest.raises(UnknownNameError, match="no client 'defualt'; did you mean 'default'"):
        assembly({"clients": two}).clients.name("defualt")
    with pytest.raises(ConfigError, match="which client\\? there are a, b, and none is called 'default'"):
        assembly({"clients": {"a": {"token": "x"}, "b": {"token": "y"}}}).clients.name()
    with pytest.raises(ConfigError, match="no client is configured"):
        assembly({}).clients.name()


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("client.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return folder


def tls_context(**settings):
    return one_client(**settings).clients._ssl_context("ours", one_client(**settings).config.clients["ours"])


def test_certificates_are_read_from_their_files(pem):
    assert tls_context() is None
    trusting = tls_context(ca_file=str(pem / "ca.pem"))
    assert len(trusting.get_ca_certs()) == 1
    assert trusting.verify_mode is ssl.CERT_REQUIRED
    assert tls_context(client_certificate=str(pem / "both.pem")) is not None
    pair = {"certificate": str(pem / "cert.pem"), "key": str(pem / "key.pem")}
    assert tls_context(client_certificate=pair) is not None


@pytest.mark.parametrize(
    "settings", [{"ca_file": "no-such.pem"}, {"client_certificate": "no-such.pem"}, {"ca_file": __file__}]
)
def test_certificates_that_cannot_be_read_are_a_configuration_error(settings):
    with pytest.raises(ConfigError, match=r"clients\.ours: ca_file or client_certificate: "):
        tls_context(**settings)


def test_a_sandbox_needs_no_certificates():
    made = one_client(ca_file="no-such.pem", endpoint=Endpoint("x", "http://127.0.0.1:9"))
    asyncio.run(made.clients.transport("ours").aclose())


# Connections


def test_an_incoming_is_resolved():
    made = connections(
        incoming={
            "events": {
                "entity": "fine_tuning.job.events",
                "request_parameters": {"path": {"fine_tuning_job_id": "&{run.id}"}, "query": {"limit": 2}},
                "pagination": {"pages": 3},
            }
        }
    )
    subscription = made.subscription("events", run=RUN, given=Given(query={"after": "e1"}), limit=9)
    assert (subscription.entity.name, subscription.action.name) == ("fine_tuning.job.events", "read")
    assert (subscription.most_pages, subscription.most_records) == (3, 9)
    assert subscription.parameters.render({}, {"run": RUN}) == {
        "path": {"fine_tuning_job_id": "r1"},
        "query": {"limit": 2, "after": "e1"},
    }


def test_an_outgoing_is_resolved():
    made = connections(
        outgoing={
            "moderate": {
                "entity": "moderations",
                "payload": {"input": "&{text}"},
                "identifier": "name",
                "concurrency": 3,
            }
        }
    )
    publication = made.publication("moderate", run=RUN)
    assert list(publication.actions) == ["POST"]
    assert (publication.concurrency, publication.ordered, publication.deletes) == (3, True, False)
    assert publication.payload.render({"text": "x"}, {}) == {"input": "x"}
    assert publication.path is publication.query is publication.result is None
    assert [one({"name": "n"}, {}) for one in publication.identifier] == ["n"]


def test_a_payload_of_null_is_a_template_too():
    made = connections(
        outgoing={"cancel": {"entity": "batch.cancel", "payload": None, "path": {"batch_id": "&{id}"}}}
    )
    assert made.publication("cancel", run=RUN).payload.render({}, {}) is None


def test_an_outgoing_must_say_what_it_does_where_there_is_a_choice():
    assert connections(outgoing={"a": {"entity": "model"}}).publication("a", run=RUN).deletes
    made = connections(outgoing={"both": {"entity": "vector_store"}})
    with pytest.raises(ConfigError, match="say which `action`; entity 'vector_store' takes create or delete"):
        made.publication("both", run=RUN)
    made = connections(outgoing={"none": {"entity": "models"}})
    with pytest.raises(ConfigError, match="it can only be read"):
        made.publication("none", run=RUN)


@pytest.mark.parametrize("kind", ["incoming", "outgoing", "route"])
def test_a_connection_that_is_unknown_is_suggested(kind):
    made = connections(
        incoming={"files": {"entity": "files"}},
        outgoing={"purge": {"entity": "file", "action": "delete"}},
        routes={"clean": ["files", "purge"]},
    )
    wrong, right = {
        "incoming": ("flies", "files"),
        "outgoing": ("purgee", "purge"),
        "route": ("claen", "clean"),
    }[kind]
    with pytest.raises(UnknownNameError, match=f"no {kind} {wrong!r}; did you mean {right!r}"):
        getattr(made, kind)(wrong)
    assert getattr(made, kind)(right)


def test_every_connections_problem_is_found_with_its_place(tmp_path):
    file = tmp_path / "connectory.yaml"
    file.write_text(
        "version: 1\n"
        "clients: {ours: {token: x}}\n"
        "incoming:\n"
        "  a:\n"
        "    request: {path: '/files?purpose=x'}\n"
        "outgoing:\n"
        "  b:\n"
        "    entity: moderations\n"
        "    payload: {input: '&{te xt}'}\n"
    )
    found = problems(load_config(file), CATALOGUE)
    assert [(problem.line, problem.path) for problem in found] == [
        (5, "incoming.a.request.path"),
        (9, "outgoing.b.payload"),
    ]
    assert "has a query; write it as request_parameters" in found[0].message


def test_one_problem_of_a_connection_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    file = tmp_path / "connectory.yaml"
    file.write_text(
        """version: 1
clients: {ours: {token: x}}
transformers: {clean: [{keep_if: "a["}]}
incoming:
  files:
    entity: files
    only: new
    identifier: "b["
    incremental: {field: at, query: nope}
    transformers: [clean, {keep_if: "c["}]
outgoing:
  moderate:
    entity: moderations
    until: true
    sequence: "d["
    accept: "e["
    payload: {input: "&{f[}", model: "${NOT_SET}"}
    result: "&{g[}"
    path: {x: "{x}"}
  unknown:
    entity: ${NOT_SET}
    sequence: "h["
"""
    )
    found = problems(load_config(file), CATALOGUE)
    assert sorted(problem.path for problem in found) == [
        "incoming.files.identifier",
        "incoming.files.incremental.query",
        "incoming.files.transformers.1.keep_if",
        "outgoing.moderate.accept",
        "outgoing.moderate.path.x",
        "outgoing.moderate.result",
        "outgoing.moderate.sequence",
        "outgoing.moderate.until",
        "transformers.clean.0.keep_if",
    ]


def test_an_entity_can_be_used_without_a_connection():
    made = connections()
    subscription = made.direct_subscription("listFiles", Given(query={"limit": 1}), limit=2)
    assert (subscription.entity.name, subscription.most_records) == ("files", 2)
    assert subscription.parameters.render({}, {}) == {"path": {}, "query": {"limit": 1}}
    publication = made.direct_publication("file", "delete")
    assert (publication.deletes, publication.concurrency) == (True, 1)
    with pytest.raises(ConfigError, match="no action 'create'"):
        made.direct_publication("file", "create")


def test_a_raw_connection_offers_only_its_methods():
    made = connections(
        incoming={"own": {"request": {"path": "/own/{id}"}}},
        outgoing={"own": {"request": {"methods": ["PUT", "DELETE"], "path": "/own/{id}"}}},
    )
    read = made.subscription("own", run=RUN)
    assert (read.action.method, read.action.kind, read.entity.path_parameters) == ("GET", "list", ("id",))
    write = made.publication("own", run=RUN)
    assert {method: action.kind for method, action in write.actions.items()} == {
        "PUT": "create",
        "DELETE": "delete",
    }
    request = request_of(made, Call(write.entity, write.actions["PUT"], {"id": "a/b"}, {}, {"x": 1}))
    assert (request.method, str(request.url)) == ("PUT", "https://api.openai.com/v1/own/a%2Fb")


# Raw requests


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/files", "/v1/files"),
        ("/v1/files", "/v1/files"),
        ("/v1beta", "/v1/v1beta"),
        ("/files?limit=1&x=a%20b+c", "/v1/files?limit=1&x=a%20b%20c"),
        ("/r?include[]=a&include[]=b", "/v1/r?include%5B%5D=a&include%5B%5D=b"),
        ("/r?one[]=a", "/v1/r?one%5B%5D=a"),
        ("/r?a=1&a=2&b=", "/v1/r?a=1&a=2&b="),
        ("/caf\u00e9 x", "/v1/caf%C3%A9%20x"),
        ("/a%2Fb", "/v1/a%2Fb"),
        ("/models/ft:gpt@x", "/v1/models/ft:gpt@x"),
        ("/p?u=http://evil.test", "/v1/p?u=http%3A%2F%2Fevil.test"),
    ],
)
def test_a_raw_request_goes_below_the_base_uri(path, url):
    made = connections()
    request = request_of(made, raw_call("get", path, {}, None, "/v1"))
    assert (request.method, request.url.host, request.url.raw_path.decode()) == ("GET", "api.openai.com", url)


def test_a_query_given_beside_a_raw_path_wins():
    made = connections()
    call = raw_call("GET", "/files?limit=1&order=asc", {"limit": 2}, None, "/v1")
    assert request_of(made, call).url.query == b"limit=2&order=asc"


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.test/files",
        "https://evil.test",
        "//evil.test/files",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "//[",
        "files",
        "",
        "?a=1",
        "@evil.test",
        "/\t/evil.test",
        "/files\r\nHost: evil.test",
        "/files#part",
        "/../admin",
        "/files/..",
        "/files/./x",
        "/files/%2e%2E/x",
    ],
)
def test_a_raw_path_that_means_another_place_is_refused(path):
    with pytest.raises(RequestError, match=r"^GET "):
        raw_call("GET", path, {}, None, "/v1")
