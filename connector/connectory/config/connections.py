"""What incomings and outgoings have in common: chains, request parameters, and where lines go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from connectory.config.fields import (
    EmptyList,
    EmptyMap,
    EmptyText,
    Frozen,
    HeaderName,
    HeaderValue,
    JsonMap,
    Section,
    Text,
    WebhookUrl,
    nothing,
    wrong,
)
from connectory.config.input import SqlOutput, TableOutput, UsedOutput
from connectory.config.shapes import is_map
from connectory.config.steps import StepConfig

OutputMode = Literal["replace", "append"]
Steps = Annotated[tuple[StepConfig, ...], Field(strict=False), EmptyList]


class WebhookConfig(Section):
    """A URL to which every line is posted."""

    webhook: WebhookUrl = Field(
        repr=False,
        description="URL to which the lines are posted (required)",
        examples=["https://hooks.example.com/results"],
    )
    headers: Annotated[Mapping[HeaderName, HeaderValue], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        repr=False,
        description="Headers sent with every post (default: none)",
        examples=[{"Authorization": "Bearer ${HOOK_TOKEN}"}],
    )
    batch: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Lines in one post at most, as a JSON array (default: each line by itself)",
        examples=[100],
    )


_OUTPUTS = (
    "must be the name of a file, or {webhook: URL}, {table: NAME, database: URL, write: insert, update or upsert, "
    "key: COLUMN}, {sql: STATEMENT, database: URL} or {use: MODULE:CLASS}"
)


def _output_kind(value: Any) -> str | None:
    if is_map(value):
        if "use" in value:
            return "<use>"
        if "table" in value or "write" in value:
            return "<table>"
        return "<sql>" if "sql" in value or "database" in value else "<webhook>"
    return "<text>" if isinstance(value, str) else None


def _refuse_others(value: Any) -> Any:
    if _output_kind(value) is None:
        raise wrong(_OUTPUTS)
    return value


Output = Annotated[
    Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[WebhookConfig, Tag("<webhook>")]
        | Annotated[SqlOutput, Tag("<sql>")]
        | Annotated[TableOutput, Tag("<table>")]
        | Annotated[UsedOutput, Tag("<use>")],
        Discriminator(_output_kind),
        BeforeValidator(_refuse_others),
    ]
    | None,
    EmptyText,
]


OutputForm = str | WebhookConfig | SqlOutput | TableOutput | UsedOutput


class RequestParameters(Section):
    """What fills a URL: path parameters and the query."""

    path: JsonMap = Field(
        default_factory=dict,
        description="Values of the path parameters (default: none)",
        examples=[{"file_id": "file-abc123"}],
    )
    query: JsonMap = Field(
        default_factory=dict,
        description="Query parameters (default: none)",
        examples=[{"limit": 100, "order": "asc"}],
    )
