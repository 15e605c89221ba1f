"""Memory stays bounded, whatever the number of records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
CONFIG = """
version: 1
clients: {openai: {token: "${OPENAI_API_KEY}"}}
outgoing:
  moderate:
    entity: moderations
    payload: {input: "&{text}"}
    result: {id: "&{input.id}", flagged: "&{response.results[0].flagged}"}
"""
CHAT = """
version: 1
clients: {openai: {base_uri: ORIGIN, token: made-up-token}}
outgoing:
  moderate:
    entity: chat.completions
    payload: {model: gpt-4o-mini, messages: [{role: user, content: "&{text}"}]}
"""
SERVER = Path(__file__).parent / "benchmarks" / "transports" / "server.py"
ROOTS = [str(Path(__file__).parents[1] / name) for name in ("connector", "schemas", "transformers")]
MEBIBYTE = 1024  # of the kibibytes that Linux counts in


def peak(folder: Path, count: int, *, config: str = CONFIG, options: tuple[str, ...] = ("--sandbox",)) -> int:
    """Run so many records, through the sandbox with the server included, and give the peak memory in kibibytes."""
    (folder / "connectory.yaml").write_text(config)
    with (folder / "posts.jsonl").open("w") as file:
        for number in range(count):
            file.write(json.dumps({"id": f"post-{number}", "text": f"the text of post {number}"}) + "\n")
    words = ["run", "outgoing", "moderate", "--input", "posts.jsonl", "--output", "out.jsonl", *options]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "connectory", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    code, kibibytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    with (folder / "out.jsonl").open() as file:
        assert sum(1 for _ in file) == count
    return kibibytes


def peaks(folder: Path, *counts: int) -> list[int]:
    """Run each number of chats against a server in a process of its own: the memory is the command's alone."""
    with subprocess.Popen([sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        config = CHAT.replace("ORIGIN", f"http://127.0.0.1:{int(server.stdout.readline())}/v1")
        try:
            return [peak(folder, count, config=config, options=("--new",)) for count in counts]
        finally:
            server.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_ten_times_the_records_need_no_more_memory(tmp_path):
    few, many = peak(tmp_path, 1_000), peak(tmp_path, 10_000)

    assert many < 150 * MEBIBYTE
    assert many - few < 10 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_sixty_thousand_chats_need_no_more_memory_than_ten_thousand(tmp_path):
    few, many = peaks(tmp_path, 10_000, 60_000)

    assert many - few < 8 * MEBIBYTE


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_a_million_chats_need_no_more_memory_than_ten_thousand(tmp_path):
    few, many = peaks(tmp_path, 10_000, 1_000_000)

    assert many - few < 8 * MEBIBYTE


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_a_hundred_thousand_records_stay_under_150_mebibytes(tmp_path):
    assert peak(tmp_path, 100_000) < 150 * MEBIBYTE
