"""The four candidates for the wire, each as an httpx transport and each set up as well as its library allows."""

from __future__ import annotations

import asyncio
import io
from datetime import timedelta
from importlib import import_module

import httpx

from connectory.transport import Transport

IDLE = 0.5


def ours(limit=100):
    return Transport(limit=limit, idle_timeout=IDLE)


class Chunks(httpx.AsyncByteStream):
    """A body over any async iterator, with the library's errors in httpx's words."""

    def __init__(self, chunks, close, translate):
        self._chunks, self._close, self._translate = chunks, close, translate

    async def __aiter__(self):
        try:
            async for chunk in self._chunks:
                yield chunk
        except Exception as error:
            raise self._translate(error) from error

    async def aclose(self):
        await self._close()


class AiohttpTransport(httpx.AsyncBaseTransport):
    def __init__(self, limit):
        self._aiohttp, self._yarl = import_module("aiohttp"), import_module("yarl")
        self._limit, self._session = limit, None

    def _open(self):
        aiohttp = self._aiohttp
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._limit),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=IDLE),
        )
        return self._session

    async def handle_async_request(self, request):
        try:
            data = request.content or None
        except httpx.RequestNotRead:
            data = aiter(request.stream)
        try:
            answer = await (self._session or self._open()).request(
                request.method,
                self._yarl.URL(str(request.url), encoded=True),
                headers=[
                    (k.decode(), v.decode("latin-1"))
                    for k, v in request.headers.raw
                    if k.lower() != b"transfer-encoding"
                ],
                data=data,
                allow_redirects=False,
            )
        except Exception as error:
            raise self._translate(error) from error

        async def close():
            answer.release()

        return httpx.Response(
            answer.status,
            headers=list(answer.raw_headers),
            stream=Chunks(answer.content.iter_any(), close, self._translate),
        )

    def _translate(self, error):
        aiohttp = self._aiohttp
        if isinstance(error, aiohttp.ClientConnectorError):
            return httpx.ConnectError(str(error))
        if isinstance(error, (aiohttp.ServerTimeoutError, TimeoutError)):
            return httpx.ReadTimeout(str(error))
        if isinstance(
            error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError)
        ):
            return httpx.RemoteProtocolError(str(error))
        if isinstance(error, (aiohttp.ClientOSError, OSError)):
            return httpx.ReadError(str(error))
        return httpx.LocalProtocolError(str(error)) if isinstance(error, ValueError) else error

    async def aclose(self):
        if self._session is not None:
            await self._session.close()


def pyreqwest(limit=100):
    client, compatibility = import_module("pyreqwest.client"), import_module("pyreqwest.compatibility.httpx")
    builder = client.ClientBuilder().max_connections(limit).follow_redirects(False).no_proxy().http1_only()
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).referer(False)
    builder = builder.read_timeout(timedelta(seconds=IDLE)).connect_timeout(timedelta(seconds=5))
    return compatibility.HttpxTransport(builder.build())


class CurlTransport(httpx.AsyncBaseTransport):
    """libcurl's multi interface on the loop's readers and timers."""

    def __init__(self, limit):
        curl = self._curl = import_module("pycurl")
        self._multi, self._timer, self._free, self._running = curl.CurlMulti(), None, [], {}
        self._multi.setopt(curl.M_MAX_HOST_CONNECTIONS, limit)
        self._multi.setopt(curl.M_MAXCONNECTS, limit)
        self._multi.setopt(curl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(curl.M_TIMERFUNCTION, self._later)

    def _watch(self, what, fd, _multi, _data):
        loop, curl = asyncio.get_running_loop(), self._curl
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        if what in (curl.POLL_IN, curl.POLL_INOUT):
            loop.add_reader(fd, self._act, fd, curl.CSELECT_IN)
        if what in (curl.POLL_OUT, curl.POLL_INOUT):
            loop.add_writer(fd, self._act, fd, curl.CSELECT_OUT)

    def _later(self, milliseconds):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if milliseconds >= 0:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(milliseconds / 1000, self._act, self._curl.SOCKET_TIMEOUT, 0)

    def _act(self, fd, events):
        self._multi.socket_action(fd, events)
        _, good, bad = self._multi.info_read(1000)
        for handle in good:
            self._end(handle, None)
        for handle, code, text in bad:
            self._end(handle, self._translate(code, text))

    def _end(self, handle, error):
        future, _ = self._running.pop(handle)
        self._multi.remove_handle(handle)
        if not future.done():
            future.set_result(None) if error is None else future.set_exception(error)

    def _translate(self, code, text):
        curl = self._curl
        if code in (curl.E_COULDNT_CONNECT, curl.E_COULDNT_RESOLVE_HOST, curl.E_SSL_CONNECT_ERROR):
            return httpx.ConnectError(text)
        if code == curl.E_OPERATION_TIMEDOUT:
            return httpx.ReadTimeout(text)
        return httpx.RemoteProtocolError(text)

    async def handle_async_request(self, request):
        curl = self._curl
        # libcurl asks for upload data by callback; a whole body is what binds simply.
        body = await request.aread()
        handle = self._free.pop() if self._free else curl.Curl()
        lines, out = [], io.BytesIO()
        handle.setopt(curl.URL, str(request.url))
        handle.setopt(curl.CUSTOMREQUEST, request.method)
        handle.setopt(curl.PATH_AS_IS, 1)
        handle.setopt(curl.NOSIGNAL, 1)
        handle.setopt(curl.PROXY, "")
        handle.setopt(curl.LOW_SPEED_TIME, 1)
        handle.setopt(curl.LOW_SPEED_LIMIT, 1)
        if body:
            handle.setopt(curl.POSTFIELDS, body)
        handle.setopt(
            curl.HTTPHEADER,
            [b"%b: %b" % pair for pair in request.headers.raw if pair[0].lower() != b"content-length"],
        )
        handle.setopt(curl.HEADERFUNCTION, lines.append)
        handle.setopt(curl.WRITEFUNCTION, out.write)
        future = asyncio.get_running_loop().create_future()
        self._running[handle] = future, request
        self._multi.add_handle(handle)
        try:
            await future
        except BaseException:
            if self._running.pop(handle, None):
                self._multi.remove_handle(handle)
            raise
        status = handle.getinfo(curl.RESPONSE_CODE)
        handle.reset()
        self._free.append(handle)
        pairs = [line.rstrip().split(b": ", 1) for line in lines if b": " in line]
        return httpx.Response(
            status, headers=[(k, v) for k, v in pairs], stream=httpx.ByteStream(out.getvalue())
        )

    async def aclose(self):
        for handle in list(self._running):
            self._multi.remove_handle(handle)
        self._later(-1)
        self._multi.close()


CANDIDATES = {
    "ours": ours,
    "aiohttp": lambda limit=100: AiohttpTransport(limit),
    "pyreqwest": pyreqwest,
    "pycurl": lambda limit=100: CurlTransport(limit),
}
