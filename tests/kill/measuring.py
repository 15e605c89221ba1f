"""The whole kill test and its page, docs/measured/kill.md.

It takes some minutes. Options make it shorter for a try: `python tests/kill/run.py --records 2000 --kills 10 --print`.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kill.catching import AFTER_POWER, caught
from kill.evidence import Evidence
from kill.harness import Plan, Programs, Trial
from kill.invariants import INVARIANTS, broken
from kill.mutated import MUTANTS
from kill.power import PowerCuts
from kill.programs import ROOT, Forked, Spawned
from kill.reading import Reading, problems

PAGE = ROOT / "docs" / "measured" / "kill.md"


@dataclass(frozen=True)
class Case:
    """One run of the table: what it is called, what makes it, and which invariants do not apply."""

    name: str
    plan: Plan
    kind: Callable[[Plan, Path, Programs], Trial] = Trial
    without: frozenset[int] = frozenset()


def cases(records: int, kills: int) -> Iterator[Case]:
    """The runs of the full set."""
    for seed, concurrency, faults in ((1, 32, 0.1), (2, 64, 0.15), (3, 16, 0.1)):
        plan = Plan(records, kills, concurrency, faults, seed, startup=1.0, asked=1.0)
        yield Case(f"kill -9, seed {seed}", plan)
    packs = Plan(records, kills, 8, seed=10, startup=1.0, asked=1.0, pack=16)
    yield Case("kill -9, packs of 16, seed 10", packs)
    small = replace(packs, records=records // 3, kills=kills // 2)
    yield Case("power cut, packs of 16, seed 11", replace(small, seed=11), PowerCuts, AFTER_POWER)
    yield Case("kill -9, packs of 16, a server that knows keys", replace(small, dedupe=True, seed=12))
    plan = Plan(records // 3, kills // 2, startup=1.0, asked=1.0)
    for seed in (4, 5):
        yield Case(f"power cut, seed {seed}", replace(plan, seed=seed), PowerCuts, AFTER_POWER)
    yield Case("kill -9, a server that knows keys", replace(plan, dedupe=True, seed=6))
    yield Case("SIGTERM", replace(plan, by=signal.SIGTERM, seed=7))
    yield Case("SIGTERM twice", replace(plan, by=signal.SIGTERM, twice=True, seed=8))


def row(case: Case, evidence: Evidence, failed: dict[int, list[str]], seconds: float) -> list[str]:
    """One line of the table of runs."""
    plan = case.plan
    taken_over = sum(ending.counts["answered"] for ending in evidence.endings if ending.counts)
    return [
        f"{case.name}, C={plan.concurrency}, F={plan.faults:.0%}",
        f"{plan.records:,}",
        str(evidence.kills),
        f"{len(evidence.requests):,}",
        f"{sum(map(len, evidence.cut_off)):,} / {plan.concurrency * plan.pack * evidence.kills:,}",
        f"{len(evidence.flagged):,}",
        f"{taken_over:,}",
        "all hold" if not failed else f"**{', '.join(map(str, failed))} fail**",
        f"{seconds:.0f} s",
    ]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def runs(records: int, kills: int, programs: Programs) -> Iterator[list[str]]:
    """Do the runs."""
    for case in cases(records, kills):
        with tempfile.TemporaryDirectory(prefix="kill-") as folder:
            start = time.monotonic()
            evidence = case.kind(case.plan, Path(folder), programs).run()
            failed = broken(evidence, without=case.without)
            line = row(case, evidence, failed, time.monotonic() - start)
        say(line, failed)
        yield line


def reading(records: int, kills: int, programs: Programs) -> list[str]:
    """Do the run of an incoming."""
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        start = time.monotonic()
        plan = Plan(records, kills, 1, 0.1, 9, startup=1.0)
        evidence = Reading(plan, Path(folder), programs).run()
        wrong = list(problems(evidence))
        seconds = time.monotonic() - start
    again = len(evidence.requests) - len({one["path"] for one in evidence.requests})
    faults = sum(one["fault"] is not None for one in evidence.requests)
    verdict = "all once, in order" if not wrong else f"**{wrong[0]}**"
    line = [
        f"{records:,}",
        str(evidence.kills),
        f"{len(evidence.requests):,}",
        str(faults),
        str(again - faults),
    ]
    line += [verdict, f"{seconds:.0f} s"]
    say(line, {})
    return line


def mutants() -> Iterator[list[str]]:
    """Put every bug in and see which invariants notice."""
    forked = Forked()
    try:
        for name, one in MUTANTS.items():
            if name == "none":
                continue
            with tempfile.TemporaryDirectory(prefix="kill-") as folder:
                found = caught(name, Path(folder), forked)
            line = [
                f"`{name}`",
                one.bug,
                one.needs,
                ", ".join(str(one or "the list is not whole") for one in found) or "**not caught**",
            ]
            say(line, {})
            yield line
    finally:
        forked.close()


def say(line: list[str], failed: dict[int, list[str]]) -> None:
    """Tell who waits what has been done."""
    print(" | ".join(line), flush=True)
    for sentences in failed.values():
        print("   ", *sentences, sep="\n    ", flush=True)


def page(command: str, records: int, kills: int) -> str:
    """Run everything and write the page."""
    start, spawned = time.monotonic(), Spawned()
    heads = ["run", "records", "kills", "requests at the server", "cut off / bound", "flagged", "taken over"]
    outgoing = table([*heads, "invariants", "took"], list(runs(records, kills, spawned)))
    heads = ["items", "kills", "requests", "faults", "pages read again", "the output", "took"]
    incoming = table(heads, [reading(records * 2, kills, spawned)])
    spawned.close()
    broken_programs = table(["mutant", "bug", "found by", "invariants that fail"], list(mutants()))
    facts = "\n".join(f"{number}. {one.fact}" for number, one in sorted(INVARIANTS.items()))
    minutes = (time.monotonic() - start) / 60
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"
    return PAGE_TEXT.format(
        date=time.strftime("%Y-%m-%d"),
        machine=machine,
        command=command,
        minutes=minutes,
        outgoing=outgoing,
        incoming=incoming,
        mutants=broken_programs,
        facts=facts,
    )


PAGE_TEXT = """# The kill test

A server in a process of its own writes down every request before it does anything about it. The program runs the same
command again and again and is killed in between: one time in five at a random moment after its start, else after a
random number of requests. The server fails on purpose: of every hundred requests that are to fail, 30 get a 429, 20 a
503 page, 20 a broken connection after the work was done, 15 half an answer and 15 a page instead of JSON. One record in
forty is refused for good. In the end the server's log, the results log and the output are the judges, never what the
program says of itself.

Measured on {date}: {machine}; it took {minutes:.0f} min.

```text
{command}
```

## Runs

*Cut off* are deliveries that were sent and had no result when their process was killed: at most as many for each kill as
may be under way (C). *Flagged* are results that say `in_doubt`, without those that a fault put in doubt. *Taken over*
are answers that were written and not shown yet when a process was killed: they are not bought again. F is the share of
requests that fail.

{outgoing}

A list that is read, 20 items a page:

{incoming}

## Invariants

{facts}

In runs with packs a request has many records. 3 then says that a key means the same records for ever, and that a record
goes in another request only when the one before was refused, or its results were half written; 4 and 8 count requests,
with up to as many records as a pack takes.

After a power cut 7 and 14 do not apply: what no commit had counted on may be gone, and is sent again, flagged, and
shown anew.

## Bugs on purpose

A kill test that finds no bugs proves nothing. Each of these bugs is put into the program from outside, and each has to be
found.

{mutants}

The deterministic part, which kills the program at every named step of a delivery, runs with the other tests
(`tests/test_kill.py`).
"""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    options = parser.parse_args()
    command = " ".join(["python tests/kill/run.py", *sys.argv[1:]])
    text = page(command, options.records, options.kills)
    if options.print:
        print(text)
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
