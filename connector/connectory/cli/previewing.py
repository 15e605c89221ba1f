"""`preview`: the exact requests, and what each step makes of a record; nothing is created or deleted."""

from __future__ import annotations

import json
import re
import sys
from contextlib import aclosing
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, cast

import click

from connectory.cli.outcome import SOME_FAILED, Ended, say
from connectory.cli.setup import config_options, connector, parameter_options, run_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    import httpx

    from connectory.chain import Chain, Traced
    from connectory.cli.estimating import Estimate
    from connectory.cli.planning import Planned
    from connectory.cli.stepping import Stepping
    from connectory.client import Client
    from connectory.connector import AsyncConnector
    from connectory.delivery.packs import PackOption
    from connectory.delivery.publication import Part
    from connectory.interfaces import Item
    from connectory.placeholders import Template
    from connectory.publisher import Publisher
    from connectory.reading.pages import Reading
    from connectory.reading.subscription import Parent
    from connectory.requests.building import Call

_SHOWN_HEADERS = frozenset({"accept-encoding", "connection", "host", "user-agent"})
_SECRET_HEADERS = frozenset({"authorization", "api-key", "proxy-authorization"})
_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that JSON lets stand as they are, and that steer a terminal."""

_limit = click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=3, show_default=True, help="How many records."
)

_by_step = click.option(
    "--steps",
    is_flag=True,
    help="One object a step with its records, and warnings of what came to nothing in all of them.",
)


@click.group()
def preview() -> None:
    """Show what a connection would ask or send, step by step; nothing is created or deleted."""


@preview.command()
@click.argument("name")
@click.option(
    "--input",
    metavar="FILE",
    help="Where the records are that it is read for, - for stdin (default: the connection's).",
)
@_limit
@_by_step
@parameter_options
@config_options
def incoming(name: str, **options: Any) -> None:
    """Read the first items and show what each transformer makes of them.

    \b
    connectory preview incoming files --sandbox
    connectory preview incoming files --steps -n 10
    """
    with connector(options["config"], sandbox=options["sandbox"]) as made:
        run_loop(lambda: _incoming(made, name, options))


@preview.command()
@click.argument("name")
@click.option(
    "--input",
    metavar="FILE",
    help="Where the records are, - for stdin, or another form of `input` (default: the connection's, or stdin).",
)
@_limit
@click.option(
    "--all", "every", is_flag=True, help="Estimate what all records would use; the first ones are shown."
)
@_by_step
@parameter_options
@config_options
def outgoing(name: str, **options: Any) -> None:
    """Show the request of each of the first records; nothing is created or deleted. A step `request` reads.

    What the requests would use, and cost by the client's prices, is estimated: at the end, on stderr, and with --all as
    a last object too.

    \b
    connectory preview outgoing moderate --input posts.jsonl
    connectory preview outgoing moderate --input posts.jsonl --steps
    connectory preview outgoing moderate --input posts.jsonl --all
    """
    asks = _asks(options["config"], name)
    with connector(options["config"], sandbox=options["sandbox"], signed=asks) as made:
        if run_loop(lambda: _outgoing(made, name, options)):
            raise Ended(SOME_FAILED)


def _asks(config: str | None, name: str) -> bool:
    """Say whether the transformers of an outgoing ask the server: then a preview needs a token."""
    with connector(config, sandbox=False, signed=False) as made:
        return made.assembly.publication(name, run={}).chain.asks


async def _incoming(made: AsyncConnector, name: str, options: dict[str, Any]) -> None:
    from connectory.assembly import input_above
    from connectory.reading.subscription import Parent
    from connectory.requests.parameters import Given

    given = Given(options["path"], options["query"])
    read = input_above(made.assembly, name, options["input"])
    source = None if read is None else read.open()
    subscriber = made.subscriber(name, given=given, client=options["client"], source=source, look=True)
    async with made, aclosing(subscriber):
        parents: list[Any] = [None]
        if source is not None:
            items = [item async for item in source]
            parents = [Parent(one.record, (), given=True) for one in items if one.error is None]
        for level in subscriber.levels[:-1]:
            parents = [one for parent in parents[:1] for one in await _parents(made, level, parent)]
        if not parents:
            await _show_example(made, subscriber.levels[-1])
        # every record of the input is shown; of parents the first stands for all
        all_of_them = source is not None and len(subscriber.levels) == 1
        stepping = _stepping(subscriber.levels[-1].subscription.chain) if options["steps"] else None
        for parent in parents[: options["limit"] if all_of_them else 1]:
            await _show_reading(made, subscriber.levels[-1], parent, options["limit"], stepping)
        _show_steps(made, stepping)


async def _parents(made: AsyncConnector, level: Reading, parent: Parent | None) -> list[Parent]:
    """Show what asks for parents, and give the first of them."""
    async for parameters in level.sets(parent):
        _show(made, {"parents of": level.subscription.name, "request": _request(level, parameters)})
        found = await level.first_parents(parameters, parent)
        if found:
            _show(made, {"parent": found[0].record})
            return found
    return []


async def _show_example(made: AsyncConnector, level: Reading) -> None:
    """Show what would be asked for a parent, where there is none."""
    from connectory.errors import RecordError
    from connectory.reading.subscription import Parent

    wanted = level.subscription
    path = dict.fromkeys({*wanted.entity.path_parameters} - {wanted.fills}, "EXAMPLE")
    try:
        async for parameters in level.sets(Parent({wanted.parent_field: "EXAMPLE"}, (), path)):
            _show(made, {"example": True, "request": _request(level, parameters)})
    except RecordError as error:
        _show(made, {"example": True, "error": str(error)})


async def _show_reading(
    made: AsyncConnector, level: Reading, parent: Parent | None, limit: int, stepping: Stepping | None
) -> None:
    from connectory.reading.pages import as_record

    async for parameters in level.sets(parent):
        _show(made, {"request": _request(level, parameters)})
        for item in islice(await level.first_items(level.first_query(parameters)), limit):
            wanted = level.subscription
            record = wanted.kept(as_record(item), parent)
            scope = {**wanted.scope(parent), "input": record}
            traced = await wanted.chain.aside(partial(wanted.chain.trace, record, scope))
            if stepping is not None:
                stepping.add(record, scope, traced)
            else:
                _show(made, {"record": record, "steps": _steps(traced)})


def _request(level: Reading, parameters: dict[str, Any]) -> dict[str, Any]:
    call = level.call(level.first_query(parameters))
    return _described(level.client, level.client.prepare(call), call.payload)


async def _outgoing(made: AsyncConnector, name: str, options: dict[str, Any]) -> int:
    from connectory.assembly import input_of
    from connectory.cli.estimating import Estimate
    from connectory.cli.planning import Planned
    from connectory.requests.parameters import Given

    given = Given(options["path"], options["query"])
    publisher = made.publisher(name, given=given, client=options["client"])
    failed = index = 0
    every, estimate = options["every"], Estimate(publisher.publication, made.catalogue)
    shows: float = inf if options["limit"] is None else options["limit"]  # a dry run shows all
    wanted, parts = publisher.publication, list["Part"]()
    templates = {"path": wanted.path, "query": wanted.query, "payload": wanted.payload}
    templates["parameters"] = wanted.defaults.template
    stepping = _stepping(wanted.chain, templates) if options["steps"] else None
    planned = None if wanted.batch is None else Planned(wanted.batch)
    async with made, aclosing(wanted):
        source = input_of(made.config, name, options["input"]).open(limit=None if every else options["limit"])

        async def sent() -> AsyncGenerator[Part, None]:
            """Give the deliveries that can be sent; the first ones are shown."""
            nonlocal failed, index
            async for item in source:
                if index < shows:
                    failed += await _show_item(
                        made, publisher, item, index, stepping=stepping, parts=parts, planned=planned
                    )
                else:
                    failed += await _look_at(publisher, item, index, parts)
                index += 1
                for part in parts:
                    yield part
                parts.clear()

        async with aclosing(sent()) as those:
            if wanted.pack is None:
                async for part in those:
                    estimate.add(wanted.call(part))
            else:
                packs = shows if stepping is None else 0
                await _show_packs(made, publisher, wanted.pack, those, estimate, shows=packs)
    for shown in planned.shown() if planned is not None else ():
        _show(made, shown)
    _show_steps(made, stepping)
    estimate.refused = failed
    for line in estimate.lines(whole=every or shows == inf):
        say(line)
    if every:
        _show(made, estimate.as_json())
    return failed


async def _look_at(publisher: Publisher, item: Item, index: int, parts: list[Part]) -> int:
    """Keep the deliveries of an item that can be sent, and count the others."""
    from connectory.errors import RecordError

    publication, failed = publisher.publication, 0
    for part in await publication.chain.aside(
        lambda: list(publication.parts(item, index, publisher.journal.run))
    ):
        try:
            if part.error is not None:
                raise part.error
            if part.record is not None:
                publisher.client.prepare(publication.call(part))
                parts.append(part)
        except RecordError:
            failed += 1
    return failed


async def _show_item(
    made: AsyncConnector,
    publisher: Publisher,
    item: Item,
    index: int,
    *,
    stepping: Stepping | None,
    parts: list[Part],
    planned: Planned | None,
) -> int:
    """Show what becomes of an item, and keep the parts that can be sent."""
    from connectory.errors import RecordError

    publication, failed = publisher.publication, 0
    scope = {"run": publication.run, "input": item.record}
    chain = publication.chain
    traced = (
        []
        if item.error
        else await chain.aside(partial(chain.trace, item.record, scope, publication.firsts.of(item.position)))
    )
    if stepping is not None:
        stepping.add(item.record, scope, traced)
    requests: list[Any] = []
    shown: dict[str, Any] = {"record": item.record, "steps": _steps(traced), "requests": requests}
    for part in await chain.aside(lambda: list(publication.parts(item, index, publisher.journal.run))):
        try:
            if part.error is not None:
                raise part.error
            if part.record is not None:
                call = publication.call(part)
                if stepping is not None:
                    stepping.filled(part.record, {**scope, "record": part.record})
                request = _sent(publisher.client, part, call, planned)
                requests.append(request)
                parts.append(part)
                if stepping is not None:
                    stepping.add_request(request)
        except RecordError as error:
            shown["error"] = str(error)
            failed += 1
            if stepping is not None and (item.error is not None or part.record is not None):
                stepping.refuse(str(error))
    if stepping is None:
        _show(made, _without_requests(shown) if publication.pack else shown)
    return failed


def _without_requests(shown: dict[str, Any]) -> dict[str, Any]:
    """What goes with others is shown with them."""
    return {name: value for name, value in shown.items() if name != "requests"}


async def _show_packs(
    made: AsyncConnector,
    publisher: Publisher,
    option: PackOption,
    parts: AsyncGenerator[Part, None],
    estimate: Estimate,
    *,
    shows: float,
) -> None:
    """Show the first requests in which the records go together, and count all."""
    from connectory.delivery.packing.joining import Packing, packed_call

    publication, client = publisher.publication, publisher.client
    async with aclosing(Packing(publication, option, publisher.journal, parts)) as packs:
        async for pack in packs:
            call = (
                publication.call(pack.alone) if pack.alone is not None else packed_call(option, pack.members)
            )
            estimate.add(call, len(pack.parts))
            if shows > 0:
                request = _described(client, client.prepare(call), call.payload)
                _show(made, {"records": [part.id for part in pack.parts], "request": request})
            shows -= 1


def _sent(client: Client, part: Part, call: Call, planned: Planned | None) -> dict[str, Any]:
    """Describe the request of a record, or its line in the input file of a batch."""
    request = client.prepare(call)
    if planned is None:
        return _described(client, request, call.payload)
    return planned.add(part, call, None if "form" in request.extensions else request.content)


def _stepping(chain: Chain, templates: Mapping[str, Template | None] | None = None) -> Stepping:
    from connectory.cli.stepping import Stepping

    return Stepping(chain, templates=templates)


def _show_steps(made: AsyncConnector, stepping: Stepping | None) -> None:
    """Show what was collected; what came to nothing is said to the person too."""
    for line in stepping.lines() if stepping is not None else ():
        _show(made, line)
        for warning in line.get("warnings", ()):
            say(made.config.redactor.text(f"warning: {line['step']}: {warning}"))


def _described(client: Client, request: httpx.Request, payload: Any) -> dict[str, Any]:
    """Describe a request; what the client's configuration adds to every one may be secret and is not shown."""
    prototype = client.options.prototype
    known = {name.lower() for name in (prototype.organization_header, prototype.project_header) if name}
    known |= {name.lower() for name in prototype.headers}
    secret = {name.lower() for name in client.options.headers} - known | _SECRET_HEADERS
    headers = {name: value for name, value in request.headers.items() if name not in _SHOWN_HEADERS}
    masked = {name: _masked(value) if name in secret else value for name, value in headers.items()}
    url = request.url.copy_merge_params(
        dict.fromkeys(client.options.query.keys() - prototype.query.keys(), "****")
    )
    described: dict[str, Any] = {"method": request.method, "url": str(url), "headers": masked}
    form = request.extensions.get("form")
    if form is not None:
        payload = payload | form.shown  # a file is not shown, only what it is
    return described | ({"payload": payload} if payload is not None else {})


def _masked(value: str) -> str:
    scheme, space, _ = value.rpartition(" ")
    return f"{scheme}{space}****"


def _steps(traced: Iterable[Traced]) -> list[dict[str, Any]]:
    return [
        {"step": one.step, "records": one.records} | ({"error": str(one.error)} if one.error else {})
        for one in traced
    ]


def _show(made: AsyncConnector, value: dict[str, Any]) -> None:
    """Write one JSON object without secrets: on one line for programs, indented for people."""
    indent, shown = 2 if sys.stdout.isatty() else None, made.config.redactor.value(value)
    text = json.dumps(shown, ensure_ascii=False, indent=indent, default=cast("Any", str))
    click.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
