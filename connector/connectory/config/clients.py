"""What a client is configured with: its server, credentials, patience and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, SecretStr, Tag

from connectory.config.fields import (
    Auto,
    AutoSchema,
    BaseUri,
    ByShape,
    EmptyMap,
    Frozen,
    HeaderName,
    HeaderText,
    HeaderValue,
    OptionalText,
    Present,
    Seconds,
    Section,
    Text,
    TextMap,
    TextOrList,
    nothing,
)
from connectory.config.prices import PricesConfig


class TimeoutConfig(Section):
    """How long to wait before an attempt is given up; nothing waits without end."""

    connect: Seconds = Field(
        default=10, description="Seconds to reach the server (default: 10)", examples=[5]
    )
    idle: Seconds = Field(
        default=60, description="Seconds in which not one byte arrives (default: 60)", examples=[120]
    )
    total: Seconds = Field(
        default=600,
        description="Seconds for a request, all its attempts and waits (default: 600)",
        examples=[1800],
    )


class CertificateConfig(Section):
    """The certificate with which the client shows who it is."""

    certificate: Text = Field(
        description="PEM file with the certificate (required)", examples=["certificates/me.pem"]
    )
    key: Text = Field(
        description="PEM file with its private key (required)", examples=["certificates/me.key"]
    )


PerMinute = Annotated[Annotated[int, Field(ge=1, le=1_000_000_000)] | None, Auto, AutoSchema]


class LimitsConfig(Section):
    """How fast requests leave, by all connections of the client together; `auto` finds it out."""

    requests_per_minute: PerMinute = Field(
        default=None,
        description="Requests sent in a minute, or auto: what the server's answers say, or no limit (default: auto)",
        examples=[500, "auto"],
    )
    tokens_per_minute: PerMinute = Field(
        default=None,
        description="Tokens used in a minute, or auto: what the server's answers say, or no limit (default: auto)",
        examples=[200000, "auto"],
    )
    concurrency: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Auto, AutoSchema] = Field(
        default=None,
        description="Requests under way at once, or auto: up to 32, as many as make the server faster (default: auto)",
        examples=[8, "auto"],
    )


class RetryConfig(Section):
    """How often and how long to try again."""

    attempts: int = Field(
        default=4,
        ge=1,
        le=20,
        description="Attempts for one request, the first included (default: 4)",
        examples=[6],
    )
    max_wait: float = Field(
        default=60,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Longest wait between two attempts, in seconds (default: 60)",
        examples=[120],
    )
    outage: float = Field(
        default=300,
        ge=0,
        le=86400,
        allow_inf_nan=False,
        description="Seconds for which a server that is away, or refuses everything, is waited for (default: 300)",
        examples=[900],
    )


Certificate = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[CertificateConfig, Tag("<mapping>")], ByShape
]


class ClientConfig(Section):
    """One HTTP client, made from a prototype."""

    prototype: Text = Field(
        default="openai",
        description="What kind of server it is (default: openai)",
        examples=["openai", "openai-compatible", "azure-openai"],
    )
    base_uri: BaseUri = Field(
        default=None,
        description="Scheme, host and path of the API (default: the prototype's)",
        examples=["https://api.openai.com/v1", "http://localhost:8080/v1"],
    )
    path_prefix: str | None = Field(
        default=None,
        description="Path put after a base URI that has none; '' for none (default: the prototype's, /v1)",
        examples=["/v1", ""],
    )
    token: SecretStr | None = Field(
        default=None,
        description="The API key, with or without 'Bearer ', best as ${OPENAI_API_KEY} (default: none)",
        examples=["${OPENAI_API_KEY}"],
    )
    token_file: OptionalText = Field(
        default=None,
        description="File that holds the token (default: none)",
        examples=["/run/secrets/openai"],
    )
    token_command: TextOrList | None = Field(
        default=None,
        repr=False,
        description="Command that prints the token; needs CONNECTORY_ALLOW_COMMANDS=1 (default: none)",
        examples=[["pass", "show", "openai"], "pass show openai"],
    )
    admin_token: SecretStr | None = Field(
        default=None,
        description="The key for entities that want an administrator's (default: none)",
        examples=["${OPENAI_ADMIN_KEY}"],
    )
    organization: HeaderText = Field(
        default=None,
        description="The organization's id; empty: not sent (default: none)",
        examples=["${OPENAI_ORG_ID:-}", "org-abc123"],
    )
    project: HeaderText = Field(
        default=None,
        description="The project's id; empty: not sent (default: none)",
        examples=["${OPENAI_PROJECT_ID:-}", "proj_abc123"],
    )
    headers: Annotated[Mapping[HeaderName, HeaderValue], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        repr=False,
        description="Headers sent with every request (default: none)",
        examples=[{"X-Team": "search"}],
    )
    query: TextMap = Field(
        default_factory=nothing,
        repr=False,
        description="Query parameters sent with every request (default: none)",
        examples=[{"api-version": "2024-10-21"}],
    )
    deployments: Annotated[Mapping[str, Text], EmptyMap, Frozen] = Field(
        default_factory=nothing,
        description="Which deployment serves which model (default: the model's own name)",
        examples=[{"gpt-5-mini": "our-mini"}],
    )
    timeout: Annotated[TimeoutConfig, Present] = Field(
        default_factory=TimeoutConfig,
        description="How long to wait (default: connect 10, idle 60, total 600 seconds)",
        examples=[{"connect": 5, "total": 120}],
    )
    proxy: OptionalText = Field(
        default=None,
        repr=False,
        description="URI of an HTTP proxy (default: none)",
        examples=["http://proxy.example.com:3128"],
    )
    allow_http: bool = Field(
        default=False,
        description="Send credentials over http:// to another machine: only in a network you trust (default: false)",
        examples=[True],
    )
    ca_file: OptionalText = Field(
        default=None,
        description="PEM file with the authorities to trust (default: the system's)",
        examples=["certificates/company.pem"],
    )
    client_certificate: Certificate | None = Field(
        default=None,
        description="PEM file with certificate and key, or {certificate, key} (default: none)",
        examples=[
            "certificates/me.pem",
            {"certificate": "certificates/me.pem", "key": "certificates/me.key"},
        ],
    )
    limits: LimitsConfig = Field(
        default_factory=LimitsConfig,
        description="How fast, and how much at once (default: auto)",
        examples=[{"requests_per_minute": 500, "concurrency": 8}],
    )
    retry: RetryConfig = Field(
        default_factory=RetryConfig,
        description="How to try again (default: 4 attempts, 60 seconds at most between, 300 of outage)",
        examples=[{"attempts": 6, "max_wait": 120}],
    )

    prices: PricesConfig | None = Field(
        default=None,
        description="What its models cost, by a table of your own (default: none; costs are not counted)",
        examples=[{"currency": "EUR", "models": {"gpt-5-mini": {"input": 1, "output": 4}}}],
    )

    @property
    def certificate_files(self) -> tuple[str, str | None] | None:
        """The files of the client certificate: certificate and key, the key None where one file has both."""
        if isinstance(self.client_certificate, CertificateConfig):
            return self.client_certificate.certificate, self.client_certificate.key
        return None if self.client_certificate is None else (self.client_certificate, None)
