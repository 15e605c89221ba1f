"""Lives of a run without a network: begin a job, do something with its journal, and end."""

from __future__ import annotations

from typing import Any

from connected import run as run_loop
from journaled import hasten

from connectory.journal import Job, Run, Runs, new_facts
from connectory.record import Delivery, Result

JOB = Job("outgoing", "send", {"input": "a.jsonl"})


def facts(job: Job = JOB, **more: Any) -> Any:
    return new_facts(job, **{"target": "POST /things", "command": ("connectory", "run"), **more})


def lived(runs: Runs, work: Any = None, *, job: Job = JOB, finish: bool = False, **options: Any) -> str:
    """One life of a job; give its run."""

    async def main():
        run = runs.begin(job, facts(job), **options)
        hasten(run.journal)
        try:
            if work is not None:
                await work(run)
            if finish:
                await run.finish()
        finally:
            await run.aclose()
        return run.facts.run

    return run_loop(main)


async def settle(run: Run, seq: int, *, shown: bool = True) -> None:
    delivery, result = Delivery(run.facts.run, str(seq + 1), 0, seq), Result(seq, str(seq), "ok", attempts=1)
    await run.journal.intend(delivery, "hash")
    await run.journal.record(delivery, result)
    if shown:
        run.journal.show(delivery, result)
        run.journal.close_item(seq, dead=False)
