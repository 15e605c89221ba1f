"""The benchmark itself: its server answers like the API, its tools can be called, its page says what was measured."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from struct import unpack

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmark's server waits with epoll, which only Linux has", allow_module_level=True)

from benchmarks.speed import environments, reporting
from benchmarks.speed.comparing import Measured, own_tools
from benchmarks.speed.environments import WANTED, UnavailableError
from benchmarks.speed.measuring import Spent, lines_of, spend
from benchmarks.speed.plot import plot
from benchmarks.speed.served import build, serve
from benchmarks.speed.tools import Ours, Place, chat_tools
from benchmarks.speed.workloads import WORKLOADS, write_sources
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory.catalogue import Catalogue
from connectory.config import config_from_dict

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "measured" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    try:
        build(folder)
    except UnavailableError as error:
        pytest.skip(f"no server to look at: {error}")
    with serve(folder, items=250) as served:
        yield served


@pytest.fixture
def ask(server):
    def ask(path, payload=None, *, secure=False):
        context = ssl.create_default_context(cafile=server.ca_file) if secure else None
        body = None if payload is None else json.dumps(payload).encode()
        request = urllib.request.Request((server.secure if secure else server.plain) + path, body)  # noqa: S310 - http(s) only
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310 - the same
            return json.load(answer), answer.headers

    return ask


def problems(entity, action, answer):
    catalogue = Catalogue.load()
    schema = catalogue.schema(catalogue[entity].actions[action].response.schema)
    validator = Draft202012Validator(schema, registry=Registry())
    return [f"{error.json_path}: {error.message:.200}" for error in validator.iter_errors(answer)]


# -- the server


def test_a_chat_is_answered_as_the_catalogue_says_with_the_headers_of_the_api(ask):
    answer, headers = ask("/v1/chat/completions", {"model": "m", "messages": []})
    again, _ = ask("/v1/chat/completions", {"model": "m", "messages": []})

    assert problems("chat.completions", "create", answer) == []
    assert 900 < len(json.dumps(answer)) < 1_300
    assert again["id"] != answer["id"]
    expected = {
        "x-request-id",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-tokens",
        "openai-processing-ms",
    }
    assert expected <= {name.lower() for name in headers}


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("one", 1),
        (["one"], 1),
        (["a, ]", 'b"}', "c\\"], 3),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
        ([f"{number}" for number in range(256)], 256),
    ],
    ids=["text", "list", "punctuation", "tokens", "lists of tokens", "many"],
)
def test_every_input_has_its_embedding_in_order(ask, given, count):
    answer, _ = ask("/v1/embeddings", {"model": "m", "user": '"input": [1]', "input": given})

    assert problems("embeddings", "create", answer) == []
    assert [item["index"] for item in answer["data"]] == list(range(count))
    assert {len(item["embedding"]) for item in answer["data"]} == {1_536}


def test_base64_holds_the_same_floats(ask):
    floats, _ = ask("/v1/embeddings", {"model": "m", "input": "x"})
    packed, _ = ask("/v1/embeddings", {"encoding_format": "base64", "input": "x"})
    raw = b64decode(packed["data"][0]["embedding"], validate=True)

    assert unpack("<1536f", raw) == pytest.approx(floats["data"][0]["embedding"], rel=1e-6)


def test_an_embedding_without_input_is_refused(ask):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask("/v1/embeddings", {"model": "m"})

    with caught.value as answer:
        assert answer.code == 400


def test_the_list_is_read_page_by_page(ask):
    items, query, pages = [], "", 0
    while pages < 5:
        page, _ = ask(f"/v1/files?limit=100{query}")
        assert problems("files", "read", page) == []
        items += page["data"]
        pages += 1
        if not page["has_more"]:
            break
        query = f"&after={page['last_id']}"

    assert pages == 3
    assert [item["id"] for item in items] == [f"file-{number:08d}" for number in range(250)]


def test_requests_are_counted_and_delayed_over_either_wire(server, ask):
    before, _ = server.count()
    server.set(delay_ms=1)
    ask("/v1/chat/completions", {})
    if server.secure:
        answer, _ = ask("/v1/chat/completions", {}, secure=True)
        assert problems("chat.completions", "create", answer) == []
    server.set(delay_ms=0)

    after, seconds = server.count()
    assert after - before == (2 if server.secure else 1)
    assert seconds > 0


def test_the_bare_client_sends_every_line_once(server, tmp_path):
    workload = replace(WORKLOADS[0], count=300)
    sources = write_sources(tmp_path, workload, 300)
    floor = next(tool for tool in chat_tools() if tool.label == "asyncio floor")
    place = Place(tmp_path, Path(sys.executable), server.plain, "", sources, 8)

    spent = spend(floor.command(place), tmp_path, server=server)

    assert spent.requests == 300
    assert lines_of(place.output) == 300
    assert spent.cpu > 0
    lines = place.output.read_text().splitlines()
    assert {json.loads(line)["object"] for line in lines} == {"chat.completion"}


def test_a_tool_that_fails_says_why(tmp_path):
    with pytest.raises(UnavailableError, match=r"ended with 1: .*ZeroDivisionError"):
        spend([sys.executable, "-c", "1/0"], tmp_path)


def test_what_is_compared_is_pinned():
    packages = [package for one in WANTED.values() for package in one.get("packages", [])]

    assert packages
    assert [package for package in packages if "==" not in package] == []
    assert {tool.environment for workload in WORKLOADS for tool in workload.tools()} == set(WANTED)


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def revised(monkeypatch, tmp_path):
    """A project of two commits, whose second one says `new`."""
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q")
    for said in ("old", "new"):
        (project / "said.txt").write_text(said)
        git(project, "add", ".")
        git(project, "commit", "-qm", said)
    monkeypatch.setattr(environments, "ROOT", project)
    monkeypatch.setattr(environments, "HERE", tmp_path / "environments")
    return project


def test_another_revision_is_installed_as_it_was(revised, monkeypatch):
    commands, call, folder = [], environments._call, environments.HERE / "connectory-fast-then"

    def called(name, command):
        commands.append(command)
        if command[0] == "git":
            return call(name, command)
        folder.mkdir(parents=True, exist_ok=True)
        return ""

    monkeypatch.setattr(environments, "_uv", lambda: "uv")
    monkeypatch.setattr(environments, "_call", called)
    environments.environment(f"connectory-fast@{environments.commit_of('HEAD~1')}")

    assert [path.name for path in (folder / "project").iterdir()] == ["said.txt"]
    assert (folder / "project" / "said.txt").read_text() == "old"
    assert commands[-1][-1] == f"connectory[fast] @ {(folder / 'project').as_uri()}"


def test_a_revision_that_is_none_is_told(revised):
    with pytest.raises(UnavailableError, match="no revision 'nonsense'"):
        environments.commit_of("nonsense")


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_against_a_revision_our_own_tools_run_twice(workload):
    tools = own_tools(workload, "abc1234")

    assert tools
    assert all(isinstance(tool, Ours) for tool in tools)
    for now, then in zip(tools[::2], tools[1::2], strict=True):
        assert then == replace(now, label=f"{now.label} @abc1234", environment=f"{now.environment}@abc1234")


def test_without_uv_nothing_is_installed_and_the_reason_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "HERE", tmp_path)
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    monkeypatch.setattr(environments.sys, "executable", str(tmp_path / "python"))

    with pytest.raises(UnavailableError, match="pip install uv"):
        environments.environment("aiohttp")


# -- the numbers


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_our_configurations_are_what_the_loader_takes(workload, tmp_path):
    place = Place(tmp_path, Path(sys.executable), "http://127.0.0.1:1", "", {}, 8)
    ours = [tool for tool in workload.tools() if isinstance(tool, Ours) and "pack" not in tool.connection]

    assert ours
    for tool in ours:
        config_from_dict(tool.configuration(place))


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("share", [1, 0.02, 0.0001])
def test_the_larger_run_is_larger_and_both_open_all_connections(workload, share):
    small, large = workload.sizes(share)

    assert 2 * small <= large
    if workload.kind == "chat":
        assert small >= 2 * workload.concurrency


def measured(tool, costs):
    pairs = [
        (Spent(1.0 + 100 * cost, 1.0, 50), Spent(1.0 + 1_100 * cost, 3.0, 60, 1_100, 0.3)) for cost in costs
    ]
    return Measured(tool, 100, 1_100, pairs)


def test_a_record_costs_the_difference_and_ratios_are_of_the_same_round():
    mine, other = chat_tools()[0], chat_tools()[4]
    row = measured(other, [1e-4, 4e-4, 2e-4]).row(measured(mine, [1e-5, 2e-5, 4e-5]))

    assert row["cpu_us"] == 200
    assert row["cpu_us_min"] == 100
    assert row["ratio"] == 10  # of 10, 20 and 5
    assert row["rate"] == 500
    assert row["start_s"] == 1
    assert row["server_busy"] == 0.1


def test_the_page_and_the_plot_say_what_was_measured():
    found = reporting.read(MEASURED)
    page = PAGE.read_text(encoding="utf-8")

    assert reporting.filled(page, found) == page
    assert MEASURED.with_suffix(".svg").read_text() == plot(found)


def test_every_workload_has_its_place_on_the_page():
    places = {match[1] for match in reporting.PART.findall(PAGE.read_text(encoding="utf-8"))}

    assert {workload.name for workload in WORKLOADS} <= places


def test_the_plot_has_a_bar_for_every_tool():
    found = reporting.read(MEASURED)
    drawing = ET.fromstring(plot(found))  # noqa: S314 - drawn here
    bars = [one for one in drawing.iter("{http://www.w3.org/2000/svg}rect") if one.get("x")]

    assert len(bars) == sum(len(one["rows"]) for one in found["workloads"])


def test_what_was_measured_now_replaces_only_itself():
    before = {
        "workloads": [{"name": "chat", "rows": [1]}, {"name": "list", "rows": [2]}],
        "starts": [1], "memory": [], "versions": {"a": "1", "b": "1"},
    }  # fmt: skip
    found = {
        "workloads": [{"name": "list", "rows": [3]}],
        "starts": [],
        "memory": [4],
        "versions": {"b": "2"},
    }

    assert reporting.merged(before, found) == {
        "workloads": [{"name": "chat", "rows": [1]}, {"name": "list", "rows": [3]}],
        "starts": [1], "memory": [4], "versions": {"a": "1", "b": "2"},
    }  # fmt: skip
