"""What a record costs, as numbers that a slow or busy machine does not change much.

Seconds are never asserted. Each limit is one constant; set it anew when the path of a record has become cheaper.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

GUARD = Path(__file__).parent / "benchmarks" / "speed" / "guard.py"
SERVER = Path(__file__).parent / "benchmarks" / "transports" / "server.py"
ROUNDS = 4

MOST_CALLS = 745
"""Functions called for a record, Python's and C's.

Measured 595 (`python tests/test_speed.py 5` prints both numbers); how many answers arrive together makes some
difference. The limit is a quarter above.
"""
MOST_TIME = 20
"""Processor time of a record in units of a bare asyncio request.

Measured 11 as the least of four rounds on an idle machine. The limit is 1.8 times that: beside programs that keep
both processors busy it was up to a third more.
"""


def cost(folder):
    with subprocess.Popen([sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        origin = f"http://127.0.0.1:{int(server.stdout.readline())}"
        words = [sys.executable, str(GUARD), origin, str(folder), str(ROUNDS)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        server.stdin.close()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(
    not all(map(find_spec, ("orjson", "uvloop", "jsonschema_rs"))), reason="measured with the extra `fast`"
)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="measured with Python 3.11")
def test_a_record_costs_no_more_than_it_did(tmp_path):
    found = cost(tmp_path)

    assert found["calls"] < MOST_CALLS
    assert min(found["ratios"]) < MOST_TIME


if __name__ == "__main__":
    import tempfile

    for _ in range(int(sys.argv[1])):
        with tempfile.TemporaryDirectory() as name:
            print(cost(Path(name)), flush=True)
