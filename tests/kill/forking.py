"""Starts the command line in 20 ms instead of 700: forks from a process that has imported everything.

Reads JSON lines on stdin, `{"start": {...}}` and `{"signal": [pid, number]}`; writes `{"started": pid}` and
`{"ended": [pid, code]}`. What it starts is a process like any other, which a SIGKILL ends at any moment.
"""

from __future__ import annotations

import json
import os
import pkgutil
import select
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

HEAVY = ("connectory.sandbox", "connectory.schemas.examples", "connectory.testing", "connectory.blocking")


def preload() -> None:
    """Import what a run needs, and what it would import while it runs."""
    import connectory  # noqa: PLC0415 - what this file exists for

    for module in pkgutil.walk_packages(connectory.__path__, "connectory."):
        if not module.name.startswith(HEAVY) and not module.name.endswith("__main__"):
            with suppress(ImportError):  # of an extra that is not installed
                import_module(module.name)
    for name in ("uvloop", "jsonschema", "referencing", "ruamel.yaml", "rich", "sqlite3", "httptools"):
        with suppress(ImportError):
            import_module(name)


def say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def child(
    *, argv: list[str], folder: str, said: str, out: str, environ: dict[str, str], runner: str | None
) -> None:
    """Become the program: `argv` is its command line, `said` and `out` are where it writes, `runner` the module beside this one that does something to it first."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.update(environ)
    for number, path in ((0, os.devnull), (1, out), (2, said)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
    code = 70
    try:
        if runner is not None:
            sys.argv = [runner, *argv]
            import_module(f"kill.{runner}").main()
        else:
            sys.argv = ["connectory", *argv]
            import_module("connectory.cli").main(prog_name="connectory")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(code)


class Parent:
    """Starts, signals and buries; `living` are the children that it has not buried yet."""

    def __init__(self) -> None:
        self.living: set[int] = set()
        self._orders = b""

    def serve(self) -> None:
        """Do what stdin says, until it is closed; then end what is left."""
        woken, wakes = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        say(ready=True)
        while True:
            ready, _, _ = select.select([0, woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
            self.bury()
            if 0 in ready:
                chunk = os.read(0, 65536)
                if not chunk:
                    break
                self.obey(chunk)
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)

    def bury(self) -> None:
        """Say who has ended, and how."""
        while self.living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            self.living.discard(pid)
            say(ended=[pid, os.waitstatus_to_exitcode(status)])

    def obey(self, chunk: bytes) -> None:
        """Do what the whole lines say."""
        *lines, self._orders = (self._orders + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self.start(order["start"])
            elif order["signal"][0] in self.living:  # never the process of somebody else with the same number
                os.kill(*order["signal"])

    def start(self, order: dict[str, Any]) -> None:
        """Fork; the child never comes back."""
        pid = os.fork()
        if not pid:
            child(**order)
        self.living.add(pid)
        say(started=pid)


if __name__ == "__main__":
    preload()
    Parent().serve()
