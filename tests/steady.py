"""Steady, the mock server that validates every request against the API's document, as a fixture."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "0.22.1"
PATIENCE = 120.0
"""Seconds for the first start, which fetches the package; later ones take a third of a second."""

_ARRAYS_AND_OBJECTS = [
    f"--validator-{place}-{shape}-format=brackets"
    for place in ("query", "form")
    for shape in ("array", "object")
]


@dataclass(frozen=True)
class Steady:
    """A running server."""

    url: str

    def health(self) -> int:
        """Give the status of the health check; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_x-steady/health", timeout=5) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steady]:
    """Start Steady with the document that CONNECTORY_SPEC names, and stop it at the end."""
    spec = os.environ.get("CONNECTORY_SPEC")
    if not spec:
        pytest.skip(
            "CONNECTORY_SPEC is not set: Steady has no document, NO request is held against the contract"
        )
    npx = shutil.which("npx")
    if npx is None:
        _cannot("npx is not installed: Steady cannot be run")
    log = tmp_path_factory.mktemp("steady") / "steady.log"
    server = Steady(f"http://127.0.0.1:{_free_port()}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(npx, server, spec), stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(server, process, log)
        yield server
    finally:
        _stop(process)


def _command(npx: str, server: Steady, spec: str) -> list[str]:
    port = server.url.rpartition(":")[2]
    where = ["--host", "127.0.0.1", "-p", port]
    return [npx, "-y", f"--package=@stdy/cli@{VERSION}", "steady", *where, *_ARRAYS_AND_OBJECTS, spec]


def _wait(server: Steady, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.health() != 200:
        if process.poll() is not None:
            _cannot(f"Steady ended with {process.returncode}: {_tail(log)}")
        if time.monotonic() > end:
            _cannot(f"Steady did not answer in {PATIENCE:.0f} s: {_tail(log)}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process group: npx starts the server as a child of its own."""
    if process.poll() is None:
        os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


def _cannot(reason: str) -> None:
    """Skip with the reason, but fail where the contract must be checked."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _tail(log: Path) -> str:
    return json.dumps(log.read_text(errors="replace")[-400:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
