"""What OpenTelemetry calls what happened: the names and attributes of spans and metrics, and nothing of its library."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectory.text.redaction import blank, visible

if TYPE_CHECKING:
    from connectory.events import RequestEnded

PORTS = {"http": 80, "https": 443}

OPERATIONS = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""The entities of which the conventions for generative models speak, and what these call them."""

OPT_IN, LATEST = "OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental"
"""The variable with which programs are asked for conventions that are still in development, and its word for these."""

_AZURE = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


@lru_cache(maxsize=64)
def server_of(url: str) -> tuple[str, int | None]:
    """Give the host and the port of a URL."""
    split = urlsplit(url)
    return split.hostname or "", split.port or PORTS.get(split.scheme)


def origin_of(url: str) -> str:
    """Give the part of a URL that is the same for all requests of a client."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def http_attributes(event: RequestEnded) -> dict[str, Any]:
    """Give what the stable conventions say of a request, as a metric has it."""
    host, port = server_of(origin_of(event.url))
    found: dict[str, Any] = {"http.request.method": event.what.partition(" ")[0], "server.address": host}
    if port is not None:
        found["server.port"] = port
    if event.status is not None:
        found["http.response.status_code"] = event.status
    if event.error is not None:
        found["error.type"] = event.error
    return found


def own_attributes(event: RequestEnded) -> dict[str, Any]:
    """Give what only we say of a request, and the URL; none of it is for metrics, which want few values."""
    found: dict[str, Any] = {
        "url.full": event.url,
        "connectory.client": event.client,
        "connectory.entity": event.entity,
        "connectory.waited": event.waited,
    }
    if event.attempt > 1:
        found["http.request.resend_count"] = event.attempt - 1
    more = {
        "connectory.run": event.whose.run,
        "connectory.connection": event.whose.connection,
        "connectory.record": event.whose.record,
        "connectory.request_id": event.request_id,
    }
    return found | {name: clean(value) for name, value in more.items() if value}


def model_attributes(event: RequestEnded) -> dict[str, Any]:
    """Give what the conventions for generative models say, as a metric has it; nothing for other requests."""
    operation = OPERATIONS.get(event.entity)
    if operation is None:
        return {}
    host, _ = server_of(origin_of(event.url))
    found = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "azure.ai.openai" if host.endswith(_AZURE) else "openai",
    }
    if event.model is not None:
        found["gen_ai.request.model"] = clean(event.model)
    if event.answered_by is not None:
        found["gen_ai.response.model"] = clean(event.answered_by)
    return found


def tokens_by_type(usage: dict[str, Any] | None) -> dict[str, int]:
    """Give the tokens that an answer says it used, read and written."""
    found: dict[str, int] = {}
    for kind, names in (
        ("input", ("input_tokens", "prompt_tokens")),
        ("output", ("output_tokens", "completion_tokens")),
    ):
        for name in names:
            value = (usage or {}).get(name)
            if type(value) is int:
                found[kind] = value
                break
    return found


def clean(text: str) -> str:
    """Make a text fit to leave."""
    return visible(blank(text))
