"""The processes of a kill test: the server that judges, and the program that is killed."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parent.parent.parent
PATHS = os.pathsep.join(str(ROOT / name) for name in ("connector", "schemas", "transformers", "tests"))
LONGEST = 120.0
"""Seconds after which a program that should have ended is called hung."""


def environment(**more: str) -> dict[str, str]:
    """What the programs see: nothing of the person who runs the test."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CONNECTORY_"))
    }
    return {**kept, "PYTHONPATH": PATHS, "NO_COLOR": "1", **more}


STRICT = {"PYTHONWARNINGS": "error"}
"""The program itself may not even warn."""


class Life(Protocol):
    """One process that works on the run."""

    def ended(self) -> int | None:
        """Give the exit code, negative for a signal's number; None while it lives."""

    def signal(self, number: int) -> None:
        """Send a signal to it, if it still lives."""


def wait(life: Life, seconds: float = LONGEST) -> int:
    """Wait for the end of a process; one that hangs is killed, and the test fails."""
    end = time.monotonic() + seconds
    while (code := life.ended()) is None:
        if time.monotonic() > end:
            life.signal(signal.SIGKILL)
            raise AssertionError(f"the program was still running after {seconds:g} s")
        time.sleep(0.002)
    return code


class Spawned:
    """Starts the program as a user does: `python -m connectory ...`."""

    def __init__(self) -> None:
        self.server = Server()

    def close(self) -> None:
        """End the server."""
        self.server.close()

    def start(
        self,
        argv: list[str],
        folder: Path,
        *,
        runner: str | None = None,
        out: str = os.devnull,
        **environ: str,
    ) -> Life:
        """Start it; its stderr goes to `said.txt` in the folder. `runner` is a module beside this one."""
        module = "connectory" if runner is None else f"kill.{runner}"
        with (folder / "said.txt").open("ab") as said, Path(out).open("ab") as lines:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *argv],
                cwd=folder,
                env=environment(**STRICT, **environ),
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=said,
            )
        return _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ended(self) -> int | None:
        return self._process.poll()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


class Forked:
    """Starts the program by forking from one process that has imported everything: see `forking.py`."""

    def __init__(self) -> None:
        self.server = Server()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kill.forking"],
            env=environment(**STRICT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._started: queue.Queue[_Child] = queue.Queue()
        self._children: dict[int, _Child] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def start(
        self,
        argv: list[str],
        folder: Path,
        *,
        runner: str | None = None,
        out: str = os.devnull,
        **environ: str,
    ) -> Life:
        """Start it; its stderr goes to `said.txt` in the folder. `runner` is a module beside this one."""
        order = {
            "argv": argv,
            "folder": str(folder),
            "said": str(folder / "said.txt"),
            "out": out,
            "runner": runner,
        }
        self.order({"start": {**order, "environ": environ}})
        return self._started.get(timeout=LONGEST)

    def order(self, words: dict[str, Any]) -> None:
        """Say something to the process that forks."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            if "started" in news:
                child = self._children[news["started"]] = _Child(self, news["started"])
                self._started.put(child)
            elif "ended" in news:
                pid, code = news["ended"]
                self._children.pop(pid).code = code

    def close(self) -> None:
        """End the server, and the process that forks with what it started."""
        self.server.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()


class _Child:
    def __init__(self, parent: Forked, pid: int) -> None:
        self._parent, self._pid = parent, pid
        self.code: int | None = None

    def ended(self) -> int | None:
        return self.code

    def signal(self, number: int) -> None:
        self._parent.order({"signal": [self._pid, number]})


class Server:
    """The server that writes down what it sees: see `server.py`. One after the other, tests may share it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kill.server"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.seen = 0
        self._awaited: dict[str, threading.Event] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def begin(self, log: Path, **options: Any) -> None:
        """Forget everything and begin another log; the options are those of `server.Mock`."""
        self.log = log
        self._say(f"begin {log} {json.dumps(options)}")
        self.settle()

    def after(self, requests: int) -> threading.Event:
        """Give what is set when so many more requests have come."""
        token = f"t{len(self._awaited)}"
        event = self._awaited[token] = threading.Event()
        self._say(f"after {requests} {token}")
        return event

    def settle(self) -> int:
        """Give how many requests have come, when all is read that a program has sent before its end."""
        for _ in range(4):  # in one turn it accepts, in the next it reads
            assert self.after(0).wait(LONGEST)
        return self.seen

    def requests(self) -> list[dict[str, Any]]:
        """Read what it has written down."""
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()

    def _say(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            _, token, seen = line.decode().split()
            self.seen = int(seen)
            self._awaited[token].set()
