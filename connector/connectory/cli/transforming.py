"""`transformers`: what can stand in a chain, and what it makes of a record."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from connectory.cli.outcome import SOME_FAILED, USAGE, Ended, say
from connectory.cli.setup import config_path, connector, run_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.assembly import Assembly
    from connectory.chain import Chain
    from connectory.config import Config, StepConfig
    from connectory.connector import AsyncConnector
    from connectory.record import Record

folder_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="Look in the folder of this configuration too (default: ./connectory.yaml).",
)

_ONE_TEXT = ("{", "[", '"', "'")
"""How a value of `-o` begins that is read as YAML: any other is a number, true, false, null or a text."""


@click.group()
def transformers() -> None:
    """List the transformers that are installed, show one, or try it on a record."""


@transformers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@folder_option
def list_(*, as_json: bool, config: str | None) -> None:
    """List transformers: built-in ones, those of installed packages and of the configuration's folder.

    \b
    connectory transformers list
    connectory transformers list --json
    """
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
    """Show a transformer and its options.

    \b
    connectory transformers show keep_if
    """
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


@transformers.command("try")
@click.argument("name")
@click.option(
    "-o",
    "--option",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="One option of the transformer; repeat it for more. A value that begins with a bracket or a quote is YAML.",
)
@click.option(
    "--options", "text", metavar="YAML", help="All options, as they would stand behind its name in the file."
)
@click.option(
    "--input", "source", metavar="FILE", default="-", help="Where the record is (default: -, stdin)."
)
@click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="Take chains, and code beside the file, from this configuration (default: ./connectory.yaml).",
)
@click.option("--sandbox", is_flag=True, help="Let a step that asks the server ask an embedded sandbox.")
def try_(
    name: str, *, pairs: tuple[str, ...], text: str | None, source: str, config: str | None, sandbox: bool
) -> None:
    """Run one transformer, chain or MODULE:FUNCTION on a record and print what it makes of it.

    The input is one JSON object, a list of them, or one a line. A record that is dropped prints nothing.

    \b
    echo '{"name": "Ada"}' | connectory transformers try rename --options '{name: full_name}'
    connectory transformers try chunk -o field=text -o size=200 --input page.json
    connectory transformers try keep_if --options "status == 'done'" --input jobs.jsonl
    """
    loaded = _config(config)
    step = _step(name, pairs, text, loaded)
    with connector(config, sandbox=sandbox, optional=True) as made:
        chain = _chain(name, step, made.assembly, loaded)
        failed = run_loop(lambda: _try_out(made, chain, source))
    if failed:
        say(_help_with(name, loaded))
        raise Ended(SOME_FAILED)


async def _try_out(made: AsyncConnector, chain: Chain, source: str) -> int:
    """Print what the chain makes of each record, and give how many it cannot shape."""
    from connectory.errors import RecordError
    from connectory.text.json import dumps

    failed, redactor = 0, made.config.redactor
    async with made:
        try:
            for number, record in _records(source):
                scope = {"input": record, "run": {}}
                try:
                    given = await chain.aside(lambda: list(chain.apply(record, scope)))  # noqa: B023 - awaited at once
                except RecordError as error:
                    say(redactor.text(f"record {number}: {error}"))
                    failed += 1
                    continue
                if not given:
                    say(f"record {number}: dropped")
                for one in given:
                    sys.stdout.buffer.write(dumps(redactor.value(one)) + b"\n")
                sys.stdout.buffer.flush()
        finally:
            await chain.close()
    return failed


def _chain(name: str, step: StepConfig, assembly: Assembly, config: Config | None) -> Chain:
    """Build the chain of one step; what is wrong with it was typed, and is in no file."""
    from connectory.errors import ConfigError

    try:
        return assembly.chain([step])
    except ConfigError as error:
        for problem in error.problems:
            say(f"error: {problem.message}")
        say(_help_with(name, config))
        raise Ended(USAGE) from None


def _help_with(name: str, config: Config | None) -> str:
    from connectory.plugins import transformer_names

    known = name in transformer_names(_folder(config))
    return f"connectory transformers {f'show {name}' if known else 'list'}"


def _folder(config: Config | None) -> Path:
    return (config and config.folder) or Path.cwd()


def _config(given: str | None) -> Config | None:
    path = config_path(given)
    if given is None and not path.exists():
        return None
    from connectory.config import load_config

    return load_config(path)


def _step(name: str, pairs: tuple[str, ...], text: str | None, config: Config | None) -> StepConfig:
    """Make the step that `NAME` and its options stand for in a file."""
    from pydantic import ValidationError

    from connectory.config import parse_step

    if pairs and text is not None:
        raise click.UsageError("give the options with -o or with --options, not both")
    written: Any = _by_name(name, dict(map(_pair, pairs)), _folder(config)) if pairs else None
    if text is not None:
        written = _yaml(text, "--options")
    try:
        if ":" in name:
            return parse_step({"use": name} | ({} if written is None else {"options": written}))
        return parse_step({"prototype": name} | ({} if written is None else {"parameters": written}))
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise click.BadParameter(f"{name!r} {reason}", param_hint="NAME") from None


def _by_name(name: str, given: dict[str, Any], folder: Path) -> Any:
    """Give the options as a file would have them: of a transformer with one option, that option's value alone."""
    from connectory.plugins import load_transformer, transformer_names

    known = name in transformer_names(folder)
    found = load_transformer(name, folder=folder) if known else None
    alone = found is not None and list(found.options) == list(given) == [found.value]
    return next(iter(given.values())) if alone else given


def _pair(text: str) -> tuple[str, Any]:
    from connectory.config.document import scalar

    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise click.BadParameter(
            f"{text!r} is not KEY=VALUE; what stands behind the name as a whole goes to --options",
            param_hint="-o",
        )
    return key, _yaml(value, f"-o {key}") if value.startswith(_ONE_TEXT) else scalar(value)


def _yaml(text: str, what: str) -> Any:
    """Read YAML; a text that could not stand in a file without quotes is taken as the text that it is."""
    from connectory.config.document import parse
    from connectory.errors import ConfigError

    try:
        document = parse(text, file=what)
        problems = document.problems
    except ConfigError as error:
        document, problems = None, list(error.problems)
    if document is not None and not problems:
        return document.data
    if text.lstrip().startswith(("{", "[")) or "\n" in text.strip():
        raise click.BadParameter(f"no YAML: {problems[0].message}", param_hint=what.split(maxsplit=1)[0])
    return text


def _records(source: str) -> Iterator[tuple[int, Record]]:
    """Read one object, a list of objects, or one a line."""
    from connectory.text.json import JsonTextError, loads_unique

    what = "stdin" if source == "-" else source
    raw = _read(source)
    if not raw.strip():
        raise click.UsageError(f"{what} is empty: give a record, such as '{{\"id\": 1}}'")
    try:
        found: Any = loads_unique(raw)
    except JsonTextError as error:
        lines = [(number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
        if len(lines) == 1 or not lines[0][1].rstrip().endswith(b"}"):
            raise click.UsageError(f"{what} is no JSON: {error}") from None
        for number, line in lines:
            try:
                yield number, _record(loads_unique(line), f"{what}, line {number}")
            except JsonTextError as wrong:
                raise click.UsageError(f"{what}, line {number} is no JSON: {wrong}") from None
        return
    several = cast("list[object]", found) if isinstance(found, list) else [found]
    for number, one in enumerate(several, 1):
        yield number, _record(one, f"{what}, record {number}")


def _record(value: Any, what: str) -> Record:
    if not isinstance(value, dict):
        raise click.UsageError(f"{what} is no JSON object, and a record is one")
    return cast("Record", value)


def _read(source: str) -> bytes:
    if source == "-":
        if sys.stdin.isatty():
            say("reading a record from stdin; end it with Ctrl-D")
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.BadParameter(f"cannot read {source!r}: {reason}", param_hint="--input") from None


def _as_dict(one: Any) -> dict[str, Any]:
    options = [{"name": o.name, "type": o.type, "required": o.required} for o in one.options]
    problem = {"problem": one.problem} if one.problem else {}
    return {"name": one.name, "origin": one.origin, "doc": one.doc, "options": options, **problem}
