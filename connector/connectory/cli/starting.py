"""`init`: a project that runs at once, and that an editor knows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from connectory.cli.adding import transformer_files
from connectory.cli.editing import MODELINE, SCHEMA, schema_text, write_schema
from connectory.cli.outcome import say
from connectory.cli.setup import CONFIG_NAME

_OPENAI = "https://api.openai.com/v1"
_CONFIG = """\
{modeline}
# What is read and written, and how. `connectory lint` checks this file; every command takes --sandbox, for which no
# key is needed.
version: 1

clients:
  openai:
{client}

incoming:
  # connectory run incoming models --sandbox
  models:
    entity: models

outgoing:
  # connectory run outgoing moderate --sandbox
  moderate:
    entity: moderations
    input: texts.jsonl
    transformers:
{steps}
    payload: {{model: omni-moderation-latest, input: "&{{text}}"}}
    result: {{id: "&{{input.id}}", flagged: "&{{response.results[0].flagged}}"}}
    tests:
      - name: the text is what is moderated
        given: {{id: a, text: "{given}"}}
        request: {{payload: {{model: omni-moderation-latest, input: Good morning}}}}
      - name: an empty text is not sent
        given: {{id: b, text: ""}}
        request: []
"""
_KEY_LINE = '    token: "${OPENAI_API_KEY}" # read from the environment when something is sent'
_TIDY = "      - tidy: {field: text} # yours: transformers/tidy.py"
_KEEP = "      - keep_if: \"text != ''\""
_TEXTS = """\
{"id": "a", "text": "  Good   morning "}
{"id": "b", "text": "Good night"}
{"id": "c", "text": ""}
"""
_IGNORED = (".connectory/", ".env", ".venv/", "__pycache__/")
_ENVIRONMENT = """\
# Copy this to .env, which stays on this machine, and load it into the shell: set -a; . ./.env; set +a
OPENAI_API_KEY=
"""
_SETTINGS = {
    "[yaml]": {
        "editor.insertSpaces": True,
        "editor.tabSize": 2,
        "editor.quickSuggestions": {"other": True, "comments": False, "strings": True},
    }
}
_EXTENSIONS = {"recommendations": ["redhat.vscode-yaml"]}


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--base-uri", metavar="URI", help=f"The server, where it is not the OpenAI API (default: {_OPENAI})."
)
@click.option("--no-input", is_flag=True, help="Ask nothing.")
def init(folder: Path, *, base_uri: str | None, no_input: bool) -> None:
    """Write a project that runs at once, in the sandbox, and that an editor knows.

    A file that is there already stays as it is; only the schema for editors is written anew.

    \b
    connectory init shop
    connectory init --no-input
    """
    config = folder / CONFIG_NAME
    is_new = not config.exists()
    if is_new and base_uri is None and not no_input and sys.stdin.isatty() and sys.stderr.isatty():
        base_uri = click.prompt("Which server?", default=_OPENAI, err=True)
    if base_uri is not None:
        _refuse_wrong(base_uri)
    folder.mkdir(parents=True, exist_ok=True)
    if not is_new:
        say(f"kept {config}, which is there already")
    for name, text in _files(folder, base_uri, is_new=is_new).items():
        _write(folder, name, text)
    file = folder / SCHEMA
    say(f"wrote {file}" if write_schema(file, schema_text(config)) else f"{file} is up to date")
    if not is_new and MODELINE not in config.read_text(encoding="utf-8", errors="replace"):
        say(f"editors find the schema by a first line in {config}: {MODELINE}")
    say("next, without a key:" if is_new else "next:")
    for line in _next(folder, is_new=is_new):
        say(line)


def _files(folder: Path, base_uri: str | None, *, is_new: bool) -> dict[str, str]:
    """Give the files of the project; the example comes with a new configuration only."""
    files: dict[str, str] = {}
    if is_new:
        own = not (folder / "transformers" / "__init__.py").exists()  # that would be a package of somebody's
        files = {CONFIG_NAME: _configuration(base_uri, own=own), "texts.jsonl": _TEXTS}
        files |= transformer_files("tidy") if own else {}
    return {
        **files,
        ".gitignore": "".join(f"{line}\n" for line in _IGNORED),
        ".env.example": _ENVIRONMENT,
        ".vscode/settings.json": json.dumps(_SETTINGS, indent=2) + "\n",
        ".vscode/extensions.json": json.dumps(_EXTENSIONS, indent=2) + "\n",
    }


def _configuration(base_uri: str | None, *, own: bool) -> str:
    server: list[str] = []
    if base_uri not in (None, _OPENAI):
        server = ["    prototype: openai-compatible", f"    base_uri: {json.dumps(base_uri)}"]
    return _CONFIG.format(
        modeline=MODELINE,
        client="\n".join([*server, _KEY_LINE]),
        steps="\n".join([_TIDY, _KEEP] if own else [_KEEP]),
        given=" Good  morning " if own else "Good morning",
    )


def _refuse_wrong(base_uri: str) -> None:
    from connectory.config import config_from_dict
    from connectory.errors import ConfigError

    try:
        config_from_dict({"version": 1, "clients": {"openai": {"token": "x", "base_uri": base_uri}}})
    except ConfigError as error:
        raise click.BadParameter(error.problems[0].message, param_hint="--base-uri") from None


def _write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        missing = _missing(file) if name == ".gitignore" else ""
        say(f"kept {file}, which is there already{missing}")
    else:
        say(f"wrote {file}")


def _missing(file: Path) -> str:
    """Name what a list of ignored files should have too."""
    written = {
        line.strip().strip("/") for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    }
    wanted = [line for line in _IGNORED[:2] if line.strip("/") not in written]
    return f"; add to it: {' '.join(wanted)}" if wanted else ""


def _next(folder: Path, *, is_new: bool) -> list[str]:
    if not is_new:
        return ["connectory lint"]
    enter = [] if folder == Path() else [f"cd {folder}"]
    commands = ("lint", "test", "preview outgoing moderate --sandbox", "run outgoing moderate --sandbox")
    return [*enter, *(f"connectory {command}" for command in commands)]
