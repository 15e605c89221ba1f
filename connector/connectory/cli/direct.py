"""`read`, `create`, `delete` and `request`: the API without a named connection."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.outcome import say
from connectory.cli.setup import config_options, confirm, connector, parameter_options, payload_of, run_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

_payload = click.option("--payload", metavar="JSON", help="The request body: JSON, @FILE, or - for stdin.")


@click.command()
@click.argument("entity")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many items.")
@parameter_options
@config_options
def read(entity: str, **options: Any) -> None:
    """Read an entity: every item of every page, one JSON object a line.

    \b
    connectory read models
    connectory read file --path file_id=file-abc123
    """
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> None:
            from connectory.parameters import Given

            given = Given(options["path"], options["query"])
            reader = made.reader(entity, given=given, client=options["client"], limit=options["limit"])
            async with made:
                async for page in reader.pages():
                    _write(page.records)

        run_loop(main)


@click.command()
@click.argument("entity")
@_payload
@parameter_options
@config_options
def create(entity: str, **options: Any) -> None:
    """Create one entity and print the answer.

    \b
    connectory create moderations --payload '{"input": "hi"}'
    """
    payload = payload_of(options["payload"])
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:

        async def main() -> None:
            async with made:
                result = await made.create(
                    entity,
                    payload=payload,
                    path=options["path"],
                    query=options["query"],
                    client=options["client"],
                )
            _write([result.response])

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


def _write(lines: Iterable[Any]) -> None:
    from connectory.jsontext import dumps

    for line in lines:
        sys.stdout.buffer.write(dumps(line) + b"\n")
    sys.stdout.buffer.flush()
