"""`test`: the tests that stand beside the mappings in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from connectory.cli.outcome import CONFIGURATION, SOME_FAILED, Ended, say
from connectory.cli.setup import config_path, in_sandbox, run_loop

if TYPE_CHECKING:
    from connectory.config import Config
    from connectory.trials import Trial, Verdict


@click.command()
@click.argument("file", required=False)
@click.option(
    "--only", metavar="TEXT", help="Run only the tests with this in their title, such as a connection's name."
)
@click.option("--junit", "report", metavar="FILE", help="Write the verdicts as JUnit XML too.")
def test(file: str | None, *, only: str | None, report: str | None) -> None:
    """Run the tests written in the configuration; no network and no key are needed.

    A connection's tests stand under its own `tests`, those of a named chain under `tests` at the top.

    \b
    connectory test
    connectory test connectory.yaml --only moderate --junit report.xml
    """
    from connectory.config import load_config
    from connectory.trials import trials

    path = config_path(file)
    config = load_config(path)
    wanted = [one for one in trials(config) if only is None or only in f"{one.owner}: {one.title}"]
    if not wanted:
        what = f"no test with {only!r} in its title" if only is not None else "no tests"
        say(f"error: {path} has {what}; write some below 'tests' of a connection: given, and what to expect")
        say("connectory preview --help")
        raise Ended(CONFIGURATION)
    verdicts = _verdicts(config, wanted)
    for verdict in verdicts:
        _tell(verdict)
    if report is not None:
        _write(Path(report), verdicts, str(path))
    failed = [verdict for verdict in verdicts if verdict.problems]
    say(f"{path}: {len(verdicts) - len(failed)} passed, {len(failed)} failed")
    if failed:
        say(_next(failed[0].trial))
        raise Ended(SOME_FAILED)


def _verdicts(config: Config, wanted: list[Trial]) -> list[Verdict]:
    """Run the tests, with a sandbox behind those that need one."""
    from connectory.assembly import Endpoint
    from connectory.connector import AsyncConnector
    from connectory.trials import needs_server, try_out

    async def run(made: AsyncConnector, some: list[Trial]) -> list[tuple[Trial, Verdict]]:
        async with made:
            return [(one, await try_out(made, one)) for one in some]

    unconnected = AsyncConnector(config, endpoint=Endpoint("none"))
    served = [one for one in wanted if needs_server(one, unconnected.assembly)]
    alone = [one for one in wanted if one not in served]
    found = run_loop(lambda: run(unconnected, alone))
    if served:
        with in_sandbox(config) as made:
            found += run_loop(lambda: run(made, served))
    verdicts = {id(one): verdict for one, verdict in found}
    return [verdicts[id(one)] for one in wanted]


def _tell(verdict: Verdict) -> None:
    trial = verdict.trial
    if not verdict.problems:
        say(f"ok    {trial.owner}: {trial.title}")
        return
    place = f" ({trial.file}:{trial.line})" if trial.line else ""
    say(f"FAIL  {trial.owner}: {trial.title}{place}")
    for problem in verdict.problems:
        say("\n".join(f"      {line}" for line in problem.splitlines()), lines=True)


def _write(path: Path, verdicts: list[Verdict], name: str) -> None:
    from connectory.text.redaction import blank
    from connectory.trials import junit

    try:
        path.write_text(blank(junit(verdicts, name=name).decode()), encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.BadParameter(f"cannot write {str(path)!r}: {reason}", param_hint="--junit") from None


def _next(trial: Trial) -> str:
    if trial.kind == "chain":
        return f"connectory transformers try {trial.name}"
    return f"connectory preview {trial.kind} {trial.name} --steps"
