"""An export read from NDJSON: its objects with their lines, and the shapes in which values come."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, Problem
from connectory.text.json import JsonTextError, loads_unique

if TYPE_CHECKING:
    from connectory.record import Record

_NOT_IN_NAMES = re.compile(r"[\s/\\\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """One object of an export: `prototype` and `parameters` are those of what it configures."""

    line: int
    type: str
    identifier: str
    prototype: str
    parameters: Record
    description: str = ""
    owner: str = ""
    disabled: bool = False

    @property
    def name(self) -> str:
        """The identifier as a name here."""
        return _NOT_IN_NAMES.sub("-", self.identifier).lstrip("-") or f"line-{self.line}"


def read_export(text: bytes, *, file: str) -> list[Exported]:
    """Read every line. Raises ConfigError with each line that is no object of an export."""
    found: list[Exported] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_exported(loads_unique(line), number))
        except (JsonTextError, ValueError) as error:
            problems.append(Problem(str(error), file=file, line=number, column=1))
    if not found and not problems:
        problems.append(Problem("the export is empty: it has one JSON object a line", file=file))
    if problems:
        raise ConfigError(problems)
    return found


def as_map(value: Any) -> Record:
    """Take an object as it is; `[]`, nothing, and a JSON text that says either count as an empty one."""
    if isinstance(value, str):
        try:
            value = loads_unique(value) if value.strip() else None
        except JsonTextError:
            return {}
    return cast("Record", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Take a list as it is, and anything else as none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def first(parameters: Record, *names: str) -> Any:
    """Give the first of these that has a value: packages call the same thing by several names."""
    return next((parameters[name] for name in names if parameters.get(name) not in (None, "", [])), None)


def _exported(value: Any, line: int) -> Exported:
    if not isinstance(value, dict):
        raise ValueError("an object of an export is a JSON object")  # noqa: TRY004 - of the file, not of the caller
    whole = cast("Record", value)
    inner = as_map(whole.get("object"))
    kind, identifier = whole.get("type"), whole.get("identifier")
    if not isinstance(kind, str) or not isinstance(identifier, str) or not kind or not identifier:
        raise ValueError("an object of an export has a 'type' and an 'identifier'")
    return Exported(
        line,
        kind,
        identifier,
        str(inner.get("prototype") or ""),
        as_map(inner.get("parameters")),
        str(whole.get("description") or whole.get("name") or ""),
        _owner(whole.get("owner")),
        whole.get("disabled") is True,
    )


def _owner(value: Any) -> str:
    owner = as_map(value).get("identifier") if isinstance(value, dict) else value
    return owner if isinstance(owner, str) else ""
