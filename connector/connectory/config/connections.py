"""What incomings and outgoings have in common: chains, request parameters, and where lines go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Tag

from connectory.config.fields import (
    ByShape,
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
)
from connectory.config.steps import StepConfig

OutputMode = Literal["replace", "append"]
Steps = Annotated[tuple[StepConfig, ...], Field(strict=False), EmptyList]


class WebhookConfig(Section):
    """A URL to which every line is posted."""

    webhook: WebhookUrl = Field(repr=False, description="URL to which the lines are posted (required)")
    headers: Annotated[Mapping[HeaderName, HeaderValue], EmptyMap, Frozen] = Field(
        default_factory=nothing, repr=False, description="Headers sent with every post (default: none)"
    )
    batch: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Lines in one post at most, as a JSON array (default: each line by itself)",
    )


Output = Annotated[
    Annotated[Annotated[Text, Tag("<text>")] | Annotated[WebhookConfig, Tag("<mapping>")], ByShape] | None,
    EmptyText,
]


class RequestParameters(Section):
    """What fills a URL: path parameters and the query."""

    path: JsonMap = Field(default_factory=dict, description="Values of the path parameters (default: none)")
    query: JsonMap = Field(default_factory=dict, description="Query parameters (default: none)")
