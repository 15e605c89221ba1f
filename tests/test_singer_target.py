"""The Singer target: whose records go where, and that a STATE comes back when all before it is done, and not before."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from connected import POSTS, Server, connected, refusal
from singing import Out, deliver, message

from connectory.errors import ConfigError, CredentialsError
from connectory.journal import Runs
from connectory.singer.lane import UnacknowledgedError
from connectory.singer.messages import MessageError

OUT = {**POSTS, "payload": "&{@}", "validate": "off"}
SCHEMA = message("SCHEMA", "out", schema={"properties": {"id": {"type": "integer"}}}, key_properties=["id"])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(number: int, stream: str = "out") -> dict[str, Any]:
    return message("RECORD", stream, record={"id": number})


def state(value: Any) -> dict[str, Any]:
    return message("STATE", value={"at": value})


def ats(printed: list[Any]) -> list[Any]:
    return [one["at"] for one in printed]


class Gate(Server):
    """Answers a record when it is let through; `refused` ones are answered 400."""

    def __init__(self, *held: int, refused: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.gates = {one: asyncio.Event() for one in held}
        self.refused = refused

    async def answer(self, request: httpx.Request) -> httpx.Response:
        number = json.loads(request.content)["id"]
        if number in self.gates:
            await self.gates[number].wait()
        return refusal(400) if number in self.refused else await super().answer(request)

    @property
    def ids(self) -> list[int]:
        return [one["id"] for one in self.bodies]


async def some_turns() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0.01)


# -- acknowledgement


def test_a_state_comes_back_when_every_record_before_it_is_done_and_not_before():
    server, story = Gate(2), list[Any]()
    out = Out(lambda line: story.append(("state", line["at"])))

    async def look() -> None:
        await some_turns()
        story.append(("done so far", sorted(server.ids)))

    async def let_go() -> None:
        server.gates[2].set()
        await some_turns()

    given = [SCHEMA, record(1), state(1), record(2), record(3), state(3), look, let_go, record(4), state(4)]
    printed, _ = deliver(connected(server, outgoing={"out": OUT}), given, out)
    assert story[:2] == [
        ("state", 1),
        ("done so far", [1, 2, 3]),
    ]  # 3 is done, 2 is not, so nothing speaks of 3 yet
    assert ats(printed) == [1, 3, 4]


def test_the_result_is_in_the_journal_before_the_state_comes_back(folder):
    logged = list[int]()

    def look(_line: Any) -> None:
        (run,) = (folder / ".connectory" / "runs").iterdir()
        logged.append(sum(len(one.read_bytes().splitlines()) for one in run.glob("results*")))

    deliver(
        connected(Server(), outgoing={"out": OUT}),
        [SCHEMA, record(1), record(2), state(2), some_turns, record(3), state(3)],
        Out(look),
    )
    assert len(logged) == 2
    assert sorted(logged) == [2, 3]


def test_a_record_that_is_set_aside_is_dealt_with(folder):
    server = Gate(refused=(2,))
    printed, target = deliver(
        connected(server, outgoing={"out": OUT}), [SCHEMA, record(1), record(2), record(3), state(3)]
    )
    assert ats(printed) == [3]
    (letters,) = folder.glob(".connectory/runs/*/dead_letters.jsonl")
    assert json.loads(letters.read_text())["record"] == {"id": 2}
    assert target.lanes["out"].run.journal.counts["dead"] == 1


def test_what_stops_the_run_leaves_its_state_unsaid_and_the_rest_pending(folder):
    class Locked(Gate):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if json.loads(request.content)["id"] > 1:
                return refusal(401, "invalid_api_key")
            return await super().answer(request)

    out = Out()
    given = [SCHEMA, record(1), state(1), some_turns, record(2), state(2), some_turns]
    with pytest.raises(CredentialsError):
        deliver(connected(Locked(), outgoing={"out": OUT}), given, out)
    assert ats(out.lines) == [1]
    server = Gate()
    printed, _ = deliver(connected(server, outgoing={"out": OUT}), [state(1), SCHEMA, record(2), state(2)])
    assert server.ids == [2]
    assert ats(printed)[-1] == 2


# -- a tap, or a target, that breaks off


@pytest.mark.fault(
    "X1",
    "A Singer target whose tap broke off knows the records that come again, and sends only those that were under way.",
)
def test_what_a_tap_sends_again_is_not_sent_again():
    first, second = Gate(), Gate()
    out = Out()
    with pytest.raises(UnacknowledgedError, match="2 records after the last STATE"):
        deliver(
            connected(first, outgoing={"out": OUT}), [SCHEMA, record(1), state(1), record(2), record(2)], out
        )
    assert ats(out.lines) == [1]
    again = [
        state(1),
        SCHEMA,
        record(2),
        record(2),
        record(2),
        record(3),
        state(3),
    ]  # one 2 more is another record
    printed, target = deliver(connected(second, outgoing={"out": OUT}), again)
    assert first.ids == [1, 2, 2]
    assert second.ids == [2, 3]
    assert ats(printed)[-1] == 3
    assert target.lanes["out"].run.journal.state.finished


def test_a_tap_that_breaks_off_twice_at_the_same_record_is_understood():
    server = Gate()
    for begin in ([SCHEMA, record(1), state(1), some_turns], [state(1), SCHEMA], [state(1), SCHEMA]):
        with pytest.raises(UnacknowledgedError):
            deliver(connected(server, outgoing={"out": OUT}), [*begin, record(2)])
    deliver(connected(server, outgoing={"out": OUT}), [state(1), SCHEMA, record(2), record(3), state(3)])
    assert server.ids == [1, 2, 3]


def test_pipelines_with_names_of_their_own_do_not_take_up_each_others_runs():
    server = Gate()
    for job in ("one", "other", "one"):
        given = [SCHEMA, record(1), state(1), some_turns, record(2)]
        with pytest.raises(UnacknowledgedError):
            deliver(connected(server, outgoing={"out": OUT}), given, job=job)
    assert sorted(server.ids) == [1, 1, 1, 2, 2]  # "one" was taken up: its 2 came again after its last state


def test_a_host_that_kept_an_older_state_is_understood():
    first, second = Gate(), Gate()
    with pytest.raises(UnacknowledgedError):
        deliver(
            connected(first, outgoing={"out": OUT}),
            [SCHEMA, record(1), state(1), some_turns, record(2), state(2), some_turns, record(3)],
        )
    again = [state(1), SCHEMA, record(2), record(3), record(4), state(4)]
    deliver(connected(second, outgoing={"out": OUT}), again)
    assert (first.ids, second.ids) == ([1, 2, 3], [4])


def test_a_run_whose_file_lost_records_is_not_taken_up_with_others_in_their_place(folder):
    with pytest.raises(UnacknowledgedError):
        deliver(
            connected(Gate(), outgoing={"out": {**OUT, "durability": "power"}}),
            [SCHEMA, record(1), state(1), record(2), record(3)],
        )
    (file,) = folder.glob(".connectory/runs/*/records.jsonl")
    file.write_bytes(file.read_bytes()[:-3])  # the last line is cut in the middle
    for _ in range(2):  # who is refused lets go of the run: the next one is not told that it is busy
        with pytest.raises(ConfigError, match="is not what it was; start anew with --new"):
            deliver(connected(Gate(), outgoing={"out": OUT}), [state(1), SCHEMA, record(4), state(4)])


def test_a_run_that_came_to_its_end_takes_equal_records_as_new_ones(folder):
    server = Gate()
    for _ in range(2):
        deliver(connected(server, outgoing={"out": OUT}), [SCHEMA, record(1), state(1)])
        deliver(
            connected(server, outgoing={"out": OUT}), [SCHEMA, record(2)]
        )  # a tap that gives no state at all
    assert server.ids == [1, 2, 1, 2]
    assert len(Runs(folder / ".connectory").ids()) == 4
    assert list(folder.glob(".connectory/runs/*/records.jsonl")) == []


# -- streams and outgoings


def test_streams_go_to_the_outgoing_of_their_name_or_the_one_that_is_named():
    server = Server()
    schemas = [{**SCHEMA, "stream": name} for name in ("out", "orders", "noise", "other")]
    given = [*schemas, *(record(number, one["stream"]) for number, one in enumerate(schemas)), state(1)]
    made = connected(
        server, outgoing={"out": OUT, "named": {**OUT, "payload": {"id": "&{id}", "named": True}}}
    )
    printed, target = deliver(made, given, streams={"orders": "named", "noise": None, "*": "out"})
    assert sorted(map(json.dumps, server.bodies)) == ['{"id": 0}', '{"id": 1, "named": true}', '{"id": 3}']
    assert ats(printed) == [1]
    assert set(target.lanes) == {"out", "named"}


def test_a_stream_without_an_outgoing_is_an_error_that_says_what_to_write():
    with pytest.raises(ConfigError, match=re.escape('{"streams": {"oout": "NAME"}}')) as caught:
        deliver(connected(Server(), outgoing={"out": OUT}), [{**SCHEMA, "stream": "oout"}])
    assert "did you mean" in str(caught.value)


def test_an_outgoing_that_deletes_must_be_allowed_to():
    deleting = {"entity": "file", "action": "delete", "path": {"file_id": "&{name}"}}
    schema = message("SCHEMA", "out", schema={"properties": {}}, key_properties=[])
    given = [schema, message("RECORD", "out", record={"name": "file-1"}), state(1)]
    with pytest.raises(ConfigError, match='"yes": true'):
        deliver(connected(Server(), outgoing={"out": deleting}), given)
    server = Server()
    deliver(connected(server, outgoing={"out": deleting}), given, yes=True)
    assert server.lines == ["DELETE /v1/files/file-1"]


# -- messages


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 3: .*not JSON"),
        ("[]", "line 3: .*must be a JSON object"),
        ({"type": "BATCH", "stream": "out"}, "line 3: a BATCH message names files"),
        ({"type": "STATE"}, "line 3: .*'value'"),
        ({"type": "STAT"}, "line 3: 'type' is 'STAT'"),
        ({}, "line 3: 'type' is missing"),
        ({"type": "RECORD", "record": {}}, "line 3: .*names its 'stream'"),
        ({"type": "RECORD", "stream": "out"}, "line 3: the 'record'"),
        ({"type": "RECORD", "stream": "new", "record": {}}, "line 3: .*'new' comes before its SCHEMA"),
        ({"type": "RECORD", "stream": "out", "record": {"name": 1}}, "line 3: .*has no 'id'"),
        ({"type": "SCHEMA", "stream": "out", "schema": {}}, "line 3: .*'properties'"),
        (
            {"type": "SCHEMA", "stream": "out", "schema": {"properties": {}}, "key_properties": "id"},
            "line 3: .*list",
        ),
    ],
    ids=str,
)
def test_a_line_that_is_no_message_ends_the_run_after_what_came_before_it(line, problem):
    server, out = Server(), Out()
    with pytest.raises(MessageError, match=problem.replace("line 3: ", r"line 3( \(byte \d+\))?: ")):
        deliver(connected(server, outgoing={"out": OUT}), [SCHEMA, record(1), line, record(2)], out)
    assert {"id": 2} not in server.bodies
    assert out.lines == []


def test_activate_version_is_passed_over_with_a_note_a_stream():
    notes = list[Any]()
    version = message("ACTIVATE_VERSION", "out", version=1)
    printed, _ = deliver(
        connected(Server(), outgoing={"out": OUT}),
        [SCHEMA, version, record(1), version, state(1)],
        notes=notes,
    )
    assert ats(printed) == [1]
    assert sum("ACTIVATE_VERSION" in getattr(one, "message", "") for one in notes) == 1


def test_more_records_than_may_be_ahead_wait_for_those_before_them(monkeypatch):
    monkeypatch.setattr("connectory.singer.lane.MOST_AHEAD", 5)
    server = Server()
    given = [SCHEMA, *(record(number) for number in range(60)), state(60)]
    printed, _ = deliver(connected(server, outgoing={"out": OUT}), given)
    assert len(server.bodies) == 60
    assert ats(printed) == [60]
