"""What a run is: the job that it works on, and what is written down when it begins."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.files.storage import write_whole
from connectory.journal.names import new_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FACTS = "run.json"


@dataclass(frozen=True, slots=True)
class Job:
    """What the same command works on again: a connection, with what was given on the command line."""

    kind: str
    connection: str
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def id(self) -> str:
        """A name for files: the connection, and a hash of the rest."""
        text = json.dumps([self.kind, self.connection, self.given], sort_keys=True, default=str)
        return f"{self.kind}-{self.connection}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run is, written when it begins.

    `target` is the method and path; `input` is where the records come from, with the `fingerprint` of a file.
    `command` is what takes the run up again. `parent` is the run whose dead letters this one sends again, `route` the
    one of which it is a step, and `then` names the outgoings that follow it there.
    `output` and `dead_letters` are where lines go, None for standard output. `started_at` is in epoch seconds.
    `processes` is how many share its records.
    """

    run: str
    job: str
    kind: str
    connection: str
    target: str
    started_at: int
    command: tuple[str, ...] = ()
    input: str | None = None
    fingerprint: Any = None
    output: str | None = None
    dead_letters: str | None = None
    parent: str | None = None
    route: str | None = None
    then: tuple[str, ...] = ()
    processes: int = 1


def read_facts(folder: Path) -> Facts:
    """Read what the run in a folder is. Raises ConfigError."""
    try:
        data: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
        data |= {"command": tuple(data["command"]), "then": tuple(data["then"])}
        return Facts(**data)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{str(folder / FACTS)!r} cannot be read: {error}; start anew with --new") from None


def write_facts(folder: Path, facts: Facts) -> None:
    """Write down what the run in a folder is. Raises OSError."""
    write_whole(folder / FACTS, json.dumps(asdict(facts), indent=1).encode() + b"\n")


def new_facts(job: Job, **known: Any) -> Facts:
    """Make the facts of a run that begins now."""
    return Facts(
        run=new_run_id(),
        job=job.id,
        kind=job.kind,
        connection=job.connection,
        started_at=int(time.time()),
        **known,
    )
