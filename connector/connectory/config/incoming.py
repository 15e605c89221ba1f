"""An incoming connection as a model: every key it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, Tag

from connectory.config.connections import Output, OutputMode, RequestParameters, Steps
from connectory.config.fields import (
    ByShape,
    EmptyMap,
    Frozen,
    Length,
    Name,
    OptionalText,
    RequestPath,
    Section,
    SomeTexts,
    Text,
    TextOrList,
    Truth,
)
from connectory.config.input import Input
from connectory.config.tests import Tests


class IncomingRequest(Section):
    """A raw request that reads."""

    method: Literal["GET"] = Field(
        default="GET", description="The HTTP method (default: GET)", examples=["GET"]
    )
    path: RequestPath = Field(
        description="Path below the client's base URI, {name} for a parameter, or a URL of the client's server "
        "(required)",
        examples=["/files", "/files/{file_id}/content"],
    )


class PagesConfig(Section):
    """How many pages to read."""

    pages: int = Field(ge=1, description="How many pages to read (required)", examples=[2])


Pagination = Annotated[
    Annotated[Literal["all", "first"], Tag("<text>")] | Annotated[PagesConfig, Tag("<mapping>")], ByShape
]


class IncrementalConfig(Section):
    """By what only the items are read that are new since the last run."""

    field: Text = Field(
        description="JMESPath on the item: a time or a number that grows (required)", examples=["created_at"]
    )
    query: Text | None = Field(
        default=None,
        description="Query parameter that is given the mark, such as start_time or effective_at[gte] "
        "(default: none: a newest-first list is read as far as the mark)",
        examples=["effective_at[gte]", "start_time"],
    )
    start: int | float | Text | None = Field(
        default=None,
        description="Where the first run begins: a number, a date, or an expression such as ago('7d') "
        "(default: everything)",
        examples=["ago('7d')", "2025-01-01", 1735689600],
    )
    lookback: Length | None = Field(
        default=None,
        description="How far behind the mark to read again, such as 2d (default: not at all)",
        examples=["2d", "1h"],
    )


KeepParent = Annotated[
    Annotated[Literal[True], Truth, Tag("<text>")]
    | Annotated[SomeTexts, Tag("<list>")]
    | Annotated[Mapping[Name, Text], Frozen, Tag("<mapping>")],
    ByShape,
]


class IncomingConfig(Section):
    """A named connection that reads an entity."""

    client: Text | None = Field(
        default=None, description="Which client (default: the only one, or 'default')", examples=["openai"]
    )
    entity: Text | None = Field(
        default=None, description="Which entity to read (this or 'request' is required)", examples=["files"]
    )
    request: IncomingRequest | None = Field(
        default=None,
        description="A raw request instead of an entity (default: none)",
        examples=[{"path": "/files"}],
    )
    request_parameters: Annotated[RequestParameters, EmptyMap] = Field(
        default_factory=RequestParameters,
        description="Path and query parameters (default: none)",
        examples=[{"path": {"file_id": "file-abc123"}}, {"query": {"limit": 100}}],
    )
    input: Input = Field(
        default=None,
        description="File of records ('-' for stdin), files of a folder, CSV or a query: one set of request "
        "parameters for each (default: none)",
        examples=["ids.jsonl", "-", {"files": "audio/**/*.mp3"}, {"csv": "ids.csv"}],
    )
    each: OptionalText = Field(
        default=None,
        description="The parents: an entity, or incoming:NAME; what is read is read for each of them (default: none)",
        examples=["fine_tuning.jobs", "incoming:threads"],
    )
    input_transformers: Steps = Field(
        default=(),
        validation_alias=AliasChoices("input_transformers", "transformer"),
        description="Steps that make sets of request parameters of the given one (default: none)",
        examples=[[{"set": {"query.limit": 100}}]],
    )
    keep_parent: KeepParent | None = Field(
        default=None,
        description="What an item keeps of its parent: true (all of it, as 'parent'), a list of its fields "
        "(as 'parent'), or new fields by JMESPath on the parent (default: nothing)",
        examples=[["id"], True, {"job": "id"}],
    )
    incremental: IncrementalConfig | None = Field(
        default=None,
        description="Read only what is new since the last run (default: everything)",
        examples=[{"field": "created_at"}],
    )
    only: Literal["new", "changed"] | None = Field(
        default=None,
        description="Leave out items that earlier runs gave: new (by identifier) or changed (by all of the item) "
        "(default: every item)",
        examples=["new", "changed"],
    )
    identifier: TextOrList | None = Field(
        default=None,
        description="JMESPath on the item, or a list of them, by which it is known again, also "
        "to a Singer target (default: its `id`, else all of it)",
        examples=["id", ["object", "id"]],
    )
    pagination: Pagination = Field(
        default="all",
        description="all, first or {pages: N} (default: all)",
        examples=["first", {"pages": 2}, "all"],
    )
    transformers: Steps = Field(
        default=(),
        description="Steps for every item that was read (default: none)",
        examples=[[{"keep_if": "status == 'processed'"}]],
    )
    output: Output = Field(
        default=None,
        description="File for the items, '-' for stdout, {webhook: URL} or {sql: ...} (default: stdout)",
        examples=["files.jsonl", "-", {"webhook": "https://hooks.example.com/items"}],
    )
    output_mode: OutputMode = Field(
        default="replace",
        description="What the file's earlier lines become: replace or append, once the run is done (default: replace)",
        examples=["append", "replace"],
    )
    save_to: OptionalText = Field(
        default=None,
        description="File for an answer that is no list, a template with the request parameters (default: none)",
        examples=["downloads/&{path.file_id}.jsonl"],
    )
    tests: Tests = Field(
        default=(),
        description="Tests of its transformers (default: none)",
        examples=[
            [
                {
                    "given": {"id": "file-1", "status": "processed"},
                    "expect": {"id": "file-1", "status": "processed"},
                }
            ]
        ],
    )
    disabled: bool = Field(
        default=False, description="Leave the connection out of runs (default: false)", examples=[True]
    )
    description: str | None = Field(
        default=None,
        description="What it is for, for people (default: none)",
        examples=["Every file of the account, for the nightly report"],
    )

    @property
    def page_limit(self) -> int | None:
        """How many pages to read at most; None for all."""
        if isinstance(self.pagination, PagesConfig):
            return self.pagination.pages
        return 1 if self.pagination == "first" else None
