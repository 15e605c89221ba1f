"""What `run` and `replay` say and do about journals: the job, the facts of a run, how it stands at its end."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from shlex import join
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.advising import pairs_of, replay_of
from connectory.cli.observing import about
from connectory.cli.saying import ERROR, WARNING, say
from connectory.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.delivery.publication import Publication
    from connectory.journal import DiskJournal, Facts, Run

_FLAGS = ("config", "client", "input", "output", "limit")


def given(options: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Say what makes the same connection another job: what it sends, where to, and in whose name."""
    return {
        "client": options["client"],
        "sandbox": options["sandbox"],
        "path": options.get("path") or {},
        "query": options.get("query") or {},
        **more,
    }


def reading_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Say whose memory of what was read it is: another client's or another query's is another one."""
    return {name: options.get(name) or None for name in ("client", "path", "query")}


def absolute(path: str | None) -> str | None:
    """Write a file's name so that it means the same from every folder; `-` stays."""
    return path if path in {None, "-"} else os.path.realpath(path or "")


def command(kind: str, name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the words that take up a run again."""
    words = ["connectory", "run", kind, name]
    for option in _FLAGS:
        value = options.get(option)
        words += [f"--{option}", str(value)] if value is not None else []
    words += pairs_of(options)
    processes = options.get("processes", 1)
    words += ["--processes", str(processes)] if processes > 1 else []
    words += [f"--{flag}" for flag in ("sandbox", "yes") if options.get(flag)]
    return tuple(words)


def retype(run: Run, facts: Facts) -> None:
    """Let a run that is taken up be known by the command that was just typed: its output may be another one."""
    from connectory.journal.facts import write_facts

    now = replace(run.facts, command=facts.command, output=facts.output)
    if now != run.facts:
        run.facts = now
        with suppress(OSError):  # a full disk says so where it matters
            write_facts(run.folder, now)


def say_resumed(run: Run, doubtful: int | None = None) -> None:
    """Tell that a broken run is taken up, and what is uncertain about it."""
    about(run=run.facts.run, connection=run.facts.connection)
    if not run.resumed:
        return
    counts, doubtful = run.journal.counts, run.journal.doubtful if doubtful is None else doubtful
    say(f"resuming run {run.facts.run}: {_told(counts)}; --new would start a new one")
    if doubtful:
        say(f"  {doubtful} requests were under way when it broke off: they are marked in_doubt")


def refuse_detaching(publications: Sequence[Publication], options: Mapping[str, Any]) -> None:
    """Refuse `--detach` where nothing is waited for."""
    if options["detach"] and not any(one.until or one.batch for one in publications):
        names = ", ".join(repr(one.name) for one in publications)
        raise click.UsageError(
            f"--detach goes with `until` or `delivery: batch`, and {names} waits for nothing"
        )


def say_replay(run: str, options: Mapping[str, Any]) -> None:
    """Give the command that sends the dead letters of a run again."""
    command = replay_of(run, options)
    say(command, level=ERROR, event="next", next=command, style="cyan")


def go_on_with(error: Exception, facts: Facts) -> None:
    """Let an error that a larger `budget` or `max_dead` mends name the command that then goes on."""
    if isinstance(error, GuardError) and facts.command:
        error.command = join(facts.command)


def say_end(journal: DiskJournal, facts: Facts, total: int | None) -> str:
    """Tell how a run stands: its input is done, dead or pending; give the command that goes on, if anything is left."""
    done, dead = (journal.counts.get(name, 0) for name in ("done", "dead"))
    pending = "the rest" if total is None else str(total - done - dead)
    head = f"{total} records" if total is not None else "records"
    if total is not None and total == done + dead:
        return ""
    command = join(facts.command)
    counted = f"{head} = {done} done + {dead} dead + {pending} pending"
    say(f"run {facts.run}: {counted}", level=WARNING, event="pending")
    say(f"the same command goes on: {command}", level=WARNING, event="pending", next=command)
    return command


def _told(counts: Mapping[str, int]) -> str:
    if "pages" in counts:
        return f"{counts['records']} records on {counts['pages']} pages are read"
    return f"{counts.get('done', 0)} records are done, {counts.get('dead', 0)} dead"
