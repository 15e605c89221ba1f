"""Opens connections: TCP, TLS, and the way through a proxy."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import httpx

from connectory.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from connectory.transport.connection import Connection
    from connectory.transport.pool import Place

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r\n")
_TUNNEL_HEAD_MOST = 64 * 1024
_HTTP_PORT = 80
WANTS_CREDENTIALS = "it wants other credentials (status 407): check proxy"
"""What is wrong when a proxy answers with 407."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is spoken to in plain HTTP."""

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read `http://user:password@host:port`; the password stays out of every message."""
        url = httpx.URL(text)
        if url.scheme != "http" or not url.host:
            raise ConfigError(
                f"proxy {f'{url.scheme}://{url.host}'!r} cannot be used: give it as http://host:port"
            )
        authorization = None
        if url.userinfo:
            pair = f"{url.username}:{url.password}".encode()
            authorization = b"Basic " + base64.b64encode(pair)
        return cls(url.raw_host.decode("ascii"), url.port or _HTTP_PORT, authorization)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give what a request that goes through the proxy in plain HTTP carries more."""
        return [] if self.authorization is None else [(b"Proxy-Authorization", self.authorization)]


async def open_direct(place: Place, connection: Connection, *, context: ssl.SSLContext | None) -> None:
    """Connect straight to the server."""
    loop = connection.loop
    name = place.host if context is not None else None
    await loop.create_connection(
        lambda: connection, place.host, place.port, ssl=context, server_hostname=name
    )


async def open_via(
    proxy: Proxy, place: Place, connection: Connection, *, context: ssl.SSLContext | None
) -> None:
    """Connect to a proxy, and for https through it."""
    loop = connection.loop
    if context is None:
        await loop.create_connection(lambda: connection, proxy.host, proxy.port)
        return
    transport, tunnel = await loop.create_connection(lambda: _Tunnel(loop), proxy.host, proxy.port)
    try:
        transport.write(_connect_head(proxy, place))
        await tunnel.opened
        secure = await loop.start_tls(transport, connection, context, server_hostname=place.host)
    except BaseException:
        transport.abort()
        raise
    connection.connection_made(cast("asyncio.Transport", secure))


def _connect_head(proxy: Proxy, place: Place) -> bytes:
    host = f"[{place.host}]" if ":" in place.host else place.host
    target = f"{host}:{place.port}".encode("ascii")
    lines = [b"CONNECT " + target + b" HTTP/1.1", b"Host: " + target]
    lines += [name + b": " + value for name, value in proxy.headers()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class TunnelError(Exception):
    """The proxy did not open the way."""


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            if len(self._data) > _TUNNEL_HEAD_MOST:
                self._end("its answer is larger than 64 KiB")
            return
        status = _STATUS.match(head + b"\r\n")
        if status is None:
            self._end("its answer is not HTTP/1.1")
        elif status[1].startswith(b"1"):
            self._data = b""
            self.data_received(rest)
        elif not status[1].startswith(b"2"):
            self._end(WANTS_CREDENTIALS if status[1] == b"407" else f"status {status[1].decode()}")
        elif rest:
            self._end("bytes came before the tunnel was used")
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(
            "closed without an answer" if exc is None else f"the connection broke ({type(exc).__name__})"
        )

    def _end(self, problem: str | None) -> None:
        if self.opened.done():
            return
        if problem is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(TunnelError(problem))
