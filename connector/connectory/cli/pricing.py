"""`prices`: a table of what models cost, for the user to fill."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.outcome import say
from connectory.cli.setup import connector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectory.connector import AsyncConnector

_PLAIN = re.compile(r"[A-Za-z][\w./-]*")
_TOKENS = ("input", "cached_input", "output")
_FIELDS = {
    "embeddings": ("input",),
    "moderations": ("request",),
    "images": ("input", "input_image", "output", "image"),
    "audio.transcriptions": ("second", "input", "input_audio", "output"),
    "audio.translations": ("second", "input", "input_audio", "output"),
    "audio.speech": ("request",),
}
"""Which prices the models of an entity may have; those of the others are by tokens."""

_MEANING = {
    "input": "a million tokens read",
    "cached_input": "a million of them from the cache; empty: as input",
    "output": "a million tokens answered, those of reasoning too",
    "input_audio": "a million tokens of sound read; empty: as input",
    "input_image": "a million tokens of pictures read; empty: as input",
    "second": "a second of sound, where the answer counts seconds",
    "image": "a picture that is made",
    "request": "an answered request; 0 where it is free",
}


@click.group()
def prices() -> None:
    """Count what runs cost, by a table of your own."""


@prices.command()
@click.option("--client", metavar="NAME", help="The client whose models they are (default: every client).")
@click.option("-c", "--config", metavar="FILE", help="Configuration file (default: ./connectory.yaml).")
def template(client: str | None, config: str | None) -> None:
    """Write a table to fill, with the models of the configuration that have no price yet.

    It states no price: those are what the operator of the server asks. Put it below the client.

    \b
    connectory prices template
    """
    with connector(config, sandbox=False, signed=False) as made:
        names = [made.assembly.clients.name(client)] if client is not None else list(made.config.clients)
        tables = {name: _models(made, name) for name in names}
        for line in _lines(made, {name: found for name, found in tables.items() if found}):
            click.echo(line)
        for name in made.config.outgoing:
            if (word := _from_record(made, name)) is not None:
                say(f"outgoing {name!r} takes its model from the record ({word}): add the models that come")
        if not any(tables.values()):
            say("every model that the configuration names has its price")


def _models(made: AsyncConnector, client: str) -> dict[str, tuple[str, ...]]:
    """Give the models that connections of a client name and that have no price, with the prices to fill."""
    from connectory.assembly import models_in, prices_of

    known, found = prices_of(made.config, client), dict[str, tuple[str, ...]]()
    for settings in made.config.outgoing.values():
        if made.assembly.clients.name(settings.client) != client:
            continue
        for model in models_in(settings.payload):
            price = None if known is None else known.find(model)
            if price is None or price.empty:
                fields = _fields(made, settings.entity)
                found[model] = tuple(dict.fromkeys((*found.get(model, ()), *fields)))
    return found


def _fields(made: AsyncConnector, entity: str | None) -> Sequence[str]:
    name = entity and made.catalogue.find(entity).name
    kind = next((one for one in _FIELDS if name and (name == one or name.startswith(f"{one}."))), None)
    return _TOKENS if kind is None else _FIELDS[kind]


def _lines(made: AsyncConnector, tables: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    if not tables:
        return
    yield "# What the models cost, as the operator of the server says. A price that stays empty is not known: what it"
    yield "# would be needed for is said to be not priced, and never counted as 0."
    yield "clients:"
    for client, models in tables.items():
        settings = made.config.clients[client].prices
        yield f"  {_key(client)}:"
        yield "    prices:"
        if settings is None:
            yield '      currency: "" # what stands behind the amounts'
            yield "      batch: 1 # what `delivery: batch` makes of each price"
        yield "      models:"
        for model, fields in models.items():
            yield f"        {_key(model)}:"
            for field in fields:
                yield f"          {field}: # {_MEANING[field]}"


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def _from_record(made: AsyncConnector, name: str) -> str | None:
    payload: Any = made.config.outgoing[name].payload
    model = payload.get("model") if isinstance(payload, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # any JSON
    return model if isinstance(model, str) and ("&{" in model or "?{" in model) else None
