"""Entity transformers of an export as steps of a chain; what has no counterpart is named and left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.importing.exported import as_list, as_map, first
from connectory.placeholders import compile_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectory.record import Record

_GLOBAL = re.compile(r"@\{[^}]*\}")
_PLAIN = re.compile(r"[^.*\s]+")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_REASONS = {
    "conditional": "write it with 'keep_if', or as two connections",
    "node": "it works inside lists; write it as 'map' with an expression",
    "http-transformer": "a step makes no requests here; write it as a route, or as an incoming with 'each'",
    "merger": "write it as a route: each ok result is the next record, with 'input' beside it",
    "code-transformer": "write it as a Python function and name it with 'use'",
    "storage-filter-stored-entity": "write 'only: new' or 'only: changed' on the connection",
    "storage-save-entity-in-storage": "the journal remembers what was done; write 'only: new' on the connection",
    "storage-get-entity-from-storage": "there are no storages here; write the records to a table and read them",
    "storage-entity-filter": "write 'only: new' or 'only: changed' on the connection",
    "exception": "write it as 'keep_if', or as a function of your own that raises",
}


class Steps:
    """Maps lists of transformers. `chains` are the names of the reusable ones, by their identifiers."""

    def __init__(self, chains: Mapping[str, str]) -> None:
        self._chains = chains
        self._makers: dict[str, Callable[[Record], list[Any]]] = {
            "value-setter": _value_setter,
            "value-remover": _value_remover,
            "pattern-move": _move,
            "accessor-move": _move,
            "pattern-copy": _copy,
            "brancher": _brancher,
            "list-transformer-wrapper": self._wrapped,
            "list-transformer": self._wrapped,
        }

    def map(self, written: Any) -> tuple[list[Any], list[str]]:
        """Give the steps, and what is missing among them."""
        steps: list[Any] = []
        missing: list[str] = []
        for number, one in enumerate(as_list(written), 1):
            made, lost = self._one(as_map(one))
            steps += made
            missing += [f"step {number}: {reason}" for reason in lost]
        return steps, missing

    def _one(self, written: Record) -> tuple[list[Any], list[str]]:
        prototype, parameters = str(written.get("prototype") or ""), as_map(written.get("parameters"))
        if prototype == "chain":
            return self.map(first(parameters, "transformers", "chain"))
        maker = self._makers.get(prototype)
        if maker is None:
            reason = _REASONS.get(prototype, "there is no transformer like it here")
            return [], [f"{prototype or 'a transformer without prototype'!r}: {reason}"]
        try:
            return maker(parameters), []
        except ValueError as error:
            return [], [f"{prototype!r}: {error}"]

    def _wrapped(self, parameters: Record) -> list[Any]:
        named = first(parameters, "transformer", "listTransformer", "identifier", "list")
        name = str(as_map(named).get("identifier") if isinstance(named, dict) else named)
        if name not in self._chains:
            raise ValueError(f"the export has no list-transformer {name!r}")
        return [self._chains[name]]


def checked(value: Any) -> Any:
    """Give a template as it is. Raises ValueError for one that cannot be read here."""
    found = _GLOBAL.search(str(value))
    if found:
        raise ValueError(f"there are no global variables here; put {found[0]} into the environment")
    try:
        compile_template(value)
    except ConfigError as error:
        raise ValueError(f"{error.problems[0].message}") from None
    return value


def _value_setter(parameters: Record) -> list[Any]:
    steps: list[Any] = []
    fields: Record = {}
    for one in map(as_map, as_list(parameters.get("configurations"))):
        key, value = one.get("key"), one.get("value")
        if not isinstance(key, str) or not key or "*" in key:
            raise ValueError(f"the key {key!r} is no plain path")
        if one.get("mappers"):
            names = ", ".join(str(as_map(mapper).get("prototype")) for mapper in as_list(one["mappers"]))
            raise ValueError(f"the value of {key!r} goes through mappers ({names})")
        checked(value)
        if any(name.partition(".")[0] in str(value) for name in fields):  # it may read what was set before it
            steps.append({"set": fields})
            fields = {}
        fields[key] = value
    if not fields:
        raise ValueError("it has no configurations")
    return [*steps, {"set": fields}]


def _value_remover(parameters: Record) -> list[Any]:
    keys = [_accessed(one) for one in as_list(parameters.get("keys"))]
    keys = keys or [_accessed(first(parameters, "key", "pattern", "accessor"))]
    nested = [key for key in keys if not _PLAIN.fullmatch(key)]
    if nested:
        raise ValueError(f"'remove' takes fields of the record itself, not {nested[0]!r}")
    return [{"remove": keys}]


def _move(parameters: Record) -> list[Any]:
    source, target = _ends(parameters)
    if not _PLAIN.fullmatch(source):
        raise ValueError(f"'rename' takes fields of the record itself, not {source!r}")
    return [{"rename": {source: target}}]


def _copy(parameters: Record) -> list[Any]:
    source, target = _ends(parameters)
    if not _DOTTED.fullmatch(source):
        raise ValueError(f"the path {source!r} is no plain one")
    return [{"set": {target: f"?{{{source}}}"}}]


def _brancher(parameters: Record) -> list[Any]:
    pattern = _accessed(first(parameters, "pattern", "accessor")).removesuffix(".*")
    if not _DOTTED.fullmatch(pattern):
        raise ValueError(f"the pattern {pattern!r} is no plain path of a list")
    return [{"split": pattern}]


def _ends(parameters: Record) -> tuple[str, str]:
    source = _accessed(first(parameters, "from", "source", "sourcePattern"))
    target = _accessed(first(parameters, "to", "destination", "target", "targetPattern"))
    if not _DOTTED.fullmatch(target):
        raise ValueError(f"the target {target!r} is no plain path")
    return source, target


def _accessed(value: Any) -> str:
    """Give the path that an accessor reads: a text, or `{prototype: pattern or key, parameters: {...}}`."""
    inner = as_map(value) if isinstance(value, dict) else {}
    if inner:
        value = first(as_map(inner.get("parameters")), "pattern", "key")
    if not isinstance(value, str) or not value:
        raise ValueError("it names no path in a way that is known here")
    return value
