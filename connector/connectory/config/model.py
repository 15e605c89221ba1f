"""The configuration as models: every key there is, its type, its bounds and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, Tag

from connectory.config.clients import ClientConfig
from connectory.config.fields import (
    ByShape,
    EmptyList,
    EmptyMap,
    EmptyText,
    Frozen,
    HeaderName,
    HeaderValue,
    Json,
    JsonMap,
    MaxDead,
    Method,
    Methods,
    Name,
    OptionalText,
    RequestPath,
    Route,
    Section,
    Text,
    TextOrList,
    TextOrMap,
    Texts,
    WebhookUrl,
    nothing,
    wrong,
)
from connectory.config.input import Input, SqlOutput
from connectory.config.shapes import is_map
from connectory.config.steps import StepConfig

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


_OUTPUTS = "must be the name of a file, or {webhook: URL} or {sql: STATEMENT, database: FILE}"


def _output_kind(value: Any) -> str | None:
    if is_map(value):
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
        | Annotated[SqlOutput, Tag("<sql>")],
        Discriminator(_output_kind),
        BeforeValidator(_refuse_others),
    ]
    | None,
    EmptyText,
]


class RequestParameters(Section):
    """What fills a URL: path parameters and the query."""

    path: JsonMap = Field(default_factory=dict, description="Values of the path parameters (default: none)")
    query: JsonMap = Field(default_factory=dict, description="Query parameters (default: none)")


class IncomingRequest(Section):
    """A raw request that reads."""

    method: Literal["GET"] = Field(default="GET", description="The HTTP method (default: GET)")
    path: RequestPath = Field(
        description="Path below the client's base URI, {name} for a parameter, or a URL of the client's server "
        "(required)"
    )


class OutgoingRequest(Section):
    """A raw request that writes; a record may choose among its methods and nothing else."""

    method: Method | None = Field(
        default=None, description="The HTTP method, where there is one (default: none)"
    )
    methods: Methods | None = Field(
        default=None,
        description="The HTTP methods a record may choose from, the first is the default (default: none)",
    )
    path: RequestPath | None = Field(
        default=None,
        description="Path below the client's base URI, {name} for a parameter, or a URL of the client's server "
        "(default: the record's `url`)",
    )

    @property
    def allowed(self) -> tuple[Method, ...]:
        """The methods a record may use, the default one first."""
        return self.methods or (self.method and (self.method,)) or ()


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
        default=None,
        description="File for the items, '-' for stdout, {webhook: URL} or {sql: ...} (default: stdout)",
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


class UploadConfig(Section):
    """How large files are sent in parts."""

    over: int = Field(
        default=512_000_000, ge=0, description="Bytes above which a file goes in parts (default: 512000000)"
    )
    part_size: int = Field(
        default=64_000_000, ge=1, le=64 * 1024**2, description="Bytes of one part (default: 64000000)"
    )
    parallel: int = Field(default=4, ge=1, le=32, description="Parts under way at once (default: 4)")


class BudgetConfig(Section):
    """How much one run may use, in all."""

    requests: int | None = Field(default=None, ge=1, description="Requests (default: no bound)")
    tokens: int | None = Field(
        default=None, ge=1, description="Tokens, as the answers' `usage` counts them (default: no bound)"
    )


OutputMode = Literal["replace", "append"]


class OutgoingConfig(Section):
    """A named connection that creates or deletes an entity, one request a record."""

    client: Text | None = Field(
        default=None, description="Which client (default: the only one, or 'default')"
    )
    entity: Text | None = Field(
        default=None, description="Which entity to write (this or 'request' is required)"
    )
    request: OutgoingRequest | None = Field(
        default=None, description="A raw request instead of an entity (default: none)"
    )
    action: Literal["create", "delete"] | None = Field(
        default=None, description="create or delete (default: the only write the entity has)"
    )
    request_parameters: Annotated[RequestParameters, EmptyMap] = Field(
        default_factory=RequestParameters,
        description="Path and query parameters below the record's own (default: none)",
    )
    input: Input = Field(
        default=None,
        description="File with the records, '-' for stdin, {files: ...}, {csv: ...} or {sql: ...} (default: stdin)",
    )
    transformers: Steps = Field(
        default=(), description="Steps for every record before it is sent (default: none)"
    )
    path: TextOrMap | None = Field(
        default=None, description="Template of the path parameters (default: the record's 'path')"
    )
    query: TextOrMap | None = Field(
        default=None, description="Template of the query (default: the record's 'query')"
    )
    payload: Json = Field(
        default=None, description="Template of the request body (default: the record's 'payload')"
    )
    result: Json = Field(
        default=None,
        description="Template that replaces the line of an ok result (default: the whole result)",
    )
    response_transformers: Steps = Field(default=(), description="Steps for every ok result (default: none)")
    dialect: Text | None = Field(
        default=None,
        description="The product whose words the records and results use, such as tray (default: none)",
    )
    identifier: TextOrList | None = Field(
        default=None,
        description="JMESPath, or a list of them, that names a record in results (default: its `id`, else its line)",
    )
    accept: Text | None = Field(
        default=None,
        description="JMESPath on the answer; where it is false the record is set aside, with the answer "
        "(default: every answer is accepted)",
    )
    only: Literal["new", "changed"] | None = Field(
        default=None,
        description="Skip records that earlier runs had answered: new (by identifier) or changed (by what is sent) "
        "(default: send every record)",
    )
    on_uncertain: Literal["resend", "hold"] | None = Field(
        default=None,
        description="What becomes of a request that may have been done: resend or hold "
        "(default: resend where twice does no harm, else hold)",
    )
    max_dead: MaxDead | None = Field(
        default=None,
        description="Records that may be set aside before the run stops: a number, or a share such as '5%' "
        "once there are 100 (default: no bound)",
    )
    budget: BudgetConfig | None = Field(
        default=None, description="What a run may use before it stops (default: no bound)"
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="What the journal survives: the end of the process, or of the machine's power (default: process)",
    )
    stream: Literal["aggregate", "events"] | None = Field(
        default=None,
        description="Ask for a stream: aggregate (put together again) or events (a line each) (default: none)",
    )
    files_root: OptionalText = Field(
        default=None,
        description="Folder of the files that payloads may send as {path: ...} (default: none, so no file)",
    )
    upload: UploadConfig | None = Field(
        default=None, description="Send large files in parts, {} for the usual sizes (default: in one piece)"
    )
    save_to: OptionalText = Field(
        default=None, description="File for the answer of each record, a template (default: none)"
    )
    output: Output = Field(
        default=None,
        description="File for the results, '-' for stdout, {webhook: URL} or {sql: ...} (default: stdout)",
    )
    output_mode: OutputMode = Field(
        default="replace",
        description="What the file's earlier lines become: replace or append, once the run is done (default: replace)",
    )
    dead_letters: OptionalText = Field(
        default=None, description="File for records that were set aside (default: below .connectory/runs)"
    )
    validate_mode: Literal["error", "warn", "off"] | None = Field(
        default=None,
        alias="validate",
        description="What becomes of a payload that does not fit: error, warn or off (default: the prototype's)",
    )
    order: Literal["input", "completion"] = Field(
        default="input", description="Order of the results: input or completion (default: input)"
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=1000, description="Requests under way at once (default: the client's)"
    )
    disabled: bool = Field(default=False, description="Leave the connection out of runs (default: false)")
    description: str | None = Field(default=None, description="What it is for, for people (default: none)")

    @property
    def has_payload(self) -> bool:
        """Say whether the connection has a payload template of its own (which may be null)."""
        return "payload" in self.model_fields_set

    @property
    def has_result(self) -> bool:
        """Say whether the connection shapes its results."""
        return "result" in self.model_fields_set


class ConfigModel(Section):
    """The whole configuration file."""

    version: Literal[1] = Field(default=1, description="Version of the file's format (default: 1)")
    clients: Annotated[Mapping[Name, ClientConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing, description="The HTTP clients by name (default: none)"
    )
    incoming: Annotated[Mapping[Name, IncomingConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing, description="The connections that read, by name (default: none)"
    )
    outgoing: Annotated[Mapping[Name, OutgoingConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing, description="The connections that write, by name (default: none)"
    )
    routes: Annotated[Mapping[Name, Route], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="An incoming and the outgoings that follow it, by name (default: none)",
    )
    transformers: Annotated[Mapping[Name, Steps], EmptyMap, Frozen] = Field(
        default_factory=nothing, description="Chains to use by name as one step (default: none)"
    )
    journal: OptionalText = Field(
        default=None,
        description="Folder for the state of runs, relative to this file (default: .connectory beside it)",
    )
    catalogue: Texts = Field(
        default=(), description="Catalogue files of one's own, relative to this file (default: none)"
    )
