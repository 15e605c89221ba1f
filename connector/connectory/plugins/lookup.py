"""A name from the configuration, turned into a transformer."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, UnknownNameError
from connectory.plugins.folder import file_of, files_of, load_file
from connectory.plugins.importing import fetch
from connectory.plugins.signatures import Option, Transformer, read_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint
    from pathlib import Path

BUILT_IN = "connectory_transformers"
GROUP = "connectory.transformers"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of transformers; `problem` says why it cannot be loaded.

    `schema` is the JSON Schema of its options, and `examples` are some; `alone` says that it can be a step without any.
    """

    name: str
    origin: str
    doc: str = ""
    description: str = ""
    options: tuple[Option, ...] = ()
    problem: str = ""
    schema: Any = None
    alone: bool = False
    examples: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Origin:
    """A place that has a transformer of a name: what to call it, the code, and what to do when it is one too many."""

    title: str
    code: str
    load: Callable[[], Any]
    remedy: str = ""


def load_transformer(name: str, *, also: Iterable[str] = (), folder: Path | None = None) -> Transformer:
    """Find a transformer by its name; a wrong name suggests the nearest one, of those in `also` too.

    `folder` is the configuration's, whose folder `transformers` may have it. Raises ConfigError.
    """
    origins = _origins(name, folder)
    if not origins:
        hint = "'connectory transformers list' shows all"
        raise UnknownNameError("transformer", name, {*transformer_names(folder), *also}, hint=hint)
    if len(origins) > 1:
        places = " and ".join(f"{one.code} ({one.title})" for one in origins)
        remedy = next((one.remedy for one in origins if one.remedy), "uninstall one of them")
        raise ConfigError(f"the transformer name {name!r} is taken twice, by {places}; {remedy}")
    [origin] = origins
    return read_signature(name, origin.load(), origin=origin.title)


def load_code(use: str, *, folder: Path | None = None) -> Transformer:
    """Import `module:function` from the configuration's folder or from what is installed."""
    function = fetch(use, what=f"transformer {use!r}", folder=folder and folder.resolve())
    return read_signature(use.partition(":")[2], function, origin=use)


def transformer_names(folder: Path | None = None) -> list[str]:
    """Give every name that a step can have in a configuration of this folder."""
    package = importlib.import_module(BUILT_IN)
    built_in = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name[0] != "_"]
    return sorted({*built_in, *_entry_points(), *files_of(folder)})


def list_transformers(folder: Path | None = None) -> list[Listed]:
    """Describe every transformer that has a name; one that cannot be loaded is listed with its problem."""
    return [describe(name, folder) for name in transformer_names(folder)]


def describe(name: str, folder: Path | None = None) -> Listed:
    """Describe one transformer; what is wrong with it is its `problem`."""
    try:
        found = load_transformer(name, folder=folder)
        schema = found.schema()
    except UnknownNameError:
        raise
    except ConfigError as error:
        return Listed(name, " and ".join(one.title for one in _origins(name, folder)), problem=str(error))
    options = tuple(found.options.values())
    alone = not any(option.required for option in options)
    texts = (found.origin, found.doc, found.description)
    return Listed(name, *texts, options, schema=schema, alone=alone, examples=tuple(found.examples))


def _origins(name: str, folder: Path | None) -> list[_Origin]:
    """Give each place that has the name: one rule for all of them."""
    what = f"transformer {name!r}"
    found = list[_Origin]()
    if name.isidentifier() and name[0] != "_" and find_spec(f"{BUILT_IN}.{name}"):
        code = f"{BUILT_IN}.{name}:{name}"
        found.append(_Origin("built in", code, partial(fetch, code, what=what, folder=None)))
    for title, code in sorted((_distribution(point), point.value) for point in _entry_points().get(name, ())):
        found.append(_Origin(title, code, partial(fetch, code, what=what, folder=None)))
    file = file_of(folder, name)
    if file is not None:
        place = f"{file.parent.name}/{file.name}"
        load = partial(load_file, file, what=what)
        found.append(
            _Origin("the configuration's folder", place, load, f"rename {place} and what it defines")
        )
    return found


@cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "installed"
