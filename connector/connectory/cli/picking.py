"""`options`: the values that a property can have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.setup import config_options, connector, run_loop
from connectory.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from connectory.catalogue import Catalogue


def _shown(catalogue: Catalogue, place: str) -> str:
    """Give the command that shows which properties there are: of the entity, where one is named."""
    words = place.split(".")
    names = (".".join(words[:count]) for count in range(len(words), 0, -1))
    found = next((name for name in names if name in catalogue), None)
    return "connectory entities list" if found is None else f"connectory entities show {found}"


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

        try:
            found = run_loop(main)
        except UnknownNameError:
            raise
        except ConfigError as error:
            error.command = error.command or _shown(made.catalogue, property_)
            raise
    if as_json:
        click.echo(json.dumps({"result": found}, ensure_ascii=False))
        return
    lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in found)
    click.echo(f'{{"result": [\n{lines}\n]}}')
