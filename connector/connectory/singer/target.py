"""The target: RECORD messages handed to outgoings, and each STATE given back when what it speaks of is done."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, ConnectoryError, did_you_mean
from connectory.events import Noticed
from connectory.singer.lane import UnacknowledgedError, state_hash
from connectory.singer.messages import (
    MessageError,
    RecordMessage,
    SchemaMessage,
    StateMessage,
    VersionMessage,
    read_message,
)
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Collection, Mapping

    from connectory.adapters.linesink import LineSink
    from connectory.errors import RunStoppedError
    from connectory.events import Listener
    from connectory.interfaces import Item
    from connectory.singer.lane import Lane, Place

OTHERS = "*"
"""The name in `streams` that stands for every stream that is not named."""


class Target:
    """Reads messages, hands records to the lane of their stream's outgoing, and writes states to `out`.

    A state is written when every record before it is done or set aside, with its result in the journal: the newest such
    one. Where a line is no message, or a lane fails, what is under way is finished, its states are written, and the
    error is raised; the rest stays pending in the runs.
    """

    def __init__(
        self,
        open_lane: Callable[[str, Callable[[], None]], Lane],
        outgoings: Collection[str],
        streams: Mapping[str, str | None],
        out: LineSink,
        *,
        listen: Listener,
    ) -> None:
        self._open_lane, self._outgoings, self._streams, self._out = open_lane, outgoings, streams, out
        self._listen = listen
        self.lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._ways: dict[str, Lane | None] = {}
        self._versions: set[str] = set()
        self._waiting: deque[tuple[Any, dict[str, Place]]] = deque()
        self._first: str | None = None
        self._any_state = self._any_record = self._read_all = False
        self._failure: BaseException | None = None
        self._changed, self._told = asyncio.Event(), asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def run(self, items: AsyncIterable[Item]) -> None:
        """Deal with every message. Raises MessageError, and what stopped an outgoing."""
        keeper = asyncio.ensure_future(self._keep())
        self._reader = asyncio.ensure_future(self._read(items))
        try:
            await asyncio.wait({self._reader})
            if not self._reader.cancelled() and (error := self._reader.exception()) is not None:
                self._fail(error)
            self._read_all = True
            self._changed.set()
            for lane in self.lanes.values():
                lane.end()
            await asyncio.wait({keeper, *self._tasks.values()})
        finally:
            for task in (self._reader, keeper, *self._tasks.values()):
                task.cancel()
            await asyncio.gather(keeper, *self._tasks.values(), return_exceptions=True)
        keeper.result()
        if self._failure is not None:
            raise self._failure

    def stop(self, reason: RunStoppedError) -> bool:
        """Take no further message; what is under way is finished, then the reason is raised."""
        self._fail(reason)
        return True

    async def _read(self, items: AsyncIterable[Item]) -> None:
        async for item in items:
            match message := read_message(item):
                case RecordMessage():
                    self._any_record = True
                    if message.stream not in self._keys:
                        raise _misplaced(
                            item, f"a record of stream {message.stream!r} comes before its SCHEMA"
                        )
                    missing = [key for key in self._keys[message.stream] if key not in message.record]
                    if missing:
                        raise _misplaced(
                            item,
                            f"the record of stream {message.stream!r} has no {missing[0]!r}, which is its key",
                        )
                    if (way := self._ways[message.stream]) is not None:
                        await way.take(message.record)
                case SchemaMessage():
                    self._keys[message.stream] = message.keys
                    if message.stream not in self._ways:
                        name = self._outgoing(message.stream)
                        self._ways[message.stream] = None if name is None else await self._lane(name)
                case StateMessage():
                    self._hear_state(message.value)
                case VersionMessage():
                    self._hear_version(message.stream)

    def _hear_state(self, value: Any) -> None:
        if not self._any_record and self._first is None and not self._any_state:
            self._first = state_hash(value)
        self._any_state = True
        self._waiting.append((value, {name: lane.place for name, lane in self.lanes.items()}))
        self._changed.set()

    def _hear_version(self, stream: str) -> None:
        if stream not in self._versions:
            self._versions.add(stream)
            self._listen(
                Noticed(
                    f"stream {stream!r}: ACTIVATE_VERSION is passed over; what an outgoing created stays as it is"
                )
            )

    def _outgoing(self, stream: str) -> str | None:
        """Name the outgoing of a stream; None for one to leave out. Raises ConfigError."""
        name = self._streams.get(
            stream, self._streams.get(OTHERS, stream if stream in self._outgoings else "")
        )
        if name is None or name in self._outgoings:
            return name
        hint = did_you_mean(name or stream, self._outgoings) or f"; there is {', '.join(self._outgoings)}"
        what = f"no outgoing {name!r} for stream {stream!r}" if name else f"stream {stream!r} has no outgoing"
        raise ConfigError(
            f'{what}{hint}. Name one in the settings: {{"streams": {{"{stream}": "NAME"}}}}, or null to leave it out'
        )

    async def _lane(self, name: str) -> Lane:
        if name not in self.lanes:
            lane = self._open_lane(name, self._changed.set)
            try:
                lane.open(self._first)
            except BaseException:
                await lane.abandon()
                raise
            self.lanes[name] = lane
            task = asyncio.ensure_future(lane.deliver(self._told, broken=self._broken))
            self._tasks[name] = task
            task.add_done_callback(self._ended)
        return self.lanes[name]

    def _broken(self, lane: Lane) -> bool:
        """Say whether the tap is going to send records again that the lane has."""
        return lane.unspoken > 0 and (self._any_state or self._failure is not None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """Stop taking messages, and everything that is not under way yet."""
        self._failure = self._failure or error
        if self._reader is not None:
            self._reader.cancel()
        if isinstance(error, UnacknowledgedError):
            return
        reason = error if isinstance(error, ConnectoryError) else MessageError("the target was ended")
        for name, lane in self.lanes.items():
            if not lane.settled and not lane.publisher.stop(reason):  # type: ignore[arg-type]  # whatever ended another lane
                self._tasks[name].cancel()

    async def _keep(self) -> None:
        """Write each state when all that it speaks of is done, until nothing more can be."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            last = self._read_all and all(
                lane.settled or self._tasks[name].done() for name, lane in self.lanes.items()
            )
            try:
                await self._tell_states()
            except BaseException as error:  # noqa: BLE001 - raised when the lanes have finished
                self._fail(error)
                last = True
            if last:
                self._told.set()
                return

    async def _tell_states(self) -> None:
        newest: tuple[Any, dict[str, Place]] | None = None
        while self._waiting and self._is_done(self._waiting[0][1]):
            newest = self._waiting.popleft()
        if newest is None:
            return
        value, places = newest
        for name, place in places.items():
            if not self._tasks[name].done():  # a run that is at its end is not taken up
                await self.lanes[name].note(state_hash(value), place)
        await self._out.add(dumps(value) + b"\n")
        await self._out.flush()

    def _is_done(self, places: Mapping[str, Place]) -> bool:
        return all(self.lanes[name].reached(given) for name, (given, *_) in places.items())


def _misplaced(item: Item, problem: str) -> MessageError:
    return MessageError(f"reading the Singer messages: line {item.position}: {problem}")
