"""Runs of `spark_program.py` in a process of its own, and a real cluster of processes to run it on."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from spark_server import CountingServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent
PROGRAM = TESTS / "spark_program.py"
SOURCES = [str(TESTS.parent / name) for name in ("connector", "schemas", "transformers")]
ENDS = 290
"""Seconds after which a program that has not ended is one that hangs."""

CONFIG = """
version: 1
clients:
  api:
    prototype: openai-compatible
    base_uri: {base}
    token: made-up
    limits: {{requests_per_minute: 1000000000, concurrency: 8}}
incoming:
  files: {{entity: files}}
  arriving: {{entity: files, request_parameters: {{query: {{purpose: batch}}}}}}
  events: {{entity: fine_tuning.job.events, each: fine_tuning.jobs}}
outgoing:
  moderate:
    entity: moderations
    validate: "off"
    transformers: [{{use: "dying:die_once", options: {{at: {at}, folder: {folder}}}}}]
    payload: {{model: m, input: "&{{text}}"}}
    result: {{flagged: "&{{response.results[0].flagged}}"}}
  breaking:
    entity: moderations
    validate: "off"
    transformers: [{{use: "dying:fail_for_good", options: {{at: {last}, times: 2, folder: {folder}}}}}]
    payload: {{model: m, input: "again &{{text}}"}}
  plain:
    entity: moderations
    validate: "off"
    payload: {{model: m, input: "plain &{{text}}"}}
    result: {{flagged: "&{{response.results[0].flagged}}"}}
"""
DYING = '''
import os
from pathlib import Path

from connectory import transformer


@transformer
def die_once(record: dict, *, at: list, folder: str) -> dict:
    """End the process at some records, once each."""
    mark = Path(folder) / f"died-{record['number']}"
    if record["number"] in at and not mark.exists():
        mark.touch()
        os._exit(9)
    return record


@transformer
def fail_for_good(record: dict, *, at: int, times: int, folder: str) -> dict:
    """End the process at a record, so often that Spark gives up."""
    marks = [Path(folder) / f"failed-{number}" for number in range(times)]
    left = [mark for mark in marks if not mark.exists()]
    if record["number"] == at and left:
        left[0].touch()
        os._exit(9)
    return record
'''


def prepare(folder: Path, base_uri: str, *, rows: int, deaths: tuple[int, ...]) -> None:
    """Write the configuration and its transformers."""
    written = CONFIG.format(base=base_uri, at=list(deaths), folder=folder, last=rows - 1)
    (folder / "connectory.yaml").write_text(written)
    (folder / "dying.py").write_text(DYING)


def prepare_document(folder: Path, base_uri: str) -> None:
    """Write the configuration of the how-to page, with another server and a token that opens nothing."""
    folder.mkdir()
    page = (TESTS.parent / "docs" / "how-to" / "spark.md").read_text()
    written = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert written is not None
    elsewhere = written[1].replace('token: "${OPENAI_API_KEY}"', f"base_uri: {base_uri}\n    token: made-up")
    (folder / "connectory.yaml").write_text(elsewhere)


def environment() -> dict[str, str]:
    """Give the environment in which Spark's processes find this Python and this code."""
    return {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(SOURCES),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # a short life needs no long preparation
    }


def run_program(*words: str) -> Any:
    """Run the program to its end and give what it found."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=ENDS,
        env=environment(),
    )
    if done.returncode:
        pytest.fail(f"{' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-6000:]}", pytrace=False)
    print(*re.findall(r"^\S+: [0-9.]+ s$", done.stderr, re.MULTILINE))
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def told_by_program(
    folder: Path, *steps: str, rows: int, deaths: tuple[int, ...]
) -> Iterator[tuple[Any, CountingServer]]:
    """Run the program against a server with some lists, and give what it found and the server."""
    with CountingServer(refused=(20, 21, 45), wrong=("plain text 3",)) as server:
        server.lists["/files"] = [file(number) for number in range(5)]
        server.lists["/fine_tuning/jobs"] = [
            {"id": f"job-{one}", "object": "fine_tuning.job"} for one in "abc"
        ]
        for one in "abc":
            events = [{"id": f"event-{one}{number}"} for number in range(3)]
            server.lists[f"/fine_tuning/jobs/job-{one}/events"] = events
        prepare(folder, server.base_uri, rows=rows, deaths=deaths)
        prepare_document(folder / "shared", server.base_uri)
        if "stream-read" in steps:
            threading.Thread(target=bring_more, args=(server, folder / "more"), daemon=True).start()
        yield run_program(*steps, "--folder", str(folder), "--rows", str(rows)), server


def bring_more(server: CountingServer, mark: Path) -> None:
    """Give the list a new item, newest first, when the program asks for it."""
    while not mark.exists():
        time.sleep(0.05)
    server.lists["/files"] = [file(9), *server.lists["/files"]]
    mark.unlink()


def file(number: int) -> dict[str, Any]:
    """Make an item of the list of files."""
    return {
        "id": f"file-{number}", "object": "file", "bytes": number, "created_at": 1_700_000_000 - number,
        "filename": f"{number}.jsonl", "purpose": "batch", "status": "processed",
    }  # fmt: skip


def refuse_without_java() -> None:
    """Skip, loudly, where there is no Java: Spark runs in it."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or later, and there is no `java` here")


@contextmanager
def cluster(folder: Path, *, workers: int = 2) -> Iterator[str]:
    """Start a master and workers, each a process, and give the URL of the master; stop them afterwards."""
    spark_class = Path(sys.executable).with_name("spark-class")
    port, started = free_port(), list[subprocess.Popen[bytes]]()
    url, log = f"spark://127.0.0.1:{port}", folder / "cluster.log"
    master = [
        "org.apache.spark.deploy.master.Master",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "--webui-port",
        "0",
    ]
    worker = [
        "org.apache.spark.deploy.worker.Worker",
        "-h",
        "127.0.0.1",
        "-c",
        "1",
        "-m",
        "700m",
        "--webui-port",
        "0",
    ]
    try:
        with log.open("wb") as file:
            known = {"stdout": file, "stderr": file, "env": environment(), "cwd": folder}
            started.append(subprocess.Popen([spark_class, *master], **known))
            for number in range(workers):
                words = [*worker, "-d", str(folder / f"worker-{number}"), url]
                started.append(subprocess.Popen([spark_class, *words], **known))
        wait_until(lambda: len(re.findall(r"Registering worker ", log.read_text())) >= workers, log)
        yield url
    finally:
        for one in reversed(started):
            one.terminate()
        for one in started:
            one.wait(30)


def wait_until(met: Any, log: Path) -> None:
    """Wait until something is so; fail with the log when it does not come."""
    give_up = time.monotonic() + 120
    while not met():
        if time.monotonic() > give_up:
            pytest.fail(f"the cluster did not come up\n{log.read_text()[-4000:]}", pytrace=False)
        time.sleep(0.1)


def free_port() -> int:
    """Find a port on loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
