"""The words in which the transport says what failed, in httpx's vocabulary."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TypeVar

import httpx

Failure = TypeVar("Failure", bound=httpx.RequestError)

_UNKNOWN_NAME = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
)
_NO_TLS = "WRONG_VERSION_NUMBER"
_OTHER_TLS = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "NO_SHARED_CIPHER"}
)
_SELF_SIGNED = frozenset({18, 19, 20, 21})
_EXPIRED, _NOT_YET = 10, 9
_OTHER_HOST = frozenset({62, 64})
"""OpenSSL's numbers of what is wrong with a certificate."""


class UntrustedError(httpx.ConnectError):
    """The server's certificate was not accepted: trying again is of no use."""


class UnknownServerError(httpx.ConnectError):
    """No server of that name, or one that speaks another protocol; it may be different once it has been reached."""


class ProxyRefusedError(httpx.ProxyError):
    """The proxy wants other credentials: trying again is of no use."""


def failure(kind: type[Failure], request: httpx.Request, reason: str) -> Failure:
    """Make an error that names method, host and path, but no query, user or header value."""
    return kind(f"{request.method} {place(request.url)}: {reason}", request=request)


def place(url: httpx.URL) -> str:
    """Give the part of a URL that holds no secrets."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = "" if url.port is None else f":{url.port}"
    path = url.raw_path.partition(b"?")[0].decode("ascii", "replace")
    return f"{url.scheme}://{host}{port}{path}"


def kind_of(error: BaseException) -> type[httpx.ConnectError]:
    """Tell what only another configuration mends from what may pass by itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedError
    if isinstance(error, ssl.SSLError) and (error.reason == _NO_TLS or error.reason in _OTHER_TLS):
        return UnknownServerError
    if isinstance(error, socket.gaierror) and error.errno in _UNKNOWN_NAME:
        return UnknownServerError
    return httpx.ConnectError


def reason_of(error: BaseException) -> str:
    """Say in a few words why the operating system or TLS gave up, and what to do where that is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}{_advice(error.verify_code)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}{_about_tls(error.reason)}"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    if isinstance(error, OSError) and error.errno:
        # asyncio's own text repeats the address.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _advice(code: int) -> str:
    if code in _SELF_SIGNED:
        return "; if the server is yours, name the PEM file of its authority in ca_file"
    if code == _EXPIRED:
        return "; who runs the server has to renew it (or this computer's clock is wrong)"
    if code == _NOT_YET:
        return "; this computer's clock may be wrong"
    return "; check the host in base_uri" if code in _OTHER_HOST else ""


def _about_tls(reason: str | None) -> str:
    if reason == _NO_TLS:
        return "; what answers there does not speak TLS: check host and port in base_uri"
    if reason in _OTHER_TLS:
        return "; the server speaks no version of TLS that is safe (1.2 or 1.3)"
    return ""
