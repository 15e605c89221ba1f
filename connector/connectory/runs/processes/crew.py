"""The processes of a run, seen from the one that the user started: begun together, heard, stopped together."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from connectory.errors import ProcessLostError, RunStoppedError, UnavailableError
from connectory.pace.lanes import Standing
from connectory.runs.processes import messages
from connectory.runs.processes.commons import Commons

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from connectory.events import Event

PROGRAM = (
    "import sys; sys.path[:] = sys.argv.pop(1).split({0!r}); from connectory.cli.shard import main; main()"
)
"""What a process runs: it imports from where this one does, and from nowhere else."""

LONGEST = 4 * 1024 * 1024
"""Bytes of one message at most."""

PATIENCE = 10.0
"""Seconds in which a process that is to end at once may write down what it knows."""


class Listening(Protocol):
    """Who tells the user what happens in the processes."""

    def hear(self, event: Event) -> None:
        """Hear of something that happened."""
        ...

    def add(self, counts: Mapping[str, int]) -> None:
        """Hear how many more records are finished, by what became of them."""
        ...


class Crew:
    """Processes that each work on a shard of a run.

    None sends anything before all are ready. When one stops, for whatever reason, the others finish what is under way
    and end; the first reason is raised. `causes` say why records were set aside, `standings` how each process stands
    now, `before` is what earlier lives of each shard have counted.
    """

    def __init__(
        self, orders: Sequence[Mapping[str, Any]], commons: Path, before: Mapping[int, Mapping[str, int]]
    ) -> None:
        self._orders, self._commons, self._before = orders, commons, before
        self.listener: Listening | None = None
        self.causes: list[Any] = []
        self.standings: dict[int, Standing] = {}
        self._members: list[_Member] = []
        self._failure: BaseException | None = None
        self._first: _Member | None = None
        self._told: set[str] = set()
        self._ready = asyncio.Event()

    def stop(self, reason: RunStoppedError) -> bool:
        """Let all of them finish what is under way and end; then the reason is raised. False when none is at work."""
        working = any(not member.over for member in self._members)
        if working:
            self._end(reason)
        return working

    async def work(self) -> None:
        """Let them work to the end. Raises what stopped the first of them."""
        if not self._orders:
            return
        commons = self._share()
        try:
            for order in self._orders:
                self._members.append(await _Member.start(order))
            self._tell_end()  # who began after the end was told has not heard it
            async with asyncio.TaskGroup() as group:
                for member in self._members:
                    group.create_task(self._attend(member, commons))
                group.create_task(self._go())
        finally:
            try:
                await self._dismiss()
            finally:
                commons.close()
        if self._failure is not None:
            raise self._failure

    def _share(self) -> Commons:
        """Make what they share, with what earlier lives have counted."""
        self._commons.unlink(missing_ok=True)
        commons = Commons(self._commons)
        for number, counts in self._before.items():  # also of shards that are at their end
            done, dead = (counts.get(name, 0) for name in ("done", "dead"))
            used = {name: counts.get(name, 0) for name in ("requests", "tokens", "cost")}
            commons.note(number, dead=dead, settled=done + dead, **used)
        for order in self._orders:
            commons.enter(order["number"])
        return commons

    async def _go(self) -> None:
        """Let them begin when all are ready; who comes late to a run that has been stopped is not let in."""
        await self._ready.wait()
        if self._failure is None:
            for member in self._members:
                member.tell(go=True)

    async def _attend(self, member: _Member, commons: Commons) -> None:
        """Hear a process until it ends."""
        async for message in member.messages():
            self._take(member, message)
        commons.leave(member.number)
        code = await member.wait()
        member.over = True
        if all(one.over for one in self._members):
            self._ready.set()
        error = member.error(code)
        if error is not None:
            if self._first is member:  # now it says exactly why
                self._failure = error
            self._end(error)

    def _take(self, member: _Member, message: dict[str, Any]) -> None:
        """Take in what a process says."""
        match message:
            case {"event": data}:
                self._hear(messages.event_of(data))
            case {"counts": counts}:
                if self.listener is not None:
                    self.listener.add(counts)
            case {"ready": _}:
                member.ready = True
                if all(one.ready for one in self._members):
                    self._ready.set()
            case {"stopping": data}:
                self._end(messages.error_of(data), member)
            case {"standing": [busy, held_by]}:
                self.standings[member.number] = Standing(busy, held_by)
            case {"ended": data, "causes": causes}:
                member.ended = data
                self.causes += causes
                self.standings.pop(member.number, None)
            case _:
                pass

    def _hear(self, event: Event) -> None:
        """Hand an event on; what each of them notices is told once."""
        text = getattr(event, "message", None)
        if text is not None and text in self._told:
            return
        if text is not None:
            self._told.add(text)
        if self.listener is not None:
            self.listener.hear(event)

    def _end(self, reason: BaseException, first: _Member | None = None) -> None:
        """Let all end because of a reason, which `first` has met, unless they do already."""
        if self._failure is not None:
            return
        self._failure, self._first = reason, first
        self._tell_end()
        self._ready.set()

    def _tell_end(self) -> None:
        """Tell all why they are to end, but for who has told it; nothing, while nothing is the matter."""
        told = reason = self._failure
        if told is None:
            return
        if type(reason) is RunStoppedError:  # all failed alike in one: so would those of the others
            told = UnavailableError(str(reason))
        if not isinstance(told, RunStoppedError):
            told = RunStoppedError(str(told))
        for member in self._members:
            if member is not self._first:
                member.tell(stop=messages.error_as(told, str(told)))

    async def _dismiss(self) -> None:
        """End who is still there: at once, but not without writing down what it knows."""
        for member in self._members:
            member.tell(cancel=True)
        await asyncio.gather(*(member.dismissed() for member in self._members))


class _Member:
    """One process, and the pipes to it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number, self._process = number, process
        self.ready = self.over = False
        self.ended: dict[str, Any] | None = None

    @classmethod
    async def start(cls, order: Mapping[str, Any]) -> _Member:
        """Start a process and give it its order. Raises ProcessLostError."""
        program, path = PROGRAM.format(os.pathsep), os.pathsep.join(sys.path)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                program,
                path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LONGEST,
            )
        except OSError as error:
            raise ProcessLostError(
                f"cannot start a process: {(error.strerror or str(error)).lower()}"
            ) from error
        member = cls(order["number"], process)
        member.tell(**order)
        return member

    def tell(self, **message: Any) -> None:
        """Send a message; one that is gone does not hear it."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.is_closing():
            with suppress(OSError, RuntimeError):
                pipe.write(messages.written(**message))

    async def messages(self) -> AsyncGenerator[dict[str, Any], None]:
        """Give what it says until its pipe ends."""
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101 - it was asked for
        while (line := await pipe.readline()).endswith(b"\n"):
            yield messages.read(line)

    async def wait(self) -> int:
        """Wait until it is gone; give its exit code, negative for a signal."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return await self._process.wait()

    def error(self, code: int) -> Exception | None:
        """Give why its work is not done; `code` is what it ended with."""
        if self.ended is None:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            lost = f"process {self.number} of the run {how} before its work was done"
            return ProcessLostError(f"{lost}; the others have finished what they had under way")
        return messages.error_of(self.ended) if self.ended else None

    async def dismissed(self) -> None:
        """See it out."""
        if not self.over:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
