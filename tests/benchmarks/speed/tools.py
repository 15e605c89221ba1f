"""The tools that are compared: how each is called, and what exactly it does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEERS = Path(__file__).with_name("peers")
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "&{text}"}]}
EMBED = {"model": "text-embedding-3-small", "input": "&{text}"}


@dataclass(frozen=True)
class Place:
    """Where a run happens: its folder holds the output, the input lies elsewhere."""

    folder: Path
    python: Path
    origin: str
    ca_file: str
    sources: dict[str, Path]
    concurrency: int

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"


@dataclass(frozen=True)
class Tool:
    """A program of `peers/` in its environment. `share` of the workload's records is enough to measure it."""

    label: str
    environment: str
    words: tuple[str, ...]
    does: str
    source: str = "texts"
    share: float = 1.0

    def command(self, place: Place) -> list[str]:
        known = {
            "ORIGIN": place.origin,
            "INPUT": str(place.sources.get(self.source, "-")),
            "OUTPUT": str(place.output),
            "CONCURRENCY": str(place.concurrency),
        }
        script, *words = self.words
        return [str(place.python), str(PEERS / script), *(known.get(word, word) for word in words)]


@dataclass(frozen=True)
class Ours(Tool):
    """Connectory itself, by its command and a configuration."""

    connection: dict[str, Any] = field(default_factory=dict[str, Any])

    def configuration(self, place: Place) -> dict[str, Any]:
        client: dict[str, Any] = {"base_uri": f"{place.origin}/v1", "token": "sk-made-up"}
        client["limits"] = {"concurrency": place.concurrency}
        if place.origin.startswith("https"):
            client["ca_file"] = place.ca_file
        return {"version": 1, "clients": {"openai": client}, self.words[0]: {"work": self.connection}}

    def command(self, place: Place) -> list[str]:
        self.write(place)
        program = str(place.python.with_name("connectory"))
        source = ["--input", str(place.sources[self.source])] if self.words[0] == "outgoing" else []
        return [program, "run", self.words[0], "work", *source, "--output", str(place.output)]

    def write(self, place: Place) -> None:
        (place.folder / "connectory.yaml").write_text(json.dumps(self.configuration(place)))


def ours(
    label: str,
    connection: dict[str, Any],
    does: str,
    *,
    kind: str = "outgoing",
    environment: str = "connectory-fast",
    **rest: Any,
) -> Ours:
    return Ours(label, environment, (kind,), does, connection=connection, **rest)


def peer(label: str, environment: str, does: str, *words: str, **rest: Any) -> Tool:
    return Tool(label, environment, words, does, **rest)


REQUEST = ("ORIGIN", "INPUT", "OUTPUT", "CONCURRENCY")
WHOLE = (
    "`connectory run`: reads lines, fills in the payload, checks it against the API's schema, sends, retries, writes the "
    "journal, the results log and the output in the order of the input"
)
PLAIN = "as connectory, with the default installation: no orjson, no uvloop, schemas checked in Python"
SCRIPT = (
    "`peers/aiohttp_script.py`: a task a record, a semaphore, retries, `json`; no check, no journal, no order"
)
FLOOR = (
    "`peers/floor.py`: bodies made beforehand, answers written as they are, one `asyncio.Protocol` a connection; no JSON, "
    "no retries: what asyncio alone costs"
)
OFFICIAL = (
    "`peers/openai_client.py`: the official asynchronous client with a semaphore, its own retries and models"
)
FASTER = "as openai, with the aiohttp client that it offers"
LITELLM = "`peers/litellm_gather.py`: `acompletion` or `aembedding` with a semaphore"


def chat_tools() -> list[Tool]:
    checked = {"entity": "chat.completions", "payload": CHAT, "validate": "error"}
    ready = {"entity": "chat.completions", "validate": "off"}
    passes = "as connectory, but the records are payloads already and are not checked"
    return [
        ours("connectory", checked, WHOLE),
        ours("connectory, ready payloads", ready, passes, source="payloads"),
        ours("connectory, default install", checked, PLAIN, environment="connectory", share=0.1),
        ours(
            "connectory, ready payloads, default install",
            ready,
            "as connectory, ready payloads, with the default installation",
            environment="connectory",
            source="payloads",
            share=0.2,
        ),
        peer(
            "asyncio floor",
            "aiohttp",
            FLOOR,
            "floor.py",
            "/v1/chat/completions",
            *REQUEST,
            source="bodies",
        ),
        peer("aiohttp script", "aiohttp", SCRIPT, "aiohttp_script.py", "chat", *REQUEST, share=0.4),
        peer(
            "openai, aiohttp", "openai", FASTER, "openai_client.py", "chat", *REQUEST, "aiohttp", share=0.06
        ),
        peer("openai", "openai", OFFICIAL, "openai_client.py", "chat", *REQUEST, share=0.04),
        peer("litellm", "litellm", LITELLM, "litellm_gather.py", "chat", *REQUEST, share=0.02),
    ]


def latency_tools() -> list[Tool]:
    chosen = {"connectory", "asyncio floor", "aiohttp script", "openai, aiohttp", "openai", "litellm"}
    return [tool for tool in chat_tools() if tool.label in chosen]


def embedding_tools() -> list[Tool]:
    packed = {**EMBED, "encoding_format": "base64"}
    return [
        ours("connectory", {"entity": "embeddings", "payload": EMBED}, WHOLE),
        ours(
            "connectory, base64",
            {"entity": "embeddings", "payload": packed},
            "as connectory, vectors as the API's base64",
        ),
        peer("asyncio floor", "aiohttp", FLOOR, "floor.py", "/v1/embeddings", *REQUEST, source="bodies"),
        peer("aiohttp script", "aiohttp", SCRIPT, "aiohttp_script.py", "embeddings", *REQUEST, share=0.4),
        peer(
            "openai",
            "openai",
            "as openai above; it asks for base64 and makes floats of it",
            "openai_client.py",
            "embeddings",
            *REQUEST,
            share=0.08,
        ),
        peer("litellm", "litellm", LITELLM, "litellm_gather.py", "embeddings", *REQUEST, share=0.03),
    ]


def packed_tools() -> list[Tool]:
    single = {"entity": "embeddings", "payload": {**EMBED, "encoding_format": "base64"}}
    return [
        ours(
            "connectory, packed",
            {**single, "pack": {"size": 256, "wait": "50ms"}},
            "`pack: {size: 256, wait: 50ms}`: many records in a request, a result for each",
        ),
        ours("connectory, one a request", single, "as connectory, packed, without `pack`", share=0.2),
        peer(
            "aiohttp script, packed",
            "aiohttp",
            "as aiohttp script, with lists of 256 texts, cut beforehand",
            "aiohttp_script.py",
            "packed",
            *REQUEST,
        ),
        peer(
            "openai, packed",
            "openai",
            "as openai, with lists of 256 texts; it makes floats of the answers",
            "openai_client.py",
            "packed",
            *REQUEST,
            share=0.2,
        ),
    ]


def list_tools() -> list[Tool]:
    read = {"entity": "files", "request_parameters": {"query": {"limit": 100}}}
    return [
        ours(
            "connectory", read, "`connectory run incoming`: every page, a line an item, cursor in the journal", kind="incoming"
        ),
        peer(
            "aiohttp script",
            "aiohttp",
            "a loop over the pages that writes each item with `json`",
            "aiohttp_script.py",
            "list",
            *REQUEST,
        ),
        peer(
            "openai",
            "openai",
            "`async for` over `client.files.list(limit=100)`, each item written by its model",
            "openai_client.py",
            "list",
            *REQUEST,
            share=0.4,
        ),
        peer("dlt", "dlt", "its REST source into a folder of JSON Lines", "dlt_rest.py", "ORIGIN", "OUTPUT", share=0.5),
        peer(
            "singer-sdk", "singer", "a `RESTStream` of its own, Singer messages into a file", "singer_list.py", "ORIGIN", "OUTPUT", share=0.5
        ),
    ]  # fmt: skip
