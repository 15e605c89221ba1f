"""What a record costs beside what asyncio alone costs, both measured here in turns: guard.py ORIGIN FOLDER ROUNDS.

Prints {"ratios": [...], "calls": N}: the processor time of a record over that of a bare request, a round each, and how many
functions are called for a record, Python's and C's. Both sides run in one process, so that they see the same machine at
almost the same time, and imports and warming up are paid once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).resolve().parents[3] / name)
    for name in ("connector", "schemas", "transformers", "tests")
]

from benchmarks.speed.peers.floor import send  # noqa: E402 - the path comes first
from benchmarks.speed.tools import Place, chat_tools  # noqa: E402 - the same

from connectory.cli import main as command  # noqa: E402 - the same

CONNECTIONS = 32
FEW, MANY, BARE = 100, 1_100, 4_000
"""Records of the smaller and of the larger run, and requests of the bare one."""
TEXT = "z" * 850


def floor(origin: str) -> float:
    """Send bodies that were made beforehand, and throw the answers away."""
    body = (
        json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": TEXT}]}).encode() + b"\n"
    )
    lines = (body for _ in range(BARE))
    taken: list[int] = []
    gc.collect()
    begun = time.process_time()
    asyncio.run(
        send("/v1/chat/completions", origin, lines, lambda answer: taken.append(len(answer)), CONNECTIONS)
    )
    spent = time.process_time() - begun
    assert len(taken) == BARE
    return spent


def ours(folder: Path, count: int) -> float:
    """Run the command as a user does, journal and output included."""
    source, target = folder / f"in-{count}.jsonl", folder / "out.jsonl"
    if not source.exists():
        with source.open("w") as file:
            file.writelines(
                json.dumps({"id": f"record-{number}", "text": TEXT}) + "\n" for number in range(count)
            )
    words = ["run", "outgoing", "work", "--config", str(folder / "connectory.yaml"), "--new"]
    gc.collect()
    begun = time.process_time()
    try:
        command([*words, "--input", str(source), "--output", str(target)])
    except SystemExit as ended:
        if ended.code:
            raise
    spent = time.process_time() - begun
    with target.open() as file:
        assert sum(1 for line in file if '"ok"' in line) == count
    return spent


def calls(folder: Path, count: int) -> int:
    """Count the calls of functions that a run makes, in all its threads."""
    seen = [0]

    def hear(_frame: object, event: str, _argument: object) -> None:
        if event in {"call", "c_call"}:
            seen[0] += 1

    threading.setprofile(hear)
    sys.setprofile(hear)
    try:
        ours(folder, count)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen[0]


def ratio(origin: str, folder: Path) -> float:
    """Measure one round."""
    before = floor(origin)
    few, many = ours(folder, FEW), ours(folder, MANY)
    after = floor(origin)
    return (many - few) / (MANY - FEW) / ((before + after) / 2 / BARE)


def main() -> None:
    origin, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    chat_tools()[0].write(Place(folder, Path(sys.executable), origin, "", {}, CONNECTIONS))
    ours(folder, FEW)
    floor(origin)
    ratios = [ratio(origin, folder) for _ in range(rounds)]
    called = (calls(folder, MANY) - calls(folder, FEW)) / (MANY - FEW)
    print(json.dumps({"ratios": ratios, "calls": called}))


if __name__ == "__main__":
    main()
