"""`check`: does each client reach its server, and does the server accept it."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import click

from connectory.cli.following import config_option
from connectory.cli.outcome import Ended, exit_code, say
from connectory.cli.setup import config_options, connector, run_loop
from connectory.errors import ConfigError, ConnectoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.client import Client
    from connectory.connector import AsyncConnector


@click.command()
@click.argument("clients", nargs=-1)
@config_options
def check(clients: Sequence[str], **options: Any) -> None:
    """Reach the server of each client: name, connection, token, models, limits.

    \b
    connectory check
    connectory check openai --sandbox
    """
    with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:
        names = clients or ([options["client"]] if options["client"] else list(made.config.clients))
        code = run_loop(lambda: _check_all(made, names))
    if code:
        say(f"connectory doctor{config_option()}")
        raise Ended(code)


async def _check_all(made: AsyncConnector, names: Sequence[str]) -> int:
    codes: list[int] = []
    async with made:
        for name in names:
            try:
                client = made.client(name)
                say(f"{name}  {client.options.base_uri}  ({client.options.prototype.name})")
                await _check(made, client)
            except ConnectoryError as error:
                say(f"  failed: {error}", lines=isinstance(error, ConfigError))
                codes.append(exit_code(error))
    failed = len(codes)
    say(f"{len(names) - failed} of {len(names)} clients are ready")
    return max(codes, default=0)


async def _check(made: AsyncConnector, client: Client) -> None:
    parts = urlsplit(client.options.base_uri)
    proxy = made.config.clients[client.name].proxy
    if proxy:  # never one of the environment
        way = urlsplit(proxy)
        say(f"  proxy    {way.hostname}:{way.port or 80}")
    since = time.perf_counter()
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port, type=socket.SOCK_STREAM
        )
        say(f"  name     {parts.hostname} is {found[0][4][0]} ({_ms(since)})")
    except socket.gaierror as error:  # the request below says it again, with its exit code
        say(f"  name     {parts.hostname}: {error.strerror}")
    since = time.perf_counter()
    answer = await made.request("GET", "/models", client=client.name)
    say(f"  answer   GET /models {answer.status}, {_count(answer.value)} models ({_ms(since)})")
    for kind in ("requests", "tokens"):
        limit = answer.headers.get(f"x-ratelimit-limit-{kind}")
        if limit:
            say(
                f"  limit    {limit} {kind} a minute, {answer.headers.get(f'x-ratelimit-remaining-{kind}')} left"
            )


def _count(value: Any) -> int:
    models = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else None
    return len(models) if isinstance(models, list) else 0  # pyright: ignore[reportUnknownArgumentType] - JSON holds anything


def _ms(since: float) -> str:
    return f"{(time.perf_counter() - since) * 1000:.0f} ms"
