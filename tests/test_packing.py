"""Many records in one request: what goes together, what each record gets of the answer, and what a refusal costs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from connected import Kept, Listed, Server, body_of, connected, refusal, run
from hypothesis import given, settings
from hypothesis import strategies as st

from connectory.errors import RunInterruptedError, RunStoppedError, UnavailableError
from connectory.interfaces import Item
from connectory.journal import MemoryJournal
from connectory.record import Delivery

EMBED: dict[str, Any] = {
    "entity": "embeddings",
    "payload": {"model": "?{model || 'text-embedding-3-small'}", "input": "&{text}"},
    "concurrency": 4,
}
SHORT = {
    "id": "&{input.id}",
    "vector": "&{response.data[0].embedding}",
    "used": "&{response.usage.total_tokens}",
}


def embed(size: int = 4, wait: Any = "5ms", **more: Any) -> dict[str, Any]:
    return {**EMBED, "pack": {"size": size, "wait": wait}, **more}


def texts(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"text {number}", **more} for number in range(count)]


def vector(text: str) -> list[float]:
    return [float(len(text)), float(sum(text.encode()))]


class Embeddings(Server):
    """Answers as the API does; refuses a request with a text that has `bad` in it."""

    def __init__(self, *, names: bool = False, status: int = 400, reverse: bool = False) -> None:
        super().__init__()
        self.names, self.status, self.reverse = names, status, reverse

    @property
    def inputs(self) -> list[Any]:
        return [body["input"] for body in self.bodies]

    @property
    def texts(self) -> list[list[Any]]:
        return [one if isinstance(one, list) else [one] for one in self.inputs]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        body = body_of(request)
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        for number, text in enumerate(inputs):
            if "bad" in str(text):
                where = f"'$.input[{number}]'" if self.names else "'$.input'"
                return refusal(self.status, "made_up", f"{where} is invalid")
        used = sum(len(str(text)) for text in inputs)
        data = [
            {"object": "embedding", "index": number, "embedding": vector(str(text))}
            for number, text in enumerate(inputs)
        ]
        answer = {
            "object": "list",
            "data": data[::-1] if self.reverse else data,
            "model": body["model"],
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }
        return httpx.Response(200, json=answer, headers={"x-request-id": f"req-{len(self.requests)}"})


def send(
    server: Any, records: Any, outgoing: dict[str, Any], *, journal: Any = None, listen: Any = None
) -> tuple[list[Any], list[Any], Any, RunStoppedError | None]:
    async def main() -> Any:
        async with connected(server, outgoing={"out": outgoing}, listen=listen) as made:
            publisher = made.publisher("out", journal=journal)
            source = records if hasattr(records, "acknowledge") else Listed(records)
            sink, dead, error = Kept(), Kept(), None
            try:
                await publisher.run(source, sink, dead)
            except RunStoppedError as stopped:
                error = stopped
            return sink.lines, dead.lines, publisher, error

    return run(main)


# -- what goes together


def test_records_share_a_request_and_each_has_its_own_line():
    server = Embeddings()
    lines, dead, publisher, error = send(server, texts(10), embed())
    assert server.inputs == [
        [f"text {number}" for number in range(first, last)] for first, last in ((0, 4), (4, 8), (8, 10))
    ]
    assert [(line["index"], line["id"], line["status"]) for line in lines] == [
        (number, str(number), "ok") for number in range(10)
    ]
    assert [line["response"]["data"] for line in lines] == [
        [{"object": "embedding", "index": 0, "embedding": vector(f"text {number}")}] for number in range(10)
    ]
    assert {line["request_id"] for line in lines[:4]} == {lines[0]["request_id"]} != {lines[4]["request_id"]}
    assert (dead, error) == ([], None)
    assert publisher.counts == {"ok": 10, "error": 0, "skipped": 0}


def test_a_result_template_gives_the_same_lines_with_pack_as_without():
    alone, _, _, _ = send(Embeddings(), texts(7), {**EMBED, "result": {**SHORT, "used": 1}})
    packed, _, _, _ = send(Embeddings(), texts(7), embed(3, result={**SHORT, "used": 1}))
    assert packed == alone


def test_the_shares_of_what_was_used_add_up_to_it():
    lines, _, _, _ = send(Embeddings(), texts(12), embed(5))
    total = sum(len(f"text {number}") for number in range(12))
    assert sum(line["usage"]["total_tokens"] for line in lines) == total
    assert all(line["usage"] == line["response"]["usage"] for line in lines)
    assert {line["usage"]["total_tokens"] for line in lines} <= {6, 7}


def test_answers_in_another_order_find_their_records():
    lines, _, _, _ = send(Embeddings(reverse=True), texts(6), embed(6))
    assert [line["response"]["data"][0]["embedding"] for line in lines] == [
        vector(f"text {number}") for number in range(6)
    ]


def test_moderations_are_told_apart_by_their_place():
    class Moderations(Server):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            results = [{"flagged": "kill" in text} for text in body_of(request)["input"]]
            return httpx.Response(200, json={"id": "modr-1", "model": "m", "results": results})

    records = [{"text": "hello"}, {"text": "I will kill"}, {"text": "bye"}]
    outgoing = {
        "entity": "moderations",
        "payload": {"input": "&{text}"},
        "pack": {"size": 10},
        "result": {"flagged": "&{response.results[0].flagged}", "said": "&{derived.flagged}"},
    }
    server = Moderations()
    lines, _, _, _ = send(server, records, outgoing)
    assert lines == [{"flagged": bad, "said": bad} for bad in (False, True, False)]
    assert len(server.requests) == 1


def test_only_records_whose_requests_are_otherwise_equal_share_one():
    records = [{"id": n, "text": f"t{n}", "model": "a" if n % 2 else "b"} for n in range(8)]
    server = Embeddings()
    lines, _, _, _ = send(server, records, embed(4))
    assert sorted((body["model"], body["input"]) for body in server.bodies) == [
        ("a", ["t1", "t3", "t5", "t7"]),
        ("b", ["t0", "t2", "t4", "t6"]),
    ]
    assert [line["index"] for line in lines] == list(range(8))
    assert [line["response"]["model"] for line in lines] == ["b", "a"] * 4


@pytest.mark.parametrize("own", [["one", "two"], [1, 2, 3], [[1], [2]], ""])
def test_a_record_that_brings_a_list_goes_alone(own: Any):
    server = Embeddings()
    records = [{"id": 0, "text": "a"}, {"id": 1, "text": own}, {"id": 2, "text": "b"}]
    lines, _, _, _ = send(server, records, embed(10))
    assert sorted(map(str, server.inputs)) == sorted(map(str, [own, ["a", "b"]]))
    assert [line["index"] for line in lines] == [0, 1, 2]


def test_more_kinds_of_request_than_packs_may_be_open_are_all_sent():
    records = [{"id": n, "text": f"t{n}", "model": f"m{n % 100}"} for n in range(300)]
    server = Embeddings()
    lines, _, _, _ = send(server, records, embed(4, wait=60))
    assert [line["index"] for line in lines] == list(range(300))
    assert sorted(text for texts in server.texts for text in texts) == sorted(f"t{n}" for n in range(300))


def test_a_request_closes_before_its_tokens_or_bytes_pass_the_maximum():
    records = [{"id": n, "text": "x" * 300_000} for n in range(7)]  # a guess of 100,000 tokens each
    server = Embeddings()
    lines, _, _, _ = send(server, records, embed(256))
    assert [len(one) for one in server.texts] == [3, 3, 1]
    assert len(lines) == 7
    emoji = [{"id": n, "text": "\N{CHICKEN}" * 75_000} for n in range(4)]
    server = Embeddings()
    send(server, emoji, embed(256))
    assert [len(one) for one in server.texts] == [3, 1]


def test_the_key_of_a_pack_hashes_those_of_its_members():
    server = Embeddings()
    send(server, texts(5), embed(4), journal=MemoryJournal("run-1"))
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == 2
    assert all(len(key) == 24 for key in keys)
    assert keys[1] == Delivery("run-1", "5").key or keys[1] != keys[0]
    again = Embeddings()
    send(again, texts(5), embed(4), journal=MemoryJournal("run-1"))
    assert [request.headers["idempotency-key"] for request in again.requests] == keys


# -- when it goes


class Slow:
    """A source that gives a record, and the next one only when it is told to."""

    def __init__(self, count: int) -> None:
        self.total = None
        self.count, self.more = count, asyncio.Event()

    async def __aiter__(self):
        for number in range(self.count):
            yield Item(str(number + 1), {"id": number, "text": f"text {number}"})
            self.more.clear()
            await self.more.wait()

    async def acknowledge(self, item: Item) -> None: ...


def test_a_pack_that_does_not_fill_goes_after_its_wait():
    async def main() -> None:
        server, source = Embeddings(), Slow(3)
        made = connected(server, outgoing={"out": embed(100, wait="20ms")})
        async with made, aclosing(made.publisher("out").deliver(source)) as groups:
            for number in range(3):
                ((part, result),) = await anext(groups)
                assert (part.index, result.ok) == (number, True)
                source.more.set()
        assert server.inputs == ["text 0", "text 1", "text 2"]  # as without packs

    run(main)


def test_the_end_of_the_source_closes_a_pack_at_once():
    server = Embeddings()
    lines, _, _, _ = send(server, texts(3), embed(100, wait=3600))
    assert (len(lines), len(server.requests)) == (3, 1)


@pytest.mark.parametrize("order", ["input", "completion"])
def test_results_come_in_the_order_that_is_asked_for(order: str):
    class Late(Embeddings):
        def __init__(self) -> None:
            super().__init__()
            self.last = asyncio.Event()

        async def answer(self, request: httpx.Request) -> httpx.Response:
            if "text 0" in body_of(request)["input"]:
                await self.last.wait()
            elif "text 11" in body_of(request)["input"]:
                self.last.set()
            return await super().answer(request)

    lines, _, _, _ = send(Late(), texts(12), embed(4, order=order))
    indexes = [line["index"] for line in lines]
    assert indexes == list(range(12)) if order == "input" else indexes[-4:] == [0, 1, 2, 3]


def test_concurrency_counts_requests():
    class Watching(Embeddings):
        now = most = 0

        async def answer(self, request: httpx.Request) -> httpx.Response:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.01)
            self.now -= 1
            return await super().answer(request)

    server = Watching()
    send(server, texts(200), embed(5, concurrency=3))
    assert server.most == 3
    assert len(server.requests) == 40


def test_a_stuck_pack_does_not_let_the_source_run_away():
    async def main() -> None:
        stuck = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if "text 0" in body_of(request)["input"]:
                await stuck.wait()
            return await Embeddings().answer(request)

        source = Listed(texts(5000))
        made = connected(answer, outgoing={"out": embed(10, concurrency=2)})
        async with made, aclosing(made.publisher("out").deliver(source)) as groups:
            first = asyncio.ensure_future(anext(groups))
            for _ in range(3000):
                await asyncio.sleep(0)
            assert source.taken == 2 * 10 * 2
            stuck.set()
            assert (await first)[0][0].index == 0

    run(main)


def test_a_connector_in_a_program_packs_too():
    async def main() -> None:
        server = Embeddings()
        async with connected(server, outgoing={"out": embed(4)}) as made:
            results = [result async for result in made.outgoing("out", texts(9))]
        assert [result.index for result in results] == list(range(9))
        assert len(server.requests) == 3

    run(main)


def test_leaving_early_lets_go_of_the_source():
    async def main() -> None:
        closed = []

        async def records():
            try:
                for record in texts(100_000):
                    yield record
            finally:
                closed.append(True)

        async with connected(Embeddings(), outgoing={"out": embed(4)}) as made:
            async with aclosing(made.outgoing("out", records())) as results:
                await anext(results)
            assert closed == [True]

    run(main)


# -- what is wrong with a record stays with the record


def test_a_record_without_the_property_does_not_hold_up_the_others():
    records = [*texts(3), {"id": 3}, "no object", *texts(2)]
    server = Embeddings()
    lines, dead, _, _ = send(server, records, embed(10))
    assert [line["status"] for line in lines] == ["ok", "ok", "ok", "error", "error", "ok", "ok"]
    assert len(dead) == 2
    assert len(server.requests) == 1


def test_a_payload_that_does_not_fit_is_found_before_anything_is_sent():
    outgoing = embed(10, payload={"model": "m", "input": "&{text}", "dimensions": "&{size}"})
    records = [{"id": n, "text": f"t{n}", "size": 0 if n < 2 else 5} for n in range(6)]
    server = Embeddings()
    lines, dead, _, _ = send(server, records, {**outgoing, "validate": "error"})
    assert server.inputs == [["t2", "t3", "t4", "t5"]]
    assert [line["status"] for line in lines] == ["error", "error", "ok", "ok", "ok", "ok"]
    assert all("dimensions" in line["error"]["message"] for line in dead)


def test_accept_and_a_broken_template_concern_one_record():
    outgoing = embed(4, accept="response.data[0].embedding[0] != `6`", result={"v": "&{input.wanted}"})
    records = [
        {"id": 0, "text": "123456", "wanted": 1},
        {"id": 1, "text": "abc"},
        {"id": 2, "text": "x", "wanted": 2},
    ]
    server = Embeddings()
    lines, dead, _, _ = send(server, records, outgoing)
    assert [line.get("v", line.get("error", {}).get("class")) for line in lines] == ["accept", "result", 2]
    assert [line["error"]["class"] for line in dead] == ["accept", "result"]
    assert all("embedding" in str(line["response"]) for line in dead)
    assert len(server.requests) == 1


# -- refusals


@pytest.mark.parametrize("place", [0, 1, 100, 127, 255])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_bad_record_is_found_by_halves(place: int, status: int):
    records = texts(256)
    records[place]["text"] = "bad"
    server = Embeddings(status=status)
    lines, dead, _, _ = send(server, records, embed(256))
    assert [line["index"] for line in lines if line["status"] == "error"] == [place]
    assert [line["position"] for line in dead] == [str(place + 1)]
    assert lines[place]["http_status"] == status
    assert len(server.requests) <= 2 * 8 + 1
    assert server.inputs.count("bad") == 1


def test_every_record_says_how_many_requests_it_took_part_in():
    records = texts(8)
    records[5]["text"] = "bad"
    server = Embeddings()
    lines, _, _, _ = send(server, records, embed(8))
    taken = [sum(record["text"] in one for one in server.texts) for record in records]
    assert [line["attempts"] for line in lines] == taken


def test_a_record_that_the_refusal_names_is_tried_first():
    records = texts(256)
    for place in (3, 200):
        records[place]["text"] = "bad"
    server = Embeddings(names=True)
    lines, _, _, _ = send(server, records, embed(256))
    assert [line["index"] for line in lines if line["status"] == "error"] == [3, 200]
    assert len(server.requests) == 6  # 256, 1, 255, 1, and after two refusals 1 before the other 253


def test_a_refusal_that_names_the_wrong_record_is_not_believed():
    class Wrong(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            inputs = body_of(request)["input"]
            if isinstance(inputs, list) and "bad" in inputs:
                return refusal(
                    400, "made_up", f"'$.input[{(inputs.index('bad') + 1) % len(inputs)}]' is invalid"
                )
            return await super().answer(request)

    records = texts(16)
    records[7]["text"] = "bad"
    server = Wrong()
    lines, _, _, _ = send(server, records, embed(16))
    assert [line["index"] for line in lines if line["status"] == "error"] == [7]
    assert len(server.requests) <= 2 * 16 + 1


def test_a_refusal_of_too_many_is_halved_until_it_fits():
    class Small(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(body_of(request)["input"]) > 10:
                return refusal(400, "max_tokens_per_request", "Requested 400000 tokens, max 300000")
            return await super().answer(request)

    server = Small()
    lines, dead, _, _ = send(server, texts(64), embed(64))
    assert {line["status"] for line in lines} == {"ok"}
    assert dead == []
    assert len(server.requests) == 1 + 2 + 4 + 8


def test_a_pack_larger_than_the_limit_of_tokens_a_minute_is_halved():
    class Limited(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(body_of(request)["input"]) > 4 and isinstance(body_of(request)["input"], list):
                message = "Request too large for m on tokens per min (TPM): Limit 40, Requested 80."
                return refusal(429, "rate_limit_exceeded", message)
            return await super().answer(request)

    lines, _, _, error = send(Limited(), texts(8), embed(8))
    assert error is None
    assert {line["status"] for line in lines} == {"ok"}


def test_many_bad_records_cost_little_more_than_one_request_each():
    records = [{"id": n, "text": "fine" if n == 0 else "bad"} for n in range(128)]
    server = Embeddings()
    lines, dead, _, _ = send(server, records, embed(64, concurrency=1))
    assert sum(line["status"] == "ok" for line in lines) == 1
    assert len(dead) == 127
    assert len(server.requests) <= 128 + 2 * 8


def test_a_refusal_that_all_share_stops_the_run_after_a_few_requests():
    class Refusing(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(400, "unsupported_parameter", "no such dimensions")

    server = Refusing()
    lines, _, publisher, error = send(server, texts(5000), embed(256))
    assert "the first 20 records all failed alike" in str(error)
    assert len(server.requests) <= 4 + 9 + 20
    assert len(lines) == 20  # a journal that ends with its process holds nothing back
    assert publisher.counts["error"] == 20


def test_an_unknown_model_is_told_after_one_request():
    class Unknown(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            return refusal(404, "model_not_found", "The model does not exist")

    server = Unknown()
    _, _, _, error = send(server, texts(1000), embed(256, concurrency=1))
    assert "the first 20 records all failed alike" in str(error)
    assert len(server.requests) == 1


def test_no_credit_stops_the_run_and_gives_what_was_done():
    class Poor(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) > 2:
                return refusal(429, "insufficient_quota", "no credit")
            return await super().answer(request)

    lines, dead, _, error = send(Poor(), texts(100), embed(10, concurrency=1))
    assert isinstance(error, UnavailableError)
    assert [line["index"] for line in lines] == list(range(20))
    assert dead == []


def test_what_went_well_in_a_divided_pack_is_given_when_the_run_stops():
    class Poorer(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) > 2:
                return refusal(429, "insufficient_quota", "no credit")
            return await super().answer(request)

    records = texts(8)
    records[7]["text"] = "bad"
    journal = MemoryJournal("run-1")
    lines, _, _, error = send(Poorer(), records, embed(8), journal=journal)
    assert isinstance(error, UnavailableError)
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert journal.in_flight == 0  # what was refused is not in doubt


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "has 0 items"),
        ([{"index": 5}, {"index": 1}, {"index": 2}], "not numbered"),
        (None, "has 0 items"),
    ],
)
def test_an_answer_that_cannot_be_told_apart_is_no_answer(data: Any, reason: str):
    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": data})

    lines, _, _, _ = send(answer, texts(3), embed(3))
    assert [line["error"]["class"] for line in lines] == ["outcome_unknown"] * 3
    assert reason in lines[0]["error"]["message"]
    assert "leave out `pack`" in lines[0]["error"]["message"]


def test_a_lost_answer_is_asked_for_again_and_flagged():
    class Lossy(Embeddings):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) == 1:
                raise httpx.ReadError("gone")
            return await super().answer(request)

    server = Lossy()
    lines, _, _, _ = send(server, texts(4), embed(4))
    assert [(line["attempts"], line["in_doubt"]) for line in lines] == [(2, True)] * 4
    assert {request.headers["idempotency-key"] for request in server.requests} == {
        server.requests[0].headers["idempotency-key"]
    }


def test_a_budget_counts_requests_and_the_tokens_once():
    journal = MemoryJournal("run-1")
    lines, _, _, error = send(
        Embeddings(), texts(10), embed(2, concurrency=1, budget={"requests": 3}), journal=journal
    )
    assert "budget" in str(error) or "requests" in str(error)
    assert len(lines) == 6
    assert journal.counts["requests"] == 3
    assert journal.account().tokens == sum(len(f"text {number}") for number in range(6))


def test_a_stop_leaves_what_was_not_sent():
    async def main() -> None:
        server = Embeddings()
        async with connected(server, outgoing={"out": embed(4, concurrency=1)}) as made:
            publisher = made.publisher("out")
            seen: list[int] = []

            async def stopped() -> None:
                async with aclosing(publisher.deliver(Listed(texts(100)))) as groups:
                    async for group in groups:
                        seen.extend(result.index for _, result in group)
                        publisher.stop(RunInterruptedError(15))

            with pytest.raises(RunInterruptedError):
                await stopped()
            assert seen == list(range(len(seen)))
            assert len(seen) == 4 * len(server.requests) < 100

    run(main)


class Jumbled(Embeddings):
    """Answers now sooner, now later."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        for _ in range(int(request.headers["idempotency-key"].encode()[0]) % 7):
            await asyncio.sleep(0)
        return await super().answer(request)


TEXT = st.sampled_from(["a", "bb", "ccc", "bad", "", ["one", "two"], ["bad"], [1, 2]])
RECORDS = st.lists(st.tuples(TEXT, st.sampled_from(["m", "n"])), max_size=40)


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.integers(1, 6), st.integers(1, 4), st.sampled_from(["input", "completion"]), st.booleans())
def test_whatever_comes_each_record_has_the_answer_to_its_own_text(
    given_: list[tuple[Any, str]], size: int, concurrency: int, order: str, names: bool
):
    records = [{"id": n, "text": text, "model": model} for n, (text, model) in enumerate(given_)]
    server = Jumbled(names=names)
    # the first one goes well, so that nothing is taken for what all share
    first = {"id": "first", "text": "fine", "model": "m"}
    lines, dead, publisher, error = send(
        server, [first, *records], embed(size, wait=0, concurrency=concurrency, order=order)
    )
    assert error is None or "failed alike" in str(error)
    if error is not None:
        return
    if order == "input":
        assert [line["index"] for line in lines] == list(range(len(records) + 1))
    found = {line["id"]: line for line in lines}
    assert len(found) == len(lines) == len(records) + 1
    for record in records:
        line = found[str(record["id"])]
        text = record["text"]
        if "bad" in str(text):
            assert line["status"] == "error"
        else:
            expected = [vector(str(one)) for one in (text if isinstance(text, list) else [text])]
            assert [one["embedding"] for one in line["response"]["data"]] == expected
            assert line["response"]["model"] == record["model"]
    assert len(dead) == publisher.counts["error"] == sum("bad" in str(text) for text, _ in given_)
    assert all(len(one) <= max(size, 2) for one in server.texts)
