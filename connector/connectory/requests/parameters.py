"""Request parameters as users write them, brought to one shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.placeholders import Template
    from connectory.record import Record


@dataclass(frozen=True, slots=True)
class Given:
    """Request parameters given at a call or on the command line: as they are, above the configured ones."""

    path: Mapping[str, Any] = field(default_factory=dict[str, Any])
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """The request parameters of a connection: a template of `{path, query}`, and what was given above it."""

    template: Template
    given: Given = field(default_factory=Given)

    is_empty: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Find out whether they say nothing, of any record."""
        said = self.template.render({}, {}) if self.template.is_constant else True
        nothing = not said or (isinstance(said, dict) and not any(cast("Record", said).values()))
        object.__setattr__(self, "is_empty", nothing and not (self.given.path or self.given.query))

    def render(self, root: Any, scope: Mapping[str, Any]) -> Record:
        """Give `{path, query}`, both objects."""
        rendered = checked(self.template.render(root, scope))
        return {
            "path": {**rendered["path"], **self.given.path},
            "query": {**rendered["query"], **self.given.query},
        }


def checked(parameters: Record) -> Record:
    """Make sure that a set of request parameters is `{path: {...}, query: {...}}`; `[]` and absence mean empty."""
    unknown = parameters.keys() - {"path", "query"}
    if unknown:
        raise RequestError(f"request parameters hold 'path' and 'query' only, not {min(unknown)!r}")
    return {
        name: as_object(parameters.get(name), f"request parameters: {name!r}") for name in ("path", "query")
    }


def as_object(value: Any, what: str) -> Record:
    """Take an object as it is, and nothing or `[]` as an empty one. Raises RequestError for anything else."""
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"{what} must be an object, not {_kind(value)}")
    return cast("Record", value)


def _kind(value: object) -> str:
    kinds = {str: "text", list: "a list", tuple: "a list", bool: "a boolean"}
    return next((word for kind, word in kinds.items() if isinstance(value, kind)), "a number")
