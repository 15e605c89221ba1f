"""How long it takes until a tool could begin."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.speed.comparing import environment_once, say
from benchmarks.speed.environments import UnavailableError
from benchmarks.speed.measuring import spend

if TYPE_CHECKING:
    from pathlib import Path

STARTS = [
    ("python -c pass", "connectory-fast", ["-c", "pass"]),
    ("connectory --version", "connectory-fast", ["-m", "connectory", "--version"]),
    ("connectory --help", "connectory-fast", ["-m", "connectory", "--help"]),
    ("connectory lint", "connectory-fast", ["-m", "connectory", "lint"]),
    ("import connectory", "connectory-fast", ["-c", "import connectory"]),
    ("from connectory import Connector", "connectory-fast", ["-c", "from connectory import Connector"]),
    ("import aiohttp", "aiohttp", ["-c", "import aiohttp"]),
    ("import openai", "openai", ["-c", "import openai"]),
    ("import litellm", "litellm", ["-c", "import litellm"]),
    ("import dlt", "dlt", ["-c", "import dlt"]),
    ("import singer_sdk", "singer", ["-c", "import singer_sdk"]),
]
CONFIGURATION = """
version: 1
clients: {openai: {token: made-up-token}}
incoming: {files: {entity: files}}
outgoing:
  moderate: {entity: moderations, payload: {input: "&{text}"}}
"""


def measure_starts(folder: Path, *, times: int) -> list[dict[str, Any]]:
    """Start each so many times, interleaved."""
    place = folder / "starts"
    place.mkdir()
    (place / "connectory.yaml").write_text(CONFIGURATION)
    seen: dict[str, list[tuple[float, float]]] = {}
    for number in range(times):
        for label, environment, words in STARTS:
            if number and label not in seen:
                continue
            try:
                spent = spend([str(environment_once(environment)), *words], place)
            except UnavailableError as error:
                say(f"start: {label}: {error}")
                continue
            seen.setdefault(label, []).append((spent.wall, spent.cpu))
    say("start: done")
    return [
        {
            "what": label,
            "wall_ms": round(median(wall for wall, _ in pairs) * 1e3),
            "wall_ms_min": round(min(wall for wall, _ in pairs) * 1e3),
            "cpu_ms": round(median(cpu for _, cpu in pairs) * 1e3),
        }
        for label, pairs in seen.items()
    ]
