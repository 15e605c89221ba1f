"""`migrate`: a configuration in older words as one in today's."""

from __future__ import annotations

from shlex import join

import click

from connectory.cli.amending import Amendment
from connectory.cli.outcome import SOME_FAILED, Ended, say
from connectory.cli.setup import config_path


@click.command("migrate")
@click.argument("file", required=False)
@click.option(
    "--check", is_flag=True, help="Write nothing; the exit code is 1 where something is to be changed."
)
@click.option("--dry-run", is_flag=True, help="Print the difference; write nothing.")
def migrate(file: str | None, *, check: bool, dry_run: bool) -> None:
    """Rewrite a configuration as the current version of its format has it; comments and order stay.

    Other spellings that stay legal, such as Alumio's {prototype: ..., parameters: ...}, become the usual ones.

    \b
    connectory migrate --dry-run
    connectory migrate connectory.yaml
    """
    from connectory.config.migrating import migrate
    from connectory.config.versions import CURRENT

    path = config_path(file)
    amendment = Amendment(path)
    made = migrate(amendment.text, file=str(path), own=_own(amendment))
    for change in made.changes:
        say(f"{path}:{change.line}: {change.message}")
    amendment.text = made.text
    if not amendment.is_changed:
        say(f"{path}: version {CURRENT}, nothing to change")
    elif check:
        say(join(["connectory", "migrate", str(path)]))
        raise Ended(SOME_FAILED)
    else:
        amendment.finish(dry_run=dry_run)
        say(f"{path}: {'would be' if dry_run else 'is now'} version {CURRENT} ({len(made.changes)} changes)")


def _own(amendment: Amendment) -> set[str]:
    """Give the names of transformers that are the user's: in the folder, installed, and chains."""
    from connectory.config.document import parse
    from connectory.config.shapes import is_map
    from connectory.plugins import transformer_names

    data = parse(amendment.text, file=str(amendment.path)).data
    chains = data.get("transformers") if is_map(data) else None
    return {*transformer_names(amendment.path.parent), *(chains or ())}
