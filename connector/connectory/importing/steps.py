"""Entity transformers of an export as steps of a chain; what has no counterpart is named and left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.importing.exported import as_list, as_map, first
from connectory.importing.nested import condition_of, mapped, plain
from connectory.placeholders import compile_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectory.record import Record

_GLOBAL = re.compile(r"@\{[^}]*\}")
_PLAIN = re.compile(r"[^.*\s]+")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_REASONS = {
    "http-transformer": "write it as 'request', which puts the answer into the record",
    "group-by": "there is nothing that sees several records at once; group them before, or behind the output",
    "code-transformer": "write it as a Python function and name it with 'use'",
    "storage-filter-stored-entity": "write 'only: new' or 'only: changed' on the connection",
    "storage-save-entity-in-storage": "the journal remembers what was done; write 'only: new' on the connection",
    "storage-get-entity-from-storage": "there are no storages here; write the records to a table and read them",
    "storage-entity-filter": "write 'only: new' or 'only: changed' on the connection",
}


class Steps:
    """Maps lists of transformers.

    `chains` are the names of the reusable ones, by their identifiers; `find` gives the entity and the parameters that a
    URI reads.
    """

    def __init__(self, chains: Mapping[str, str], find: Callable[[Any], tuple[Record, Record]]) -> None:
        self._chains, self._find = chains, find
        self._makers: dict[str, Callable[[Record], list[Any]]] = {
            "value-setter": _value_setter,
            "value-remover": _value_remover,
            "pattern-move": _move,
            "accessor-move": _move,
            "pattern-copy": _copy,
            "brancher": _brancher,
            "conditional": self._conditional,
            "node": self._node,
            "exception": _exception,
            "merger": self._merger,
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

    def _inner(self, written: Any) -> list[Any]:
        """Map the transformers inside another: that is whole or not there. Raises ValueError."""
        steps, missing = self.map(written)
        if missing:
            raise ValueError("; ".join(missing))
        return steps

    def _conditional(self, parameters: Record) -> list[Any]:
        if as_list(parameters.get("elseCases")):
            raise ValueError("it has further cases; write them as 'when' inside 'otherwise'")
        made: Record = {"condition": condition_of(parameters.get("filters"))}
        for key, name in (("do", "transformers"), ("otherwise", "elseTransformers")):
            if steps := self._inner(parameters.get(name)):
                made[key] = steps
        return [{"when": made}]

    def _node(self, parameters: Record) -> list[Any]:
        pattern = _accessed(first(parameters, "accessor", "pattern"))
        if not pattern.endswith(".*") or as_list(parameters.get("nodeFilters")):
            raise ValueError(
                "only all elements of one list can be shaped; write it as 'map' with an expression"
            )
        field = plain(pattern.removesuffix(".*"), what="the list")
        return [{"for_each": {"field": field, "do": self._inner(parameters.get("nodeTransformers"))}}]

    def _merger(self, parameters: Record) -> list[Any]:
        template, inner = as_map(parameters.get("template")), as_map(parameters.get("transformer"))
        request = as_map(as_map(inner.get("parameters")).get("request"))
        [into] = template if list(template.values()) == ["&{@}"] else [""]
        if inner.get("prototype") != "http-transformer" or not into:
            raise ValueError("write it as 'request', or as a route: each ok result is the next record")
        if str(request.get("method") or "GET").upper() != "GET":
            raise ValueError("a step only reads; what it sends belongs to an outgoing, as a step of a route")
        target, given = self._find(request.get("uri"))
        if "entity" not in target:
            raise ValueError(f"{request.get('uri')} is no entity of the catalogue")
        return [{"request": {**target, **given, "into": into}}]

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
        shaped = mapped(key, one.get("mappers"))
        checked(value)
        if any(name.partition(".")[0] in str(value) for name in fields):  # it may read what was set before it
            steps.append({"set": fields})
            fields = {}
        fields[key] = value
        if shaped:
            steps += [{"set": fields}, *shaped]
            fields = {}
    if not steps and not fields:
        raise ValueError("it has no configurations")
    return [*steps, {"set": fields}] if fields else steps


def _exception(parameters: Record) -> list[Any]:
    message = first(parameters, "message", "text")
    if not isinstance(message, str):
        raise ValueError("it has no message; write it as 'fail'")  # noqa: TRY004 - of the file, not of the caller
    return [{"fail": checked(message)}]


def _value_remover(parameters: Record) -> list[Any]:
    keys = [_accessed(one) for one in as_list(parameters.get("keys"))]
    keys = keys or [_accessed(first(parameters, "key", "pattern", "accessor"))]
    if odd := [key for key in keys if not _DOTTED.fullmatch(key) and not _PLAIN.fullmatch(key)]:
        raise ValueError(f"'remove' takes no pattern such as {odd[0]!r}")
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
