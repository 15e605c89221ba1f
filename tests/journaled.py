"""Runs with a journal, in one process: live some of a run, break it off as kill -9 would, and live on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from connected import CLIENT, POSTS, Server, body_of, run, transport

from connectory.adapters.jsonl import LineSource
from connectory.adapters.linesink import LineSink
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.journal import DEAD_LETTERS, DiskJournal, Job, Run, Runs, Summary, new_facts
from connectory.runs.remembered import open_known
from connectory.runs.running import run_incoming, run_outgoing

ECHO: dict[str, Any] = {**POSTS, "payload": "&{@}", "concurrency": 2, "on_uncertain": "resend"}


class Crash:
    """Keeps what lies on the disk at one moment, and puts it back: nothing that came later has happened."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._copy = folder, folder.with_name(f"{folder.name}-at-the-crash")
        self.happened = False

    def now(self, *journals: DiskJournal) -> None:
        """Keep the files; a transaction that has begun is whole."""
        for journal in journals:
            journal._committer._thread.submit(int).result()
        shutil.copytree(self._folder, self._copy, ignore=shutil.ignore_patterns("ballast"))
        self.happened = True

    def put_back(self) -> None:
        """Put the files back, when nobody has them open any more."""
        shutil.rmtree(self._folder)
        self._copy.rename(self._folder)


class Wall(Server):
    """A server that judges: every request, its key, its own id and its body, before it is answered."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self._answer = answer

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # no real answer is there at once
        if self._answer is None:
            return await super().answer(request)
        given = self._answer(request)
        return await given if asyncio.iscoroutine(given) else given

    def headers(self, name: str) -> list[str]:
        return [request.headers[name] for request in self.requests]

    @property
    def keys(self) -> list[str]:
        return self.headers("idempotency-key")

    @property
    def request_ids(self) -> list[str]:
        return self.headers("x-client-request-id")

    @property
    def ids(self) -> list[Any]:
        """The `id` of each record that came, in order."""
        return [body_of(request)["id"] for request in self.requests if request.content]

    def times(self) -> dict[Any, int]:
        """How often each record came."""
        return {one: self.ids.count(one) for one in self.ids}


@dataclass
class Life:
    """What one life of a run came to."""

    error: BaseException | None = None
    crashed: bool = False
    resumed: bool = False
    doubtful: int = 0
    run: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)


class Project:
    """A folder with a configuration, an input and an output, whose connection `out` (or `in`) is run in lives."""

    def __init__(self, folder: Path, **connections: Any) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.connections = connections or {"outgoing": {"out": ECHO}}
        self.input, self.output = self.folder / "in.jsonl", self.folder / "out.jsonl"
        self.output_mode: Any = "replace"
        self.state = self.folder / ".connectory"
        self.power = False

    def give(self, records: Any) -> None:
        """Write the input."""
        self.input.write_text("".join(json.dumps(record) + "\n" for record in records))

    @property
    def runs(self) -> Runs:
        return Runs(self.state)

    @property
    def only_run(self) -> str:
        (name,) = self.runs.ids()
        return name

    @property
    def lines(self) -> list[Any]:
        return lines_of(self.output)

    @property
    def lines_so_far(self) -> list[Any]:
        """The lines of a run that is not at its end."""
        return lines_of(self.output.with_name(f"{self.output.name}.part"))

    @property
    def dead(self) -> list[Any]:
        return lines_of(self.path / DEAD_LETTERS)

    @property
    def path(self) -> Path:
        """The folder of the last run."""
        return self.runs.path(self.runs.ids()[-1])

    @property
    def summary(self) -> Summary:
        return self.runs.summary(self.runs.ids()[-1])

    def made(self, network: Any, events: list[Any] | None = None) -> AsyncConnector:
        data = {"version": 1, "clients": {"api": CLIENT}, "journal": str(self.state), **self.connections}
        listen = (lambda _event: None) if events is None else events.append
        return AsyncConnector(config_from_dict(data), transport=transport(network), listen=listen)

    def send(
        self,
        network: Any,
        *,
        crash: tuple[str, int] | None = None,
        new: bool = False,
        limit: int | None = None,
        sink: Any = None,
    ) -> Life:
        """Live one life of the outgoing; `crash` breaks it off after so many calls of a method of the journal."""
        life, moment = Life(), Crash(self.folder)

        async def main() -> None:
            async with self.made(network, life.events) as made:
                source = LineSource(self.input, limit=limit)
                target = made.assembly.publication("out", run={}).target
                job = Job("outgoing", "out", {"input": str(self.input)})
                known = {"input": str(self.input), "fingerprint": source.fingerprint()}
                facts = new_facts(job, target=target, **known)
                run = self.runs.begin(job, facts, new=new, power=self.power)
                note(life, run)
                place = sink or LineSink(self.output, mode=self.output_mode)
                dead = LineSink(run.folder / DEAD_LETTERS, lazy=True, staged=False)
                known = open_known(made.assembly, made.runs, "out", run)
                publisher = made.publisher("out", journal=run.journal, known=known)
                work = asyncio.ensure_future(run_outgoing(run, publisher, source, place, dead))
                if crash is not None:
                    plan(run.journal, crash, moment, work, made)
                await watched(work, life, moment)
                life.counts = run.journal.counts

        run(main)
        if moment.happened:
            moment.put_back()
        return life

    def read(self, network: Any, *, crash: tuple[str, int] | None = None, **options: Any) -> Life:
        """Live one life of the incoming."""
        life, moment = Life(), Crash(self.folder)
        new, sink = options.pop("new", False), options.pop("sink", None)

        async def main() -> None:
            async with self.made(network, life.events) as made:
                target = made.assembly.subscription("in", run={}).target
                job = Job("incoming", "in")
                run = self.runs.begin(job, new_facts(job, target=target), new=new)
                note(life, run)
                place = sink or LineSink(self.output, mode=self.output_mode)
                subscriber = made.subscriber("in", journal=run.journal, **options)
                work = asyncio.ensure_future(run_incoming(run, subscriber, place))
                if crash is not None:
                    plan(run.journal, crash, moment, work, made)
                await watched(work, life, moment)
                life.counts = subscriber.counts.as_dict()

        run(main)
        if moment.happened:
            moment.put_back()
        return life


def note(life: Life, run: Run) -> None:
    """Note how a life begins."""
    hasten(run.journal)
    life.run, life.resumed, life.doubtful = run.facts.run, run.resumed, run.journal.doubtful


def hasten(journal: DiskJournal) -> None:
    """Do not wait for the disk: no machine loses its power here."""
    journal._store._connection.execute("PRAGMA synchronous = OFF")


async def watched(work: asyncio.Future[Any], life: Life, moment: Crash) -> None:
    """Wait for a life's end, and note how it came."""
    try:
        await work
    except asyncio.CancelledError:
        if not moment.happened:
            raise
    except Exception as error:  # noqa: BLE001 - the test looks at it
        life.error = error
    life.crashed = moment.happened


def plan(
    journal: DiskJournal,
    crash: tuple[str, int],
    moment: Crash,
    work: asyncio.Future[Any],
    made: AsyncConnector,
    *,
    others: Sequence[DiskJournal] = (),
) -> None:
    """Break a life off after so many calls of a method of its journal, or while the server has its n-th request."""
    name, number = crash
    journals = others or [journal]
    if name == "request":
        break_off_in_the_server(journals, number, moment, work, made)
        return
    original, left = getattr(journal, name), [number]

    def count() -> None:
        left[0] -= 1
        if not left[0]:
            moment.now(*journals)
            work.cancel()
            silence(made)

    async def later(*arguments: Any, **named: Any) -> Any:
        given = await original(*arguments, **named)
        count()
        if moment.happened:
            await asyncio.Event().wait()
        return given

    def at_once(*arguments: Any, **named: Any) -> Any:
        given = original(*arguments, **named)
        count()
        return given

    setattr(journal, name, later if asyncio.iscoroutinefunction(original) else at_once)


def break_off_in_the_server(
    journals: Sequence[DiskJournal],
    number: int,
    moment: Crash,
    work: asyncio.Future[Any],
    made: AsyncConnector,
) -> None:
    """Break a life off when the server has a request, and before its answer is there."""
    network, left = made.client().transport, [number]
    original = network.handle_async_request

    async def handle(request: httpx.Request) -> httpx.Response:
        given = await original(request)
        left[0] -= 1
        if left[0]:
            return given
        moment.now(*journals)
        work.cancel()
        silence(made)
        await asyncio.Event().wait()
        raise AssertionError

    network.handle_async_request = handle  # type: ignore[method-assign]  # this one transport only


def silence(made: AsyncConnector) -> None:
    """Let nothing more leave: a process that is dead sends nothing before it is cancelled."""

    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    made.client().transport.handle_async_request = never  # type: ignore[method-assign]  # this one transport only


def lines_of(path: Path) -> list[Any]:
    """Read JSON lines; none where there is no file."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    return []


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": number, **more} for number in range(count)]


def refusing(*ids: Any, status: int = 400) -> Any:
    """Refuse the records with these ids."""
    return partial(_refuse, frozenset(ids), status)


def _refuse(ids: frozenset[Any], status: int, request: httpx.Request) -> httpx.Response:
    record = body_of(request)
    if record["id"] in ids:
        return httpx.Response(status, json={"error": {"message": "no", "type": "made_up", "code": "bad"}})
    return httpx.Response(200, json={"got": record})
