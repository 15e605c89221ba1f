"""Waiting for what was created: its state is read until it is at its end, for many items at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from connectory.delivery.results import failed_work, usage_of
from connectory.delivery.states import id_of, state_of, why
from connectory.errors import RecordError, RunStoppedError, WorkError
from connectory.events import Listener, StateChanged
from connectory.requests.building import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.client import Client
    from connectory.delivery.publication import Publication
    from connectory.delivery.states import Until
    from connectory.record import Result

AT_ONCE = 1000
"""Items that are waited for at once; before more are created, one of them has to come to its end."""

BELIEVED = 3
"""Refusals in a row to tell a state before they are believed: a new item may not be known everywhere yet."""


class Capacity:
    """How many requests of a connection may be under way, those that create and those that look.

    `stopped` is why nothing more may leave. `detached`: what is not at its end is left, and nobody waits for it.
    """

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._stopping = asyncio.Event()
        self.detached = self.stopped = False

    def stop(self) -> None:
        """Let nothing more leave, and wake everybody who waits."""
        self.stopped = True
        self._stopping.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not when nothing more may leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class Waiting:
    """Reads the states of what one connection creates."""

    def __init__(
        self,
        publication: Publication,
        until: Until,
        client: Client,
        capacity: Capacity,
        *,
        listen: Listener,
    ) -> None:
        self._name, self._until, self._client = publication.name, until, client
        self._run: str = publication.run.get("id", "")
        self._capacity, self._listen = capacity, listen

    def is_over(self, result: Result) -> bool:
        """Say whether the answer of a creation tells its end already."""
        return self._until.is_over(result.response)

    async def to_end(self, call: Call, result: Result, *, fresh: bool) -> bool:
        """Turn the result of a creation into that of the created work; False where its end was not waited for.

        The response becomes the last state that was read. `fresh`: the answer of the creation is just in, so that
        the first look can wait. Raises RunStoppedError.
        """
        path = self._until.path(call.path, result.response)
        if path is None:
            failed_work(result, WorkError("the answer names no item whose end could be waited for"))
            return True
        item = _Item(
            Call(
                self._until.entity,
                self._until.entity.actions["read"],
                path,
                validate="off",
                whose=call.whose,
            ),
            result,
        )
        self._tell(result, "")
        if not fresh and self._is_under_way(result):
            await self._look(item)
        began = asyncio.get_running_loop().time()
        while result.ok and not self._until.is_over(result.response):
            age = asyncio.get_running_loop().time() - began
            if self._capacity.detached or self._capacity.stopped:
                return False
            if age >= self._until.timeout:
                failed_work(result, self._late(result), retryable=True)
                return True
            wait = self._until.pause(age, item.headers)
            await self._capacity.pause(min(wait, self._until.timeout - age))
            if not self._capacity.stopped:
                await self._look(item)
        if result.ok:
            self._judge(result)
        return True

    def _is_under_way(self, result: Result) -> bool:
        return state_of(result.response) not in self._until.done | self._until.failed

    async def _look(self, item: _Item) -> None:
        """Read the state of an item once; what may go better next time is left to it."""
        result = item.result
        try:
            async with self._capacity:
                if self._capacity.stopped:
                    return
                outcome = await self._client.send(item.call, self._client.prepare(item.call))
        except RecordError as error:
            failed_work(result, WorkError(f"the state of {id_of(result.response)!r} cannot be read: {error}"))
            return
        if isinstance(outcome.error, RunStoppedError):
            raise outcome.error
        if outcome.answer is None:
            item.refusals += not outcome.retryable
            if item.refusals >= BELIEVED:
                message = (
                    f"{id_of(result.response)!r} was created, and its state cannot be read: {outcome.error}"
                )
                failed_work(result, WorkError(message), retryable=True)
            return
        item.refusals, item.headers = 0, outcome.answer.headers
        before, result.response = state_of(result.response), outcome.answer.value
        result.usage = usage_of(result.response) or result.usage
        self._tell(result, before)

    def _tell(self, result: Result, before: str) -> None:
        state = state_of(result.response)
        if state != before:
            item = id_of(result.response)
            self._listen(StateChanged(self._name, result.index, result.id, item, state, self._run))

    def _judge(self, result: Result) -> None:
        item, state = id_of(result.response), state_of(result.response)
        if state in self._until.failed:
            reason = f": {told}" if (told := why(result.response)) else ""
            failed_work(result, WorkError(f"{item!r} ended as {state!r}{reason}", code=state))
        elif state in self._until.stuck:
            message = f"{item!r} is {state!r}: it waits for somebody, and goes on when that was done"
            failed_work(result, WorkError(message, code=state), retryable=True)

    def _late(self, result: Result) -> WorkError:
        item, state = id_of(result.response), state_of(result.response)
        return WorkError(
            f"{item!r} is {state!r} and not at its end after until.timeout ({self._until.timeout:g} s); "
            "`replay --results` waits for it again",
            code="timeout",
        )


class _Item:
    """What is known of one item while it is waited for."""

    __slots__ = ("call", "headers", "refusals", "result")

    def __init__(self, call: Call, result: Result) -> None:
        self.call, self.result, self.refusals = call, result, 0
        self.headers: Mapping[str, str] = result.headers
