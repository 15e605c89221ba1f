"""Files of any size pass through in little memory, in both directions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 1024 * 1024
ROOM = 24 * MEBIBYTE
"""What a large body may need more than a small one."""

UPLOAD = """
def work(connector, folder):
    made = connector.create("files", payload={"purpose": "batch", "file": {"path": "large"}})
    return made.response["length"]
"""
DOWNLOAD = """
def work(connector, folder):
    (one,) = connector.read("file.content", path={"file_id": "f"}, query={"size": SIZE}, save_to="copy")
    return one["bytes"]
"""
PROGRAM = """
import json, sys, time
from pathlib import Path
from connectory import Connector
PORT, SIZE = map(int, sys.argv[1:])
{work}
config = {{"version": 1, "clients": {{"api": {{"base_uri": f"http://127.0.0.1:{{PORT}}/v1", "token": "made-up"}}}}}}
started = time.perf_counter()
with Connector.from_dict(config) as connector:
    done = work(connector, ".")
status = Path("/proc/self/status").read_text().splitlines()  # a count that does not begin with what the parent held
peak = int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) * 1024
print(json.dumps({{"bytes": done, "peak": peak, "seconds": time.perf_counter() - started}}))
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")


@pytest.fixture(scope="module")
def port():
    words = [sys.executable, str(ROOT / "tests" / "large_server.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline())
        server.terminate()


def measured(work: str, port: int, size: int, folder: Path) -> dict[str, float]:
    """Run the work in a process of its own."""
    roots = os.pathsep.join(str(ROOT / root) for root in ("connector", "schemas", "transformers"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work), str(port), str(size)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def large(folder: Path, size: int) -> None:
    """Make a file without writing its bytes."""
    with (folder / "large").open("wb") as file:
        file.truncate(size)


def upload(port: int, size: int, folder: Path) -> None:
    large(folder, 1000)
    small = measured(UPLOAD, port, 1000, folder)
    large(folder, size)
    made = measured(UPLOAD, port, size, folder)
    print(f"upload of {size} bytes: {made}, small: {small}")
    assert size < made["bytes"] < size + 1000
    assert made["peak"] - small["peak"] < ROOM


def download(port: int, size: int, folder: Path) -> None:
    small = measured(DOWNLOAD, port, 1000, folder)
    made = measured(DOWNLOAD, port, size, folder)
    print(f"download of {size} bytes: {made}, small: {small}")
    assert made["bytes"] == size == (folder / "copy").stat().st_size
    assert made["peak"] - small["peak"] < ROOM
    assert sorted(one.name for one in folder.iterdir()) == ["copy"]


@linux
def test_a_large_upload_needs_little_memory(port, tmp_path):
    upload(port, 64 * MEBIBYTE, tmp_path)


@linux
@pytest.mark.fault(
    "P3", "A file that is saved goes to disk as it comes, whatever its size: memory stays flat."
)
def test_a_large_download_needs_little_memory(port, tmp_path):
    download(port, 64 * MEBIBYTE, tmp_path)


@linux
@pytest.mark.full
def test_an_upload_of_a_gibibyte_needs_little_memory(port, tmp_path):
    upload(port, 1024 * MEBIBYTE, tmp_path)


@linux
@pytest.mark.full
def test_a_download_of_a_gibibyte_needs_little_memory(port, tmp_path):
    download(port, 1024 * MEBIBYTE, tmp_path)
