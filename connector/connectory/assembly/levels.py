"""What stands over an incoming when it is read: its parents with their clients, its input, its memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connectory.assembly.ends import input_of
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from connectory.assembly.connections import Assembly
    from connectory.assembly.ends import Input
    from connectory.reading.subscription import Subscription


def levels_above(
    assembly: Assembly, subscription: Subscription, client: str | None
) -> list[tuple[Subscription, str | None]]:
    """Give the parents of an incoming, outermost first, each with the name of its client.

    A parent is known by the field that fills its child's URL. A `client` that is given instead is that of all of them.
    """
    levels: list[tuple[Subscription, str | None]] = []
    child, chosen = subscription, client or assembly.incoming(subscription.name).client
    for level in reversed(assembly.above(subscription.name, run=subscription.run)):
        if client is None and level.incoming is not None:
            chosen = level.client
        child = replace(level.subscription, own_field=child.parent_field if child.fills else "id")
        levels.insert(0, (child, chosen))
    return levels


def remembers(assembly: Assembly, name: str) -> bool:
    """Say whether an incoming, or one of its parents, asks what earlier runs read."""
    own = assembly.subscription(name, run={})
    return own.remembers or any(one.subscription.remembers for one in assembly.above(name, run={}))


def input_above(assembly: Assembly, name: str, given: str | None = None) -> Input | None:
    """Find the records for which an incoming is read: those that the command line gives, else its `input`."""
    owner = assembly.input_of(name)
    if owner is None and given is not None:
        raise ConfigError(f"incoming {name!r} has no 'input'; there is nothing that its records would fill")
    return None if owner is None else input_of(assembly.config, owner, given, kind="incoming")
