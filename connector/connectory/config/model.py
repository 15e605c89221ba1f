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
    NoTruth,
    OnOrMap,
    OptionalText,
    RequestPath,
    Route,
    Section,
    ShortWait,
    Text,
    TextOrList,
    TextOrMap,
    Texts,
    Wait,
    nothing,
)
from connectory.config.incoming import IncomingConfig
from connectory.config.input import Input
from connectory.config.prices import Money
from connectory.config.tests import ChainTests, OutgoingTests


class OutgoingRequest(Section):
    """A raw request that writes; a record may choose among its methods and nothing else."""

    method: Method | None = Field(
        default=None, description="The HTTP method, where there is one (default: none)", examples=["POST"]
    )
    methods: Methods | None = Field(
        default=None,
        description="The HTTP methods a record may choose from, the first is the default (default: none)",
        examples=[["POST", "DELETE"]],
    )
    path: RequestPath | None = Field(
        default=None,
        description="Path below the client's base URI, {name} for a parameter, or a URL of the client's server "
        "(default: the record's `url`)",
        examples=["/moderations", "/files/{file_id}"],
    )

    @property
    def allowed(self) -> tuple[Method, ...]:
        """The methods a record may use, the default one first."""
        return self.methods or (self.method and (self.method,)) or ()


class UploadConfig(Section):
    """How large files are sent in parts."""

    over: int = Field(
        default=512_000_000,
        ge=0,
        description="Bytes above which a file goes in parts (default: 512000000)",
        examples=[100000000],
    )
    part_size: int = Field(
        default=64_000_000,
        ge=1,
        le=64 * 1024**2,
        description="Bytes of one part (default: 64000000)",
        examples=[16000000],
    )
    parallel: int = Field(
        default=4, ge=1, le=32, description="Parts under way at once (default: 4)", examples=[8]
    )


class UntilConfig(Section):
    """Waiting for what was created to come to its end."""

    every: Wait | None = Field(
        default=None,
        description="Seconds between two readings of a state (default: a tenth of the time waited, from 1 to 60)",
        examples=[30],
    )
    timeout: Wait = Field(
        default=86_400,
        description="Seconds after which an item is given up, counted anew in a run that goes on (default: 86400)",
        examples=[3600],
    )


class BudgetConfig(Section):
    """How much one run may use, in all."""

    requests: int | None = Field(
        default=None, ge=1, description="Requests (default: no bound)", examples=[1000]
    )
    tokens: int | None = Field(
        default=None,
        ge=1,
        description="Tokens, as the answers' `usage` counts them (default: no bound)",
        examples=[2000000],
    )
    cost: Money | None = Field(
        default=None,
        description="Money, in the currency of the client's `prices` (default: no bound)",
        examples=["10.00", 2.5],
    )


class PackConfig(Section):
    """Many records in one request."""

    size: int = Field(
        default=256,
        ge=1,
        le=50_000,
        description="Records in one request at most (default: 256)",
        examples=[2048],
    )
    wait: ShortWait = Field(
        default=0.05,
        description="How long a request waits for more records, from its first one on: seconds, or such as 50ms "
        "(default: 50ms)",
        examples=["250ms", 2],
    )


class OutgoingConfig(Section):
    """A named connection that creates or deletes an entity, one request a record."""

    client: Text | None = Field(
        default=None, description="Which client (default: the only one, or 'default')", examples=["openai"]
    )
    entity: Text | None = Field(
        default=None,
        description="Which entity to write (this or 'request' is required)",
        examples=["moderations"],
    )
    request: OutgoingRequest | None = Field(
        default=None,
        description="A raw request instead of an entity (default: none)",
        examples=[{"method": "POST", "path": "/moderations"}],
    )
    action: Literal["create", "delete"] | None = Field(
        default=None,
        description="create or delete (default: the only write the entity has)",
        examples=["delete", "create"],
    )
    request_parameters: Annotated[RequestParameters, EmptyMap] = Field(
        default_factory=RequestParameters,
        description="Path and query parameters below the record's own (default: none)",
        examples=[{"path": {"vector_store_id": "vs_abc123"}}],
    )
    input: Input = Field(
        default=None,
        description="File with the records, '-' for stdin, {files: ...}, {csv: ...} or {sql: ...} (default: stdin)",
        examples=[
            "texts.jsonl",
            "-",
            {"csv": "products.csv"},
            {"sql": "SELECT * FROM texts", "database": "shop.db", "key": "id"},
        ],
    )
    transformers: Steps = Field(
        default=(),
        description="Steps for every record before it is sent (default: none)",
        examples=[[{"keep_if": "created_at < ago('30d')"}]],
    )
    path: TextOrMap | None = Field(
        default=None,
        description="Template of the path parameters (default: the record's 'path')",
        examples=[{"file_id": "&{id}"}, "&{path}"],
    )
    query: TextOrMap | None = Field(
        default=None,
        description="Template of the query (default: the record's 'query')",
        examples=[{"limit": "&{count}"}, "&{query}"],
    )
    payload: Json = Field(
        default=None,
        description="Template of the request body (default: the record's 'payload')",
        examples=[{"model": "omni-moderation-latest", "input": "&{text}"}, "&{@}"],
    )
    result: Json = Field(
        default=None,
        description="Template that replaces the line of an ok result (default: the whole result)",
        examples=[{"id": "&{input.id}", "flagged": "&{response.results[0].flagged}"}],
    )
    response_transformers: Steps = Field(
        default=(),
        description="Steps for every ok result (default: none)",
        examples=[[{"map": "{id: input.id, text: derived.text}"}]],
    )
    dialect: Text | None = Field(
        default=None,
        description="The product whose words the records and results use, such as tray (default: none)",
        examples=["tray"],
    )
    identifier: TextOrList | None = Field(
        default=None,
        description="JMESPath, or a list of them, that names a record in results (default: its `id`, else its line)",
        examples=["id", ["shop", "number"]],
    )
    accept: Text | None = Field(
        default=None,
        description="JMESPath on the answer; where it is false the record is set aside, with the answer "
        "(default: every answer is accepted)",
        examples=["response.choices[0].finish_reason == 'stop'"],
    )
    only: Literal["new", "changed"] | None = Field(
        default=None,
        description="Skip records that earlier runs had answered: new (by identifier) or changed (by what is sent) "
        "(default: send every record)",
        examples=["new", "changed"],
    )
    on_uncertain: Literal["resend", "hold"] | None = Field(
        default=None,
        description="What becomes of a request that may have been done: resend or hold "
        "(default: resend where twice does no harm, else hold)",
        examples=["hold", "resend"],
    )
    max_dead: MaxDead | None = Field(
        default=None,
        description="Records that may be set aside before the run stops: a number, or a share such as '5%' "
        "once there are 100 (default: no bound)",
        examples=["5%", 100],
    )
    budget: BudgetConfig | None = Field(
        default=None,
        description="What a run may use before it stops (default: no bound)",
        examples=[{"cost": "10.00"}, {"requests": 1000, "tokens": 2000000}],
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="What the journal survives: the end of the process, or of the machine's power (default: process)",
        examples=["power"],
    )
    pack: Annotated[PackConfig | None, OnOrMap] = Field(
        default=None,
        description="Send many records in one request, where the entity takes lists: true, or {size, wait} "
        "(default: one request a record)",
        examples=[True, {"size": 1000}],
    )
    stream: Literal["aggregate", "events"] | None = Field(
        default=None,
        description="Ask for a stream: aggregate (put together again) or events (a line each) (default: none)",
        examples=["aggregate", "events"],
    )
    until: Annotated[UntilConfig | None, OnOrMap] = Field(
        default=None,
        description="Wait until what is created is at its end: true, or {every, timeout} in seconds "
        "(default: the answer of the creation is the end)",
        examples=[True, {"every": 30, "timeout": 3600}],
    )
    delivery: Literal["direct", "batch"] = Field(
        default="direct",
        description="direct: a request a record; batch: through the Batch API, answered within 24 hours "
        "(default: direct)",
        examples=["batch"],
    )
    sequence: Text | None = Field(
        default=None,
        description="JMESPath on the record as read; records with the same value go one at a time, in their order, "
        "null for any order (default: any order)",
        examples=["customer.id"],
    )
    files_root: OptionalText = Field(
        default=None,
        description="Folder of the files that payloads may send as {path: ...} (default: none, so no file)",
        examples=["uploads"],
    )
    upload: UploadConfig | None = Field(
        default=None,
        description="Send large files in parts, {} for the usual sizes (default: in one piece)",
        examples=[{"over": 100000000}],
    )
    save_to: OptionalText = Field(
        default=None,
        description="File for the answer of each record, a template (default: none)",
        examples=["speech/&{input.id}.mp3"],
    )
    output: Output = Field(
        default=None,
        description="File for the results, '-' for stdout, {webhook: URL} or {sql: ...} (default: stdout)",
        examples=[
            "results.jsonl",
            "-",
            {"sql": "UPDATE texts SET flagged = :flagged WHERE id = :id", "database": "shop.db"},
        ],
    )
    output_mode: OutputMode = Field(
        default="replace",
        description="What the file's earlier lines become: replace or append, once the run is done (default: replace)",
        examples=["append", "replace"],
    )
    dead_letters: OptionalText = Field(
        default=None,
        description="File for records that were set aside (default: below .connectory/runs)",
        examples=["set-aside.jsonl"],
    )
    validate_mode: Literal["error", "warn", "off"] | None = Field(
        default=None,
        alias="validate",
        description="What becomes of a payload that does not fit: error, warn or off (default: the prototype's)",
        examples=["warn", "off", "error"],
    )
    order: Literal["input", "completion"] = Field(
        default="input",
        description="Order of the results: input or completion (default: input)",
        examples=["completion"],
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Requests under way at once (default: the client's)",
        examples=[16],
    )
    tests: OutgoingTests = Field(
        default=(),
        description="Tests of its transformers, requests and results (default: none)",
        examples=[[{"given": {"text": "Hello"}, "request": {"payload": {"input": "Hello"}}}]],
    )
    disabled: bool = Field(
        default=False, description="Leave the connection out of runs (default: false)", examples=[True]
    )
    description: str | None = Field(
        default=None,
        description="What it is for, for people (default: none)",
        examples=["Moderates what customers write"],
    )

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

    version: Annotated[Literal[1], NoTruth] = Field(
        default=1, description="Version of the file's format (default: 1)", examples=[1]
    )
    clients: Annotated[Mapping[Name, ClientConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="The HTTP clients by name (default: none)",
        examples=[{"openai": {"token": "${OPENAI_API_KEY}"}}],
    )
    incoming: Annotated[Mapping[Name, IncomingConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="The connections that read, by name (default: none)",
        examples=[{"files": {"entity": "files"}}],
    )
    outgoing: Annotated[Mapping[Name, OutgoingConfig], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="The connections that write, by name (default: none)",
        examples=[{"moderate": {"entity": "moderations", "payload": {"input": "&{text}"}}}],
    )
    routes: Annotated[Mapping[Name, Route], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="An incoming and the outgoings that follow it, by name (default: none)",
        examples=[{"purge-old-files": ["files", "purge"]}],
    )
    transformers: Annotated[Mapping[Name, Steps], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="Chains to use by name as one step (default: none)",
        examples=[{"clean": ["compact"]}],
    )
    tests: ChainTests = Field(
        default_factory=nothing,
        description="Tests of the chains in `transformers`, by name (default: none)",
        examples=[{"clean": [{"given": {"a": None}, "expect": {}}]}],
    )
    journal: OptionalText = Field(
        default=None,
        description="Folder for the state of runs, relative to this file (default: .connectory beside it)",
        examples=[".connectory", "/var/lib/connectory"],
    )
    catalogue: Texts = Field(
        default=(),
        description="Catalogue files of one's own, relative to this file (default: none)",
        examples=[["shop.json"]],
    )
