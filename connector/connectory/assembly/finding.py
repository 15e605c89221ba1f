"""Finds everything that is wrong with connections: what was found is left out, and the rest is resolved again."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from connectory.assembly.connections import Assembly
from connectory.assembly.ends import used_problems
from connectory.assembly.payloads import payload_problems
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.errors import Problem

_TARGET = frozenset({"entity", "request", "action", "client", "dialect", "files_root", "each"})
"""Options without which others would look wrong."""

_STEPS = frozenset({"transformers", "input_transformers", "response_transformers"})


def problems(config: Config, catalogue: Catalogue, *, beside: Collection[Problem] = ()) -> list[Problem]:
    """Resolve every connection, and give everything that is wrong with any.

    `beside` are problems that were found before: connections that have one are left out. What waits for an environment
    variable is not looked at.
    """
    found: dict[Problem, None] = {}
    for kind in ("incoming", "outgoing"):
        for name in getattr(config, kind):
            if _is_sound(config, kind, name, beside):
                found |= dict.fromkeys(_wrong(config, catalogue, kind, name))
    return list(found | dict.fromkeys(used_problems(config)))


def _wrong(config: Config, catalogue: Catalogue, kind: str, name: str) -> Iterator[Problem]:
    place = (kind, name)
    waiting = {
        str(one.path[2]) for one in config.unset if one.path[:2] == place and len(one.path) > len(place)
    }
    while not waiting & _TARGET:
        config = config.without(place, waiting)
        assembly = Assembly(config, catalogue)
        try:
            if kind == "outgoing":
                publication = assembly.publication(name, run={})
                yield from payload_problems(config, publication, catalogue)
            else:
                assembly.subscription(name, run={})
                assembly.above(name, run={})
        except ConfigError as error:
            yield from error.problems
            named = set(chain.from_iterable(_options(one, f"{kind}.{name}.") for one in error.problems))
            waiting = named & getattr(config, kind)[name].model_fields_set
            if not waiting:
                return
        else:
            return


def _options(problem: Problem, place: str) -> Collection[str]:
    """Name the options that have to do with a problem."""
    if problem.path.startswith("transformers."):
        return _STEPS
    return [problem.path.removeprefix(place).partition(".")[0]] if problem.path.startswith(place) else []


def _is_sound(config: Config, kind: str, name: str, beside: Collection[Problem]) -> bool:
    """Say whether nothing is known to be wrong with a connection and what it is read for."""
    while name in getattr(config, kind):
        if any(f"{one.path}.".startswith(f"{kind}.{name}.") for one in beside):
            return False
        each = (config.incoming[name].each if kind == "incoming" else None) or ""
        if not each.startswith("incoming:"):
            return True
        name = each.removeprefix("incoming:")
    return False
