"""Which values of the configuration are secrets: by the key they stand at, and by whether the environment gave them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from connectory.config.clients import ClientConfig
from connectory.config.input import secret_in
from connectory.config.problems import allowed_keys
from connectory.config.shapes import is_list, is_map, is_tuple
from connectory.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.config.shapes import Path

_PUBLIC = frozenset(ClientConfig.model_fields) - {"token", "admin_token", "token_command", "headers", "query"}
"""Keys of a client that hold no secret, apart from what a proxy's URI holds."""

_CREDENTIAL = re.compile(
    r"(?:^|[-_.])(?:auth|authorization|cookie|credentials?|pass|passwd|password|secret|sig|signature|token"
    r"|(?:api|access|account|subscription|function|private)?[-_]?key)$",
    re.IGNORECASE,
)
"""What a header or a query parameter is called that holds a credential."""

_SURELY = re.compile(
    r"(?:^|[-_.])(?:authorization|token|(?:access|auth|bearer|refresh)[-_]?token|api[-_]?key|password|passwd|secret)$",
    re.IGNORECASE,
)
"""What any other key is called that holds one: a payload has many names that end in `key` and mean something else."""

_ORDINARY = re.compile(
    r"(?:^|[-_])(?:accept|agent|beta|deployment|language|organization|project|region|type|version)$",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"[&?]\{")
_LONG_SEGMENT = 16


def is_public(key: str) -> bool:
    """Say whether a client's key, or the one that was meant, holds no secret."""
    if key not in ClientConfig.model_fields:
        hint = did_you_mean(key, allowed_keys(("clients", "")))
        key = hint.removeprefix("; did you mean '").removesuffix("'?")
    return key in _PUBLIC


def is_credential(name: str) -> bool:
    """Say whether a header or query parameter of this name holds a credential."""
    return _CREDENTIAL.search(name) is not None


def secrets_of(data: Any, inserted: Mapping[Path, tuple[str, ...]]) -> Iterator[str]:
    """Give the secrets of a configuration, of one with mistakes too; `inserted` is what the environment gave."""
    if not is_map(data):
        return
    for path, value in _scalars(data, ()):
        if path[:1] == ("clients",):
            yield from _of_client(path, value, inserted.get(path, ()))
        elif is_database(path):
            yield from _of_database(value)
        elif "output" in path and path[:1] in {("incoming",), ("outgoing",)}:
            yield from _of_webhook(path, value, inserted.get(path, ()))
        elif _SURELY.search(_name(path)) and not _TEMPLATE.search(value):
            yield value


def is_database(path: Path) -> bool:
    """Say whether the URL of a database may stand here."""
    return (
        path[:1] in {("incoming",), ("outgoing",)}
        and path[-2:-1] in {("input",), ("output",)}
        and path[-1] in {"database", "sql"}
    )


def databases_in(data: Any) -> Iterator[Path]:
    """Give the places of URLs of databases that have a password in them."""
    for path, value in _scalars(data, ()):
        if is_database(path) and any(_of_database(value)):
            yield path


def _of_database(value: str) -> Iterator[str]:
    if "://" in value.partition(" ")[0]:
        secret = secret_in(value)
        yield secret
        yield unquote(secret)


def _of_client(path: Path, value: str, given: tuple[str, ...]) -> Iterator[str]:
    key = str(path[2]) if len(path) > 2 else ""  # noqa: PLR2004 - clients, name, key
    if key == "proxy":
        yield from _of_proxy(value)
    elif key in {"headers", "query"}:
        yield from _of_pair(path, value, given)
    elif key == "token_command":
        yield from given
    elif not is_public(key):
        yield value
        yield from given


def _of_pair(path: Path, value: str, given: tuple[str, ...]) -> Iterator[str]:
    name = _name(path)
    if is_credential(name):
        yield value
    if not _ORDINARY.search(name):
        yield from given


def _of_proxy(value: str) -> Iterator[str]:
    userinfo = value.rpartition("@")[0].rpartition("//")[2]
    yield userinfo
    yield unquote(userinfo)
    password = userinfo.partition(":")[2]
    yield password
    yield unquote(password)


def _of_webhook(path: Path, value: str, given: tuple[str, ...]) -> Iterator[str]:
    if "headers" in path:
        yield from _of_pair(path, value, given)
    elif path[-1] == "webhook":
        try:
            parts = urlsplit(value)
        except ValueError:
            yield value
            return
        yield from given if not value.startswith(given) else ()
        yield parts.path.strip("/")
        yield from (one for one in parts.path.split("/") if len(one) >= _LONG_SEGMENT)
        yield from (one for _, one in parse_qsl(parts.query))


def _name(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _scalars(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Give every text and number with its path."""
    if is_map(value):
        for key, one in value.items():
            yield from _scalars(one, (*path, key))
    elif is_list(value) or is_tuple(value):
        for index, one in enumerate(value):
            yield from _scalars(one, (*path, index))
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, str(value)
