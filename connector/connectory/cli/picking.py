"""`options`: the values that a property can have."""

from __future__ import annotations

import json
from typing import Any

import click

from connectory.cli.setup import config_options, connector, run_loop


@click.command()
@click.argument("property_", metavar="PROPERTY")
@click.option("--mode", help="With `model`: chat, completion, embedding, image, moderation, speech, ...")
@click.option("--json", "as_json", is_flag=True, help="On one line.")
@config_options
def options(property_: str, *, mode: str | None, as_json: bool, **options: Any) -> None:
    """List the values of a property as {"result": [{"text", "value"}]}.

    PROPERTY is `model`, whose values the client's server gives, or ENTITY.PROPERTY, whose values the catalogue knows.

    \b
    connectory options model --mode chat --sandbox
    connectory options images.generations.size
    """
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> list[dict[str, Any]]:
            async with made:
                return await made.options(property_, mode=mode, client=options["client"])

        found = run_loop(main)
    if as_json:
        click.echo(json.dumps({"result": found}, ensure_ascii=False))
        return
    lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in found)
    click.echo(f'{{"result": [\n{lines}\n]}}')
