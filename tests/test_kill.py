"""Processes that are killed at any moment: nothing is lost, nothing is done twice without a word."""

from __future__ import annotations

import signal
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the kill test looks at a process's files in /proc", allow_module_level=True)

from kill.catching import caught
from kill.crashing import LABELS
from kill.harness import Plan, Trial
from kill.invariants import broken
from kill.mutated import MUTANTS
from kill.power import PowerCuts
from kill.programs import Forked, Spawned
from kill.reading import Reading, problems

SEEDS = (1, 2, 3)
NOT_AFTER_POWER = frozenset({7, 14})
"""A power cut may take what no commit had counted on: it is sent again, flagged, and shown again."""


@pytest.fixture(scope="module")
def programs():
    forked = Forked()
    yield forked
    forked.close()


@pytest.fixture
def spawned():
    spawned = Spawned()
    yield spawned
    spawned.close()


@pytest.mark.fault(
    "X1", "what was written stays, what was under way is sent again with the same key and flagged"
)
def test_a_run_that_is_killed_ten_times_loses_and_doubles_nothing(programs, tmp_path):
    evidence = Trial(Plan(records=2000, kills=10), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 8


@pytest.mark.fault("X1", "the same for processes that are started as a user starts them")
def test_a_run_whose_processes_are_started_as_a_user_does_loses_nothing(spawned, tmp_path):
    evidence = Trial(Plan(records=150, kills=2, startup=1.0), tmp_path, spawned).run()
    assert broken(evidence) == {}


@pytest.mark.fault(
    "X6", "the log is cut at its first damaged line; what no commit had counted on is sent again, flagged"
)
def test_a_power_cut_loses_nothing_with_durability_power(programs, tmp_path):
    trial = PowerCuts(Plan(records=800, kills=8), tmp_path, programs)
    assert broken(trial.run(), without=NOT_AFTER_POWER) == {}
    assert trial.cuts, "no cut ever took something away"


@pytest.mark.fault(
    "X1", "a list that is read goes on at its page: every item is in the output once, in order"
)
def test_a_list_that_is_read_by_killed_processes_is_whole(programs, tmp_path):
    evidence = Reading(Plan(records=2000, kills=8, concurrency=1), tmp_path, programs).run()
    assert list(problems(evidence)) == []
    assert evidence.kills >= 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.fault("X2", "nothing more is taken, what is under way is finished: nothing is cut off")
def test_a_run_that_is_asked_to_stop_cuts_nothing_off(programs, tmp_path, number):
    evidence = Trial(Plan(records=600, kills=5, by=number), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 3


@pytest.mark.fault("X2", "a second signal stops at once; what was under way is in doubt, as after a kill")
def test_a_run_that_is_asked_twice_to_stop_loses_nothing(programs, tmp_path):
    evidence = Trial(
        Plan(records=600, kills=5, by=signal.SIGTERM, twice=True, latency=0.02), tmp_path, programs
    ).run()
    assert broken(evidence) == {}


@pytest.mark.fault("X1", "where the server knows keys, every record's work is done exactly once")
def test_a_server_that_knows_keys_does_every_records_work_once(programs, tmp_path):
    evidence = Trial(Plan(records=800, kills=6, dedupe=True), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert sum(request["acts"] for request in evidence.requests) == evidence.records - len(evidence.bad)


PLACES = [
    *(f"{when}_{label}:1" for label in ("lock", "facts", "open", "pointer") for when in ("before", "after")),
    *(
        f"{when}_{label}:{visit}"
        for label in ("read", "prepare", "intent", "send", "record", "output", "show", "commit")
        for when in ("before", "after")
        for visit in (1, 9)
    ),
    *(f"mid_{label}:{visit}" for label in ("record", "output") for visit in (1, 9)),
    *(f"{when}_dead:{visit}" for when in ("before", "mid", "after") for visit in (1, 2)),
    *(f"in_commit:{visit}" for visit in (1, 2, 3, 4, 8, 12)),
    *(f"{when}_{label}:1" for label in ("rename", "finish") for when in ("before", "after")),
    *(f"{when}_job:{visit}" for when in ("before", "mid") for visit in (1, 2)),
    "before_pointer:2",
    "before_lock:2",
]
"""Where the first process is killed, and at which visit."""

RESUMING = [
    *(f"{when}_{label}:1" for label in ("lock", "pointer", "open") for when in ("before", "after")),
    *(f"{when}_cut_{label}:1" for label in ("record", "output") for when in ("before", "after")),
    *(f"{when}_job:1" for when in ("before", "mid", "after")),
    *(f"in_commit:{visit}" for visit in (1, 2, 3)),
    *(
        f"{when}_{label}:{visit}"
        for label in ("commit", "intent", "record", "output")
        for when in ("before", "after")
        for visit in (1, 2)
    ),
]
"""Where the second process is killed, which takes over what the first one left."""

SMALL = Plan(records=40, concurrency=4, faults=0.1, bad=10, latency=0.001)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.fault("X1", "killed at any step of a delivery, a run goes on without a loss")
def test_a_process_that_dies_at_a_step_leaves_a_run_that_goes_on(programs, tmp_path, place):
    assert broken(Trial(SMALL, tmp_path, programs).crash(place)) == {}


@pytest.mark.parametrize("place", RESUMING)
@pytest.mark.fault(
    "X1", "killed at any step of taking over what a killed process left, a run goes on without a loss"
)
def test_a_process_that_dies_while_it_takes_over_leaves_a_run_that_goes_on(programs, tmp_path, place):
    assert broken(Trial(SMALL, tmp_path, programs).crash("mid_record:12", place)) == {}


def test_every_step_has_a_place_to_die_at():
    places = {place.partition(":")[0].partition("_")[2] for place in [*PLACES, *RESUMING]}
    assert set(LABELS) - places == {"cut_dead"}  # of which there is none to cut in so small a run


@pytest.mark.parametrize("name", MUTANTS)
def test_the_kill_test_finds_a_bug_that_was_put_in(programs, tmp_path, name):
    found = caught(name, tmp_path, programs)
    assert set(found) & MUTANTS[name].caught_by, f"{MUTANTS[name].bug}: only {found} failed"
