"""`--telemetry`: what a collector receives over HTTP from the command line, and what happens without one."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from command import connectory
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONFIG = """
version: 1
clients: {default: {token: sk-canary-sending-1234}}
outgoing:
  chat:
    entity: chat.completions
    payload: {model: gpt-5-mini, messages: [{role: user, content: "&{text}"}]}
"""
RUN = ("run", "outgoing", "chat", "--input", "posts.jsonl", "--output", "out.jsonl", "--sandbox")


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self):
        self.spans, self.metrics, self.services, self.raw = [], {}, set(), b""
        super().__init__(("127.0.0.1", 0), Taking)

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def take(self, path, body):
        self.raw += body
        if path == "/v1/traces":
            resources = ExportTraceServiceRequest.FromString(body).resource_spans
            self.spans += [span for one in resources for scope in one.scope_spans for span in scope.spans]
        else:
            resources = ExportMetricsServiceRequest.FromString(body).resource_metrics
            for metric in [
                one for each in resources for scope in each.scope_metrics for one in scope.metrics
            ]:
                points = [*metric.sum.data_points, *metric.histogram.data_points]
                self.metrics.setdefault(metric.name, []).extend(points)
        for one in resources:
            known = {item.key: item.value.string_value for item in one.resource.attributes}
            self.services.add((known["service.name"], known["service.instance.id"]))


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.take(self.path, body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def project(tmp_path):
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    posts = [{"id": f"p{number}", "text": "hi"} for number in range(9)] + [{"id": "p9"}]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in posts))
    return tmp_path


def test_a_collector_gets_one_trace_of_all_processes_and_what_they_count(project):
    with Collector() as collector:
        done = connectory(
            *RUN,
            "--telemetry",
            "--processes",
            "2",
            "--log-format",
            "json",
            folder=project,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.uri,
            OTEL_METRIC_EXPORT_INTERVAL="600000",
            TRACEPARENT=f"00-{TRACE}-{SPAN}-01",
        )
    assert done.code == 1
    names = [one.name for one in collector.spans]
    assert {one.trace_id.hex() for one in collector.spans} == {TRACE}
    root = next(one for one in collector.spans if one.name == "connectory run outgoing")
    assert root.parent_span_id.hex() == SPAN
    below = {one.name for one in collector.spans if one.parent_span_id == root.span_id}
    assert below == {"connectory shard 1", "connectory shard 2"}
    assert names.count("POST /chat/completions") == 9
    assert names.count("outgoing chat") == 2
    counted = {}
    for point in collector.metrics["connectory.records"]:
        status = next(
            one.value.string_value for one in point.attributes if one.key == "connectory.record.status"
        )
        counted[status] = counted.get(status, 0) + point.as_int
    assert counted == {"ok": 9, "error": 1}
    assert sum(point.count for point in collector.metrics["http.client.request.duration"]) == 9
    assert {name for name, _ in collector.services} == {"connectory"}
    assert len(collector.services) == 3
    failed = [line for line in map(json.loads, done.said.splitlines()) if line["event"] == "record"]
    assert [(one["record"], one["level"]) for one in failed] == [("p9", "warning")]


def test_without_a_collector_the_run_is_what_it_was_and_one_line_says_so(project):
    done = connectory(
        *RUN,
        folder=project,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        CONNECTORY_TELEMETRY="1",
    )
    assert done.code == 1
    assert len((project / "out.jsonl").read_text().splitlines()) == 10
    assert done.said.count("note: telemetry: ") == 1


def test_an_exporter_that_nobody_has_installed_is_a_mistake_of_the_configuration(project):
    done = connectory(*RUN, "--telemetry", folder=project, OTEL_TRACES_EXPORTER="nonesuch")
    assert done.code == 3
    assert "the OTEL_* variables: " in done.said
    assert not (project / "out.jsonl").exists()
