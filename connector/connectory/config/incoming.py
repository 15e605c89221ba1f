"""An incoming connection as a model: every key it has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, Tag

from connectory.config.connections import Output, OutputMode, RequestParameters, Steps
from connectory.config.fields import ByShape, EmptyMap, OptionalText, RequestPath, Section, Text


class IncomingRequest(Section):
    """A raw request that reads."""

    method: Literal["GET"] = Field(default="GET", description="The HTTP method (default: GET)")
    path: RequestPath = Field(
        description="Path below the client's base URI, {name} for a parameter, or a URL of the client's server "
        "(required)"
    )


class PagesConfig(Section):
    """How many pages to read."""

    pages: int = Field(ge=1, description="How many pages to read (required)")


Pagination = Annotated[
    Annotated[Literal["all", "first"], Tag("<text>")] | Annotated[PagesConfig, Tag("<mapping>")], ByShape
]


class IncomingConfig(Section):
    """A named connection that reads an entity."""

    client: Text | None = Field(
        default=None, description="Which client (default: the only one, or 'default')"
    )
    entity: Text | None = Field(
        default=None, description="Which entity to read (this or 'request' is required)"
    )
    request: IncomingRequest | None = Field(
        default=None, description="A raw request instead of an entity (default: none)"
    )
    request_parameters: Annotated[RequestParameters, EmptyMap] = Field(
        default_factory=RequestParameters, description="Path and query parameters (default: none)"
    )
    input_transformers: Steps = Field(
        default=(),
        validation_alias=AliasChoices("input_transformers", "transformer"),
        description="Steps that make sets of request parameters of the given one (default: none)",
    )
    pagination: Pagination = Field(default="all", description="all, first or {pages: N} (default: all)")
    transformers: Steps = Field(default=(), description="Steps for every item that was read (default: none)")
    output: Output = Field(
        default=None, description="File for the items, '-' for stdout, or {webhook: URL} (default: stdout)"
    )
    output_mode: OutputMode = Field(
        default="replace",
        description="What the file's earlier lines become: replace or append, once the run is done (default: replace)",
    )
    save_to: OptionalText = Field(
        default=None,
        description="File for an answer that is no list, a template with the request parameters (default: none)",
    )
    disabled: bool = Field(default=False, description="Leave the connection out of runs (default: false)")
    description: str | None = Field(default=None, description="What it is for, for people (default: none)")

    @property
    def page_limit(self) -> int | None:
        """How many pages to read at most; None for all."""
        if isinstance(self.pagination, PagesConfig):
            return self.pagination.pages
        return 1 if self.pagination == "first" else None
