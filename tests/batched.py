"""An outgoing that delivers by batches, in front of a sandbox of its own, run in lives with a journal."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from connected import run
from journaled import Crash, hasten, lines_of

from connectory.adapters.jsonl import LineSource
from connectory.adapters.linesink import LineSink
from connectory.assembly import Endpoint
from connectory.config import config_from_dict
from connectory.connector import AsyncConnector
from connectory.delivery.batches import asking, driving
from connectory.journal import DEAD_LETTERS, Job, Runs, Summary, new_facts
from connectory.runs.remembered import open_known
from connectory.runs.running import run_outgoing
from connectory.sandbox import EmbeddedSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

OUT: dict[str, Any] = {
    "entity": "moderations",
    "delivery": "batch",
    "payload": {"model": "omni-moderation-latest", "input": "&{text}"},
}


def hurry(monkeypatch: Any) -> None:
    """Let nobody wait for seconds."""
    monkeypatch.setattr("connectory.delivery.states.SHORTEST", 0.005)
    monkeypatch.setattr("connectory.delivery.states.LONGEST", 0.01)
    monkeypatch.setattr(driving, "TOKEN_WAIT", 0.01)
    monkeypatch.setattr(asking, "LAG", 0.01)


@dataclass
class Life:
    """What one life of a run came to."""

    error: BaseException | None = None
    resumed: bool = False
    left: int = 0
    events: list[Any] = field(default_factory=list[Any])


class Batches:
    """A folder with a configuration, an input and an output, and the sandbox it speaks to."""

    def __init__(self, folder: Path, sandbox: EmbeddedSandbox, **settings: Any) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.sandbox, self.settings = sandbox, {**OUT, **settings}
        self.retry: dict[str, Any] = {"max_wait": 0, "outage": 0}
        self.input, self.output = self.folder / "in.jsonl", self.folder / "out.jsonl"
        self.state = self.folder / ".connectory"

    def give(self, records: list[Any]) -> None:
        """Write the input."""
        self.input.write_text("".join(json.dumps(record) + "\n" for record in records))

    @property
    def runs(self) -> Runs:
        return Runs(self.state)

    @property
    def path(self) -> Path:
        """The folder of the last run."""
        return self.runs.path(self.runs.ids()[-1])

    @property
    def summary(self) -> Summary:
        return self.runs.summary(self.runs.ids()[-1])

    @property
    def lines(self) -> list[Any]:
        return lines_of(self.output)

    @property
    def dead(self) -> list[Any]:
        return lines_of(self.path / DEAD_LETTERS)

    def made(self, events: list[Any]) -> AsyncConnector:
        """Make the connector."""
        data = {
            "version": 1,
            "clients": {"api": {"token": "made-up", "retry": self.retry}},
            "journal": str(self.state),
            "outgoing": {"out": self.settings},
        }
        endpoint = Endpoint(self.sandbox.token, self.sandbox.base_uri.removesuffix("/v1"))
        return AsyncConnector(config_from_dict(data), endpoint=endpoint, listen=events.append)

    def live(
        self,
        *,
        detached: bool = False,
        new: bool = False,
        meanwhile: Callable[[Any, Any], Any] | None = None,
        crash: Callable[[Any, Callable[[], None]], None] | None = None,
    ) -> Life:
        """Live one life; `meanwhile` is handed the publisher and the task, `crash` what breaks the life off."""
        life, moment = Life(), Crash(self.folder)

        async def main() -> None:
            async with self.made(life.events) as made:
                source = LineSource(self.input)
                job = Job("outgoing", "out", {"input": str(self.input)})
                target = made.assembly.publication("out", run={}).target
                facts = new_facts(job, target=target, input=str(self.input), fingerprint=source.fingerprint())
                begun = self.runs.begin(job, facts, new=new)
                hasten(begun.journal)
                life.resumed = begun.resumed
                known = open_known(made.assembly, made.runs, "out", begun)
                publisher = made.publisher("out", journal=begun.journal, known=known)
                publisher.detached = detached
                dead = LineSink(begun.folder / DEAD_LETTERS, lazy=True, staged=False)
                work = asyncio.ensure_future(
                    run_outgoing(begun, publisher, source, LineSink(self.output), dead)
                )
                if meanwhile is not None:
                    meanwhile(publisher, work)

                def break_off() -> None:
                    if not moment.happened:
                        moment.now(begun.journal)
                        work.cancel()

                if crash is not None:
                    crash(publisher, break_off)
                try:
                    await work
                except asyncio.CancelledError:
                    if not moment.happened:
                        raise
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    life.error = error
                life.left = publisher.left

        run(main)
        if moment.happened:
            moment.put_back()
        return life

    def ask(self, path: str) -> Any:
        """Ask the sandbox directly."""
        headers = {"authorization": f"Bearer {self.sandbox.token}"}
        answer = httpx.get(f"{self.sandbox.base_uri}{path}", headers=headers)
        answer.raise_for_status()
        return answer.json()

    @property
    def batches(self) -> list[Any]:
        """The batches at the server, oldest first; none is moved on by looking."""
        return list(reversed(self.ask("/batches?limit=100")["data"]))

    @property
    def files(self) -> list[Any]:
        """The input files that are still at the server."""
        return list(self.ask("/files?purpose=batch")["data"])


@contextmanager
def batches(
    folder: Path, faults: dict[str, float] | None = None, **settings: Any
) -> Generator[Batches, None, None]:
    """Give a project in front of a sandbox."""
    with EmbeddedSandbox(faults=faults) as sandbox:
        yield Batches(folder, sandbox, **settings)


def texts(count: int, **more: Any) -> list[dict[str, Any]]:
    """Give records that can be moderated."""
    return [{"id": number, "text": f"text {number}", **more} for number in range(count)]


def faults_of(project: Batches, *kinds: str) -> None:
    """Have the next batches meet these faults, one each, and the others none."""
    left = list(kinds)

    def following() -> str:
        with suppress(IndexError):
            return left.pop(0)
        return ""

    app: Any = project.sandbox._server.config.app
    app.routes[0].app.answerer.items.fault_of_batch = following
