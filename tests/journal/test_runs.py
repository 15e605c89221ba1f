"""Runs are found again by the job they work on: one process at a time, and nothing is begun by mistake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from connected import run as run_loop
from lives import JOB, facts, lived, settle

from connectory.errors import ConfigError, JobBusyError, UnknownNameError
from connectory.journal import SHARDS, Job, Run, Runs
from connectory.journal.runs import FACTS
from connectory.journal.store import DATABASE
from connectory.record import Delivery


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / ".connectory")


# -- which run


def test_the_same_job_takes_up_its_unfinished_run(runs):
    seen: list[Run] = []

    async def work(run: Run) -> None:
        seen.append(run)

    lived(runs, work)
    lived(runs, work, job=Job("outgoing", "send", {"input": "a.jsonl"}))
    first, second = seen

    assert (first.resumed, second.resumed) == (False, True)
    assert second.facts == first.facts


def test_a_finished_run_is_followed_by_a_new_one(runs):
    assert lived(runs, finish=True) != lived(runs)


@pytest.mark.parametrize(
    "other",
    [
        Job("outgoing", "send", {"input": "b.jsonl"}),
        Job("outgoing", "other", {"input": "a.jsonl"}),
        Job("incoming", "send", {"input": "a.jsonl"}),
        Job("outgoing", "send"),
    ],
    ids=["another input", "another connection", "another kind", "nothing given"],
)
def test_another_job_has_a_run_of_its_own(runs, other: Job):
    assert lived(runs) != lived(runs, job=other)
    assert other.id != JOB.id


def test_a_job_is_the_same_whatever_the_order_of_what_was_given():
    one, two = {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}

    assert Job("outgoing", "send", one).id == Job("outgoing", "send", two).id
    assert Job("outgoing", "send", one).id != Job("outgoing", "send", {"b": [2, 1], "a": 1}).id


def test_new_begins_anew_and_leaves_the_unfinished_run_where_it_is(runs):
    first = lived(runs)
    second = lived(runs, new=True)

    assert second != first
    assert runs.ids() == sorted([first, second])
    assert lived(runs) == second


def test_whether_a_run_would_be_taken_up_can_be_asked(runs):
    assert not runs.has_unfinished(JOB)
    lived(runs)
    assert runs.has_unfinished(JOB)
    lived(runs, finish=True)
    assert not runs.has_unfinished(JOB)


def test_a_run_is_found_by_the_beginning_of_its_id(runs):
    run = lived(runs)

    assert runs.find(run[:-2]).run == run
    assert runs.find(run).target == "POST /things"
    with pytest.raises(UnknownNameError, match="connectory runs list"):
        runs.find("nothing")
    lived(runs, job=Job("incoming", "read"))
    with pytest.raises(UnknownNameError):
        runs.find("2")
    with pytest.raises(UnknownNameError):
        runs.find("")


# -- what must not have changed


@pytest.mark.fault("X11", "an input whose size or ends changed is refused before anything is read")
def test_another_input_than_the_run_began_with_is_refused(runs):
    lived(runs, intended)
    with pytest.raises(ConfigError, match=r"is not the file that the unfinished run .* --new"):
        runs.begin(JOB, facts(fingerprint={"size": 1, "hash": "x"}, input="a.jsonl"))
    assert lived(runs)  # the lock is free again


@pytest.mark.fault("X11", "a run whose method or path changed is refused")
def test_another_target_than_the_run_began_with_is_refused(runs):
    lived(runs, intended)
    with pytest.raises(
        ConfigError, match="sends POST /things, and the configuration now says DELETE /things"
    ):
        runs.begin(JOB, facts(target="DELETE /things"))


OTHER = {"size": 1, "hash": "x"}


async def intended(run: Run) -> None:
    await run.journal.intend(Delivery(run.facts.run, "1", 0, 0), "hash")


async def withdrawn(run: Run) -> None:
    await intended(run)
    run.journal.withdraw(Delivery(run.facts.run, "1", 0, 0))


async def read_a_page(run: Run) -> None:
    await run.journal.commit("pages", {"after": "x"})


async def noted_an_item(run: Run) -> None:
    run.journal.note((b"id", b"body"))
    await run.journal.flush()


async def counted(run: Run) -> None:
    run.journal.count("dead")
    await run.journal.flush()


async def intended_in_a_shard(run: Run) -> None:
    (shard := run.folder / SHARDS / "1").mkdir(parents=True)
    (shard / DATABASE).touch()


TOUCHED = [
    intended,
    withdrawn,
    read_a_page,
    noted_an_item,
    counted,
    intended_in_a_shard,
    partial(settle, seq=0),
]


@pytest.mark.parametrize(
    "changed", [{"fingerprint": OTHER}, {"target": "DELETE /things"}, {"processes": 2}], ids=str
)
def test_a_run_that_has_sent_nothing_gives_way_to_another_input_or_target(runs, changed: dict[str, Any]):
    first = lived(runs)
    run = runs.begin(JOB, facts(**changed))
    run_loop(run.aclose)

    assert (run.resumed, runs.ids()) == (False, [run.facts.run])
    assert run.facts.run != first


@pytest.mark.fault("X11", "a run of which anything was sent or settled stays, whatever its input has become")
@pytest.mark.parametrize("work", TOUCHED, ids=lambda work: getattr(work, "__name__", "settled"))
@pytest.mark.parametrize("refused", [False, True], ids=["changed", "refused"])
def test_a_run_of_which_anything_was_sent_or_settled_stays(runs, work: Any, *, refused: bool):
    first = lived(runs, work)
    if refused:
        run = runs.begin(JOB, facts())
        run_loop(partial(run.aclose, refused=True))
        assert not run.given_up
    with pytest.raises(ConfigError, match="is not the file that the unfinished run"):
        runs.begin(JOB, facts(fingerprint=OTHER))

    assert runs.ids() == [first]
    assert lived(runs) == first


@pytest.mark.parametrize("work", [None, intended], ids=["nothing sent", "sent"])
def test_a_route_gives_way_only_when_none_of_its_steps_has_sent_anything(runs, work: Any):
    async def step(run: Run) -> None:
        one = runs.step(run, 1, "first")
        try:
            if work is not None:
                await work(one)
        finally:
            await one.aclose()

    first = lived(runs, step)
    if work is None:
        run_loop(runs.begin(JOB, facts(fingerprint=OTHER)).aclose)
        assert first not in runs.ids()
        assert len(runs.ids()) == 1
    else:
        with pytest.raises(ConfigError, match="is not the file that the unfinished run"):
            runs.begin(JOB, facts(fingerprint=OTHER))
        assert runs.ids() == [first, f"{first}.1"]


def test_of_a_refused_input_no_run_stays(runs):
    run = runs.begin(JOB, facts())
    run_loop(partial(run.aclose, refused=True))

    assert (run.given_up, runs.ids(), run.folder.exists()) == (True, [], False)
    assert not runs.has_unfinished(JOB)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"run": "x"}', '{"run": "x", "command": [], "then": [], "odd": 1}']
)
def test_facts_that_cannot_be_read_are_told_and_a_new_run_can_begin(runs, text: str):
    run = lived(runs)
    (runs.path(run) / FACTS).write_text(text)
    with pytest.raises(ConfigError, match=r"cannot be read.*--new"):
        runs.begin(JOB, facts())
    assert lived(runs, new=True) != run


def test_a_run_whose_facts_are_gone_is_no_new_beginning(runs):
    run = lived(runs, lambda run: settle(run, 0))
    (runs.path(run) / FACTS).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        runs.begin(JOB, facts())


@pytest.mark.fault("X7", "a job that lost its pointer finds its unfinished run again")
@pytest.mark.parametrize("text", [None, b"", b"{", b'{"pid": 1}', b"\0\0\0\0"])
def test_an_unfinished_run_is_found_again_when_its_pointer_is_lost(runs, text: bytes | None):
    lived(runs, job=Job("incoming", "read"))
    run = lived(runs)
    pointer = runs.folder / "jobs" / f"{JOB.id}.json"
    pointer.unlink() if text is None else pointer.write_bytes(text)

    assert lived(runs) == run


@pytest.mark.parametrize("damage", [False, True])
def test_a_finished_run_without_a_pointer_is_not_taken_up_and_a_damaged_one_is_told(runs, damage: bool):
    run = lived(runs, finish=True)
    (runs.folder / "jobs" / f"{JOB.id}.json").unlink()
    if damage:
        (runs.path(run) / DATABASE).write_bytes(b"")
        with pytest.raises(ConfigError, match="runs repair"):
            lived(runs)
    else:
        assert lived(runs) != run


def test_a_run_whose_folder_was_removed_by_hand_begins_anew(runs):
    run = lived(runs)
    for file in runs.path(run).iterdir():
        file.unlink()
    runs.path(run).rmdir()

    assert lived(runs) != run


# -- one process at a time

HOLDER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from connectory.journal import Job, Runs, new_facts
job = Job("outgoing", "send", {"input": "a.jsonl"})
run = Runs(Path(sys.argv[1])).begin(job, new_facts(job, target="POST /things"))
print(run.facts.run, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(runs):
    """Another process that works on the job."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(runs.folder), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.run = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.fault(
    "X8", "a second process on the same job is refused by name of the first; kill -9 frees the job"
)
def test_a_second_process_is_refused_and_a_killed_one_is_in_nobodys_way(runs, holder):
    for attempt in (lambda: runs.begin(JOB, facts()), lambda: runs.refuse_busy(JOB)):
        with pytest.raises(JobBusyError, match=rf"another process \({holder.pid}\) is working on this job"):
            attempt()
    for attempt in (runs.repair, runs.remove):
        with pytest.raises(JobBusyError):
            attempt(holder.run)
    assert (runs.summary(holder.run).state, runs.summary(holder.run).pid) == ("running", holder.pid)
    lived(runs, job=Job("incoming", "read"))  # another job is free
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (runs.summary(holder.run).state, runs.summary(holder.run).pid) == ("unfinished", None)
    runs.refuse_busy(JOB)
    assert lived(runs) == holder.run


def test_a_job_is_held_while_something_is_done_to_its_runs(runs):
    run = lived(runs)
    with runs.held(runs.find(run)), pytest.raises(JobBusyError):
        runs.begin(JOB, facts())
    assert lived(runs) == run


# -- repair and remove


@pytest.mark.fault("X5", "a run whose journal is damaged is refused, and the message says how to repair it")
def test_a_damaged_journal_is_refused_until_it_is_repaired(runs):
    async def work(run: Run) -> None:
        for seq in range(3):
            await settle(run, seq)

    run = lived(runs, work)
    database = runs.path(run) / DATABASE
    database.write_bytes(b"no database" + database.read_bytes()[11:])
    for attempt in (lambda: runs.begin(JOB, facts()), lambda: runs.summary(run)):
        with pytest.raises(ConfigError, match=f"is damaged: .* `connectory runs repair {run}`"):
            attempt()
    runs.repair(run)

    async def later(run: Run) -> None:
        assert run.resumed
        run.journal.show_again()
        assert run.journal.recall(Delivery(run.facts.run, "2", 0, 1)) is not None

    assert lived(runs, later) == run


@pytest.mark.fault("X7", "a deleted journal with results beside it is refused and never begun anew by itself")
def test_a_journal_that_was_deleted_is_damaged(runs):
    run = lived(runs, lambda run: settle(run, 0))
    (runs.path(run) / DATABASE).unlink()
    with pytest.raises(ConfigError, match="it is not there"):
        runs.begin(JOB, facts())


def test_a_removed_run_is_gone_and_its_job_begins_anew(runs):
    run = lived(runs)
    runs.remove(run)

    assert runs.ids() == []
    assert lived(runs) != run


def test_a_route_is_removed_with_its_steps_and_a_step_not_without_its_route(runs):
    async def work(route: Run) -> None:
        step = runs.step(route, 1, "send", target="POST /things", then=())
        await step.aclose()

    run = lived(runs, work)
    with pytest.raises(ConfigError, match=rf"is a step of run {run}; remove that one"):
        runs.remove(f"{run}.1")
    assert runs.find(run[:-1]).run == run  # the beginning of a route's id means the route
    runs.remove(run)
    assert runs.ids() == []


def test_a_step_belongs_to_its_route_and_is_taken_up_with_it(runs):
    seen: list[Any] = []

    async def work(route: Run) -> None:
        step = runs.step(route, 2, "send", target="POST /others", then=("last",))
        seen.append((step.facts, step.resumed))
        await step.aclose()

    route = lived(runs, work)
    lived(runs, work)
    (first, fresh), (again, resumed) = seen

    assert (first, fresh, resumed) == (again, False, True)
    assert (first.run, first.route, first.kind, first.connection) == (f"{route}.2", route, "outgoing", "send")
    assert (first.target, first.then) == ("POST /others", ("last",))


def test_dead_records_that_another_run_sent_again_are_done(runs):
    async def work(run: Run) -> None:
        run.journal.close_item(0, dead=True)
        run.journal.close_item(1, dead=True)

    run = lived(runs, work, finish=True)
    runs.recount(run, 1)

    assert (runs.summary(run).done, runs.summary(run).dead) == (1, 1)


# -- what a run has come to


def test_at_every_moment_the_total_is_done_dead_and_pending(runs):
    async def work(run: Run) -> None:
        for seq in range(4):
            await settle(run, seq)
        run.journal.close_item(4, dead=True)
        await settle(run, 5, shown=False)
        await run.journal.intend(Delivery(run.facts.run, "7", 0, 6), "hash")
        run.journal.set_total(10)
        await run.journal.flush()
        summary = runs.summary(run.facts.run)
        assert (summary.state, summary.pid) == ("running", os.getpid())
        assert (summary.done, summary.dead, summary.pending, summary.total) == (4, 1, 5, 10)
        assert (summary.answered, summary.in_doubt, summary.lives) == (1, 1, 1)
        assert summary.deliveries == {"ok": 4, "error": 0, "skipped": 0}

    run = lived(runs, work)
    assert runs.summary(run).state == "unfinished"
    assert (runs.summary(run).done, runs.summary(run).pending) == (4, 5)
    lived(runs, finish=True)
    assert (runs.summary(run).state, runs.summary(run).lives) == ("finished", 2)


def test_until_the_input_is_read_to_its_end_nobody_knows_how_much_is_pending(runs):
    run = lived(runs, lambda run: settle(run, 0))
    summary = runs.summary(run)

    assert (summary.done, summary.total, summary.pending) == (1, None, None)
