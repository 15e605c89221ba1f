"""The configuration as models: every key there is, its type, its bounds and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from connectory.config.clients import ClientConfig
from connectory.config.connections import Output, OutputMode, RequestParameters, Steps
from connectory.config.fields import (
    EmptyMap,
    Frozen,
    Json,
    MaxDead,
    Method,
    Methods,
    Name,
    OnOrMap,
    OnSchema,
    OptionalText,
    RequestPath,
    Route,
    Section,
    Text,
    TextOrList,
    TextOrMap,
    Texts,
    Wait,
    nothing,
)
from connectory.config.incoming import IncomingConfig
from connectory.config.input import Input
from connectory.config.tests import ChainTests, OutgoingTests


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


class UploadConfig(Section):
    """How large files are sent in parts."""

    over: int = Field(
        default=512_000_000, ge=0, description="Bytes above which a file goes in parts (default: 512000000)"
    )
    part_size: int = Field(
        default=64_000_000, ge=1, le=64 * 1024**2, description="Bytes of one part (default: 64000000)"
    )
    parallel: int = Field(default=4, ge=1, le=32, description="Parts under way at once (default: 4)")


class UntilConfig(Section):
    """Waiting for what was created to come to its end."""

    every: Wait | None = Field(
        default=None,
        description="Seconds between two readings of a state (default: a tenth of the time waited, from 1 to 60)",
    )
    timeout: Wait = Field(
        default=86_400,
        description="Seconds after which an item is given up, counted anew in a run that goes on (default: 86400)",
    )


class BudgetConfig(Section):
    """How much one run may use, in all."""

    requests: int | None = Field(default=None, ge=1, description="Requests (default: no bound)")
    tokens: int | None = Field(
        default=None, ge=1, description="Tokens, as the answers' `usage` counts them (default: no bound)"
    )


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
    until: Annotated[UntilConfig | None, OnOrMap, OnSchema] = Field(
        default=None,
        description="Wait until what is created is at its end: true, or {every, timeout} in seconds "
        "(default: the answer of the creation is the end)",
    )
    delivery: Literal["direct", "batch"] = Field(
        default="direct",
        description="direct: a request a record; batch: through the Batch API, answered within 24 hours "
        "(default: direct)",
    )
    sequence: Text | None = Field(
        default=None,
        description="JMESPath on the record as read; records with the same value go one at a time, in their order, "
        "null for any order (default: any order)",
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
    tests: OutgoingTests = Field(
        default=(), description="Tests of its transformers, requests and results (default: none)"
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
    tests: ChainTests = Field(
        default_factory=nothing, description="Tests of the chains in `transformers`, by name (default: none)"
    )
    journal: OptionalText = Field(
        default=None,
        description="Folder for the state of runs, relative to this file (default: .connectory beside it)",
    )
    catalogue: Texts = Field(
        default=(), description="Catalogue files of one's own, relative to this file (default: none)"
    )
