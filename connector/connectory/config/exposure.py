"""Which credentials would cross a network in the clear."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from connectory.config.secrets import is_credential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.config.clients import ClientConfig
    from connectory.config.tree import Config
    from connectory.errors import Problem

_WAY_OUT = "set 'allow_http: true' if you trust every machine on the way"


def exposed(config: Config, name: str, client: ClientConfig) -> Iterator[Problem]:
    """Give what a client would send in plain text to another machine, unless `allow_http` says that it may."""
    if client.allow_http:
        return
    what = _credential(client)
    if what and _is_open(_parts(client.base_uri)):
        message = (
            f"'base_uri' of client {name!r} is http://, and {what} would cross the network in the clear; "
            f"write https://, or open a tunnel and write http://localhost, or {_WAY_OUT}"
        )
        yield config.problem(("clients", name, "base_uri"), message)
    proxy = _parts(client.proxy)
    if proxy is not None and "@" in proxy.netloc and _is_open(proxy):
        message = (
            f"'proxy' of client {name!r} has a user, whose password would cross the network in the clear; "
            f"use a proxy on this machine that knows it, or {_WAY_OUT}"
        )
        yield config.problem(("clients", name, "proxy"), message)


def _parts(text: str | None) -> SplitResult | None:
    try:
        return urlsplit(text) if text else None
    except ValueError:
        return None


def _is_open(parts: SplitResult | None) -> bool:
    if parts is None or parts.scheme.lower() != "http":
        return False
    host = (parts.hostname or "").rstrip(".")
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def _credential(client: ClientConfig) -> str:
    """Name a credential that the client sends, or none."""
    for key in ("token", "admin_token"):
        secret = getattr(client, key)
        if secret is not None and secret.get_secret_value().strip():
            return f"its {key}"
    if client.token_file or client.token_command:
        return "its token"
    for kind, values in (("header", client.headers), ("query parameter", client.query)):
        found = next((one for one, value in values.items() if value.strip() and is_credential(one)), None)
        if found is not None:
            return f"its {kind} {found!r}"
    return ""
