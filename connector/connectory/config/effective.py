"""The configuration as it is in force: every value, defaults too, and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from pydantic import AliasChoices, BaseModel, SecretStr

from connectory.config.environment import references
from connectory.config.secrets import is_credential
from connectory.config.shapes import is_list, is_map, is_tuple
from connectory.config.steps import StepConfig
from connectory.errors import ConfigError, UnknownNameError
from connectory.text.redaction import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from connectory.catalogue import Catalogue
    from connectory.config.shapes import Path
    from connectory.config.tree import Config


@dataclass(frozen=True, slots=True)
class Effective:
    """One value in force; `line` is 0 where no file says it, `is_empty` that nothing was said and nothing is done."""

    path: Path
    value: Any
    origin: str
    file: str = ""
    line: int = 0
    is_empty: bool = False


def effective(
    config: Config,
    catalogue: Catalogue,
    *,
    given: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Effective]:
    """Give every value in the order of the reference, secrets as stars.

    `given` is what a command line says instead: the `client` of every connection.
    """
    given = given or {}
    walk = _Walk(config, os.environ if environ is None else environ)
    for one in walk.model(config, config.source, ()):
        changed = _derived(config, catalogue, one) if one.origin == "default" else one
        match one.path:
            case ("incoming" | "outgoing", _, "client") if "client" in given:
                changed = Effective(one.path, given["client"], "--client")
            case _:
                pass
        value = config.redactor.value(changed.value)
        yield Effective(
            changed.path, value, changed.origin, changed.file, changed.line, is_empty=changed.is_empty
        )


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes through the models and what was written beside each other."""

    config: Config
    environ: Mapping[str, str] = field(repr=False)

    def model(self, model: BaseModel, source: Any, path: Path) -> Iterator[Effective]:
        for name, info in type(model).model_fields.items():
            names = _keys(name, info)
            key = next((one for one in names if is_map(source) and one in source), None)
            below = source[key] if key is not None else None
            yield from self.value(
                getattr(model, name), below, (*path, key or names[-1]), written=key is not None
            )

    def value(self, value: Any, source: Any, path: Path, *, written: bool) -> Iterator[Effective]:
        if isinstance(value, BaseModel) and not isinstance(value, StepConfig):
            yield from self.model(value, source, path)
            return
        if isinstance(value, Mapping) and value:
            pairs = cast("Mapping[str, Any]", value)
            if all(isinstance(one, BaseModel) for one in pairs.values()) or path[-1] in {"headers", "query"}:
                for name, one in pairs.items():
                    inner = source.get(name) if is_map(source) else None
                    yield from self.value(one, inner, (*path, name), written=written)
                return
        if not written:
            yield Effective(path, _plain(value, value), "default", is_empty=value in (None, (), {}, ""))
            return
        is_secret = path[0] == "clients" and is_credential(str(path[-1])) and isinstance(value, str) and value
        place = self.config.location(path)
        shown = BLANK if is_secret else _plain(value, source)
        yield Effective(path, shown, self.origin(source), place.file, place.line)

    def origin(self, source: Any) -> str:
        """Say what a value that is written comes from: the file, or variables of the environment."""
        parts: list[str] = []
        for _, name, default in references(source):
            is_there = self.environ.get(name) if default is not None else name in self.environ
            if is_there:
                parts.append(f"environment {name}")
            else:
                what = "environment" if default is None else "default of"
                parts.append(f"{what} {name}, which is not set")
        return ", ".join(dict.fromkeys(parts)) or "file"


def _keys(name: str, info: FieldInfo) -> list[str]:
    """Give the names by which a field may be written, the usual one last."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(one) for one in reversed(alias.choices)]
    return [info.alias or name]


def _plain(value: Any, source: Any) -> Any:
    """Give a value as JSON has it: a secret as stars, and what is more than one value as it is written."""
    if isinstance(value, SecretStr):
        return BLANK if value.get_secret_value() else ""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if is_map(source) or is_list(source) or isinstance(source, str):
        return cast("Any", source)
    if isinstance(value, Mapping):
        return {**cast("Mapping[str, Any]", value)}
    return [*value] if is_tuple(value) else str(value)


def _derived(config: Config, catalogue: Catalogue, one: Effective) -> Effective:  # noqa: PLR0911 - one line for each key
    """Say what a value that nobody wrote comes to, where that depends on others."""
    match one.path:
        case ("journal",):
            return Effective(one.path, ".connectory", "default")
        case ("clients", _, "limits", _):
            return Effective(one.path, "auto", "default")
        case ("clients", str(name), "base_uri" | "path_prefix" as key):
            kind = config.clients[name].prototype
            prototype = catalogue.prototypes.get(kind)
            value = getattr(prototype, key, None)
            if key == "path_prefix" and config.clients[name].path_prefix is None and _has_path(config, name):
                return one
            return one if value is None else Effective(one.path, value, f"prototype {kind}")
        case ("incoming" | "outgoing" as section, str(name), "client"):
            connection = getattr(config, section)[name]
            try:
                client = config.client_name(connection)
            except ConfigError:
                return one
            return Effective(one.path, client, "the only client" if len(config.clients) == 1 else "default")
        case ("outgoing", str(name), "action"):
            entity = config.outgoing[name].entity
            try:
                found = catalogue.find(entity) if entity else None
            except UnknownNameError:
                return one
            writes = [key for key in ("create", "delete") if found is not None and key in found.actions]
            return Effective(one.path, writes[0], f"entity {entity}") if len(writes) == 1 else one
        case _:
            return one


def _has_path(config: Config, name: str) -> bool:
    """Say whether a client's base URI has a path of its own, so that no prefix is put behind it."""
    uri = config.clients[name].base_uri or ""
    return "/" in uri.partition("//")[2].rstrip("/")
