"""HTTP/1.1 as an httpx transport of our own: no retry, no cookies, no redirects, nothing decoded."""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import TYPE_CHECKING, cast

import httpx

from connectory.errors import ConfigError
from connectory.transport.dial import WANTS_CREDENTIALS, Proxy, TunnelError, open_direct, open_via
from connectory.transport.exchange import Body, Exchange, Whole
from connectory.transport.failures import (
    ProxyRefusedError,
    UnknownServerError,
    UntrustedError,
    failure,
    kind_of,
    reason_of,
)
from connectory.transport.head import Head, compose
from connectory.transport.pool import Place, Pool
from connectory.transport.ready import PORTS, Ready, Shared, Timeouts
from connectory.transport.upload import PIECE, upload

if TYPE_CHECKING:
    from connectory.transport.connection import Connection

__all__ = [
    "Body",
    "ProxyRefusedError",
    "Ready",
    "Shared",
    "Timeouts",
    "Transport",
    "UnknownServerError",
    "UntrustedError",
    "Whole",
]

_PROXY_REFUSES = 407


class Transport(httpx.AsyncBaseTransport):
    """Sends each request once. Belongs to the event loop of its first request.

    Args:
        limit: the most connections to one origin; who comes later waits.
        connect_timeout: seconds for name, TCP, proxy and TLS together.
        idle_timeout: seconds in which no byte moves in either direction before a request is given up.
        proxy: `http://[user:password@]host:port`; the environment is not looked at.
        ssl_context: by default the system's trusted certificates.
        max_idle: seconds after which an unused connection is closed.

    `request.extensions["timeout"]` overrides the timeouts as httpx does it (`connect`, `read`, `write`, `pool`).
    ConnectError, ConnectTimeout, PoolTimeout, ProxyError, UnsupportedProtocol and LocalProtocolError mean
    that not one byte of the request was sent; after any other error the server may have acted.
    """

    def __init__(
        self,
        *,
        limit: int = 100,
        connect_timeout: float = 10,
        idle_timeout: float = 60,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_idle: float = 30,
    ) -> None:
        if limit < 1:
            raise ConfigError(f"limit {limit!r} lets no connection be made: give 1 or more")
        self._limit, self._max_idle = limit, max_idle
        self._timeouts = Timeouts(connect_timeout, idle_timeout, idle_timeout, None)
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self._ssl_context = ssl_context
        self._ssl_ready = False
        self._pool: Pool | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, once, and give the answer as soon as its head is there.

        `response.stream` is a `Whole` when the body came with it, else a `Body`; both give undecoded bytes.
        """
        return (await self.exchange(request)).response()

    async def exchange(self, request: httpx.Request) -> Exchange:
        """Send one request, once, and give the exchange as soon as the answer's head is there."""
        pool = self._pool or self._open_pool()
        head, place, content, timeouts = self._ready(request) or self._read(request)
        origin = pool.origin(place)
        connection = origin.take()
        if connection is None:
            dial = functools.partial(self._dial, request, timeouts.connect)
            connection = await origin.acquire(request, dial, within=timeouts.pool)
        exchange = Exchange(request, pool.loop, timeouts.read, timeouts.write)
        pool.watch(min(timeouts.read or self._max_idle, timeouts.write or self._max_idle))
        if content is None:
            connection.start(exchange, head.data, close=head.close)
            exchange.upload = pool.loop.create_task(upload(connection, exchange, head.length))
        else:
            connection.start(exchange, head.data + content, close=head.close)
        while not exchange.headed:
            if exchange.error is not None:
                raise exchange.error
            await exchange.wait()
        if self._proxy is not None and exchange.status == _PROXY_REFUSES:
            exchange.abandon()
            raise failure(ProxyRefusedError, request, f"not sent: no way{self._via}: {WANTS_CREDENTIALS}")
        return exchange

    def _ready(self, request: httpx.Request) -> tuple[Head, Place, bytes, Timeouts] | None:
        """Take a request whose head is written already, if it may go out like that."""
        if not isinstance(request, Ready):
            return None
        shared, content = request.shared, request.content
        if len(content) > PIECE or (self._proxy is not None and shared.place.scheme == "http"):
            return None
        data = request.head()
        if data is None:
            return None
        return Head(data, len(content), True, shared.close), shared.place, content, shared.timeouts

    def _read(self, request: httpx.Request) -> tuple[Head, Place, bytes | None, Timeouts]:
        """Read what a request of anybody's says, and refuse what cannot be sent."""
        timeouts, place = self._timeouts_of(request), _place_of(request)
        head = self._head_of(request, place)
        return head, place, _content_of(request, head), timeouts

    async def aclose(self) -> None:
        """Close every connection; requests under way end with an error."""
        self._closed = True
        if self._pool is not None:
            await self._pool.aclose()

    def _open_pool(self) -> Pool:
        if self._pool is None:
            loop = asyncio.get_running_loop()
            self._pool = Pool(loop, limit=self._limit, max_idle=self._max_idle)
            self._pool.closed = self._closed
        return self._pool

    async def _dial(
        self,
        request: httpx.Request,
        timeout: float | None,  # noqa: ASYNC109 - it covers only a part of the call it belongs to
        place: Place,
        connection: Connection,
    ) -> None:
        via = self._via
        context = self._context() if place.scheme == "https" else None
        try:
            async with asyncio.timeout(timeout):
                if self._proxy is None:
                    await open_direct(place, connection, context=context)
                else:
                    await open_via(self._proxy, place, connection, context=context)
        except TunnelError as error:
            kind = ProxyRefusedError if str(error) == WANTS_CREDENTIALS else httpx.ProxyError
            raise failure(kind, request, f"not sent: no way{via}: {error}") from None
        except TimeoutError:
            raise failure(httpx.ConnectTimeout, request, f"not sent: no connection{via} in time") from None
        except (OSError, ValueError, OverflowError) as error:
            reason = f"not sent: no connection{via}: {reason_of(error)}"
            raise failure(kind_of(error), request, reason) from error

    @property
    def _via(self) -> str:
        return "" if self._proxy is None else f" through proxy {f'{self._proxy.host}:{self._proxy.port}'!r}"

    def _context(self) -> ssl.SSLContext:
        context = self._ssl_context
        if context is None:
            context = self._ssl_context = ssl.create_default_context()
        if not self._ssl_ready:
            context.set_alpn_protocols(["http/1.1"])
            self._ssl_ready = True
        return context

    def _timeouts_of(self, request: httpx.Request) -> Timeouts:
        given = request.extensions.get("timeout")
        if given is None:
            return self._timeouts
        return self._timeouts._replace(**cast("dict[str, float | None]", given))

    def _head_of(self, request: httpx.Request, place: Place) -> Head:
        target = request.url.raw_path
        if self._proxy is None or place.scheme == "https":
            return compose(request, target=target)
        target = b"http://" + request.url.netloc + target
        return compose(request, target=target, extra=self._proxy.headers())


def _place_of(request: httpx.Request) -> Place:
    url = request.url
    port = PORTS.get(url.scheme)
    if port is None or not url.raw_host:
        reason = f"not sent: {url.scheme!r} is not http or https, or the host is missing"
        raise failure(httpx.UnsupportedProtocol, request, reason)
    return Place(url.scheme, url.raw_host.decode("ascii"), url.port or port)


def _content_of(request: httpx.Request, head: Head) -> bytes | None:
    """Give a body that goes out together with its head, or None for one that is uploaded piece by piece."""
    try:
        content = request.content
    except httpx.RequestNotRead:
        if not head.framed:
            reason = "not sent: its body has neither content-length nor transfer-encoding"
            raise failure(httpx.LocalProtocolError, request, reason) from None
        return None
    if head.length is None:
        return None
    if len(content) != head.length:
        reason = f"not sent: its body has {len(content)} bytes, its head says {head.length}"
        raise failure(httpx.LocalProtocolError, request, reason)
    return None if len(content) > PIECE else content
