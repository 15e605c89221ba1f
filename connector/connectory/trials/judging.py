"""One test of a mapping: found in the configuration, run through the real chain, and judged."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from connectory.adapters.memory import IterableSource
from connectory.config import OutgoingTest, tests_of
from connectory.errors import ConfigError, ConnectoryError, RecordError
from connectory.interfaces import Item
from connectory.journal import MemoryJournal
from connectory.publisher import Publisher
from connectory.reading.subscription import Parent
from connectory.record import Result
from connectory.trials.comparing import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.assembly import Assembly
    from connectory.chain import Chain
    from connectory.config import Config, MappingTest
    from connectory.connector import AsyncConnector
    from connectory.delivery.publication import Part, Publication
    from connectory.record import Record

NOT_ACCEPTED = "the answer does not meet `accept`"
_KINDS = {"tests": "chain", "incoming": "incoming", "outgoing": "outgoing"}


@dataclass(frozen=True, slots=True)
class Trial:
    """A test and where it stands: `kind` and `name` say of what."""

    kind: str
    name: str
    number: int
    test: MappingTest
    file: str = ""
    line: int = 0

    @property
    def owner(self) -> str:
        """What is tested: `outgoing moderate`."""
        return f"{self.kind} {self.name}"

    @property
    def title(self) -> str:
        """What to call the test."""
        return self.test.name or f"test {self.number}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a test: without `problems` it passed."""

    trial: Trial
    problems: tuple[str, ...]
    seconds: float


def trials(config: Config) -> Iterator[Trial]:
    """Give every test of a configuration, in the order of its sections."""
    for path, test in tests_of(config):
        place = config.location(path)
        number = int(path[-1]) + 1
        yield Trial(_KINDS[str(path[0])], str(path[1]), number, test, place.file, place.line)


def needs_server(trial: Trial, assembly: Assembly) -> bool:
    """Say whether a test asks for what only a server can give.

    That is a result of an answer that is not written down, and what transformers ask for themselves.
    """
    test = trial.test
    if isinstance(test, OutgoingTest) and test.wants("result") and not test.wants("response"):
        return True
    try:
        return any(chain.asks for chain in _chains(trial, assembly))
    except ConfigError:  # told when the test is run
        return False


def _chains(trial: Trial, assembly: Assembly) -> Iterator[Chain]:
    if trial.kind == "chain":
        yield assembly.chain(assembly.config.transformers[trial.name])
    elif trial.kind == "incoming":
        yield assembly.subscription(trial.name, run={}).chain
    else:
        publication = assembly.publication(trial.name, run={})
        yield from (one for one in (publication.chain, publication.response_chain) if one is not None)


async def try_out(connector: AsyncConnector, trial: Trial) -> Verdict:
    """Run one test. The connector must be pointed to a sandbox where the test `needs_server`."""
    began = time.perf_counter()
    try:
        made = await _make(connector, trial)
        problems = _judged(trial.test, made)
    except RecordError as error:
        problems = _failed(trial.test, str(error))
    except ConnectoryError as error:
        problems = [str(error)]
    redactor = connector.config.redactor
    seconds = time.perf_counter() - began
    return Verdict(trial, tuple(redactor.text(problem) for problem in problems), seconds)


async def _make(connector: AsyncConnector, trial: Trial) -> dict[str, list[Any]]:
    """Give what came out under each of the keys that something is expected under. Raises RecordError."""
    records = [dict(record) for record in trial.test.records]
    if trial.kind == "outgoing":
        return await _published(connector, trial.name, cast("OutgoingTest", trial.test), records)
    if trial.kind == "chain":
        chain = connector.assembly.chain(connector.config.transformers[trial.name])
        scope: Record = {"run": _run()}
        if trial.test.parent is not None:
            scope["parent"] = trial.test.parent
        try:
            work = partial(_made_of, chain, [(one, scope) for one in records])
            return {"expect": await chain.aside(work)}
        finally:
            await chain.close()
    subscription = connector.assembly.subscription(trial.name, run=_run())
    parent = Parent(trial.test.parent, ()) if trial.test.parent is not None else None
    kept = [subscription.kept(record, parent) for record in records]
    scope = subscription.scope(parent)
    try:
        given = [(one, {**scope, "input": one}) for one in kept]
        return {"expect": await subscription.chain.aside(partial(_made_of, subscription.chain, given))}
    finally:
        await subscription.chain.close()


def _made_of(chain: Chain, given: list[tuple[Record, Record]]) -> list[Record]:
    return [made for record, scope in given for made in chain.apply(record, scope)]


async def _published(
    connector: AsyncConnector, name: str, test: OutgoingTest, records: list[Record]
) -> dict[str, list[Any]]:
    async with aclosing(connector.assembly.publication(name, run=_run())) as publication:
        return await _made(connector, name, publication, test, records)


async def _made(
    connector: AsyncConnector, name: str, publication: Publication, test: OutgoingTest, records: list[Record]
) -> dict[str, list[Any]]:
    items = [Item(str(number), record) for number, record in enumerate(records, 1)]
    made: dict[str, list[Any]] = {"expect": [], "request": [], "result": []}
    for index, item in enumerate(items):
        for part in await publication.chain.aside(partial(_parts, publication, item, index)):
            if part.error is not None:
                raise part.error
            if part.record is None:
                continue
            made["expect"].append(part.record)
            if not test.wants("expect") or test.wants("request") or test.wants("result"):
                made["request"].append(_request(connector, name, publication, part))
            if test.wants("response"):
                chain = publication.response_chain or publication.chain
                made["result"] += await chain.aside(partial(_result, publication, part, test.response))
    if test.wants("result") and not test.wants("response"):
        made["result"] = await _answered(connector, name, publication, records)
    return made


def _parts(publication: Publication, item: Item, index: int) -> list[Part]:
    return list(publication.parts(item, index, "test"))


def _request(connector: AsyncConnector, name: str, publication: Publication, part: Part) -> Record:
    """Make the request as it would be sent, checked against the entity. Raises RequestError."""
    call = publication.call(part)
    connector.client(connector.assembly.outgoing(name).client).prepare(call)
    return {
        "method": call.action.method,
        "path": dict(call.path),
        "query": dict(call.query),
        "payload": call.payload,
    }


def _result(publication: Publication, part: Part, response: Any) -> list[Any]:
    """Make the lines of a written answer, as if a server had given it."""
    call = publication.call(part)
    http: Record = {"status": 200, "headers": {}}
    if not publication.accepts(part, call, response, http=http):
        raise RecordError(NOT_ACCEPTED)
    output = publication.shape(part, call, response, http=http)
    result = Result(part.index, part.id, "ok", http_status=200, attempts=1, response=response, output=output)
    return result.lines()


async def _answered(
    connector: AsyncConnector, name: str, publication: Publication, records: list[Record]
) -> list[Any]:
    """Send the records to the sandbox and give the lines. Raises what is behind the first error."""
    if publication.save is not None:
        what = "'save_to' would write files"
        raise ConfigError(f"outgoing {name!r}: {what}; write the answer of this test under 'response'")
    alone = replace(publication, only=None, max_dead=None, budget=None, ordered=True, batch=None)
    client = connector.client(connector.assembly.outgoing(name).client)
    lines: list[Any] = []
    async for group in Publisher(alone, client, MemoryJournal()).deliver(IterableSource(records)):
        for _, result in sorted(group, key=lambda settled: settled[1].index):
            lines += result.unwrap().lines() if result.status != "skipped" else []
    return lines


def _judged(test: MappingTest, made: dict[str, list[Any]]) -> list[str]:
    if test.wants("error"):
        return [f"a record was expected to fail with {test.error!r}, and none did"]
    problems: list[str] = []
    part = test.match == "part"
    for key in ("expect", "request", "result"):
        if not test.wants(key):
            continue
        wanted, came = test.wanted(key), made[key]
        if key == "request":
            wanted = [one.parts for one in wanted]
            came = [_looked_at(one, wanted[index : index + 1]) for index, one in enumerate(came)]
        problems += _compared(key, wanted, came, part=part)
    return problems


def _looked_at(request: Record, wanted: list[Record]) -> Record:
    """Leave of a request what is expected of it: all of one that is not expected."""
    return {key: value for key, value in request.items() if not wanted or key in wanted[0]}


def _compared(key: str, wanted: list[Any], came: list[Any], *, part: bool) -> list[str]:
    if len(wanted) == len(came) == 1:
        return [str(one) for one in differences(wanted[0], came[0], key, part=part)]
    found = [str(one) for one in differences(wanted, came, key, part=part)]
    if len(wanted) != len(came):
        found.insert(0, f"{key}: {len(wanted)} expected, {len(came)} came")
    return found


def _failed(test: MappingTest, message: str) -> list[str]:
    if test.error is None:
        return [f"the record fails: {message}"]
    if test.error in message:
        return []
    return [f"error\n  expected  a message with {test.error!r}\n  came      {message}"]


def _run() -> Record:
    return {"id": "test", "started_at": int(time.time())}
