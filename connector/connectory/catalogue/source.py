"""Catalogue files: the built-in ones and a user's, with the definitions that their schemas refer to."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from connectory.catalogue.entity import Json

DEFS = "#/$defs/"
GROUP = "connectory.catalogues"


class Source:
    """One catalogue file; a user's has its key before its definitions' names, so none hides another's."""

    def __init__(self, raw: Json, *, read: Callable[[str], str], key: str = "", file: str = "") -> None:
        self.raw, self.file = raw, file
        self.entities: Mapping[str, Json] = raw.get("entities", {})
        self._read, self._key = read, key
        self._definitions: Mapping[str, Any] | None = None
        self._names: frozenset[str] = frozenset()

    def definitions(self) -> Mapping[str, Any]:
        """Give the file's definitions by their qualified names; read when first asked for."""
        if self._definitions is None:
            found = dict(self.raw.get("$defs", {}))
            if "schemas" in self.raw:
                found = {**json.loads(self._read(self.raw["schemas"])).get("$defs", {}), **found}
            self._names = frozenset(found)
            self._definitions = {self._prefix + name: self._qualify(one) for name, one in found.items()}
        return self._definitions

    def own(self, node: Json) -> Json:
        """Give a part of the file with its references made to mean the file's own definitions."""
        if not self._key:
            return node
        self.definitions()
        return cast("Json", self._qualify(node))

    @property
    def _prefix(self) -> str:
        return f"{self._key}:" if self._key else ""

    def _qualify(self, node: Any) -> Any:
        if not self._key:
            return node
        if isinstance(node, list):
            return [self._qualify(one) for one in cast("Sequence[Any]", node)]
        if not isinstance(node, dict):
            return node
        result = {key: self._qualify(one) for key, one in cast("Json", node).items()}
        reference = result.get("$ref")
        if isinstance(reference, str) and reference.removeprefix(DEFS).split("/")[0] in self._names:
            result["$ref"] = DEFS + self._prefix + reference.removeprefix(DEFS)
        return result


def packaged_source(folder: Traversable, name: str) -> Source:
    """Read a catalogue file of the package."""

    def read(other: str) -> str:
        return (folder / other).read_text(encoding="utf-8")

    return Source(json.loads(read(name)), read=read, file=name)


def user_source(path: Path, taken: set[str]) -> Source:
    """Read and check a user's catalogue file; `taken` are the keys of the files before it."""

    def read(other: str) -> str:
        return _read(path.parent / other)

    key = next(one for one in (path.stem, *(f"{path.stem}-{n}" for n in range(2, 1000))) if one not in taken)
    taken.add(key)
    try:
        raw = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise ConfigError(
            Problem(f"not JSON: {error.msg}", "", str(path), error.lineno, error.colno)
        ) from error
    if problems := _violations(raw, str(path)):
        raise ConfigError(problems)
    return Source(raw, read=read, key=key, file=str(path))


@cache
def installed_files() -> tuple[tuple[Path, str], ...]:
    """Find the catalogue files that installed packages bring, and whose they are.

    An entry point says `package:file`; no code runs. Raises ConfigError.
    """
    found: list[tuple[Path, str]] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package, _, name = point.value.partition(":")
        spec = find_spec(package) if package.isidentifier() else None
        folders = spec.submodule_search_locations if spec else None
        file = next((Path(one) / name for one in folders or () if (Path(one) / name).is_file()), None)
        if file is None or not name:
            owner = f" of {point.dist.name}" if point.dist else ""
            raise ConfigError(
                f"the entry point {point.name!r}{owner} says {point.value!r}, and there is no such file; write "
                "'package:file.json', or uninstall it"
            )
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        found.append((file, owner))
    return tuple(found)


def refuse_clashes(brought: Iterable[tuple[Source, str]]) -> None:
    """Refuse a name that two installed packages both bring: neither knows of the other. Raises ConfigError."""
    owners: dict[tuple[str, str], str] = {}
    problems: dict[str, None] = {}
    for source, owner in brought:
        for what, names in (
            ("entity", source.entities),
            ("prototype", source.raw.get("prototypes", {})),
        ):
            for name in names:
                other = owners.setdefault((what, name), owner)
                if other != owner:
                    text = f"the {what} {name!r} is brought twice, by {other} and by {owner}; uninstall one of them"
                    problems[text] = None
    if problems:
        raise ConfigError(Problem(text) for text in problems)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read catalogue file {str(path)!r}: {error.strerror or error}") from error


def _violations(raw: Any, file: str) -> list[Problem]:
    """Check a user's file against the format."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - only users' files are checked
    from referencing import Registry  # noqa: PLC0415 - an empty one: nothing is ever fetched

    text = (files("connectory_schemas") / "catalogue.schema.json").read_text(encoding="utf-8")
    validator = Draft202012Validator(json.loads(text), registry=Registry[Any]())
    errors = sorted(validator.iter_errors(raw), key=lambda one: one.json_path)  # pyright: ignore[reportUnknownMemberType] - its stubs
    return [Problem(error.message, error.json_path, file) for error in errors]
