"""Memory stays bounded, whatever the number of records."""

from __future__ import annotations

import json
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
MEBIBYTE = 1024  # of the kibibytes that Linux counts in


def peak(folder: Path, count: int) -> int:
    """Run so many records through the sandbox, server included, and give the peak memory in kibibytes."""
    (folder / "connectory.yaml").write_text(CONFIG)
    with (folder / "posts.jsonl").open("w") as file:
        for number in range(count):
            file.write(json.dumps({"id": f"post-{number}", "text": f"the text of post {number}"}) + "\n")
    words = ["run", "outgoing", "moderate", "--input", "posts.jsonl", "--output", "out.jsonl", "--sandbox"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "connectory", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    code, kibibytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    with (folder / "out.jsonl").open() as file:
        assert sum(1 for _ in file) == count
    return kibibytes


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_ten_times_the_records_need_no_more_memory(tmp_path):
    few, many = peak(tmp_path, 1_000), peak(tmp_path, 10_000)

    assert many < 150 * MEBIBYTE
    assert many - few < 10 * MEBIBYTE


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_a_hundred_thousand_records_stay_under_150_mebibytes(tmp_path):
    assert peak(tmp_path, 100_000) < 150 * MEBIBYTE
