"""Steps that ask the server while a record is shaped: what they ask, how often, how many at once, and in what order."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from command import connectory
from connected import POSTS, configuration, connected, refusal, run

from connectory.catalogue import Catalogue
from connectory.chain import build_chain
from connectory.concurrency.passing import AHEAD, Passage, ahead
from connectory.config import parse_step
from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, CredentialsError, TransformerError
from connectory.reading.asking import Asking

ASK = {"request": {"entity": "file", "path": {"file_id": "&{file}"}, "into": "details"}}


class Files:
    """A server that knows files, and says how many asked at the same time."""

    def __init__(self, *, slow: float = 0.0) -> None:
        self.asked: list[str] = []
        self.posted: list[dict[str, object]] = []
        self.most = self.now = 0
        self.slow, self.reached = slow, asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posted.append(json.loads(request.content))
            return httpx.Response(200, json={"ok": True})
        name = request.url.path.rpartition("/")[2]
        self.asked.append(str(request.url).partition("/v1/")[2])
        self.reached.set()
        self.now += 1
        self.most = max(self.most, self.now)
        number = int("".join(one for one in name if one.isdigit()) or 0)
        await asyncio.sleep(self.slow * (1 + (7 - number % 8)))  # the first of eight takes longest
        self.now -= 1
        if name == "gone":
            return refusal(404)
        if name == "files":
            after = int(request.url.params.get("after", 0))
            items = [{"id": str(number)} for number in range(after + 1, after + 3)]
            body = {"object": "list", "data": items, "has_more": after < 4, "last_id": items[-1]["id"]}
            return httpx.Response(200, json=body)
        return httpx.Response(200, json={"id": name, "object": "file", "bytes": number})


def sent(server: Files, steps: list[object], records: list[dict[str, object]], **more: object):
    """Send records through an outgoing with these steps; gives the results."""

    async def main():
        outgoing = {"out": {**POSTS, "transformers": steps, "payload": "&{@}", **more}}
        async with connected(server, outgoing=outgoing) as made:
            return [one async for one in made.outgoing("out", records)]

    return run(main)


def test_a_step_puts_what_the_server_says_into_the_record():
    server = Files()
    [result] = sent(server, [ASK], [{"file": "f7"}])

    assert result.ok
    assert server.posted == [{"file": "f7", "details": {"id": "f7", "object": "file", "bytes": 7}}]


def test_several_records_ask_at_once_and_keep_their_order():
    server = Files(slow=0.004)
    records = [{"file": f"f{number}"} for number in range(60)]
    results = sent(server, [ASK, {"keep": ["details"]}], records, concurrency=1)

    assert [one.index for one in results] == list(range(60))
    assert [one["details"]["id"] for one in server.posted] == [one["file"] for one in records]
    assert 1 < server.most <= AHEAD


def test_what_stands_behind_a_step_that_asks_meets_the_records_in_their_order():
    server = Files(slow=0.004)
    # of two records with the same half the first has to stay, though its answer comes last
    records = [{"file": f"f{number}", "half": number // 2} for number in range(40)]
    sent(server, [ASK, {"deduplicate": "half"}], records)

    assert sorted(one["file"] for one in server.posted) == sorted(f"f{number}" for number in range(0, 40, 2))


def test_a_record_that_cannot_be_asked_for_does_not_let_others_overtake():
    server = Files(slow=0.004)
    records = [{"file": f"f{number}", "half": number // 2} if number % 8 != 5 else {} for number in range(40)]
    results = sent(server, [ASK, {"deduplicate": "half"}], records)

    assert [one.status for one in results] == [
        "error" if number % 8 == 5 else "ok" if number % 2 == 0 else "skipped" for number in range(40)
    ]
    assert "the record has no 'file'" in str(results[5].error)


def test_equal_requests_are_asked_once_a_run():
    server = Files(slow=0.001)
    results = sent(
        server, [ASK, {"set": {"details.mine": "&{n}"}}], [{"file": "f1", "n": n} for n in range(50)]
    )

    assert all(one.ok for one in results)
    assert server.asked == ["files/f1"]
    # each has a copy of its own: what one changes, no other sees
    assert sorted(one["details"]["mine"] for one in server.posted) == list(range(50))


def test_the_answers_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr("connectory.reading.asking.KEPT", 600)
    server = Files()
    records = [{"file": f"f{number}"} for number in [*range(40), 0]]
    sent(server, [ASK], records, concurrency=1)

    assert server.asked.count("files/f0") == 2
    assert len(server.asked) == 41


def test_what_is_gone_is_an_error_or_null():
    server = Files()
    mild = {"request": {**ASK["request"], "missing": "null"}}
    [failed] = sent(server, [ASK], [{"file": "gone"}])
    [fine] = sent(server, [mild], [{"file": "gone"}])

    assert failed.status == "error"
    assert "transformer 'request': GET /files/{file_id}" in str(failed.error)
    assert fine.ok
    assert server.posted == [{"file": "gone", "details": None}]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, ["1", "2", "3", "4", "5", "6"]),
        ({"pages": "first"}, ["1", "2"]),
        ({"most": 6}, ["1", "2", "3", "4", "5", "6"]),
    ],
)
def test_a_list_gives_its_items(options, ids):
    server = Files()
    step = {"request": {"entity": "files", "query": {"purpose": "&{purpose}"}, "into": "all", **options}}
    [result] = sent(server, [step], [{"purpose": "batch"}])

    assert result.ok
    assert [one["id"] for one in server.posted[0]["all"]] == ids
    assert all("purpose=batch" in one for one in server.asked)


def test_a_list_that_is_longer_than_allowed_is_an_error_and_never_cut():
    [result] = sent(Files(), [{"request": {"entity": "files", "into": "all", "most": 5}}], [{}])

    assert "the list has more than 5 items; raise 'most', or ask for the first page alone" in str(
        result.error
    )


def test_steps_inside_steps_ask_too():
    server = Files(slow=0.002)
    steps = [
        {"when": {"condition": "file != 'none'", "do": [ASK], "otherwise": [{"set": {"details": None}}]}},
        {"for_each": {"field": "parts", "do": [{"request": {**ASK["request"], "into": "more"}}]}},
    ]
    records = [
        {"file": f"f{n}" if n % 3 else "none", "parts": [{"file": "p1"}, {"file": f"p{n}"}]}
        for n in range(12)
    ]
    results = sent(server, steps, records, concurrency=1)

    assert all(one.ok for one in results)
    assert [one["details"] and one["details"]["id"] for one in server.posted] == [
        one["file"] if one["file"] != "none" else None for one in records
    ]
    assert [[part["more"]["id"] for part in one["parts"]] for one in server.posted] == [
        ["p1", f"p{n}"] for n in range(12)
    ]
    assert server.asked.count("files/p1") == 1
    assert server.most > 1


def test_an_incoming_asks_for_its_items_and_for_its_parameters():
    server = Files(slow=0.002)
    steps = [
        {"request": {"entity": "file", "path": {"file_id": "f&{id}"}, "into": "details"}},
        {"deduplicate": "details.object"},
    ]
    first = {"request": {"entity": "file", "path": {"file_id": "f3"}, "into": "query.found"}}
    last = {"build": {"path": {}, "query": {"purpose": "p&{query.found.bytes}"}}}
    incoming = {"in": {"entity": "files", "transformers": steps, "input_transformers": [first, last]}}

    async def main():
        async with connected(server, incoming=incoming) as made:
            return [one async for one in made.incoming("in")]

    [only] = run(main)

    assert only["id"] == "1"
    assert only["details"]["bytes"] == 1
    assert server.asked[0] == "files/f3"
    assert "purpose=p3" in server.asked[1]


def test_what_concerns_every_record_stops_the_run():
    def refuse(_request: httpx.Request) -> httpx.Response:
        return refusal(401, "invalid_api_key")

    async def main():
        outgoing = {"out": {**POSTS, "transformers": [ASK], "payload": "&{@}"}}
        async with connected(refuse, outgoing=outgoing) as made:
            return [one async for one in made.outgoing("out", [{"file": "f1"}, {"file": "f2"}])]

    with pytest.raises(CredentialsError):
        run(main)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"entity": "moderations"},
            "a chain only reads: what writes belongs to an outgoing, as a step of a route",
        ),
        ({"entity": "createModeration"}, "a chain only reads: what writes belongs to an outgoing"),
        ({"entity": "fil"}, "did you mean 'file'?"),
        ({"entity": "file"}, "entity 'file' needs the path parameter 'file_id'"),
        (
            {"entity": "file", "path": {"fileid": 1}},
            "has no path parameter 'fileid'; did you mean 'file_id'?",
        ),
        ({"entity": "files", "path": {"id": 1}}, "has no path parameter 'id'; it has none"),
        (
            {"entity": "file.content", "path": {"file_id": 1}},
            "answers with binary, which has no place in a record",
        ),
        ({"entity": "files", "missing": "skip"}, "'error' or 'null'"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_the_chain_is_built(options, problem):
    async def main():
        outgoing = {
            "out": {**POSTS, "transformers": [{"request": {"into": "x", **options}}], "payload": "&{@}"}
        }
        async with connected(Files(), outgoing=outgoing) as made:
            made.publisher("out")

    with pytest.raises(ConfigError) as caught:
        run(main)

    assert problem in str(caught.value)
    assert "outgoing.out.transformers.0" in str(caught.value)


def test_nothing_connected_is_an_error_and_no_deadlock():
    step = parse_step(ASK)
    alone = build_chain([step])
    on_the_loop = build_chain([step], reader=Asking(Catalogue.load(), lambda _: None))

    async def main():
        return list(on_the_loop.apply({"file": "f1"}, {}))

    with pytest.raises(TransformerError, match="nothing is connected"):
        list(alone.apply({"file": "f1"}, {}))
    with pytest.raises(TransformerError, match="nothing is connected"):
        run(main)


def test_who_is_cancelled_ends_what_it_asked_and_others_ask_for_themselves():
    server = Files(slow=0.02)

    async def main():
        async with AsyncConnector.from_dict(
            configuration(outgoing={"out": {**POSTS, "transformers": [ASK], "payload": "&{@}"}}),
            transport=httpx.MockTransport(server),
        ) as made:
            chain = made.assembly.publication("out", run={}).chain
            passage = Passage(chain)
            first = asyncio.ensure_future(passage.begin({"file": "f0"}, {}))
            second = asyncio.ensure_future(passage.begin({"file": "f0"}, {}))
            await asyncio.wait_for(server.reached.wait(), 30)
            first.cancel()
            return (await second)()

    [made] = run(main)

    assert made["details"]["id"] == "f0"


def test_what_is_made_ahead_is_bounded_and_comes_in_order():
    async def main():
        taken, begun = [], []

        async def source():
            for number in range(20):
                taken.append(number)
                yield number
            raise ConfigError("the source is broken")

        async def begin(number: int) -> int:
            begun.append(number)
            await asyncio.sleep(0.001 * (20 - number))
            return number

        given = []

        async def all_of_them():
            async for one in ahead(source(), begin, most=4):
                assert len(taken) <= len(given) + 5
                given.append(one)

        with pytest.raises(ConfigError, match="the source is broken"):
            await all_of_them()
        return given

    assert run(main) == list(range(20))


CONFIG = """\
version: 1
clients: {openai: {token: "${MADE_UP_KEY}"}}
transformers:
  detail:
    - request: {entity: model, path: {model: "&{model}"}, into: details}
    - keep: [details]
outgoing:
  moderate:
    entity: moderations
    transformers: [detail]
    payload: {input: "&{details.object}"}
    tests:
      - given: {model: gpt-5-mini}
        request: {payload: {input: model}}
tests:
  detail:
    - given: {model: gpt-5-mini}
      expect: {details: {object: model}}
      match: part
"""


def test_preview_try_and_test_ask_the_sandbox(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    (tmp_path / "in.jsonl").write_text('{"model": "gpt-5-mini"}\n')
    shown = connectory("preview", "outgoing", "moderate", "--input", "in.jsonl", "--sandbox", folder=tmp_path)
    tried = connectory("transformers", "try", "detail", "--input", "in.jsonl", "--sandbox", folder=tmp_path)
    tested = connectory("test", folder=tmp_path)

    assert json.loads(shown.out)["requests"][0]["payload"]["input"] == "model"
    assert json.loads(tried.out)["details"]["id"] == "gpt-5-mini"
    assert (tested.code, tested.said.count("ok ")) == (0, 2)


def test_lint_shows_the_place_of_a_wrong_entity(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG.replace("entity: model,", "entity: modell,"))
    done = connectory("lint", folder=tmp_path)

    assert done.code == 3
    assert "connectory.yaml:5:" in done.said
    assert "did you mean 'model'" in done.said
