"""Lends connections out, last in, first out; who waits is served in order; every step costs the same."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import httpx

from connectory.transport.connection import Connection
from connectory.transport.failures import failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


_SWEEP_LEAST, _SWEEP_MOST = 0.01, 1.0
_CLOSE_ROUNDS = 100


class Place(NamedTuple):
    """Where connections go: each place has its own limit."""

    scheme: str
    host: str
    port: int


# Opens a connection to a place, or raises in httpx's words.
Dial: TypeAlias = "Callable[[Place, Connection], Awaitable[None]]"


class Pool:
    """All connections of a transport, and the one timer that watches them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, max_idle: float) -> None:
        self.loop, self.limit, self.max_idle = loop, limit, max_idle
        self.closed = False
        self.origins: dict[Place, Origin] = {}
        self.connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._interval, self._due = _SWEEP_MOST, 0.0

    def origin(self, place: Place) -> Origin:
        """Give the connections of one place."""
        origin = self.origins.get(place)
        if origin is None:
            origin = self.origins[place] = Origin(self, place)
        return origin

    def watch(self, timeout: float) -> None:
        """Look at the connections often enough for this idle timeout."""
        if self._timer is not None and timeout >= 4 * self._interval:
            return
        interval = max(_SWEEP_LEAST, min(_SWEEP_MOST, timeout / 4))
        if self._timer is None:
            self._interval = interval
        elif interval < self._interval:
            self._timer.cancel()
            self._interval = interval
        else:
            return
        self._due = self.loop.time() + self._interval
        self._timer = self.loop.call_at(self._due, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now, shortest = self.loop.time(), self.max_idle
        deaf = now - self._due  # the process stood still, and nobody listened: that is not the peer's silence
        for connection in list(self.connections):
            connection.heard = min(now, connection.heard + deaf)
            shortest = min(shortest, self._look(connection, now))
        if self.connections:
            self.watch(shortest)

    def _look(self, connection: Connection, now: float) -> float:
        """Close one connection if it was silent too long; give the timeout it is under."""
        exchange = connection.exchange
        if exchange is None:
            if now - connection.heard > self.max_idle and connection.idle:
                connection.abort()
            return self.max_idle
        pending = connection.pending()
        if pending != connection.unsent:
            connection.unsent = pending
            connection.touch()
        timeout = exchange.write_timeout if pending else exchange.read_timeout
        if timeout is None:
            return self.max_idle
        if connection.is_waited_for() and now - connection.heard > timeout:
            connection.abort()
            kind = httpx.WriteTimeout if pending else httpx.ReadTimeout
            exchange.refuse(kind, f"nothing moved for {timeout:g} s; the server may have acted")
        return timeout

    async def aclose(self) -> None:
        """Close everything, and wait until the sockets are gone."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            exchange = connection.exchange
            connection.abort()
            if exchange is not None:
                exchange.refuse(httpx.ReadError, "the transport was closed; the server may have acted")
        for origin in list(self.origins.values()):
            origin.dismiss()
        for _ in range(_CLOSE_ROUNDS):
            if not self.connections:
                return
            await asyncio.sleep(0)


class Origin:
    """The connections of one place.

    A slot is the right to have a connection. It is taken before dialling, belongs to the connection then, and passes
    to the first who waits when the connection ends.
    """

    def __init__(self, pool: Pool, place: Place) -> None:
        self.place = place
        self.idle: OrderedDict[Connection, None] = OrderedDict()
        self.slots = 0
        self.waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._pool = pool

    def take(self) -> Connection | None:
        """Lend out the connection used last, if one is alive."""
        oldest = self._pool.loop.time() - self._pool.max_idle
        while self.idle:
            connection, _ = self.idle.popitem()
            connection.idle = False
            if connection.heard >= oldest and connection.is_ready():
                return connection
            connection.abort()
        return None

    async def acquire(self, request: httpx.Request, dial: Dial, *, within: float | None) -> Connection:
        """Give a connection that nobody else uses: an idle one, a new one, or the first that comes free.

        Raises:
            httpx.PoolTimeout: none came free in time.
            httpx.ConnectError: a new one could not be made.
        """
        while not self._pool.closed:
            connection = self.take()
            if connection is not None:
                return connection
            if self.slots < self._pool.limit:
                self.slots += 1
                return await self._dial(request, dial)
            connection = await self._wait_for(request, within)
            if self._pool.closed:
                break
            if connection is None:
                return await self._dial(request, dial)
            if connection.is_ready():
                return connection
            connection.abort()
        raise failure(httpx.LocalProtocolError, request, "not sent: the transport is closed")

    async def _dial(self, request: httpx.Request, dial: Dial) -> Connection:
        connection = Connection(self, self._pool.loop, secure=self.place.scheme == "https")
        try:
            await dial(self.place, connection)
        except BaseException:
            if connection.usable:
                connection.abort()
            self.drop(connection)
            # uvloop closes a connection whose making was cancelled without telling its protocol.
            self.lost(connection)
            raise
        if self._pool.closed or not connection.usable:
            connection.abort()
            reason = "not sent: the connection was closed as soon as it was open"
            raise failure(httpx.ConnectError, request, reason)
        return connection

    async def _wait_for(self, request: httpx.Request, within: float | None) -> Connection | None:
        try:
            async with asyncio.timeout(within):
                return await self._wait()
        except TimeoutError:
            reason = f"not sent: no connection came free within {within:g} s (limit {self._pool.limit})"
            raise failure(httpx.PoolTimeout, request, reason) from None

    async def _wait(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self._pool.loop.create_future()
        self.waiters[waiter] = None
        try:
            return await waiter
        except asyncio.CancelledError:
            self.waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                self._return(waiter.result())
            raise

    def _return(self, handed: Connection | None) -> None:
        """Pass on what was handed to somebody who left at the same moment."""
        if handed is None:
            self._free()
        elif handed.usable:
            self.release(handed)

    def _next(self) -> asyncio.Future[Connection | None] | None:
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _free(self) -> None:
        waiter = self._next()
        if waiter is not None:
            waiter.set_result(None)
            return
        self.slots -= 1
        if not self.slots and self._pool.origins.get(self.place) is self:
            del self._pool.origins[self.place]

    def joined(self, connection: Connection) -> None:
        """Note a connection that is open."""
        self._pool.connections.add(connection)
        self._pool.watch(self._pool.max_idle)

    def release(self, connection: Connection) -> None:
        """Hand a free connection to the first who waits, or keep it."""
        waiter = self._next() if self.waiters else None
        if waiter is None:
            self.idle[connection] = None
            connection.idle = True
        else:
            waiter.set_result(connection)

    def drop(self, connection: Connection) -> None:
        """Free the slot of a connection that ended; once for each."""
        if connection.held:
            connection.held = False
            self.idle.pop(connection, None)
            self._free()

    def lost(self, connection: Connection) -> None:
        """Forget a connection whose socket is gone."""
        self._pool.connections.discard(connection)

    def dismiss(self) -> None:
        """Let everybody who waits see that the pool is closed."""
        while (waiter := self._next()) is not None:
            waiter.set_result(None)
