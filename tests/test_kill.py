"""Processes that are killed at any moment: nothing is lost, nothing is done twice without a word."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest

if sys.platform != "linux":
    pytest.skip("the kill test looks at a process's files in /proc", allow_module_level=True)

from kill.catching import AFTER_POWER, caught, tried
from kill.crashing import LABELS
from kill.harness import Plan, Trial
from kill.invariants import broken
from kill.mutated import MUTANTS
from kill.power import PowerCuts
from kill.programs import Forked, Spawned
from kill.reading import Reading, problems


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
    "X1",
    "What was answered stays and is not sent again; what was under way is sent again with the same key, and flagged.",
)
def test_a_run_that_is_killed_ten_times_loses_and_doubles_nothing(programs, tmp_path):
    evidence = Trial(Plan(records=1500, kills=10, asked=0.3), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 7
    assert evidence.cut_off_keys
    assert any(ending.counts and ending.counts["answered"] for ending in evidence.endings)


def test_a_run_whose_processes_are_started_as_a_user_does_loses_nothing(spawned, tmp_path):
    evidence = Trial(Plan(records=100, kills=2, startup=1.0), tmp_path, spawned).run()
    assert broken(evidence) == {}


@pytest.mark.parametrize("settings", [{"order": "completion"}, {"output_mode": "append"}], ids=str)
def test_every_kind_of_output_survives_kills(programs, tmp_path, settings):
    evidence = Trial(Plan(records=300, kills=4, settings=settings), tmp_path, programs).run()
    assert broken(evidence) == {}


@pytest.mark.fault(
    "X1",
    "Where the server knows keys, the work of every record is done exactly once, whatever was sent again.",
)
def test_a_server_that_knows_keys_does_every_records_work_once(programs, tmp_path):
    evidence = Trial(Plan(records=400, kills=4, dedupe=True), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert sum(request["acts"] for request in evidence.requests) == evidence.records - len(evidence.bad)


@pytest.mark.fault(
    "X1", "With on_uncertain: hold nothing is sent twice: what was under way is set aside, in doubt."
)
def test_what_is_to_be_held_is_never_sent_twice(programs, tmp_path):
    plan = Plan(records=400, kills=4, faults=0, bad=0, settings={"on_uncertain": "hold"})
    evidence = Trial(plan, tmp_path, programs).run()
    held = {result["key"] for result in evidence.log.results if result["status"] == "error"}
    assert set(broken(evidence)) <= {1, 9, 15, 19}  # those that fail where records are set aside
    assert {len(requests) for requests in evidence.of_record.values()} == {1}
    assert evidence.cut_off_keys <= held == evidence.flagged
    assert len(held) <= plan.concurrency * evidence.kills


@pytest.mark.fault(
    "X1",
    "Packed requests that were cut off are sent again as they were, record for record, under the same key.",
)
@pytest.mark.parametrize(
    "plan", [Plan(1500, 6, 8, pack=10, asked=0.3), Plan(1500, 5, 4, pack=64, bad=200)], ids=str
)
def test_packed_requests_lose_and_double_nothing(programs, tmp_path, plan):
    evidence = Trial(plan, tmp_path, programs).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 3
    assert evidence.cut_off_keys
    assert max(len(request["records"]) for request in evidence.requests) == plan.pack


def test_a_server_that_knows_keys_does_the_work_of_packs_once(programs, tmp_path):
    plan = Plan(records=1000, kills=5, concurrency=4, pack=8, dedupe=True)
    evidence = Trial(plan, tmp_path, programs).run()
    assert broken(evidence) == {}


@pytest.mark.fault(
    "X1", "A list that is read goes on at its page: every item is in the output once, in order."
)
def test_a_list_that_is_read_by_killed_processes_is_whole(programs, tmp_path):
    evidence = Reading(Plan(records=800, kills=5, concurrency=1), tmp_path, programs).run()
    assert list(problems(evidence)) == []
    assert evidence.kills >= 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.fault(
    "X2",
    "Nothing more is taken and what is under way is finished: nothing is cut off. The exit code says why.",
)
def test_a_run_that_is_asked_to_stop_cuts_nothing_off(programs, tmp_path, number):
    evidence = Trial(Plan(records=300, kills=3, by=number), tmp_path, programs).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 1


@pytest.mark.fault("X2", "A second signal ends it at once; what was under way is in doubt, as after a kill.")
def test_a_run_that_is_asked_twice_to_stop_loses_nothing(programs, tmp_path):
    plan = Plan(records=300, kills=3, by=signal.SIGTERM, twice=True, latency=0.02)
    assert broken(Trial(plan, tmp_path, programs).run()) == {}


@pytest.mark.fault(
    "X6",
    "The damaged end of the log is cut off; with durability: power all that it held is sent again, flagged, and nothing "
    "that was counted on is in it.",
)
def test_a_power_cut_loses_nothing_with_durability_power(programs, tmp_path):
    trial = PowerCuts(Plan(records=600, kills=7), tmp_path, programs)
    assert broken(trial.run(), without=AFTER_POWER) == {}
    assert trial.cuts, "no cut ever took something away"


@pytest.mark.fault(
    "X10",
    "A record that was under way when five lives of a run ended is set aside; those beside it are sent.",
)
def test_a_record_that_kills_the_process_is_set_aside_alone(programs, tmp_path):
    trial = Trial(Plan(records=60, concurrency=8, faults=0, bad=0), tmp_path, programs)
    evidence = trial.crash(*["poison_17:1"] * 5, last="poison_17:1")
    aside = [result for result in evidence.log.results if result["status"] != "ok"]
    assert [(result["index"], result["in_doubt"]) for result in aside] == [(17, True)]
    assert [line["record"] for line in evidence.dead] == [{"text": "record-17"}]
    assert set(broken(evidence)) == {1, 9, 15, 19}  # it never left, and was set aside


PLACES = [
    *(f"after_{label}:1" for label in ("lock", "pointer", "open", "facts")),
    *(f"before_{label}:9" for label in ("intent", "record", "output")),
    *(f"after_{label}:5" for label in ("read", "prepare", "intent", "send", "record", "output", "show")),
    *("mid_record:3", "mid_output:3", "mid_dead:1", "before_commit:3", "in_commit:4", "after_commit:3"),
    *(f"{when}_{label}:1" for label in ("rename", "finish") for when in ("before", "after")),
    *("mid_job:1", "before_job:2"),
]
"""Where the first process is killed, and at which visit."""

MORE_PLACES = [
    *(f"before_{label}:1" for label in ("lock", "pointer", "open", "facts", "job")),
    *(f"before_{label}:9" for label in ("read", "prepare", "send", "show")),
    *(f"{when}_dead:1" for when in ("before", "after")),
    *(
        f"{when}_{label}:{visit}"
        for label in ("read", "prepare", "intent", "send", "record", "output", "show", "commit")
        for when in ("before", "after")
        for visit in (1, 2, 13)
    ),
    *(f"mid_{label}:{visit}" for label in ("record", "output") for visit in (1, 9, 13)),
    *(f"{when}_dead:2" for when in ("before", "mid", "after")),
    *(f"in_commit:{visit}" for visit in (1, 2, 3, 5, 8, 12, 13)),
    *("before_lock:2", "after_lock:2"),
]

TAKING_OVER = [
    *("after_pointer:1", "after_open:1", "mid_job:1", "in_commit:1", "after_commit:1"),
    *(f"{when}_cut_{label}:1" for label in ("record", "output") for when in ("before", "after")),
    *("after_intent:1", "before_record:1", "after_output:1"),
]
"""Where the second process is killed, which takes over what the first one left."""

MORE_TAKING_OVER = [
    *(f"before_{label}:1" for label in ("lock", "pointer", "open", "job", "commit", "intent", "output")),
    *("after_lock:1", "after_job:1", "in_commit:2", "in_commit:3", "after_record:1"),
    *(
        f"{when}_{label}:2"
        for label in ("commit", "intent", "record", "output")
        for when in ("before", "after")
    ),
]

SMALL = Plan(records=40, concurrency=4, faults=0.1, bad=10, latency=0.001)


def with_more(places, more):
    return [*places, *(pytest.param(place, marks=pytest.mark.full) for place in more)]


@pytest.mark.parametrize("place", with_more(PLACES, MORE_PLACES))
@pytest.mark.fault("X1", "Killed at any step of a delivery, a run goes on without a loss.")
def test_a_process_that_dies_at_a_step_leaves_a_run_that_goes_on(programs, tmp_path, place):
    assert broken(Trial(SMALL, tmp_path, programs).crash(place)) == {}


@pytest.mark.parametrize("place", with_more(TAKING_OVER, MORE_TAKING_OVER))
@pytest.mark.fault(
    "X1", "Killed at any step of taking over what a killed process left, a run goes on without a loss."
)
def test_a_process_that_dies_while_it_takes_over_leaves_a_run_that_goes_on(programs, tmp_path, place):
    assert broken(Trial(SMALL, tmp_path, programs).crash("mid_record:12", place)) == {}


PACKED_PLACES = [
    *(
        f"{when}_{label}:{visit}"
        for label in ("intent", "record", "send")
        for when in ("before", "after")
        for visit in (1, 3)
    ),
    *("mid_record:2", "mid_output:2", "before_output:2", "after_show:2", "before_commit:2", "in_commit:3"),
]


@pytest.mark.parametrize("place", PACKED_PLACES)
@pytest.mark.fault("X1", "Killed at any step of a packed request, a run goes on without a loss.")
def test_a_process_that_dies_at_a_step_of_a_pack_leaves_a_run_that_goes_on(programs, tmp_path, place):
    assert broken(Trial(replace(SMALL, pack=5), tmp_path, programs).crash(place)) == {}


def test_every_step_has_a_place_to_die_at():
    places = {place.partition(":")[0].partition("_")[2] for place in [*PLACES, *TAKING_OVER]}
    assert set(LABELS) - places == {"cut_dead"}  # of which there is none to cut in so small a run


@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - {"none"}))
def test_the_kill_test_finds_a_bug_that_was_put_in(programs, tmp_path, name):
    found = caught(name, tmp_path, programs)
    assert set(found) & MUTANTS[name].caught_by, f"{MUTANTS[name].bug}: only {found} failed"


@pytest.mark.parametrize("needs", sorted({one.needs for one in MUTANTS.values()}))
def test_the_same_tests_find_nothing_without_a_bug(programs, tmp_path, needs):
    assert tried("none", 1, tmp_path, programs, needs=needs) == []


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fifty_kills_lose_and_double_nothing(spawned, tmp_path, seed):
    plan = Plan(20_000, 50, seed=seed, startup=1.0, asked=0.2)
    evidence = Trial(plan, tmp_path, spawned).run()
    assert broken(evidence) == {}
    assert evidence.kills >= 45


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [4, 5])
def test_many_power_cuts_lose_nothing(programs, tmp_path, seed):
    trial = PowerCuts(Plan(6000, 25, seed=seed), tmp_path, programs)
    assert broken(trial.run(), without=AFTER_POWER) == {}
