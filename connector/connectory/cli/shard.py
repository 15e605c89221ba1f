"""What a process does that shares a run with others: it works on its shard, and tells the one that began it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectory.cli.causes import Causes
from connectory.cli.setup import loop_factory
from connectory.errors import JobBusyError, RunStoppedError
from connectory.events import Event, Noticed, RecordFinished
from connectory.listeners.logs import tokens_of
from connectory.pace.lanes import Standing
from connectory.runs.processes import messages
from connectory.text.redaction import blank, trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.connector import AsyncConnector
    from connectory.delivery.publication import Publication
    from connectory.events import Listener
    from connectory.journal import Run, Shard
    from connectory.pace.gate import Gate
    from connectory.publisher import Publisher
    from connectory.requests.building import ClientOptions
    from connectory.runs.processes import Commons

TICK = 0.1
"""Seconds between two words about how far the shard is."""

AT_ONCE = 4096


def main() -> None:
    """Work on the shard that the first line of standard input orders."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they come to all; who began this process says what to do
        signal.signal(number, _pass)
    out = os.dup(1)
    os.dup2(2, 1)  # what a transformer prints must not come between the messages
    heard = _lines()
    order = messages.read(next(heard, b"{}"))
    if not order:
        return
    shard = _Shard(order, partial(_say, out), heard)
    if order["telemetry"] is None:
        shard.work()
        return
    from connectory.listeners.telemetry import sending

    os.environ.update(order["telemetry"])
    with sending(shard.notice, f"connectory shard {order['number']}") as shard.telemetry:
        shard.work()


def _pass(*_: object) -> None:
    """Do nothing at a signal; a program that this one starts does not inherit that."""


def _say(out: int, **message: Any) -> None:
    """Tell the process that began this one; where it is gone nobody listens."""
    pending = memoryview(messages.written(**message))
    with suppress(OSError):
        while pending:
            pending = pending[os.write(out, pending) :]


def _lines() -> Iterator[bytes]:
    """Give what comes on standard input, line by line, without a buffer that another thread would have to let go."""
    rest = b""
    while chunk := os.read(0, AT_ONCE):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


class _Shared:
    """What this process has in common with the others."""

    def __init__(self, commons: Commons, most: int) -> None:
        self._commons, self._most = commons, most

    def gate(self, options: ClientOptions, listen: Listener) -> Gate:
        """Make what lets the requests of a client out."""
        from connectory.runs.processes import SharedGate

        most = min(self._most, options.limits.most_at_once)
        return SharedGate(
            options.policy, options.limits, commons=self._commons, name=options.name, most=most, listen=listen
        )

    def guard(self, publication: Publication) -> Publication:
        """Let what bounds a run count what the others have done."""
        from connectory.runs.processes import shared_guards

        return shared_guards(publication, self._commons)


class _Shard:
    """One shard of a run, from its order to its end."""

    def __init__(self, order: dict[str, Any], say: Any, heard: Iterator[bytes]) -> None:
        self.order, self._say, self._heard = order, say, heard
        self._counts: Counter[str] = Counter()
        self._standing = Standing()
        self.telemetry: Listener | None = None
        self._causes = Causes()
        self._made: AsyncConnector | None = None
        self._publisher: Publisher | None = None
        self._stopped: RunStoppedError | None = None
        self._told = False
        self._task: asyncio.Task[Any] | None = None
        self._go = asyncio.Event()

    def notice(self, text: str) -> None:
        """Tell something that stops nothing."""
        self._say(event=messages.event_as(Noticed(text)))

    def work(self) -> None:
        """Do it, and say how it ended."""
        ended: dict[str, Any] = {}
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            reason = self._stopped or RunStoppedError("it was to end at once")
            ended = messages.error_as(reason, str(reason))
        except Exception as error:  # noqa: BLE001 - whatever it was is told, and raised where the user is
            expected = messages.error_as(error, str(error))
            ended = expected if expected["kind"] else {**expected, "text": trace(error)}
        finally:
            self._tell_counts()
            if ended:
                ended["text"] = blank(ended["text"])
            self._say(ended=ended, causes=self._causes.as_data())

    async def _main(self) -> None:
        from connectory.files.storage import Lock
        from connectory.journal import LOCK

        self._task = asyncio.current_task()
        folder = self._shard.folder(Path(self.order["folder"]))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = Lock(folder / LOCK)
        if not lock.take() and not lock.take_soon():
            raise JobBusyError(f"another process is working on shard {self._shard.number} of the run")
        ticking = asyncio.create_task(self._tick())
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), name="connectory-orders", daemon=True).start()
        try:
            await self._publish(folder)
        finally:
            ticking.cancel()
            lock.release()

    async def _publish(self, folder: Path) -> None:
        from connectory.adapters.linesink import LineSink
        from connectory.assembly import Endpoint, input_of
        from connectory.cli.wiring import DeadLetters, lines_of_ok
        from connectory.config import load_config
        from connectory.connector import AsyncConnector
        from connectory.requests.parameters import Given
        from connectory.runs.processes import COMMONS, LETTERS, LINES, Commons
        from connectory.runs.running import run_outgoing

        order, shard = self.order, self._shard
        config = load_config(order["config"])
        endpoint = Endpoint(*order["endpoint"]) if order["endpoint"] else None
        commons = Commons(folder.parent / COMMONS, shard.number)
        shared = _Shared(commons, order["most"])
        try:
            told: Any = {"listen": self._hear, "telemetry": self.telemetry}
            async with AsyncConnector(config, endpoint=endpoint, shared=shared, **told) as made:
                run = self._opened(folder)
                letters = DeadLetters(folder / LETTERS)
                self._made, self._causes = made, letters.causes
                given = Given(order["path"], order["query"])
                publisher = made.publisher(
                    order["name"], given=given, client=order["client"], journal=run.journal
                )
                if order["only_ok"]:
                    publisher.lines = lines_of_ok
                sink = LineSink(folder / LINES, lazy=True, staged=False)
                source = input_of(config, order["name"], order["input"]).open(limit=shard.end)
                self._say(ready=True)
                try:
                    await self._go.wait()
                except asyncio.CancelledError:  # before anything was begun
                    await run.aclose()
                    raise
                self._publisher = publisher
                await run_outgoing(run, publisher, source, sink, letters)
        finally:
            commons.close()

    def _opened(self, folder: Path) -> Run:
        """Open the shard's journal: it counts, and makes keys, as that of the whole run would."""
        from connectory.journal import Facts, Run, ShardJournal, is_begun

        known: dict[str, Any] = {**self.order["facts"], "command": (), "then": ()}
        facts = Facts(**known)
        resumed = is_begun(folder)
        journal = ShardJournal(
            folder, facts.run, self._shard, started_at=facts.started_at, power=self.order["power"]
        )
        journal.open(make=not resumed)
        return Run(folder, facts, journal, None, resumed=resumed)

    @property
    def _shard(self) -> Shard:
        from connectory.journal import Shard

        return Shard(**self.order["shard"])

    def _hear(self, event: Event) -> None:
        if isinstance(event, RecordFinished):
            if event.error is not None:
                self._say(event=messages.event_as(event))
                return
            self._counts[event.status] += 1
            if event.usage is not None:
                self._counts["tokens"] += tokens_of(event.usage) or 0
        elif (data := messages.event_as(event)) is not None:
            self._say(event=data)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear what the others are told too; without the process that began this one nothing more is begun."""
        with suppress(RuntimeError):  # the loop is closed: the work is done
            for line in self._heard:
                loop.call_soon_threadsafe(self._obey, messages.read(line))
            loop.call_soon_threadsafe(self._stop, RunStoppedError("the process that began this one is gone"))

    def _obey(self, message: dict[str, Any]) -> None:
        match message:
            case {"go": _}:
                self._go.set()
            case {"stop": data}:
                reason = messages.error_of(data)
                self._stop(reason if isinstance(reason, RunStoppedError) else RunStoppedError(str(reason)))
            case {"cancel": _} if self._task is not None:
                self._task.cancel()
            case _:
                pass

    def _stop(self, reason: RunStoppedError) -> None:
        """Take no further record; who has not begun does not begin."""
        self._stopped = self._stopped or reason
        if self._publisher is None and self._task is not None:
            self._task.cancel()
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        """Stop the publisher, as soon as it is at work."""
        if self._stopped is not None and self._publisher is not None and self._publisher.stop(self._stopped):
            self._told = True

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._tell_counts()
            if self._stopped is not None and not self._told:
                self._pass_on()
            elif self._stopped is None and self._publisher is not None:
                reason = self._publisher.stopping
                if reason is not None:
                    self._stopped, self._told = RunStoppedError(), True
                    self._say(stopping=messages.error_as(reason, blank(str(reason))))

    def _tell_counts(self) -> None:
        counts, self._counts = self._counts, Counter()
        if counts:
            self._say(counts=dict(counts))
        if self._made is not None and (standing := self._made.standing()) != self._standing:
            self._standing = standing
            self._say(standing=[standing.busy, standing.held_by])
