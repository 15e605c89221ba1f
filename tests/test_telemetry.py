"""Traces and metrics: a span of each run and of each attempt, what is counted, and what it is called."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import httpx
import pytest
from command import ROOTS
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode

from connectory.connector import AsyncConnector
from connectory.errors import ConfigError, CredentialsError
from connectory.listeners.telemetry import Telemetry

SECRET = "sk-canary-telemetry-1234"
CONFIG = {
    "version": 1,
    "clients": {"openai": {"token": SECRET, "query": {"sig": SECRET}, "retry": {"max_wait": 0.01}}},
    "incoming": {"files": {"entity": "files"}},
    "outgoing": {
        "chat": {
            "entity": "chat.completions",
            "payload": {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "&{text}"}]},
        }
    },
}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


class Seen:
    """What was sent to two providers that keep everything."""

    def __init__(self, **options):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        traces = TracerProvider(**options)
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces, self.meters = traces, MeterProvider([self.reader])

    def telemetry(self, **options):
        return Telemetry(tracer_provider=self.traces, meter_provider=self.meters, **options)

    def spans(self, kind=None):
        return [one for one in self.exporter.get_finished_spans() if kind in {None, one.kind}]

    def points(self, name):
        found = json.loads(self.reader.get_metrics_data().to_json())
        metrics = [
            one
            for resource in found["resource_metrics"]
            for scope in resource["scope_metrics"]
            for one in scope["metrics"]
        ]
        self.names = {one["name"] for one in metrics}
        return [point for one in metrics if one["name"] == name for point in one["data"]["data_points"]]

    def sums(self, name, *by):
        return {
            tuple(point["attributes"].get(one) for one in by): point.get("value", point.get("count"))
            for point in self.points(name)
        }


class Server:
    """Refuses the first request for once, and each record that says so."""

    def __init__(self):
        self.asked = 0

    def __call__(self, request):
        self.asked += 1
        if request.method == "GET":
            body = {"object": "list", "data": [{"id": "file-1", "object": "file"}], "has_more": False}
            return httpx.Response(200, json=body)
        if self.asked == 1:
            return httpx.Response(500, json={"error": {"message": "busy"}}, headers={"x-request-id": "req-1"})
        if "bad" in request.content.decode():
            return httpx.Response(400, json={"error": {"message": "no", "code": "bad"}})
        answer = {
            "id": "c",
            "object": "chat.completion",
            "model": "gpt-5-mini-2025",
            "choices": [],
            "usage": USAGE,
        }
        return httpx.Response(200, json=answer, headers={"x-request-id": f"req-{self.asked}"})


def send(seen, records=("hi", "bad"), *, server=None, **options):
    async def main():
        transport = httpx.MockTransport(server or Server())
        telemetry = seen if callable(seen) else seen.telemetry(**options)
        async with AsyncConnector.from_dict(CONFIG, transport=transport, telemetry=telemetry) as connector:
            texts = [{"id": text, "text": text} for text in records]
            results = [one async for one in connector.outgoing("chat", texts)]
            return results, [one async for one in connector.incoming("files")]

    return asyncio.run(main())


def test_a_run_is_a_span_and_each_attempt_of_a_request_is_one_below_it():
    seen = Seen()
    results, files = send(seen)
    assert [one.status for one in results] == ["ok", "error"]
    assert len(files) == 1
    runs = {one.name: one for one in seen.spans(SpanKind.INTERNAL)}
    assert set(runs) == {"outgoing chat", "incoming files"}
    run = runs["outgoing chat"]
    assert run.attributes["connectory.count.ok"] == run.attributes["connectory.count.error"] == 1
    tries = [one for one in seen.spans(SpanKind.CLIENT) if one.parent.span_id == run.context.span_id]
    assert [one.name for one in tries] == ["POST /chat/completions"] * 3
    by_status = {one.attributes[http_attributes.HTTP_RESPONSE_STATUS_CODE]: one for one in tries}
    assert set(by_status) == {500, 200, 400}
    failed, refused = by_status[500], by_status[400]
    assert failed.status.status_code is refused.status.status_code is StatusCode.ERROR
    assert by_status[200].status.status_code is StatusCode.UNSET
    assert failed.attributes[error_attributes.ERROR_TYPE] == "500"
    assert failed.attributes[http_attributes.HTTP_REQUEST_METHOD] == "POST"
    assert failed.attributes[server_attributes.SERVER_ADDRESS] == "api.openai.com"
    assert failed.attributes[server_attributes.SERVER_PORT] == 443
    assert failed.attributes[url_attributes.URL_FULL] == "https://api.openai.com/v1/chat/completions"
    assert failed.attributes["connectory.request_id"] == "req-1"
    again = [one.attributes.get("http.request.resend_count") for one in tries]
    assert sorted(again, key=str) == [1, None, None]
    assert {one.attributes["connectory.record"] for one in tries} == {"hi", "bad"}
    assert all(one.end_time > one.start_time >= run.start_time for one in tries)
    assert not any("gen_ai" in name for one in seen.spans() for name in one.attributes)
    assert SECRET not in "".join(one.to_json() for one in seen.spans())


def test_what_happened_is_counted():
    seen = Seen()
    send(seen)
    assert seen.sums("connectory.records", "connectory.record.status", "error.type") == {
        ("ok", None): 1,
        ("error", "api"): 1,
    }
    assert seen.sums("connectory.tokens", "connectory.token.type") == {("input",): 3, ("output",): 4}
    assert seen.sums("connectory.retries", "connectory.client", "connectory.held") == {("openai", False): 1}
    assert seen.sums("connectory.items", "connectory.connection") == {("files",): 1}
    duration = http_metrics.HTTP_CLIENT_REQUEST_DURATION
    assert seen.sums(duration, "http.request.method", "http.response.status_code") == {
        ("POST", 500): 1,
        ("POST", 200): 1,
        ("POST", 400): 1,
        ("GET", 200): 1,
    }
    assert seen.sums("connectory.request.wait", "connectory.client") == {("openai",): 4}
    assert seen.sums("connectory.run.duration", "connectory.connection") == {("chat",): 1, ("files",): 1}
    assert not any("gen_ai" in name for name in seen.names)


def test_the_conventions_for_models_are_followed_where_they_are_asked_for(monkeypatch):
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental")
    seen = Seen()
    send(seen, ["first", "hi"])
    found = [one for one in seen.spans(SpanKind.CLIENT) if gen_ai.GEN_AI_RESPONSE_MODEL in one.attributes]
    assert {one.name for one in found} == {"chat gpt-5-mini"}
    attributes = found[0].attributes
    assert attributes[gen_ai.GEN_AI_OPERATION_NAME] == "chat"
    provider = getattr(gen_ai, "GEN_AI_PROVIDER_NAME", "gen_ai.provider.name")  # named from 1.37 on
    assert attributes[provider] == "openai"
    assert attributes[gen_ai.GEN_AI_REQUEST_MODEL] == "gpt-5-mini"
    assert attributes[gen_ai.GEN_AI_RESPONSE_MODEL] == "gpt-5-mini-2025"
    assert attributes[gen_ai.GEN_AI_USAGE_INPUT_TOKENS] == 3
    assert attributes[gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS] == 4
    usage = seen.sums(gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE, gen_ai.GEN_AI_TOKEN_TYPE)
    assert usage == {("input",): 2, ("output",): 2}
    assert sum(seen.sums(gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION, "error.type").values()) == 3
    assert "GET /files" in {one.name for one in seen.spans(SpanKind.CLIENT)}


def test_the_providers_sampler_decides_what_is_kept_and_metrics_count_all():
    seen = Seen(sampler=ALWAYS_OFF)
    send(seen)
    assert seen.spans() == []
    assert sum(seen.sums("connectory.records", "connectory.record.status").values()) == 2


def test_a_run_is_below_the_callers_own_span():
    seen = Seen()
    with seen.traces.get_tracer("theirs").start_as_current_span("nightly") as own:
        send(seen)
    runs = seen.spans(SpanKind.INTERNAL)[:-1]
    assert {one.parent.span_id for one in runs} == {own.get_span_context().span_id}


def test_a_run_that_breaks_off_is_a_span_in_error():
    seen = Seen()
    with pytest.raises(CredentialsError):
        send(seen, server=lambda _: httpx.Response(401, json={"error": {"message": f"wrong {SECRET}"}}))
    (run,) = seen.spans(SpanKind.INTERNAL)
    assert (run.status.status_code, run.attributes["error.type"]) == (StatusCode.ERROR, "CredentialsError")
    assert SECRET not in run.to_json()
    assert seen.sums("connectory.run.duration", "error.type") == {("CredentialsError",): 1}


def test_a_run_whose_results_nobody_reads_on_is_no_error():
    seen = Seen()

    async def main():
        transport = httpx.MockTransport(Server())
        async with AsyncConnector.from_dict(
            CONFIG, transport=transport, telemetry=seen.telemetry()
        ) as connector:
            results = connector.outgoing("chat", [{"id": "a", "text": "a"}, {"id": "b", "text": "b"}])
            await anext(results)
            await results.aclose()

    asyncio.run(main())
    (run,) = seen.spans(SpanKind.INTERNAL)
    assert run.status.status_code is StatusCode.UNSET


def test_a_single_call_is_no_run():
    seen = Seen()

    async def main():
        transport = httpx.MockTransport(Server())
        async with AsyncConnector.from_dict(
            CONFIG, transport=transport, telemetry=seen.telemetry()
        ) as connector:
            return [one async for one in connector.read("files")]

    assert len(asyncio.run(main())) == 1
    assert [one.name for one in seen.spans()] == ["GET /files"]


def test_telemetry_that_fails_stops_no_run(caplog):
    class Broken(Telemetry):
        def _take(self, event):
            raise RuntimeError("the exporter is broken")

    seen = Seen()
    results, _ = send(Broken(tracer_provider=seen.traces, meter_provider=seen.meters))
    assert [one.status for one in results] == ["ok", "error"]
    told = [one for one in caplog.records if "telemetry failed" in one.getMessage()]
    assert len(told) == 1


def test_without_the_extra_the_error_names_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"pip install 'connectory\[otel\]'"):
        Telemetry()


def test_the_engine_does_not_import_the_library_unasked():
    code = "import connectory.connector, connectory.listeners.telemetry, sys; sys.exit('opentelemetry' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, timeout=120, check=False).returncode == 0
