"""`transformers`: what can stand in a chain."""

from __future__ import annotations

import json
from typing import Any

import click

from connectory.cli.setup import config_path

folder_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="Look in the folder of this configuration too (default: ./connectory.yaml).",
)


@click.group()
def transformers() -> None:
    """List the transformers that are installed, or show one."""


@transformers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@folder_option
def list_(*, as_json: bool, config: str | None) -> None:
    """List transformers: built-in ones, those of installed packages and of the configuration's folder."""
    from connectory.plugins import list_transformers

    found = list_transformers(config_path(config).parent)
    if as_json:
        for one in found:
            click.echo(json.dumps(_as_dict(one), ensure_ascii=False))
        return
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        click.echo(f"{one.name:<{width}}  {one.problem or one.doc}")


@transformers.command()
@click.argument("name")
@folder_option
def show(name: str, *, config: str | None) -> None:
    """Show a transformer and its options."""
    from connectory.errors import ConfigError
    from connectory.plugins import describe

    found = describe(name, config_path(config).parent)
    if found.problem:
        raise ConfigError(found.problem)
    click.echo(f"{found.name}: {found.doc}")
    click.echo(f"  from  {found.origin}")
    for option in found.options:
        default = "required" if option.required else f"default {option.default!r}"
        click.echo(f"  {option.name}: {option.type} ({default})")
        if option.doc:
            click.echo(f"    {option.doc}")


def _as_dict(one: Any) -> dict[str, Any]:
    options = [{"name": o.name, "type": o.type, "required": o.required} for o in one.options]
    problem = {"problem": one.problem} if one.problem else {}
    return {"name": one.name, "origin": one.origin, "doc": one.doc, "options": options, **problem}
