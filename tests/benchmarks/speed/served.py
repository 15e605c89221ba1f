"""The server of the measurements: compiled, started on one processor, asked what it has seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed.environments import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("server.c")
FLAGS = ["-O2", "-Wall", "-Wextra"]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Served:
    """A running server; `secure` is None where it has no TLS, for the reason in `why_plain`."""

    plain: str
    secure: str | None
    ca_file: str
    why_plain: str
    process: int

    def count(self) -> tuple[int, float]:
        """Give the requests that were answered so far and the processor seconds that this took."""
        with DIRECT.open(f"{self.plain}/count", timeout=30) as answer:
            said = json.load(answer)
        return said["requests"], said["cpu_seconds"]

    def set(self, *, delay_ms: int = 0, items: int = 100_000) -> None:
        """From now on, keep answers back so long and have so many files."""
        DIRECT.open(f"{self.plain}/set?delay_ms={delay_ms}&items={items}", timeout=30).close()


@contextmanager
def serve(folder: Path, *, items: int = 100_000, processor: int | None = None) -> Iterator[Served]:
    """Build it into the folder and run it there."""
    binary, certificate, why_plain = build(folder)
    words = [str(binary), str(items), *certificate]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if processor is not None:
            os.sched_setaffinity(process.pid, {processor})
        plain = f"http://127.0.0.1:{int(process.stdout.readline())}"
        secure = f"https://127.0.0.1:{int(process.stdout.readline())}" if certificate else None
        try:
            yield Served(plain, secure, certificate[0] if certificate else "", why_plain, process.pid)
        finally:
            process.stdin.close()


def build(folder: Path) -> tuple[Path, list[str], str]:
    """Compile it; give the program, the certificate with its key, and why there is none."""
    if sys.platform != "linux":
        raise UnavailableError("the server of the benchmark waits with epoll, which only Linux has")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise UnavailableError("the server of the benchmark is a C program, and no C compiler is here")
    binary = folder / "server"
    command = [compiler, *FLAGS, "-o", str(binary), str(SOURCE)]
    why_plain = ""
    secure = subprocess.run(
        [*command, "-DWITH_TLS", "-lssl", "-lcrypto"], capture_output=True, text=True, check=False
    )
    if secure.returncode:
        why_plain = "OpenSSL's headers are not installed"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"the server can't be compiled: {done.stderr[-300:]}")
    elif shutil.which("openssl") is None:
        why_plain = "the command openssl, which makes the certificate, is not here"
    return binary, [] if why_plain else certificate_in(folder), why_plain


def certificate_in(folder: Path) -> list[str]:
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        ["openssl", "req", *kind, *names, "-keyout", key, "-out", certificate],
        capture_output=True,
        check=True,
    )
    return [certificate, key]
