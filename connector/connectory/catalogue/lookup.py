"""Looking up: an entity by name, alias or request, a prototype by name, a schema with all it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

from connectory.catalogue.dialect import ANY, Dialect, build_dialect
from connectory.catalogue.entity import (
    METHODS,
    ActionName,
    Entity,
    Json,
    Prototype,
    build_entity,
    build_prototype,
    parameter_names,
)
from connectory.catalogue.source import (
    DEFS,
    Source,
    installed_files,
    packaged_source,
    refuse_clashes,
    user_source,
)
from connectory.errors import ConfigError, Problem, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
_ACTIONS: Mapping[str, ActionName] = MappingProxyType({method: action for action, method in METHODS.items()})


class Catalogue(Mapping[str, Entity]):
    """Every entity by name, made when it is asked for; schemas are read when the first one is.

    The schemas it gives out share their parts: a caller that wants to change one copies it first.
    """

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources
        self._origin: dict[str, Source] = {name: source for source in sources for name in source.entities}
        self._entities: dict[str, Entity] = {}
        self._aliases: dict[str, tuple[str, ActionName]] | None = None
        self._routes: _Node | None = None
        prototypes = {
            name: raw for source in sources for name, raw in source.raw.get("prototypes", {}).items()
        }
        self.prototypes: Mapping[str, Prototype] = _Names(
            "client prototype", {name: build_prototype(name, raw) for name, raw in prototypes.items()}
        )
        spoken = [source.raw.get("dialects", {}) for source in sources]
        names = dict.fromkeys(name for one in spoken for name in one)
        self.dialects: Mapping[str, Dialect] = _Names(
            "dialect",
            {name: build_dialect(name, [one[name] for one in spoken if name in one]) for name in names},
        )

    @classmethod
    def load(cls, *extra_files: Path) -> Catalogue:
        """Load the catalogue; an entity or prototype of an extra file replaces the earlier one of its name.

        The files that installed packages bring come before the extra ones; two packages with the same name are refused.
        Raises ConfigError with every problem of an extra file, by file and JSON path.
        """
        installed = installed_files()
        if not installed and not extra_files:
            return _built_in()
        taken: set[str] = set()
        brought = [(user_source(path, taken), owner) for path, owner in installed]
        refuse_clashes(brought)
        extra = (*(source for source, _ in brought), *(user_source(path, taken) for path in extra_files))
        catalogue = cls((*_built_in()._sources, *extra))  # noqa: SLF001 - another one of this class
        if problems := [problem for source in extra for problem in _inconsistencies(source, catalogue)]:
            raise ConfigError(problems)
        return catalogue

    def __getitem__(self, name: str) -> Entity:
        if found := self._entities.get(name):
            return found
        if name not in self._origin:
            raise UnknownNameError("entity", name, [*self._origin, *self._exact_aliases()])
        source = self._origin[name]
        return self._entities.setdefault(name, build_entity(name, source.own(source.entities[name])))

    def __iter__(self) -> Iterator[str]:
        return iter(self._origin)

    def __len__(self) -> int:
        return len(self._origin)

    def __contains__(self, name: object) -> bool:
        return name in self._origin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entities>"

    def find(self, name: str, action: str | None = None) -> Entity:
        """Find an entity by its name or by an alias, whose spelling may differ: `listFiles`, `list-files`.

        Raises ConfigError when the entity does not take the action, or the alias means another one.
        """
        alias = None if name in self._origin else self._alias_index().get(_alias_key(name))
        entity = self[alias[0] if alias else name]
        if action is None:
            return entity
        if alias and alias[1] != action:
            meaning = f"alias {name!r} means {alias[1]} of entity {entity.name!r}, not {action}"
            raise ConfigError(f"{meaning}; write entity: {entity.name} and the action you want")
        if action not in entity.actions:
            raise ConfigError(
                f"entity {entity.name!r} has no action {action!r}; it takes {', '.join(entity.actions)}"
            )
        return entity

    def implied_action(self, name: str) -> ActionName | None:
        """Give the action that an alias means; None for an entity's own name."""
        alias = None if name in self._origin else self._alias_index().get(_alias_key(name))
        return alias[1] if alias else None

    def match(self, method: str, path: str) -> tuple[Entity, ActionName, dict[str, str]]:
        """Find which entity and action a request is, and its path parameters, percent-decoded.

        A literal segment beats a parameter; a query in the path decides between entities with a fixed query.
        """
        bare, _, query = path.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        action = _ACTIONS.get(method.upper())
        segments = bare.removeprefix("/").split("/")
        self._routes = self._routes or self._build_routes()
        for name, values in self._routes.walk(segments):
            raw = self._origin[name].entities[name]["actions"]
            if (
                action is not None
                and action in raw
                and raw[action].get("fixed_query", {}).items() <= given.items()
            ):
                entity = self[name]
                return entity, action, dict(zip(entity.path_parameters, values, strict=True))
        known = [f"{METHODS[one]} {raw['path']}" for raw in self._raw_entities() for one in raw["actions"]]
        raise UnknownNameError("operation", f"{method.upper()} {bare}", known)

    def resolve(self, schema: Any) -> Any:
        """Look up a schema's `$ref`; keywords beside it are kept."""
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return cast("Any", schema)
        beside = {key: value for key, value in cast("Json", schema).items() if key != "$ref"}
        target = self._definition(str(schema["$ref"]))  # pyright: ignore[reportUnknownArgumentType] - any JSON
        if not beside:
            return target
        return {**target, **beside} if not beside.keys() & target.keys() else {**beside, "allOf": [target]}

    def schema(self, ref_or_schema: str | Mapping[str, Any]) -> Json:
        """Give a self-contained JSON Schema: the schema, or the named one, with the definitions it needs."""
        if isinstance(ref_or_schema, str):
            ref_or_schema = {"$ref": ref_or_schema if ref_or_schema.startswith("#") else DEFS + ref_or_schema}
        root: Json = dict(self.resolve(ref_or_schema))
        needed: Json = {}
        waiting = list(_references(root))
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = self._definition(DEFS + name)
                waiting += _references(needed[name])
        return {**root, "$defs": dict(sorted(needed.items()))} if needed else root

    def _definition(self, reference: str) -> Any:
        if not reference.startswith(DEFS):
            raise ConfigError(f"schema reference {reference!r} does not begin with {DEFS!r}")
        name, *below = [_unescape(part) for part in reference.removeprefix(DEFS).split("/")]
        for source in reversed(self._sources):
            if name in source.definitions():
                return _descend(source.definitions()[name], below, reference)
        raise UnknownNameError(
            "schema", name, [one for source in self._sources for one in source.definitions()]
        )

    def _raw_entities(self) -> Iterator[Json]:
        return (source.entities[name] for name, source in self._origin.items())

    def _exact_aliases(self) -> list[str]:
        return [alias for raw in self._raw_entities() for alias in raw.get("aliases", {})]

    def _alias_index(self) -> dict[str, tuple[str, ActionName]]:
        if self._aliases is None:
            self._aliases = {
                _alias_key(alias): (name, action)
                for name, source in self._origin.items()
                for alias, action in source.entities[name].get("aliases", {}).items()
            }
        return self._aliases

    def _build_routes(self) -> _Node:
        root = _Node()
        for name, source in self._origin.items():
            root.add(str(source.entities[name]["path"]), name)
        for node in root.every():
            # the one that wants more of the query is asked first
            node.names.sort(key=lambda one: -_fixed_count(self._origin[one].entities[one]))
        return root


class _Names(Mapping[str, T]):
    """A mapping that suggests the nearest name for a wrong one."""

    def __init__(self, kind: str, content: Mapping[str, T]) -> None:
        self._kind, self._content = kind, content

    def __getitem__(self, name: str) -> T:
        if name not in self._content:
            raise UnknownNameError(self._kind, name, self._content)
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


class _Node:
    """One level of the URL templates."""

    __slots__ = ("literals", "names", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.names: list[str] = []

    def add(self, path: str, name: str) -> None:
        node = self
        for segment in path.removeprefix("/").split("/"):
            if "{" in segment:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        node.names.append(name)

    def every(self) -> Iterator[_Node]:
        yield self
        for below in [*self.literals.values(), *([self.parameter] if self.parameter else [])]:
            yield from below.every()

    def walk(
        self, segments: list[str], values: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Give every entity that fits, the most literal first, with its path parameters' values."""
        if not segments:
            yield from ((name, values) for name in self.names)
            return
        segment, rest = unquote(segments[0]), segments[1:]
        if literal := self.literals.get(segment):
            yield from literal.walk(rest, values)
        if self.parameter and segment:
            yield from self.parameter.walk(rest, (*values, segment))


@cache
def _built_in() -> Catalogue:
    folder = files("connectory_schemas") / "catalogue"
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(".json"))
    return Catalogue(
        tuple(packaged_source(folder, name) for name in names if not name.endswith(".schemas.json"))
    )


def _inconsistencies(source: Source, catalogue: Catalogue) -> Iterator[Problem]:
    """Find what is wrong between the parts of a user's file that each are well-formed."""
    for name, raw in source.entities.items():
        place = f"$.entities.{name}"
        names = parameter_names(raw["path"])
        if len(set(names)) < len(names):
            yield Problem(f"path {raw['path']!r} names a parameter twice", f"{place}.path", source.file)
        if unknown := sorted(raw.get("parameters", {}).keys() - set(names)):
            yield Problem(f"path {raw['path']!r} has no {unknown[0]!r}", f"{place}.parameters", source.file)
        for alias, action in raw.get("aliases", {}).items():
            if action not in raw["actions"]:
                yield Problem(f"the entity has no action {action!r}", f"{place}.aliases.{alias}", source.file)
        parent = raw.get("parent")
        if parent is not None and not _is_list(catalogue, parent):
            yield Problem(f"{parent!r} is no entity with a list", f"{place}.parent", source.file)
    yield from _dialect_problems(source, catalogue)


def _dialect_problems(source: Source, catalogue: Catalogue) -> Iterator[Problem]:
    for dialect, spoken in source.raw.get("dialects", {}).items():
        for name, actions in spoken.get("entities", {}).items():
            place = f"$.dialects.{dialect}.entities.{name}"
            if name == ANY:
                continue
            if name not in catalogue:
                hint = did_you_mean(name, catalogue)
                yield Problem(f"there is no entity {name!r}{hint}", place, source.file)
            elif unknown := sorted(actions.keys() - catalogue[name].actions.keys()):
                yield Problem(f"entity {name!r} has no action {unknown[0]!r}", place, source.file)


def _is_list(catalogue: Catalogue, name: str) -> bool:
    read = catalogue[name].actions.get("read") if name in catalogue else None
    return read is not None and read.response.items is not None


def _fixed_count(raw: Json) -> int:
    return max(len(action.get("fixed_query", {})) for action in raw["actions"].values())


def _alias_key(alias: str) -> str:
    return "".join(sign for sign in alias.lower() if sign.isascii() and sign.isalnum())


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in cast("Json", schema).items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(DEFS).split("/")[0]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in cast("Sequence[Any]", schema):
            yield from _references(value)


def _descend(schema: Any, path: list[str], reference: str) -> Any:
    found: Any = schema
    for key in path:
        steps = cast("dict[Any, Any]", dict(enumerate(found)) if isinstance(found, list) else found)  # pyright: ignore[reportUnknownArgumentType] - any JSON
        try:
            found = steps[int(key) if isinstance(found, list) else key]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"schema reference {reference!r} leads nowhere at {key!r}") from error
    return found


def _unescape(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")
