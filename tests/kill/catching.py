"""Finds the bugs that `mutated.py` puts in: one small kill test after the other, until an invariant fails."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

from kill.harness import Plan, Programs, Trial
from kill.invariants import broken
from kill.mutated import MUTANTS
from kill.power import Damage, PowerCuts
from kill.reading import Reading, problems

TRIES = 8
"""Chance decides where a kill hits: so many tests with other kills before a bug counts as not found."""


AFTER_POWER = frozenset({7, 14})
"""Invariants that a power cut may break: what no commit had counted on is sent again, flagged, and shown again."""


def caught(name: str, folder: Path, programs: Programs) -> list[int]:
    """Give the invariants that fail with a bug, those that should among them; none when it was not found.

    0 stands for a list that is not whole.
    """
    for seed in range(1, TRIES + 1):
        found = tried(name, seed, folder / str(seed), programs)
        if MUTANTS[name].caught_by.intersection(found):
            return found
    return []


def tried(name: str, seed: int, folder: Path, programs: Programs, *, needs: str | None = None) -> list[int]:
    """Give what one small test finds; `needs` says which kind of test."""
    needs = needs or MUTANTS[name].needs
    plan = Plan(160, 3, 8, seed=seed, bad=6, latency=0.002, runner="mutated", words=(name,), timed=0)
    if needs == "stops":
        plan = replace(plan, kills=2, by=signal.SIGTERM)
    if needs == "packs":
        plan = replace(plan, records=400, pack=4, kills=4)
    if needs == "reading":
        plan = replace(plan, records=500, concurrency=1)
    kinds: dict[str, type[Trial]] = {"power": PowerCuts, "damage": Damage, "reading": Reading}
    trial = kinds.get(needs, Trial)(plan, folder, programs)
    dies_at = MUTANTS[name].dies_at
    evidence = trial.crash(dies_at) if dies_at else trial.run()
    assert needs == "damage" or "Traceback" not in evidence.said, evidence.said  # a bug that is loud is none
    if needs == "reading":
        return [0] if list(problems(evidence)) else []
    return list(broken(evidence, without=AFTER_POWER if needs in {"power", "damage"} else frozenset()))
