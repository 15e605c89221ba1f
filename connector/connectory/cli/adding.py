"""`add`: a piece of a configuration, or a transformer with its test, which work as they are."""

from __future__ import annotations

import keyword
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from connectory.cli.connecting import client, incoming, outgoing, route
from connectory.cli.editing import refresh_schema
from connectory.cli.outcome import say
from connectory.cli.setup import config_path

if TYPE_CHECKING:
    from pathlib import Path

_CODE = '''\
"""The transformer `{name}`."""

from connectory import Record, TransformerError, transformer


@transformer
def {name}(record: Record, *, field: str = "text") -> Record:
    """Make one blank of several in the text of `field`, and none at its ends."""
    value = record.get(field)
    if not isinstance(value, str):
        raise TransformerError(f"{{field!r}} is {{value!r:.60}}, not a text")
    return {{**record, field: " ".join(value.split())}}
'''
_TEST = '''\
"""What the transformer `{name}` makes of records: `python -m pytest`, of the extra `connectory[testing]`, tries it."""

from pathlib import Path

from connectory.testing import Example, check_transformer

FOLDER = Path(__file__).parent.parent


def test_{name}() -> None:
    check_transformer(
        "{name}",
        Example({{"text": " Good  morning "}}, gives={{"text": "Good morning"}}),
        Example({{"title": "a  b"}}, gives={{"title": "a b"}}, options={{"field": "title"}}),
        Example({{"title": "a  b"}}, error="'text' is None, not a text"),
        folder=FOLDER,
    )
'''


@click.group()
def add() -> None:
    """Add a piece to a configuration: its comments, its order and its spaces stay as they are."""


for piece in (client, incoming, outgoing, route):
    add.add_command(piece)


@add.command()
@click.argument("name")
@click.option(
    "-c", "--config", metavar="FILE", help="Beside which configuration (default: ./connectory.yaml)."
)
def transformer(name: str, *, config: str | None) -> None:
    """Write transformers/NAME.py and tests/test_NAME.py, beside the configuration.

    \b
    connectory add transformer tidy
    """
    from connectory.plugins import transformer_names

    folder = config_path(config).parent
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        problem = "is no name for a transformer: letters, digits and _, and no word of Python's own"
        raise click.BadParameter(f"{name!r} {problem}", param_hint="NAME")
    if name in transformer_names(folder):
        problem = "is there already; 'connectory transformers show' says where"
        raise click.BadParameter(f"the transformer {name!r} {problem}", param_hint="NAME")
    if (folder / "transformers" / "__init__.py").exists():
        raise click.ClickException(
            f"{folder / 'transformers'} is a Python package; write the transformer elsewhere and name it with 'use'"
        )
    files = transformer_files(name)
    for file in files:
        if (folder / file).exists():
            raise click.ClickException(f"{folder / file} is there already; nothing was written")
    for file, text in files.items():
        _write(folder / file, text)
    refresh_schema(config_path(config))
    test = folder / "tests" / f"test_{name}.py"
    say(f"in a chain it is the step '- {name}: {{field: text}}'; test it with: python -m pytest {test}")
    if find_spec("pytest") is None:
        say("pytest is not installed here: pip install 'connectory[testing]'")


def transformer_files(name: str) -> dict[str, str]:
    """Give the code of a transformer that works as it is, and its test, by the names of their files."""
    return {
        f"transformers/{name}.py": _CODE.format(name=name),
        f"tests/test_{name}.py": _TEST.format(name=name),
    }


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    say(f"wrote {file}")
