"""`schema`: what may stand in a configuration, for editors; and the file that they read it from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connectory.cli.outcome import say
from connectory.cli.setup import catalogue_option, config_path

if TYPE_CHECKING:
    from collections.abc import Collection

    from connectory.catalogue import Catalogue

SCHEMA = Path(".connectory") / "schema.json"
MODELINE = f"# yaml-language-server: $schema={SCHEMA.as_posix()}"
"""What tells an editor, in the first line of a configuration, where its schema is."""

REFRESH = "connectory schema --write"


@click.command()
@click.option("--write", is_flag=True, help=f"Write it to {SCHEMA.as_posix()} beside the configuration.")
@catalogue_option
def schema(config: str | None, *, write: bool) -> None:
    """Print the JSON Schema of the configuration, for editors.

    It has every transformer that is there, the entities of the catalogue and of the configuration's own catalogue
    files, and the names of its chains.

    \b
    connectory schema --write
    connectory schema > connectory.schema.json
    """
    path = config_path(config)
    text = schema_text(path, needed=config is not None)
    if not write:
        click.echo(text, nl=False)
        return
    file = path.parent / SCHEMA
    say(f"wrote {file}" if write_schema(file, text) else f"{file} is up to date")
    if path.exists() and MODELINE not in path.read_text(encoding="utf-8", errors="replace"):
        say(f"editors find it by a first line in {path}: {MODELINE}")


def schema_text(path: Path, *, needed: bool = True) -> str:
    """Make the schema for a configuration, which may have mistakes; where it is not `needed` there may be none."""
    from connectory.catalogue import Catalogue
    from connectory.config import config_schema
    from connectory.plugins import list_transformers

    catalogue, chains = (Catalogue.load(), ()) if not needed and not path.exists() else _own(path)
    made = config_schema(catalogue, list_transformers(path.parent), chains)
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _own(path: Path) -> tuple[Catalogue, Collection[str]]:
    """Give the catalogue with the configuration's files, and the names of its chains. Raises ConfigError."""
    from connectory.catalogue import Catalogue
    from connectory.config import examine
    from connectory.errors import ConfigError

    found, config, catalogue = examine(path, Catalogue.load())
    if config is None or catalogue is None:
        raise ConfigError([one for one in found if one.severity == "error"])
    return catalogue, tuple(config.transformers)


def write_schema(file: Path, text: str) -> bool:
    """Write the schema where editors look for it; False when it is there already. Raises StorageError."""
    from connectory.errors import StorageError
    from connectory.files.private import make_folder
    from connectory.files.storage import why, write_whole

    try:
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return False
        make_folder(file.parent)
        write_whole(file, text.encode())
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else "it is no text"
        raise StorageError(f"cannot write {str(file)!r}: {reason}") from error
    return True


def is_stale(path: Path) -> bool:
    """Say whether the schema beside a configuration says something else than is true now."""
    file = path.parent / SCHEMA
    try:
        return file.is_file() and file.read_text(encoding="utf-8") != schema_text(path)
    except (OSError, ValueError):
        return True


def refresh_schema(path: Path) -> None:
    """Write the schema anew where a configuration has one."""
    from connectory.errors import ConfigError

    file = path.parent / SCHEMA
    if not file.is_file():
        return
    try:
        text = schema_text(path, needed=False)
    except ConfigError:  # lint tells what is wrong
        return
    if write_schema(file, text):
        say(f"wrote {file}")
