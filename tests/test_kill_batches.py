"""Deliveries by batches that are killed at any step: no batch is made twice, no record lost, no result shown twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if sys.platform != "linux":
    pytest.skip("the kill test looks at a process's files in /proc", allow_module_level=True)

from kill.batching import STEPS
from kill.programs import Forked, environment, wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS, MODELS, KILLS = 30, 3, 8
COMMAND = ["run", "outgoing", "out", "--input", "in.jsonl", "--output", "output.jsonl"]
HEADERS = {"authorization": "Bearer made-up"}


@contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """Serve the API in a process of its own; give its base URI."""
    with subprocess.Popen(
        [sys.executable, "-m", "connectory", "sandbox", "--port", "0", *options],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            yield process.stderr.readline().partition("sandbox: ")[2].strip()
        finally:
            process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def programs():
    forked = Forked()
    yield forked
    forked.close()


@pytest.fixture(scope="module")
def api():
    with sandbox() as uri:
        yield uri


@pytest.fixture(scope="module")
def failing_api():
    faults = ("batch-expired:0.25", "batch-errors:0.2", "batch-lost:0.15", "batch-tokens:0.15")
    with sandbox(*(word for one in faults for word in ("--fault", one))) as uri:
        yield uri


class Trial:
    """A project whose processes are killed, and what is found in the end."""

    def __init__(self, folder: Path, api: str, programs: Forked, **settings: Any) -> None:
        self.folder, self.api, self.programs = folder, api, programs
        outgoing = {
            "entity": "moderations",
            "delivery": "batch",
            "payload": {"model": "&{model}", "input": "&{text}"},
            "result": {"id": "&{input.id}"},
            **settings,
        }
        retry = {"max_wait": 0.01, "attempts": 20}
        limits = {"requests_per_minute": 1_000_000, "concurrency": 8}
        client = {"base_uri": api, "token": "made-up-token", "retry": retry, "limits": limits}
        config = {"version": 1, "clients": {"api": client}, "outgoing": {"out": outgoing}}
        (folder / "connectory.yaml").write_text(json.dumps(config))
        records = [{"id": n, "text": f"record-{n}", "model": f"m{n % MODELS}"} for n in range(RECORDS)]
        records[4].pop("text")
        (folder / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))

    def start(self, place: str) -> Any:
        return self.programs.start([place, *COMMAND], self.folder, runner="batching")

    def die_at(self, place: str) -> None:
        code = wait(self.start(place))
        assert code == -signal.SIGKILL, f"{place} was never passed: ended with {code}: {self.said}"

    def live(self) -> None:
        code = wait(self.start("nowhere"))
        assert code == 1, f"ended with {code}: {self.said}"  # one record is a dead letter

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    @property
    def run(self) -> Path:
        (facts,) = self.folder.glob(".connectory/runs/*/run.json")  # without it there was no run yet
        return facts.parent

    @property
    def is_over(self) -> bool:
        """Say whether the run is at its end: the same command would begin another one."""
        jobs = [json.loads(one.read_text() or "{}") for one in self.folder.glob(".connectory/jobs/*.json")]
        return bool(jobs) and jobs[0].get("run", "none yet") is None

    def batches(self) -> list[Any]:
        """Give the run's batches at the server."""
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            page = httpx.get(f"{self.api}/batches", params={"limit": "100", **after}, headers=HEADERS).json()
            found += page["data"]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        return [one for one in found if one["metadata"]["connectory_run"] == self.run.name]

    def check(self, *, ordered: bool = True) -> None:
        """Hold what is left against what was promised."""
        assert "Traceback" not in self.said, self.said
        lines = [json.loads(line) for line in (self.folder / "output.jsonl").read_text().splitlines()]
        numbers = [int(line["id"]) for line in lines]
        assert sorted(numbers) == list(range(RECORDS)), "a record is lost, or shown twice"
        assert not ordered or numbers == sorted(numbers)
        dead = (self.run / "dead_letters.jsonl").read_text().splitlines()
        assert [json.loads(one)["index"] for one in dead] == [4]
        keys = Counter(
            json.loads(line)["key"] for line in (self.run / "results.jsonl").read_text().splitlines()
        )
        assert set(keys.values()) == {1}, "a result was bought or written twice"
        batches = self.batches()
        parts = {(one["metadata"]["connectory_part"], one["metadata"]["connectory_try"]) for one in batches}
        assert len(batches) == len(parts), "a batch was made twice"
        assert sum(one["request_counts"]["completed"] for one in batches) == RECORDS - 1
        assert not (self.run / "batches").exists()


PLACES = [f"{when}_{step}:1" for step in STEPS for when in ("before", "after")]
MORE = [
    *(f"{when}_{step}:{visit}" for step in STEPS for when in ("before", "after") for visit in (2, 3)),
    *(f"{when}_note:{visit}" for when in ("before", "after") for visit in range(4, 14)),
    "before_record:1",
    "mid_record:1",
    "mid_record:9",
    "after_record:9",
    "before_output:1",
    "mid_output:1",
    "after_output:1",
    "mid_dead:1",
    "before_show:1",
    "after_show:1",
    *(f"in_commit:{visit}" for visit in (2, 5, 9, 14)),
    *("before_rename:1", "after_rename:1", "before_finish:1", "after_finish:1"),
]


@pytest.mark.parametrize("place", [*PLACES, *(pytest.param(one, marks=pytest.mark.full) for one in MORE)])
@pytest.mark.fault(
    "X1",
    "Killed at any step of a batch, a run goes on with it: no batch is made twice and no record is lost.",
)
def test_a_process_that_dies_at_a_step_of_a_part_leaves_one_batch(programs, api, tmp_path, place):
    trial = Trial(tmp_path, api, programs)
    trial.die_at(place)
    trial.live()
    trial.check()
    assert len(trial.batches()) == MODELS


@pytest.mark.parametrize(
    "second", ["before_create:1", "after_create:1", "after_save:1", "mid_record:3", "after_show:1"]
)
@pytest.mark.parametrize("first", ["after_upload:2", "after_create:3", "after_look:2", "after_sort:1"])
def test_a_process_that_dies_while_it_takes_over_leaves_one_batch(programs, api, tmp_path, first, second):
    trial = Trial(tmp_path, api, programs, order="completion")
    trial.die_at(first)
    if wait(trial.start(second)) == -signal.SIGKILL:  # else it was past that place already
        trial.live()
    trial.check(ordered=False)
    assert len(trial.batches()) == MODELS


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", ["input", "completion"])
def test_kills_at_any_moment_with_batches_that_fail(programs, failing_api, tmp_path, order, seed):
    luck = random.Random(f"{order}{seed}")  # noqa: S311 - chance that can be repeated
    trial, kills, ended = Trial(tmp_path, failing_api, programs, order=order), 0, False
    while kills < KILLS and not ended:
        life = trial.start("nowhere")
        time.sleep(luck.uniform(0.02, 0.15))
        life.signal(signal.SIGKILL)
        ended = wait(life) != -signal.SIGKILL or trial.is_over
        kills += not ended
    if not ended:
        trial.live()
    trial.check(ordered=order == "input")
