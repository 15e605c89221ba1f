"""The work that is measured: how much of it, over what, and which tools do it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed.tools import chat_tools, embedding_tools, latency_tools, list_tools, packed_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.speed.tools import Tool

FEWEST = 2
"""Records for each connection of the smaller run, at least: both runs open all of them. A list has a page more."""


@dataclass(frozen=True)
class Workload:
    """So many records, each with a text of so many characters."""

    name: str
    title: str
    kind: str
    count: int
    tools: Callable[[], list[Tool]]
    unit: str = "record"
    text: int = 850
    concurrency: int = 64
    delay_ms: int = 0
    secure: bool = True

    def sizes(self, share: float) -> tuple[int, int]:
        """Give the smaller and the larger number of records; their difference is what a record is reckoned from."""
        wanted = int(self.count * share)
        if self.kind == "list":
            small = max(wanted // 400, 1) * 100
            return small, max(wanted // 100 * 100, 4 * small)
        if self.kind == "packed":
            small = max(wanted // 4, 256)
            return small, max(wanted, 4 * small)
        small = max(wanted // 4, FEWEST * self.concurrency)
        return small, max(wanted, 2 * small)


WORKLOADS = [
    Workload("chat", "Chat requests of 1 KB over TLS", "chat", 50_000, chat_tools),
    Workload("chat-http", "Chat requests of 1 KB over plain HTTP", "chat", 50_000, chat_tools, secure=False),
    Workload(
        "embeddings",
        "Embeddings of 1,536 floats, one a request, over TLS",
        "embeddings",
        20_000,
        embedding_tools,
        text=200,
    ),
    Workload(
        "latency",
        "Chat requests answered after 50 ms, 500 at once, over TLS",
        "chat",
        30_000,
        latency_tools,
        concurrency=500,
        delay_ms=50,
    ),
    Workload("list", "Reading a list of 100,000 items, 100 a page, over plain HTTP", "list", 100_000, list_tools, unit="item", secure=False),
    Workload("packed", "Embeddings of short texts, 256 a request, over TLS", "packed", 100_000, packed_tools, text=50),
]  # fmt: skip


def write_sources(folder: Path, workload: Workload, count: int) -> dict[str, Path]:
    """Write the records in every form that a tool reads: texts, payloads, and bare bodies."""
    made = {kind: folder / f"{kind}-{count}.jsonl" for kind in ("texts", "payloads", "bodies")}
    if workload.kind == "list" or all(path.exists() for path in made.values()):
        return made
    words = "What a customer wrote to us about the thing that came too late and was too small. "
    text = (words * (workload.text // len(words) + 1))[: workload.text - 10]
    with (
        made["texts"].open("w") as texts,
        made["payloads"].open("w") as payloads,
        made["bodies"].open("w") as bodies,
    ):
        for number in range(count):
            said = f"{text} {number:08d}"
            if workload.kind == "chat":
                payload = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": said}]}
            else:
                payload = {"model": "text-embedding-3-small", "input": said}
            key = f"record-{number:08d}"
            texts.write(json.dumps({"id": key, "text": said}) + "\n")
            payloads.write(json.dumps({"id": key, "payload": payload}) + "\n")
            bodies.write(json.dumps(payload) + "\n")
    return made
