"""`catalogue`: a catalogue of one's own, from any OpenAPI document, and what changed between two."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connectory.cli.outcome import SOME_FAILED, Ended, say

if TYPE_CHECKING:
    from collections.abc import Generator


@click.group()
def catalogue() -> None:
    """Build a catalogue for another server, or compare two."""


@catalogue.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "folder", default=".", metavar="DIR", type=click.Path(path_type=Path),
    help="The folder to write to (default: this one).",
)  # fmt: skip
@click.option("--name", help="The name of the files (default: the document's title).")
def build(spec: Path, folder: Path, name: str | None) -> None:
    """Build a catalogue of an OpenAPI 3 document, in JSON or YAML.

    \b
    connectory catalogue build openapi.json -o catalogue --name acme
    """
    from connectory_schemas.generate import build as build_catalogue

    with _told(f"building a catalogue of {str(spec)!r}"):
        files, left_out = build_catalogue(spec, folder, name=name)
    for operation in left_out:
        say(f"left out: {operation} (actions are GET, POST and DELETE)")
    for file in files:
        say(f"wrote {file}")
    say(f"add to connectory.yaml: catalogue: [{files[0]}]")


@catalogue.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def diff(before: Path, after: Path, *, as_json: bool) -> None:
    """Tell what changed between two OpenAPI documents or catalogue files.

    The exit code is 1 when something did.

    \b
    connectory catalogue diff openapi.json openapi.new.json
    """
    from connectory_schemas.diff import changes, read

    with _told(f"comparing {str(before)!r} with {str(after)!r}"):
        found = changes(read(before), read(after))
    for one in found:
        click.echo(json.dumps(asdict(one), ensure_ascii=False) if as_json else str(one))
    if found:
        raise Ended(SOME_FAILED, failed=False)


@contextmanager
def _told(doing: str) -> Generator[None, None, None]:
    """Say what was being done when a document cannot be read or used."""
    from connectory_schemas.errors import GenerateError

    try:
        yield
    except GenerateError as error:
        raise click.UsageError(f"{doing}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{doing}: {error.strerror or error}: {str(error.filename)!r}") from error
