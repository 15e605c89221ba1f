"""Tests of a mapping, written beside it: what is given, and what is expected to come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field, Tag

from connectory.config.fields import (
    ByShape,
    EmptyList,
    EmptyMap,
    Json,
    JsonMap,
    Method,
    Section,
    Text,
    at_least,
)
from connectory.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from connectory.config.shapes import Path
    from connectory.config.tree import Config
    from connectory.errors import Problem

_SOME_CHECK, _SOME_SCHEMA = at_least(1, "must not be empty: give a record")
_One = Annotated[dict[str, Json], Tag("<mapping>")]
Given = Annotated[
    _One
    | Annotated[
        Annotated[tuple[dict[str, Json], ...], Field(strict=False), _SOME_CHECK, _SOME_SCHEMA], Tag("<list>")
    ],
    ByShape,
]
Expected = Annotated[
    _One | Annotated[tuple[dict[str, Json], ...], Field(strict=False), Tag("<list>")], ByShape
]


class MappingTest(Section):
    """One test of a chain or an incoming: records in, records out."""

    name: Text | None = Field(
        default=None,
        description="What it shows, for people (default: its number)",
        examples=["old files are kept out"],
    )
    given: Given = Field(
        description="The record, or a list of records, that goes in (required)",
        examples=[{"id": "a", "text": "Hello"}],
    )
    parent: JsonMap | None = Field(
        default=None,
        description="The parent of an incoming's items, as expressions see it (default: none)",
        examples=[{"id": "ftjob-1"}],
    )
    expect: Expected | None = Field(
        default=None,
        description="The record, or the list of records, that the transformers leave; null for none "
        "(default: not looked at)",
        examples=[{"id": "a"}, []],
    )
    error: Text | None = Field(
        default=None,
        description="Words of the message by which a record is expected to fail (default: none may fail)",
        examples=["has no 'text'"],
    )
    match: Literal["exact", "part"] = Field(
        default="exact",
        description="exact, or part: objects may have more fields than are expected (default: exact)",
        examples=["part"],
    )

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """What goes in, as a list."""
        return _as_list(self.given)

    def wants(self, key: str) -> bool:
        """Say whether something is expected under a key, which may be null."""
        return key in self.model_fields_set

    def wanted(self, key: str) -> list[Any]:
        """Give what is expected under a key as a list: nothing for null."""
        return list(_as_list(getattr(self, key)))


class ExpectedRequest(Section):
    """The request that a record is expected to become; a key that is left out is not looked at."""

    method: Method | None = Field(
        default=None, description="The HTTP method (default: not looked at)", examples=["POST"]
    )
    path: JsonMap | None = Field(
        default=None,
        description="The path parameters (default: not looked at)",
        examples=[{"file_id": "file-1"}],
    )
    query: JsonMap | None = Field(
        default=None, description="The query (default: not looked at)", examples=[{"limit": "100"}]
    )
    payload: Json = Field(
        default=None, description="The body (default: not looked at)", examples=[{"input": "Hello"}]
    )

    @property
    def parts(self) -> dict[str, Any]:
        """What is looked at."""
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}


ExpectedRequests = Annotated[
    Annotated[ExpectedRequest, Tag("<mapping>")]
    | Annotated[Annotated[tuple[ExpectedRequest, ...], Field(strict=False)], Tag("<list>")],
    ByShape,
]


class OutgoingTest(MappingTest):
    """One test of an outgoing: the request that each record becomes, and the lines made of the answer."""

    request: ExpectedRequests | None = Field(
        default=None,
        description="The request {method, path, query, payload}, or a list of them (default: not looked at)",
        examples=[{"payload": {"input": "Hello"}}],
    )
    response: Json = Field(
        default=None,
        description="What the server is to answer (default: the sandbox answers)",
        examples=[{"results": [{"flagged": False}]}],
    )
    result: Json = Field(
        default=None,
        description="The result line, or a list of them (default: not looked at)",
        examples=[{"id": "a", "flagged": False}],
    )


Tests = Annotated[tuple[MappingTest, ...], Field(strict=False), EmptyList]
OutgoingTests = Annotated[tuple[OutgoingTest, ...], Field(strict=False), EmptyList]
ChainTests = Annotated[Mapping[Text, Tests], EmptyMap]
EXPECTATIONS = ("expect", "request", "result", "error")


def tests_of(config: Config) -> Iterator[tuple[Path, MappingTest]]:
    """Give every test with its path, in the order of the sections."""
    for name, tests in config.tests.items():
        yield from ((("tests", name, index), test) for index, test in enumerate(tests))
    for section in ("incoming", "outgoing"):
        for name, connection in getattr(config, section).items():
            for index, test in enumerate(connection.tests):
                yield (section, name, "tests", index), test


def check_tests(config: Config, chains: Collection[str], incomplete: Collection[Path]) -> Iterator[Problem]:
    """Give what no test by itself can show: chains that there are not, and tests that expect nothing."""
    for name in config.tests:
        if name not in chains:
            hint = did_you_mean(name, chains) or (f"; there is {', '.join(chains)}" if chains else "")
            message = f"no chain {name!r}{hint} (tests of a connection stand below it, under its name)"
            yield config.problem(("tests", name), message, key=True)
    for path, test in tests_of(config):
        wanted = [key for key in EXPECTATIONS if test.wants(key)]
        if not wanted and path not in incomplete:
            keys = EXPECTATIONS if path[0] == "outgoing" else ("expect", "error")
            yield config.problem(path, f"this test expects nothing; write {' or '.join(map(repr, keys))}")
        if "error" in wanted and len(wanted) > 1:
            message = f"a record that fails gives no {wanted[0]!r}; leave one of them out"
            yield config.problem((*path, "error"), message, key=True)
        if test.wants("response") and "result" not in wanted:
            yield config.problem(
                (*path, "response"), "'response' is for 'result', and there is none", key=True
            )


def _as_list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else (value,)
