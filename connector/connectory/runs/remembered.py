"""What earlier runs of a connection knew: the tables that `only` and `incremental` ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.assembly import remembers
from connectory.journal import Job, Known, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from connectory.assembly import Assembly
    from connectory.journal import Run, Runs


def open_known(
    assembly: Assembly, runs: Runs, name: str, run: Run, *, client: str | None = None
) -> Known | None:
    """Open the table of what earlier runs of an outgoing had answered, if it wants to know."""
    if assembly.outgoing(name).only is None:
        return None
    known = Known(_table(assembly, runs, Job("outgoing", name, {"client": client})))
    run.journal.remember(known)
    return known


def open_seen(
    assembly: Assembly, runs: Runs, run: Run, given: Mapping[str, Any], *, name: str | None = None
) -> Seen | None:
    """Open the table of what earlier runs of an incoming read; `given` is what makes it another reading.

    A route has a table of its own: what the incoming by itself has read did not pass through the route.
    """
    if not remembers(assembly, name or run.facts.connection):
        return None
    run.seen = Seen(_table(assembly, runs, Job(run.facts.kind, run.facts.connection, given)), run.journal)
    return run.seen


def _table(assembly: Assembly, runs: Runs, job: Job) -> Path:
    given = {**job.given, "sandbox": assembly.clients.elsewhere}
    return runs.folder / "known" / f"{Job(job.kind, job.connection, given).id}.db"
