"""Requests of an export, found again among the entities of the catalogue."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from connectory.errors import ConfigError
from connectory.importing.exported import as_map
from connectory.importing.steps import checked

if TYPE_CHECKING:
    from connectory.catalogue import Catalogue
    from connectory.record import Record

_PLACEHOLDER = re.compile(r"[&?]\{[^}]*\}")
_STANDIN = re.compile(r"placeholder-(\d+)-")
_VERSION = re.compile(r"^/v1(?=/)")


def target_of(catalogue: Catalogue, method: str, uri: Any) -> tuple[Record, Record]:
    """Give the keys that name what a URI is, and its request parameters.

    An entity where the catalogue has one, otherwise a raw request. Raises ValueError for no URI.
    """
    if not isinstance(uri, str) or not uri:
        raise ValueError("its request has no 'uri'")
    checked(uri)
    kept: list[str] = _PLACEHOLDER.findall(uri)
    numbers = count()
    hidden = _PLACEHOLDER.sub(lambda _: f"placeholder-{next(numbers)}-", uri)
    parts = urlsplit(hidden)
    path = _VERSION.sub("", "/" + parts.path.lstrip("/"))
    query: Record = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        query[key] = _restored(value, kept)
    try:
        entity, action, values = catalogue.match(method, f"{path}?{parts.query}" if parts.query else path)
    except ConfigError:
        if kept and _STANDIN.search(path):
            raise ValueError(f"{method} {uri} is no entity, and a raw path takes no placeholders") from None
        return {"request": {"method": method, "path": path}}, _parameters({}, query)
    target: Record = {"entity": entity.name} | ({"action": action} if action != "read" else {})
    found = {name: _restored(unquote(value), kept) for name, value in values.items()}
    return target, _parameters(found, query)


def given_parameters(value: Any) -> tuple[Record, list[str]]:
    """Read `{path, query, payload}`, in which `[]` is empty; a payload is told, for a reading takes none."""
    whole = as_map(value)
    lost = ["a payload in the request parameters: a reading sends none"] if whole.get("payload") else []
    path, query = as_map(whole.get("path")), as_map(whole.get("query"))
    checked(path)
    checked(query)
    return _parameters(path, query), lost


def _parameters(path: Record, query: Record) -> Record:
    return {key: value for key, value in (("path", path), ("query", query)) if value}


def _restored(value: str, kept: list[str]) -> str:
    return _STANDIN.sub(lambda found: kept[int(found[1])], value)
