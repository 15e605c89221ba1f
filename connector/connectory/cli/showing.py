"""`config show`: the configuration as it is in force, and where each value comes from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.setup import config_options, config_path
from connectory.text.redaction import blank, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connectory.config import Effective

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@click.group()
def config() -> None:
    """See the configuration as it is in force."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--all", "whole", is_flag=True, help="Show those too that are empty because nobody gave them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --origin one for each value.")
@config_options
def show(*, origin: bool, whole: bool, as_json: bool, **options: Any) -> None:
    """Show every value that is in force, defaults too, as YAML. Secrets are stars.

    With --origin each line ends with where its value comes from: a line of the file, a variable of the environment, an
    option of this command line, what a prototype or an entity brings, or the default.

    \b
    connectory config show --origin
    connectory config show --client local --json
    """
    found = [one for one in _values(options) if whole or not one.is_empty]
    if as_json and origin:
        for one in found:
            line = {
                "path": one.path,
                "value": one.value,
                "origin": one.origin,
                "file": one.file,
                "line": one.line,
            }
            click.echo(blank(json.dumps(line, ensure_ascii=False)))
    elif as_json:
        click.echo(blank(json.dumps(_nested(found), ensure_ascii=False)))
    else:
        for text in _lines(found, origin=origin):
            click.echo(visible(blank(text)))


def _values(options: dict[str, Any]) -> Iterator[Effective]:
    """Give the values, with what the command line says instead of the file."""
    from connectory.catalogue import Catalogue
    from connectory.config import Effective, effective, load_config
    from connectory.errors import UnknownNameError

    loaded = load_config(config_path(options["config"]))
    catalogue = Catalogue.load(*(loaded.file(name) for name in loaded.catalogue))
    client = options["client"]
    if client is not None and client not in loaded.clients:
        raise UnknownNameError("client", client, loaded.clients)
    for one in effective(loaded, catalogue, given={"client": client} if client else {}):
        of_client = one.path[:1] == ("clients",)
        if options["sandbox"] and of_client and one.path[-1] in {"base_uri", "token"}:
            value = "http://127.0.0.1/v1" if one.path[-1] == "base_uri" else "****"
            yield Effective(one.path, value, "--sandbox")
        else:
            yield one


def _nested(found: Iterable[Effective]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for one in found:
        place = whole
        for key in one.path[:-1]:
            place = place.setdefault(str(key), {})
        place[str(one.path[-1])] = one.value
    return whole


def _lines(found: Iterable[Effective], *, origin: bool) -> Iterator[str]:
    """Write the values as YAML, one a line; what each is below is written once."""
    above: tuple[Any, ...] = ()
    for one in found:
        path = one.path
        same = 0
        while same < len(path) - 1 and path[: same + 1] == above[: same + 1]:
            same += 1
        for depth in range(same, len(path) - 1):
            yield f"{'  ' * depth}{_word(path[depth])}:"
        above = path[:-1]
        place = f"{one.file}:{one.line}" if one.line else ""
        where = place if one.origin == "file" else f"{one.origin} ({place})" if place else one.origin
        comment = f"  # {where}" if origin else ""
        yield f"{'  ' * (len(path) - 1)}{_word(path[-1])}: {_word(one.value)}{comment}"


def _word(value: Any) -> str:
    """Write a value on one line, in quotes where YAML would read something else."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
