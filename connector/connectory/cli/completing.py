"""What a shell offers behind a word: names from the configuration, found without reading it as a whole.

Nothing here may take long or fail loudly: it runs at every press of the Tab key.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.shell_completion import CompletionItem

from connectory.cli.setup import config_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # older versions of click have no brackets there

ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "add route": {"steps": "connections"},
    "check": {"clients": "clients"},
    "create": {"entity": "creates"},
    "delete": {"entity": "deletes"},
    "entities show": {"name": "entities"},
    "lint": {"file": "file"},
    "migrate": {"file": "file"},
    "options": {"property_": "properties"},
    "preview incoming": {"name": "incoming"},
    "preview outgoing": {"name": "outgoing"},
    "read": {"entity": "reads"},
    "replay": {"what": "runs"},
    "run incoming": {"name": "incoming"},
    "run outgoing": {"name": "outgoing"},
    "run route": {"name": "routes"},
    "runs cancel": {"run": "runs"},
    "runs remove": {"run": "runs"},
    "runs repair": {"run": "runs"},
    "runs show": {"run": "runs"},
    "test": {"file": "file"},
    "transformers show": {"name": "transformers"},
    "transformers try": {"name": "transformers"},
}
"""What the arguments of a command name."""

OPTIONS = {"client": "clients", "entity": "entities", "each": "reads", "prototype": "prototypes"}
_ENTITIES = {"add incoming": "reads", "add outgoing": "writes"}
_KEY = re.compile(r"""( *)(?:"([^"]*)"|'([^']*)'|([^\s#'"{\[&*!|>%@-][^:#]*?))\s*:(?:\s+(.*))?$""")
_MOST_BYTES = 1024 * 1024


class Name(_Type):
    """A word that names something; only ever asked what there is."""

    name = "text"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Give the names that begin like that; none where they cannot be found."""
        if self.kind == "file":
            return [CompletionItem(incomplete, type="file")]
        try:
            found = [*_SOURCES[self.kind](_Place(ctx.params.get("config")), incomplete)]
        except Exception:  # noqa: BLE001 - whatever is wrong with a configuration, the prompt stays clean
            return []
        given = ctx.params.get(param.name or "") or ()
        taken: Any = given if param.nargs == -1 else ()
        return [CompletionItem(one) for one in found if one.startswith(incomplete) and one not in taken]


def dress(path: str, command: click.Command) -> None:
    """Let the parameters of a command, and of those below it, know what they name."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            dress(f"{path} {name}", inner)
    for param in command.params:
        kind = ARGUMENTS.get(path, {}).get(param.name or "")
        if isinstance(param, click.Option) and not param.is_flag:
            kind = OPTIONS.get(param.name or "")
            if kind == "entities":
                kind = _ENTITIES.get(path, kind)
            kind = "file" if kind is None and str(param.metavar).startswith("FILE") else kind
        if kind is not None and not isinstance(param.type, click.Path | click.Choice):
            param.type = Name(kind)


class _Place:
    """The configuration that the words of a command line speak of."""

    def __init__(self, config: Any) -> None:
        self.path = config_path(config if isinstance(config, str) else None)
        self._text: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            with self.path.open("rb") as file:
                self._text = file.read(_MOST_BYTES).decode("utf-8-sig", "replace")
        return self._text

    def names(self, section: str) -> list[str]:
        """Give the names below a section."""
        found = block_names(self.text)
        if found is not None:
            return found.get(section, [])
        data = self.data()
        return [*data.get(section, ())]

    def data(self) -> dict[str, Any]:
        """Read the configuration as a whole: slower, and only where its lines do not say enough."""
        if self.path.suffix == ".json":
            return cast("dict[str, Any]", json.loads(self.text))
        from connectory.config.document import parse

        return cast("dict[str, Any]", parse(self.text).data)


def block_names(text: str) -> dict[str, list[str]] | None:
    """Give the names below each section by the indentation of their lines; None where that does not tell them."""
    found: dict[str, list[str]] = {}
    section, depth = "", -1
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith(("#", "---")):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if section and depth < 0 and indent:
            depth = indent
        if indent and indent != depth:
            continue
        key = _KEY.match(line)
        if key is None:
            if indent == 0 and bare.startswith("- "):  # the items of a top-level list
                continue
            return None
        name = next(one for one in key.group(2, 3, 4) if one is not None)
        rest = (key[5] or "").strip()
        if indent == 0:
            section, depth = name, -1
            found[section] = []
            if rest[:1] in ("{", "&", "*", "!"):
                return None
        else:
            found[section].append(name)
    return found


def _section(name: str) -> Callable[[_Place, str], Iterable[str]]:
    return lambda place, _incomplete: place.names(name)


def _connections(place: _Place, _incomplete: str) -> Iterator[str]:
    yield from place.names("incoming")
    yield from place.names("outgoing")


def _raw(place: _Place) -> Iterator[Any]:
    """Give the catalogue's files as they are, and those that the configuration adds."""
    spec = find_spec("connectory_schemas")
    folders = spec.submodule_search_locations if spec is not None and spec.submodule_search_locations else []
    for folder in folders:
        for name in ("openai.json", "prototypes.json"):
            yield json.loads((Path(folder) / "catalogue" / name).read_bytes())
    if place.path.exists() and re.search(r"""^\s*["']?catalogue["']?\s*:""", place.text, re.MULTILINE):
        for name in place.data().get("catalogue") or ():
            yield json.loads((place.path.parent / name).read_bytes())


def _entities(*actions: str) -> Callable[[_Place, str], Iterable[str]]:
    def find(place: _Place, _incomplete: str) -> Iterator[str]:
        for raw in _raw(place):
            for name, entity in raw.get("entities", {}).items():
                if not actions or any(one in entity.get("actions", {}) for one in actions):
                    yield name

    return find


def _prototypes(place: _Place, _incomplete: str) -> Iterator[str]:
    for raw in _raw(place):
        yield from raw.get("prototypes", {})


def _properties(place: _Place, incomplete: str) -> Iterator[str]:
    """Give `model`, entities, and behind an entity's dot its properties."""
    yield "model"
    names = [name for raw in _raw(place) for name in raw.get("entities", {})]
    entity = max((one for one in names if incomplete.startswith(f"{one}.")), key=len, default=None)
    yield from (f"{one}." for one in names)
    if entity is not None:
        from connectory.catalogue import Catalogue

        catalogue = Catalogue.load()
        body = catalogue[entity].actions["create"].body
        for schema in body.content.values() if body is not None else ():
            yield from (f"{entity}.{one}" for one in catalogue.resolve(schema).get("properties", {}))


def _runs(place: _Place, _incomplete: str) -> list[str]:
    """Give the runs, the newest first."""
    journal = ".connectory"
    if re.search(r"""^["']?journal["']?\s*:""", place.text, re.MULTILINE):
        journal = place.data().get("journal") or journal
    folder = place.path.parent / Path(journal).expanduser() / "runs"
    return sorted((one.name for one in folder.iterdir() if one.is_dir()), reverse=True)


def _transformers(place: _Place, _incomplete: str) -> Iterator[str]:
    """Give those that come with the project, those of the configuration's folder, installed ones, and chains."""
    from importlib.metadata import entry_points

    spec = find_spec("connectory_transformers")
    folders = [Path(one) for one in (spec.submodule_search_locations or ())] if spec is not None else []
    for folder in (*folders, place.path.parent / "transformers"):
        yield from sorted(one.stem for one in folder.glob("*.py") if not one.stem.startswith("_"))
    yield from (one.name for one in entry_points(group="connectory.transformers"))
    if place.path.exists():
        yield from place.names("transformers")


_SOURCES: Mapping[str, Callable[[_Place, str], Iterable[str]]] = {
    "clients": _section("clients"),
    "connections": _connections,
    "creates": _entities("create"),
    "deletes": _entities("delete"),
    "entities": _entities(),
    "incoming": _section("incoming"),
    "outgoing": _section("outgoing"),
    "properties": _properties,
    "prototypes": _prototypes,
    "reads": _entities("read"),
    "routes": _section("routes"),
    "runs": _runs,
    "transformers": _transformers,
    "writes": _entities("create", "delete"),
}
