"""The listener that makes a span of each run and of each attempt of a request, and counts what metrics count."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.events import (
    Held,
    PageRead,
    RecordFinished,
    RequestEnded,
    RequestRetried,
    RunBroken,
    RunFinished,
    RunStarted,
)
from connectory.listeners.logs import logger
from connectory.listeners.telemetry.naming import (
    LATEST,
    OPT_IN,
    clean,
    http_attributes,
    model_attributes,
    own_attributes,
    tokens_by_type,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from connectory.events import Event

MISSING = "traces and metrics need OpenTelemetry: pip install 'connectory[otel]'"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 320)
"""Bounds of a histogram of durations: those of the conventions, and more, because models think long."""

TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
"""Bounds of a histogram of tokens, by the conventions."""


class Telemetry:
    """A listener for `Connector(..., telemetry=Telemetry())`.

    Spans and metrics go to the providers that are given, else to the global ones, as OpenTelemetry's own set-up has
    made them. With `models` the attributes and metrics of the conventions for generative models are added; None asks
    the variable OTEL_SEMCONV_STABILITY_OPT_IN. Raises ConfigError where OpenTelemetry is not installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        models: bool | None = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - an extra, for those who want it
        except ImportError:
            raise ConfigError(MISSING) from None
        self._trace = trace
        self._tracer = trace.get_tracer("connectory", tracer_provider=tracer_provider)
        self._models = LATEST in os.environ.get(OPT_IN, "").split(",") if models is None else models
        self._runs: dict[str, tuple[Span, Context]] = {}
        self._broken = False
        meter = metrics.get_meter("connectory", meter_provider=meter_provider)

        def seconds(name: str, description: str) -> Any:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=list(SECONDS)
            )

        self._duration = seconds("http.client.request.duration", "How long attempts of requests took")
        self._waits = seconds(
            "connectory.request.wait", "How long requests stood in line before they were sent"
        )
        self._lives = seconds("connectory.run.duration", "How long runs took")
        self._records = meter.create_counter(
            "connectory.records", "{record}", "Records by what became of them"
        )
        self._items = meter.create_counter("connectory.items", "{item}", "Items that were read")
        self._retries = meter.create_counter("connectory.retries", "{attempt}", "Attempts made again")
        self._holds = meter.create_counter("connectory.holds", "{hold}", "Pauses of all requests of a client")
        self._tokens = meter.create_counter("connectory.tokens", "{token}", "Tokens by kind")
        if self._models:
            self._operations = seconds("gen_ai.client.operation.duration", "GenAI operation duration.")
            self._usage = meter.create_histogram(
                "gen_ai.client.token.usage",
                "{token}",
                "Number of input and output tokens used.",
                explicit_bucket_boundaries_advisory=list(TOKENS),
            )

    def hears_requests(self) -> bool:
        """Say that every attempt of every request is told."""
        return True

    def __call__(self, event: Event) -> None:
        """Take in what happened. What goes wrong in here stops no run."""
        if self._broken:
            return
        try:
            self._take(event)
        except Exception:  # noqa: BLE001 - whatever it is, it is told and stops nothing
            self._broken = True
            logger.exception("telemetry failed, and is off from now on")

    def _take(self, event: Event) -> None:
        match event:
            case RequestEnded():
                self._request(event)
            case RecordFinished():
                self._record(event)
            case RequestRetried():
                about = {"connectory.client": event.client, "connectory.entity": event.entity}
                self._retries.add(1, {**about, "connectory.held": event.held})
            case Held():
                self._holds.add(1, {"connectory.client": event.client})
            case PageRead():
                self._items.add(event.items, {"connectory.connection": event.connection})
            case RunStarted():
                self._began(event)
            case RunFinished() | RunBroken():
                self._ended(event)
            case _:
                pass

    def _request(self, event: RequestEnded) -> None:
        http = http_attributes(event)
        models = model_attributes(event) if self._models else {}
        name = event.what
        if models:
            name = f"{models['gen_ai.operation.name']} {models.get('gen_ai.request.model', '')}".rstrip()
        _, context = self._runs.get(event.whose.run, (None, None))
        begin = int(event.began * 1e9)
        span = self._tracer.start_span(
            name, context=context, kind=self._trace.SpanKind.CLIENT, attributes=http, start_time=begin
        )
        if span.is_recording():
            span.set_attributes(own_attributes(event) | models)
            if models:
                tokens = tokens_by_type(event.usage)
                span.set_attributes({f"gen_ai.usage.{kind}_tokens": one for kind, one in tokens.items()})
            if event.error is not None:
                span.set_status(self._trace.StatusCode.ERROR)
            span.end(begin + int(event.seconds * 1e9))
        within = self._trace.set_span_in_context(span)
        self._duration.record(event.seconds, http, context=within)
        self._waits.record(event.waited, {"connectory.client": event.client}, context=within)
        if models:
            about = {
                name: http[name] for name in ("server.address", "server.port", "error.type") if name in http
            }
            self._operations.record(event.seconds, models | about, context=within)
            for kind, count in tokens_by_type(event.usage).items():
                self._usage.record(count, models | about | {"gen_ai.token.type": kind}, context=within)

    def _record(self, event: RecordFinished) -> None:
        about = {"connectory.connection": event.connection, "connectory.entity": event.entity}
        outcome = {"connectory.record.status": event.status}
        if event.error is not None:
            outcome["error.type"] = event.error.kind
        self._records.add(1, about | outcome)
        for kind, count in tokens_by_type(event.usage).items():
            self._tokens.add(count, {**about, "connectory.token.type": kind})

    def _began(self, event: RunStarted) -> None:
        attributes = {
            "connectory.run": event.run,
            "connectory.connection": event.connection,
            "connectory.kind": event.kind,
            "connectory.entity": event.entity,
        }
        span = self._tracer.start_span(f"{event.kind} {event.connection}", attributes=attributes)
        if event.total is not None:
            span.set_attribute("connectory.total", event.total)
        self._runs[event.run] = span, self._trace.set_span_in_context(span)

    def _ended(self, event: RunFinished | RunBroken) -> None:
        span, _ = self._runs.pop(event.run, (None, None))
        about: dict[str, Any] = {"connectory.connection": event.connection}
        broken = event if isinstance(event, RunBroken) and event.error else None
        if broken is not None:
            about["error.type"] = broken.error
        self._lives.record(event.seconds, about)
        if span is None:
            return
        span.set_attributes({f"connectory.count.{name}": count for name, count in event.counts.items()})
        if broken is not None:
            span.set_attribute("error.type", broken.error)
            span.set_status(self._trace.StatusCode.ERROR, clean(broken.reason))
        span.end()
