"""The words in which the transport says what failed, in httpx's vocabulary."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import httpx

Failure = TypeVar("Failure", bound="httpx.RequestError")


def failure(kind: type[Failure], request: httpx.Request, reason: str) -> Failure:
    """Make an error that names method, host and path, but no query, user or header value."""
    return kind(f"{request.method} {place(request.url)}: {reason}", request=request)


def place(url: httpx.URL) -> str:
    """Give the part of a URL that holds no secrets."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = "" if url.port is None else f":{url.port}"
    path = url.raw_path.partition(b"?")[0].decode("ascii", "replace")
    return f"{url.scheme}://{host}{port}{path}"


def reason_of(error: BaseException) -> str:
    """Say in a few words why the operating system or TLS gave up."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    if isinstance(error, OSError) and error.errno:
        # asyncio's own text repeats the address.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
