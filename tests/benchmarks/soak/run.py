"""Send many records through the sandbox with faults, and draw how much memory that takes.

    python tests/benchmarks/soak/run.py --records 1000000

Writes docs/measured/soak.md and docs/measured/soak.svg. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MEASURED = ROOT / "docs" / "measured"
FAULTS = {"html": 0.015, "drop": 0.015, "truncate": 0.01, "bad-json": 0.01}
CONFIG = """
version: 1
clients:
  sandbox:
    prototype: openai-compatible
    base_uri: "{origin}/v1"
    token: sandbox
    retry: {{attempts: 10, max_wait: 5}}
outgoing:
  moderate:
    entity: moderations
    payload: {{model: omni-moderation-latest, input: "&{{text}}"}}
    result: {{id: "&{{input.id}}", flagged: "&{{response.results[0].flagged}}"}}
"""
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 240, 60, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument(
        "--write", action=argparse.BooleanOptionalAction, default=True, help="write docs/measured"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        found = soak(Path(name), options.records)
    print(report(found))
    if options.write:
        MEASURED.mkdir(exist_ok=True)
        (MEASURED / "soak.md").write_text(report(found))
        (MEASURED / "soak.svg").write_text(plot(found["samples"]))
    sys.exit(0 if found["right"] else 1)


def soak(folder: Path, records: int) -> dict[str, Any]:
    """Run it, and look at every line of the output and of the results log."""
    with (folder / "in.jsonl").open("w") as file:
        for number in range(records):
            file.write(json.dumps({"id": f"post-{number}", "text": f"the text of post {number}"}) + "\n")
    words = [word for kind, rate in FAULTS.items() for word in ("--fault", f"{kind}:{rate}")]
    server = start(folder, "sandbox", "--port", "0", "--seed", "7", *words)
    try:
        origin = server.stderr.readline().decode().strip().removeprefix("sandbox: ").removesuffix("/v1")
        (folder / "connectory.yaml").write_text(CONFIG.format(origin=origin))
        begun = time.monotonic()
        with (folder / "said.txt").open("wb") as said:
            words = ("run", "outgoing", "moderate", "--input", "in.jsonl", "--output", "out.jsonl")
            run = start(folder, *words, stderr=said)
            samples = watch(run, begun)
    finally:
        server.terminate()
        server.wait()
    counts = judge(folder, records)
    right = (
        run.returncode == 0 and counts["lines"] == records and not counts["wrong"] and not counts["errors"]
    )
    return {
        "records": records, "code": run.returncode, "samples": samples, "right": right,
        "seconds": samples[-1][0], **counts,
    }  # fmt: skip


def start(folder: Path, *words: str, stderr: Any = subprocess.PIPE) -> Any:
    roots = os.pathsep.join(str(ROOT / name) for name in ("connector", "schemas", "transformers"))
    return subprocess.Popen(
        [sys.executable, "-m", "connectory", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": roots},
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def watch(run: Any, begun: float) -> list[tuple[float, float]]:
    """Give (seconds, mebibytes) until the process has ended."""
    samples: list[tuple[float, float]] = []
    while run.poll() is None:
        samples.append((time.monotonic() - begun, resident(run.pid)))
        time.sleep(max(0.1, min(5.0, samples[-1][0] / 100)))
    return [sample for sample in samples if sample[1]]


def resident(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def judge(folder: Path, records: int) -> dict[str, Any]:
    """Count what came out: each record once and in order, and what its answer took."""
    lines = wrong = 0
    with (folder / "out.jsonl").open() as file:
        for lines, line in enumerate(file, 1):
            wrong += json.loads(line).get("id") != f"post-{lines - 1}"
    told: Counter[str] = Counter()
    for log in (folder / ".connectory" / "runs").glob("*/results.jsonl"):
        with log.open() as file:
            for line in file:
                entry = json.loads(line)
                told["results"] += 1
                told["errors"] += entry["status"] != "ok"
                told["requests"] += entry["attempts"]
                told["in doubt"] += entry["in_doubt"]
    state = sum(one.stat().st_size for one in (folder / ".connectory" / "runs").glob("*/journal.db*"))
    return {"lines": lines, "wrong": wrong, "errors": told["errors"], "results": told["results"],
            "requests": told["requests"], "doubts": told["in doubt"], "state": state, "input": records}  # fmt: skip


def report(found: dict[str, Any]) -> str:
    samples = found["samples"]
    later = [size for seconds, size in samples if seconds > found["seconds"] / 10] or [0.0]
    rates = ", ".join(f"{kind} {rate:.1%}" for kind, rate in FAULTS.items())
    return f"""# Soak

Made by `python tests/benchmarks/soak/run.py --records {found["records"]}` on {datetime.now(UTC):%Y-%m-%d}
(Python {platform.python_version()}, {os.cpu_count()} cores shared with the sandbox, which is a process of its own).

| what | result |
|---|---|
| records in | {found["records"]:,} |
| lines in the output, each record once and in order | {found["lines"]:,} ({found["wrong"]} wrong) |
| lost | {found["records"] - found["lines"]} |
| dead letters | {found["errors"]} |
| faults | {rates} |
| requests | {found["requests"]:,} ({found["requests"] / max(1, found["records"]):.3f} a record) |
| results marked `in_doubt` | {found["doubts"]:,} |
| seconds | {found["seconds"]:.0f} ({found["records"] / found["seconds"]:.0f} records a second) |
| memory after the first tenth, lowest and highest | {min(later):.1f} and {max(later):.1f} MiB |
| the journal's database at the end | {found["state"] / 1024:.0f} KiB |
| exit code | {found["code"]} |

![Resident memory over time](soak.svg)
"""


def plot(samples: list[tuple[float, float]]) -> str:
    """Draw resident memory over time."""
    longest = samples[-1][0]
    highest = max(size for _, size in samples) * 1.2
    across, up = WIDTH - LEFT - 10, HEIGHT - BOTTOM - 10
    points = " ".join(
        f"{LEFT + seconds / longest * across:.1f},{HEIGHT - BOTTOM - size / highest * up:.1f}"
        for seconds, size in samples
    )
    marks = "".join(
        f'<text x="{LEFT - 8}" y="{HEIGHT - BOTTOM - share * up + 4:.0f}" text-anchor="end">{share * highest:.0f}</text>'
        f'<text x="{LEFT + share * across:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{share * longest:.0f}</text>'
        for share in (0, 0.5, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<path d="M{LEFT},10 V{HEIGHT - BOTTOM} H{WIDTH - 10}" fill="none" stroke="black"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>{marks}'
        f'<text x="{LEFT + across / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">seconds</text>'
        f'<text x="14" y="{HEIGHT / 2:.0f}" transform="rotate(-90 14 {HEIGHT / 2:.0f})" text-anchor="middle">MiB</text></svg>\n'
    )


if __name__ == "__main__":
    main()
