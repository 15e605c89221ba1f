"""The public API as type checkers see it: mypy strict and pyright strict accept this file, and nothing runs it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, assert_type

import httpx

from connectory import (
    ApiError,
    AsyncConnector,
    Catalogue,
    Chain,
    ConfigError,
    Connector,
    ConnectoryError,
    Context,
    CredentialsError,
    Entity,
    Expression,
    Field,
    InFile,
    Journal,
    Memory,
    NotSentError,
    OutcomeUnknownError,
    Pattern,
    Record,
    RecordError,
    Result,
    RunStoppedError,
    Schema,
    Sink,
    Source,
    Tally,
    Template,
    TransportError,
    UnknownNameError,
    read_file,
    transformer,
)
from connectory.delivery.publication import Part
from connectory.formats.tabular import Rows
from connectory.interfaces import Item, Position, Row
from connectory.record import Delivery, Intent


def use_the_blocking_door(network: httpx.AsyncBaseTransport) -> None:
    with Connector.from_file("connectory.yaml", transport=network) as connector:
        assert_type(connector, Connector)
        for item in connector.incoming("files", query={"purpose": "batch"}):
            assert_type(item, dict[str, Any])
        for result in connector.outgoing("moderate", ({"text": text} for text in ("a", "b"))):
            assert_type(result, Result)
        for result in connector.outgoing("moderate", [{"text": "a"}], job="nightly"):
            assert_type(result, Result)
        assert_type(connector.read("files"), Rows[dict[str, Any]])
        found: Iterator[dict[str, Any]] = connector.read("files")
        del found
        created = connector.create("moderations", payload={"input": "hi"})
        assert_type(created, Result)
        assert_type(connector.delete("file", path={"file_id": "file-1"}), Result)
        assert_type(connector.prepare("create", "moderations", payload={}), httpx.Request)
        assert_type(connector.request("GET", "/things").value, Any)
        assert_type(connector.options("model", mode="chat"), list[dict[str, Any]])
        assert_type(connector.catalogue, Catalogue)
    assert_type(Connector.from_dict({"version": 1}), Connector)
    assert_type(Connector.openai(token="made-up", base_uri="https://api.test/v1"), Connector)


async def use_the_async_door(records: AsyncIterator[Record]) -> None:
    async with AsyncConnector.from_file("connectory.yaml") as connector:
        assert_type(connector, AsyncConnector)
        async for item in connector.incoming("files"):
            assert_type(item, dict[str, Any])
        async with aclosing(connector.outgoing("moderate", records, job="nightly")) as results:
            async for result in results:
                assert_type(result, Result)
        assert_type(connector.read("files"), AsyncGenerator[dict[str, Any], None])
        assert_type(await connector.create("moderations", payload={}), Result)
        assert_type(await connector.delete("file", path={"file_id": "f"}), Result)
        assert_type(connector.prepare("read", "files"), httpx.Request)


def look_at_a_result(result: Result) -> str | None:
    assert_type(result.index, int)
    assert_type(result.http_status, int | None)
    assert_type(result.in_doubt, bool)
    assert_type(result.ok, bool)
    assert_type(result.response, Any)
    assert_type(result.as_dict(), dict[str, Any])
    assert_type(result.unwrap(), Result)
    if result.error is not None:
        assert_type(result.error.kind, str)
        return result.error.code
    return result.request_id


def look_at_the_catalogue(catalogue: Catalogue) -> tuple[str, ...]:
    entity = catalogue["files"]
    assert_type(entity, Entity)
    found, action, parameters = catalogue.match("GET", "/files/file-1")
    assert_type(found, Entity)
    assert_type(parameters, dict[str, str])
    assert action in {"read", "create", "delete"}
    return entity.path_parameters


def handle_errors(connector: Connector) -> str:
    try:
        connector.create("moderations", payload={})
    except ApiError as error:
        assert_type(error.status, int)
        assert_type(error.code, str | None)
        return str(error.request_id)
    except (RecordError, UnknownNameError, CredentialsError, NotSentError, OutcomeUnknownError) as error:
        return str(error)
    except (TransportError, RunStoppedError, ConnectoryError) as error:
        return str(error)
    return ""


def list_problems(error: ConfigError) -> list[str]:
    return [f"{problem.file}:{problem.line}: {problem.message}" for problem in error.problems]


@transformer
def mask_email(record: Record, *, field: str = "email", keep: int = 2) -> Record:
    return {**record, field: record[field][:keep] + "…"}


@transformer(value="field")
def many(record: Record, *, field: Expression, context: Context) -> Iterator[Record]:
    for value in field(record, context.scope):
        yield {"value": value}


@transformer
def some(record: Record, *, limit: int) -> Record | None:
    return record if record["size"] < limit else None


@transformer(one_of=("text", "file"))
def first_of_its_kind(
    record: Record,
    *,
    kind: Field,
    text: Template | None = None,
    file: Annotated[Template, InFile()] | None = None,
    pattern: Pattern | None = None,
    shape: Schema | None = None,
    do: Chain | None = None,
    context: Context,
    memory: Memory,
) -> Iterable[Record]:
    assert_type(kind.text(record), str)
    assert_type(memory.of(context), dict[Any, Any])
    if pattern is not None:
        assert_type(pattern.replace("a", "b"), str)
    if shape is not None:
        assert_type(shape.errors(record, name="record"), list[str])
    assert_type(read_file("a.png", context.folder), bytes)
    assert_type(context.logger, logging.Logger)
    return (record,) if do is None else do.run(record, context)


class Lines:
    """A source of one's own."""

    total: int | None = None

    async def __aiter__(self) -> AsyncIterator[Item]:
        yield Item("1", {"text": "hi"}, mark={"line": 1})

    def resume(self, mark: Any, given: int) -> None:
        del mark, given

    async def acknowledge(self, item: Item) -> None:
        del item


class Printed(Sink):
    """A sink of one's own that cannot go on where it ended: the rest is inherited."""

    async def write(self, lines: Iterable[Any]) -> None:
        del lines

    async def flush(self) -> None:
        return

    async def close(self) -> None:
        return


class Remembered:
    """A journal of one's own."""

    run = "run-1"
    started_at = 0
    durable = False
    life = 1
    start = 0

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def is_shown(self, seq: int, part: int | None = None) -> bool:
        return (seq, part) == (0, None)

    def shown_parts(self, seq: int) -> frozenset[int]:
        return frozenset()

    def recall(self, delivery: Delivery) -> Result | None:
        del delivery
        return None

    def doubt(self, delivery: Delivery) -> Intent | None:
        return Intent(delivery.key, delivery.seq, delivery.part, "", 1)

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        del delivery, body_hash

    async def intend_pack(self, deliveries: Sequence[Delivery], body_hash: str, pack: str) -> None:
        del deliveries, body_hash, pack

    def companions(self, pack: str) -> int:
        del pack
        return 0

    async def flush(self) -> None:
        return

    async def begin(self, delivery: Delivery, result: Result) -> None:
        del delivery, result

    async def record(self, delivery: Delivery, result: Result) -> None:
        del delivery, result

    async def record_pack(self, settled: Sequence[tuple[Delivery, Result]]) -> None:
        del settled

    def withdraw(self, delivery: Delivery) -> None:
        del delivery

    def leave(self, delivery: Delivery) -> None:
        del delivery

    def read(self, seq: int, mark: Any) -> None:
        del seq, mark

    def show(self, delivery: Delivery, result: Result) -> None:
        del delivery, result

    def close_item(self, seq: int, *, dead: bool) -> None:
        del seq, dead

    def count(self, name: str, amount: int = 1) -> None:
        self.counts[name] = amount

    @property
    def doubtful(self) -> int:
        return 0

    def account(self) -> Tally:
        return Tally()

    def set_total(self, total: int) -> None:
        del total

    def place(self, output: Position, dead: Position) -> None:
        del output, dead

    async def commit(self, stream: str, cursor: Any, *, drop: str = "", seen: Sequence[Row] = ()) -> None:
        del stream, cursor, drop, seen

    def cursor(self, stream: str) -> Any:
        return stream


source: Source = Lines()
sink: Sink = Printed()
journal: Journal = Remembered()


async def drive_a_publisher_by_hand(connector: AsyncConnector) -> int:
    publisher = connector.publisher("moderate", journal=journal)
    assert_type(await publisher.run(source, sink, sink), dict[str, int])
    async with aclosing(publisher.deliver(source)) as groups:
        async for settled in groups:
            assert_type(settled, list[tuple[Part, Result]])
    read = await connector.subscriber("files", on_error=print).run(sink)
    return read.records
