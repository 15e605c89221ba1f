"""The kill test: starts the program, ends it at random, starts it again, and gathers what is left for the judge."""

from __future__ import annotations

import json
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kill.evidence import Ending, Evidence, Log, parsed
from kill.programs import LONGEST, Life, Server, wait
from kill.server import is_bad

EARLIER = b'{"earlier": true}\n'
"""What the output holds before the run: it has to stay until the run is finished."""

OUTPUT = "output.jsonl"


class Programs(Protocol):
    """Starts the program: spawned as a user does, or forked, which is faster. Brings the server that judges."""

    server: Server

    def start(
        self, argv: list[str], folder: Path, *, runner: str | None = None, out: str = ..., **environ: str
    ) -> Life: ...


@dataclass(frozen=True)
class Plan:
    """One kill test.

    `kills` counts the processes that are ended before their time, by `by`, a signal that is sent `twice` where one is
    not enough; `timed` is the share of them that are ended
    at a random time after their start instead of after a random number of requests, within `startup` seconds.
    `runner` and `words` start something else than the program itself, `settings` are more of the connection's; `asked` is the share of the endings after
    which the program's own counts are asked for. `pack` records go in one request.
    """

    records: int = 2000
    kills: int = 10
    concurrency: int = 32
    faults: float = 0.1
    seed: int = 1
    latency: float = 0.005
    durability: str = "process"
    by: int = signal.SIGKILL
    twice: bool = False
    timed: float = 0.2
    startup: float = 0.1
    runner: str | None = None
    words: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    dedupe: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    bad: int = 40
    asked: float = 0.0
    pack: int = 1


class Trial:
    """One run of a plan in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path, programs: Programs) -> None:
        self.plan, self.folder, self.programs = plan, folder, programs
        self.server = programs.server
        self.luck = random.Random(plan.seed)  # noqa: S311 - chance that can be repeated
        self.endings: list[Ending] = []
        self.log = Log()
        self.killed_at: list[float] = []

    def run(self) -> Evidence:
        """Do it all; gives the evidence."""
        self.prepare()
        for left in range(self.plan.kills, 0, -1):
            if not self.finished:
                self.live_until(self.moment(left))
        if not self.finished:
            self.live_until(None)
        return self.evidence()

    @property
    def finished(self) -> bool:
        """Say whether a process has come to the end: what it does after that is only its own end."""
        return bool(self.endings) and (self.endings[-1].code in {0, 1} or self.endings[-1].over)

    def served(self) -> dict[str, Any]:
        """Say what the server is to do."""
        plan = self.plan
        return {
            "faults": plan.faults,
            "seed": plan.seed,
            "latency": plan.latency,
            "dedupe": plan.dedupe,
            "bad": plan.bad,
        }

    def prepare(self) -> None:
        """Write the input, an output of an earlier run and the configuration; tell the server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"text": f"record-{number}"}) for number in range(self.plan.records))
        (self.folder / "input.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (self.folder / OUTPUT).write_bytes(EARLIER)
        configuration = json.dumps(self.configuration(self.server.port))  # which is YAML too
        (self.folder / "connectory.yaml").write_text(configuration, encoding="utf-8")
        self.server.begin(self.folder / "server.log", **self.served())

    def configuration(self, port: int) -> dict[str, Any]:
        """The configuration."""
        client = {
            "base_uri": f"http://127.0.0.1:{port}",
            "token": "made-up",
            "retry": {"attempts": 20, "max_wait": 0.02},
            "limits": {"concurrency": self.plan.concurrency},
        }
        payload = {"model": "omni-moderation-latest", "input": "&{text}"}
        outgoing: dict[str, Any] = {"entity": "moderations", "payload": payload}
        outgoing |= {"durability": self.plan.durability, **self.plan.settings}
        if self.plan.pack > 1:
            outgoing["pack"] = {"size": self.plan.pack, "wait": "10ms"}
        return {"version": 1, "clients": {"api": client}, "outgoing": {"moderate": outgoing}}

    def command(self) -> list[str]:
        """The command, the same for every process."""
        words = ["run", "outgoing", "moderate", "--input", "input.jsonl", "--output", OUTPUT]
        return [*self.plan.words, *words]

    def start(self) -> Life:
        """Start a process of the run."""
        return self.programs.start(self.command(), self.folder, runner=self.plan.runner, **self.plan.environ)

    @property
    def expected(self) -> int:
        """How many requests the run takes, about."""
        plan, division = self.plan, 0
        if plan.pack > 1 and plan.bad:  # a pack with a record that is refused takes some more
            division = plan.records // plan.bad * 2 * plan.pack.bit_length()
        return int(plan.records / plan.pack * (1 + plan.faults)) + division

    def moment(self, left: int) -> tuple[float | None, int]:
        """Choose when to end the next process: after seconds, or after requests and a little while."""
        if self.luck.random() < self.plan.timed:
            return self.luck.uniform(0, self.plan.startup), 0
        remaining = self.expected - (self.endings[-1].seen if self.endings else 0)
        return None, self.luck.randint(0, max(1, int(1.5 * remaining / (left + 1))))

    def crash(self, *places: str, last: str = "nowhere") -> Evidence:
        """Let a process die at each place, then let one live; a place that is never passed fails.

        Where the last one would die has to be a place that is not passed any more.
        """
        self.prepare()
        runner = self.plan.runner or "crashing"
        for place in places:
            life = self.programs.start([place, *self.command()], self.folder, runner=runner)
            code = wait(life)
            assert code == -signal.SIGKILL, f"{place} was never passed: the process ended with {code}"
            self.after(signal.SIGKILL, code)
        life = self.programs.start([last, *self.command()], self.folder, runner=runner)
        self.after(None, wait(life))
        return self.evidence()

    def live_until(self, moment: tuple[float | None, int] | None) -> None:
        """Let one process live, until its end or the given moment."""
        told = self.server.after(moment[1]) if moment is not None else None
        life = self.start()
        sent = None
        if moment is not None and told is not None:
            self.await_moment(life, moment[0], told)
            if life.ended() is None:
                sent = self.plan.by
                life.signal(sent)
                if self.plan.twice:
                    time.sleep(self.luck.uniform(0, 0.02))
                    life.signal(sent)
        code = wait(life)
        if sent is not None and code in {0, 1}:  # it was finished already when the signal came
            sent = None
        self.after(sent, code)

    def after(self, sent: int | None, code: int) -> None:
        """Look at what a process left behind, before the next one changes it."""
        seen = self.server.settle()
        parts = [path.read_bytes() for path in self.parts]
        if sent is not None:
            self.killed()
        before, self.log = self.log, Log.read(self.results, self.log)
        there = set(self.log.lines)
        lost = [line for line in before.lines if line not in there]
        output = self.folder / OUTPUT
        written = output.read_bytes() if output.exists() else None
        ending = Ending(sent, code, seen, self.log.keys, lost, written, parts[0] if parts else None)
        pointers = [parsed(path.read_bytes()) for path in self.folder.glob(".connectory/jobs/*.json")]
        ending.over = pointers != [] and pointers[0].get("run", "unknown") is None
        self.endings.append(ending)
        if self.luck.random() < self.plan.asked:
            ending.counts = self.ask()

    def killed(self) -> None:
        """Do what happens to the files when a process is killed: nothing."""

    def await_moment(self, life: Life, seconds: float | None, told: Any) -> None:
        """Wait for the moment, or for the end of a process that is finished before it."""
        if seconds is not None:
            time.sleep(seconds)
            return
        end = time.monotonic() + LONGEST
        while not told.wait(0.005) and life.ended() is None:
            assert time.monotonic() < end, "the moment to kill never came"
        time.sleep(self.luck.uniform(0, 0.01))

    def ask(self) -> dict[str, Any] | None:
        """Ask the program itself how far the run is; None while there is nothing to ask about."""
        if self.results is None:
            return None
        out = self.folder / "asked.json"
        out.unlink(missing_ok=True)
        words = ["runs", "show", self.results.parent.name, "--json"]
        assert wait(self.programs.start(words, self.folder, out=str(out))) == 0, "it cannot say how far it is"
        return parsed(out.read_bytes())

    @property
    def runs(self) -> list[str]:
        """The runs that the journal knows."""
        return [path.parent.name for path in self.state("run.json")]

    def state(self, name: str) -> list[Path]:
        """The files of that name, one for each run."""
        return sorted(self.folder.glob(f".connectory/runs/*/{name}"))

    @property
    def results(self) -> Path | None:
        """The results log; a run that began and was killed before anything was done may have left an empty one."""
        logs = self.state("results.jsonl")
        return max(logs, key=lambda path: path.stat().st_size, default=None)

    @property
    def parts(self) -> list[Path]:
        """The unfinished output."""
        return sorted(self.folder.glob(f"*{OUTPUT}*.part"))

    def evidence(self) -> Evidence:
        """Put everything together for the judge."""
        output = self.folder / OUTPUT
        dead = [line for path in self.state("dead_letters.jsonl") for line in path.read_bytes().splitlines()]
        return Evidence(
            records=self.plan.records,
            concurrency=self.plan.concurrency,
            requests=self.server.requests(),
            endings=self.endings,
            log=self.log,
            output=output.read_bytes() if output.exists() else b"",
            dead=[parsed(line) for line in dead],
            earlier=EARLIER,
            bad=[number for number in range(self.plan.records) if is_bad(number, self.plan.bad)],
            runs=self.runs,
            said=(self.folder / "said.txt").read_text(encoding="utf-8", errors="replace"),
            dedupes=self.plan.dedupe,
            pack=self.plan.pack,
            ordered=self.plan.settings.get("order") != "completion",
            appended=self.plan.settings.get("output_mode") == "append",
            gentle=self.plan.by != signal.SIGKILL and not self.plan.twice,
        )
