"""`transformers`: what can stand in a chain."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group()
def transformers() -> None:
    """List the transformers that are installed, or show one."""


@transformers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, as_json: bool) -> None:
    """List transformers: built-in ones and those of installed packages."""
    from connectory.plugins import list_transformers

    found = list_transformers()
    if as_json:
        for one in found:
            click.echo(json.dumps(_as_dict(one), ensure_ascii=False))
        return
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        click.echo(f"{one.name:<{width}}  {one.problem or one.doc}")


@transformers.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a transformer and its options."""
    from connectory.plugins import list_transformers, load_transformer

    load_transformer(name)
    found = next(one for one in list_transformers() if one.name == name)
    click.echo(f"{found.name}: {found.doc}")
    click.echo(f"  from  {found.origin}")
    for option in found.options:
        default = "required" if option.required else f"default {option.default!r}"
        click.echo(f"  {option.name}: {option.type} ({default})")
        if option.doc:
            click.echo(f"    {option.doc}")


def _as_dict(one: Any) -> dict[str, Any]:
    options = [{"name": o.name, "type": o.type, "required": o.required} for o in one.options]
    return {"name": one.name, "origin": one.origin, "doc": one.doc, "options": options}
