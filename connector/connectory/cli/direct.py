"""`read`, `create`, `delete` and `request`: the API without a named connection."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.outcome import say
from connectory.cli.setup import config_options, confirm, connector, parameter_options, payload_of, run_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

_payload = click.option("--payload", metavar="JSON", help="The request body: JSON, @FILE, or - for stdin.")

_output = click.option(
    "--output", metavar="FILE", help="Where the answer goes; one that is no JSON as it came."
)


@click.command()
@click.argument("entity")
@_output
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many items.")
@parameter_options
@config_options
def read(entity: str, **options: Any) -> None:
    """Read an entity: every item of every page, one JSON object a line.

    \b
    connectory read models
    connectory read file --path file_id=file-abc123
    connectory read file.content --path file_id=file-abc123 --output rows.jsonl
    """
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> None:
            from connectory.adapters.linesink import LineSink
            from connectory.formats.pouring import pouring_of
            from connectory.requests.parameters import Given

            given = Given(options["path"], options["query"])
            read = partial(made.reader, entity, given=given, client=options["client"], limit=options["limit"])
            response = made.catalogue.find(entity, "read").actions["read"].response
            output = None if options["output"] == "-" else options["output"]
            async with made:
                if output is not None and response.kind in {"binary", "text"}:
                    async for page in read(save_to=output).pages():
                        _say_saved(page.records)
                    return
                sink = LineSink(output or "-", pouring=pouring_of(output or "-"))
                try:
                    async for page in read().pages():
                        await sink.write(page.records)
                        await sink.flush()
                except BaseException:
                    await sink.abandon()
                    raise
                await sink.close()

        run_loop(main)


@click.command()
@click.argument("entity")
@_payload
@_output
@parameter_options
@config_options
def create(entity: str, **options: Any) -> None:
    """Create one entity and print the answer.

    \b
    connectory create moderations --payload '{"input": "hi"}'
    connectory create files --payload '{"purpose": "batch", "file": {"path": "rows.jsonl"}}'
    """
    payload = payload_of(options["payload"])
    output = None if options["output"] == "-" else options["output"]
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> None:
            async with made:
                result = await made.create(
                    entity,
                    payload=payload,
                    path=options["path"],
                    query=options["query"],
                    client=options["client"],
                    save_to=output,
                )
            if output is None:
                _write([result.response])
            else:
                _say_saved([result.response])

        run_loop(main)


@click.command()
@click.argument("entity")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@parameter_options
@config_options
def delete(entity: str, **options: Any) -> None:
    """Delete one entity and print the answer.

    \b
    connectory delete file --path file_id=file-abc123 --yes
    """
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:
        made.catalogue.find(entity, "delete")
        confirm(f"delete 1 {entity}?", yes=options["yes"])

        async def main() -> None:
            async with made:
                result = await made.delete(
                    entity, path=options["path"], query=options["query"], client=options["client"]
                )
            _write([result.response])

        run_loop(main)


@click.command()
@click.argument("method")
@click.argument("path")
@_payload
@click.option("--query", metavar="KEY=VALUE", multiple=True, help="A query parameter; repeat it for more.")
@config_options
def request(method: str, path: str, **options: Any) -> None:
    """Send a raw request with the client's credentials, only ever to the client's own server.

    \b
    connectory request GET /models/gpt-5-mini
    """
    payload = payload_of(options["payload"])
    query = dict(pair.partition("=")[::2] for pair in options["query"])
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> None:
            async with made:
                answer = await made.request(
                    method, path, query=query, payload=payload, client=options["client"]
                )
            say(f"{answer.status} {answer.request_id or ''}".rstrip())
            _write([answer.value])

        run_loop(main)


def _say_saved(files: Iterable[Any]) -> None:
    for one in files:
        say(f"{one['path']}: {one['bytes']} bytes, {one['mime_type']}")


def _write(lines: Iterable[Any]) -> None:
    from connectory.text.json import dumps

    for line in lines:
        sys.stdout.buffer.write(dumps(line) + b"\n")
    sys.stdout.buffer.flush()
