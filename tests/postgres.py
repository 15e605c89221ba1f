"""A PostgreSQL of the test's own: made, started on a free port of this machine, and taken away again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

PASSWORD = "correct horse/battery"
URL_PASSWORD = "correct%20horse%2Fbattery"
OTHER = "nobody"
"""Who runs it where the tests are root's: PostgreSQL refuses to be."""


def binaries() -> Path | None:
    """Find the programs of the newest PostgreSQL that is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((one for one in reversed(folders) if (one / "postgres").exists()), None)


class Postgres:
    """A running server; use it as a context manager. `stop` and `start` let it go away meanwhile."""

    def __init__(self) -> None:
        programs = binaries()
        if programs is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql runs this test")
        self._programs = programs
        self._as = {"user": OTHER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="connectory-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"postgresql://shop:{URL_PASSWORD}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        if self._as:
            shutil.chown(self._folder, OTHER, "nogroup")
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._call("initdb", "-D", self._folder / "data", "-U", "shop", "-A", "scram-sha-256", "-E", "UTF8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def start(self) -> None:
        words = ["-D", self._folder / "data", "-k", self._folder, "-p", str(self.port)]
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        self._process = subprocess.Popen(
            [self._programs / "postgres", *words, *options],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("SELECT 1")
            except self._psycopg().OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def ask(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements; give the rows of the last one."""
        with self._psycopg().connect(self.url, autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _psycopg(self):
        return pytest.importorskip("psycopg", reason="psycopg is not installed: the extra 'sql' brings it")

    def _call(self, program: str, *words: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, words), "--no-sync", f"--pwfile={self._folder}/password"],
            cwd="/",
            capture_output=True,
            timeout=120,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stderr.decode()
