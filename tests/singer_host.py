"""A host of Singer programs, as small as can be: it runs tap and target, and keeps the last STATE that came back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from command import ROOTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from echo_server import EchoServer
    from wall import ThreadedWall


PAGE = 20
CONCURRENCY = 4


def configuration(lists: EchoServer, wall: ThreadedWall) -> str:
    retry = {"max_wait": 1}
    return json.dumps(
        {
            "version": 1,
            "clients": {
                "lists": {"base_uri": f"{lists.uri}/v1", "token": "made-up", "retry": retry},
                "wall": {"base_uri": f"http://127.0.0.1:{wall.port}/v1", "token": "made-up", "retry": retry},
            },
            "incoming": {
                "files": {"client": "lists", "entity": "files", "incremental": {"field": "created_at"}}
            },
            "outgoing": {
                "things": {
                    "client": "wall",
                    "request": {"method": "POST", "path": "/things"},
                    "payload": "&{@}",
                    "concurrency": CONCURRENCY,
                    "on_uncertain": "resend",
                }
            },
        }
    )


class Host:
    """Runs a tap into a target in a folder. `state` is the last one that the target gave back."""

    def __init__(self, folder: Path, *, tap: dict[str, Any], target: dict[str, Any]) -> None:
        self.folder, self.state = folder, None
        self.said = ""
        (folder / "tap.json").write_text(json.dumps(tap))
        (folder / "target.json").write_text(json.dumps(target))

    def run(self, during: Callable[[Any, Any], None] = lambda _tap, _target: None) -> tuple[int, int]:
        """Run both to their end, or until `during` has killed them; give their exit codes."""
        words = ["tap", "--config", "tap.json"]
        if self.state is not None:
            (self.folder / "state.json").write_text(json.dumps(self.state))
            words += ["--state", "state.json"]
        tap = self._start(words, stdin=subprocess.DEVNULL)
        target = self._start(["target", "--config", "target.json"], stdin=tap.stdout)
        tap.stdout.close()
        readers = [
            threading.Thread(target=one) for one in (lambda: self._keep(target), *self._ears(tap, target))
        ]
        for one in readers:
            one.start()
        during(tap, target)
        codes = tap.wait(60), target.wait(60)
        for one in readers:
            one.join()
        return codes

    def _start(self, words: list[str], **streams: Any) -> Any:
        kept = {
            name: one for name, one in os.environ.items() if not name.startswith(("OPENAI_", "CONNECTORY_"))
        }
        return subprocess.Popen(
            [sys.executable, "-m", "connectory", "singer", *words],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": os.pathsep.join(ROOTS), "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **streams,
        )

    def _keep(self, target: Any) -> None:
        with target.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self.state = json.loads(line)

    def _ears(self, *processes: Any) -> list[Callable[[], None]]:
        def hear(process: Any) -> None:
            with process.stderr as said:
                self.said += said.read().decode()

        return [lambda one=one: hear(one) for one in processes]


def listing(
    items: Callable[[], list[dict[str, Any]]],
    *,
    size: int = PAGE,
    ready: Callable[[int], bool] = lambda _start: True,
) -> Callable[[dict[str, Any]], Any]:
    """Answer GET requests of an EchoServer with pages of a list; a page waits, at most a minute, until it is `ready`."""

    def respond(asked: dict[str, Any]) -> Any:
        found, query = items(), parse_qs(urlsplit(asked["line"].split()[1]).query)
        after = query.get("after", [None])[0]
        start = next((place + 1 for place, one in enumerate(found) if one["id"] == after), 0)
        page = found[start : start + size]
        waited = time.monotonic() + 60
        while not ready(start) and time.monotonic() < waited:
            time.sleep(0.01)
        body = {"object": "list", "data": page, "has_more": start + size < len(found)}
        body |= {"last_id": page[-1]["id"]} if page else {}
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    return respond


def paced(items: list[dict[str, Any]], wall: ThreadedWall) -> Any:
    """Give pages no faster than their items are dealt with, so that the tap does not end before the target."""
    return listing(lambda: items, ready=lambda start: len(set(wall.ids)) >= start - 2 * PAGE)
