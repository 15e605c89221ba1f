"""`sandbox`: the local server that answers like the API."""

from __future__ import annotations

from typing import Any

import click

from connectory.cli.outcome import say
from connectory.errors import ConfigError

FAULTS_HELP = (
    "Let a share of the requests go wrong, as in 429:0.1 for every tenth; may be given several times. "
    "Kinds: a status from 400 to 599 (also with a code, 429:insufficient_quota:0.01), html, bad-json, truncate, "
    "slow, drop."
)


def _faults(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> Any:
    from connectory.sandbox.faults import Faults, parse

    try:
        return Faults(parse(texts)).rates
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8089,
    show_default=True,
    help="The port to listen on, 0 for a free one.",
)
@click.option("--token", help="Accept only this token (default: any).")
@click.option("--allow-anonymous", is_flag=True, help="Accept requests without a token, too.")
@click.option("--fault", "faults", multiple=True, metavar="KIND:RATE", callback=_faults, help=FAULTS_HELP)
@click.option("--seed", default=0, show_default=True, help="Another seed lets other requests go wrong.")
def sandbox(
    host: str,
    port: int,
    token: str | None,
    faults: dict[str, float],
    seed: int,
    *,
    allow_anonymous: bool,
) -> None:
    """Serve the API locally, without a key and without cost, until it is interrupted.

    \b
    connectory sandbox
    connectory sandbox --port 9000 --fault 429:0.1 --fault drop:0.01
    """
    from connectory.sandbox import serve

    serve(
        host,
        port,
        token=token,
        allow_anonymous=allow_anonymous,
        faults=faults,
        seed=seed,
        started=lambda uri: say(f"sandbox: {uri}"),
    )
