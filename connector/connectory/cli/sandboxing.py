"""`sandbox`: the local server that answers like the API."""

from __future__ import annotations

import click

from connectory.cli.outcome import say


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8089, show_default=True, help="The port to listen on, 0 for a free one.")
@click.option("--token", help="Accept only this token (default: any).")
@click.option("--allow-anonymous", is_flag=True, help="Accept requests without a token, too.")
def sandbox(host: str, port: int, token: str | None, *, allow_anonymous: bool) -> None:
    """Serve the API locally, without a key and without cost, until it is interrupted."""
    from connectory.sandbox import serve

    serve(
        host, port, token=token, allow_anonymous=allow_anonymous, started=lambda uri: say(f"sandbox: {uri}")
    )
