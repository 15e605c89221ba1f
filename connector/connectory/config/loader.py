"""From a file, or from data, to the configuration: every problem is found before one is raised."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from connectory.config import checks
from connectory.config.document import MAX_BYTES, Document, Place, parse, scalar
from connectory.config.environment import Environment, substitute
from connectory.config.problems import (
    KINDS,
    SCALAR_TYPES,
    STEP_KEYS,
    document_path,
    from_validation,
    kind_of,
    subject,
    value_at,
)
from connectory.config.secrets import databases_in, is_public, secrets_of
from connectory.config.shapes import is_list, is_map
from connectory.config.steps import PlacedStep
from connectory.config.tree import Config, Unset
from connectory.errors import ConfigError, Problem
from connectory.text.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connectory.catalogue import Catalogue
    from connectory.config.shapes import Path

_BEGIN = "begin with 'version: 1' and a client below 'clients'"
_REFERENCE = re.compile(r"\$\{[^{}]*\}")


def load_config(path: FilePath | str, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file. Raises ConfigError with every problem that needs no catalogue to be seen."""
    document = _read(FilePath(path))
    folder = FilePath(path).resolve().parent
    config, problems = _build(document.data, document=document, folder=folder, environ=environ)
    return _checked(config, problems)


def config_from_dict(
    data: Any, *, environ: Mapping[str, str] | None = None, folder: FilePath | None = None
) -> Config:
    """Take a configuration as data; files in it are read against `folder` (default: the current one)."""
    folder = FilePath.cwd() if folder is None else FilePath(folder)
    try:
        config, problems = _build(data, document=None, folder=folder, environ=environ)
    except RecursionError:
        message = "the configuration is nested too deeply, or contains itself"
        raise ConfigError(message) from None
    return _checked(config, problems)


def one_client(token: str, base_uri: str | None) -> Config:
    """Make the configuration of one client; what looks like a placeholder in a given value is none."""
    given = {"token": token, "base_uri": base_uri}
    client = {name: value.replace("${", "$${") for name, value in given.items() if value}
    return config_from_dict({"version": 1, "clients": {"openai": client}})


def lint(
    path: FilePath | str, catalogue: Catalogue | None = None, environ: Mapping[str, str] | None = None
) -> list[Problem]:
    """Give everything that is wrong with a file, sorted by position: errors and warnings.

    Where the configuration names catalogue files of its own, they are read too.
    """
    return examine(path, catalogue, environ)[0]


def examine(
    path: FilePath | str,
    catalogue: Catalogue | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    text: str | None = None,
) -> tuple[list[Problem], Config | None, Catalogue | None]:
    """Give what `lint` gives, and the configuration and the catalogue as far as they could be read.

    Connections that are wrong in themselves are left out of that configuration. `text` is what the file will say, where
    that is not yet written.
    """
    try:
        document = _read(FilePath(path)) if text is None else parse(text, file=str(path))
        folder = FilePath(path).resolve().parent
        config, problems = _build(document.data, document=document, folder=folder, environ=environ)
    except ConfigError as error:
        return _sorted(error.problems), None, None
    if config is not None:
        try:
            if catalogue is not None and config.catalogue:
                catalogue = catalogue.load(*map(config.file, config.catalogue))
        except ConfigError as error:
            # without these files every entity in them would look unknown
            catalogue = None
            problems += error.problems
        problems += lint_warnings(config, catalogue)
        problems += checks.check_against(config, catalogue) if catalogue is not None else []
    return _sorted(problems), config, catalogue


def lint_warnings(config: Config, catalogue: Catalogue | None = None) -> list[Problem]:
    """Give what works and should not stay as it is."""
    return checks.warnings(config, catalogue)


def _checked(config: Config | None, problems: list[Problem]) -> Config:
    if problems or config is None:
        raise ConfigError(_sorted(problems))
    return config


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda one: (one.file, one.line, one.column))


def _read(path: FilePath) -> Document:
    """Read and parse a file."""
    return parse(read_text(path)[0], file=str(path))


def read_text(path: FilePath) -> tuple[str, bytes]:
    """Read a file as text, without a mark at its beginning, and as it is. Raises ConfigError."""
    place = Place(str(path))
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(place.problem(_unreadable(path, error))) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(place.problem(f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start
    else:
        return text, content
    before = content[:start].decode("utf-8-sig", "replace")
    line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
    spot = Document(str(path), before.split("\n")).at(line, column)
    message = f"the byte 0x{content[start]:02x} is not UTF-8; save the file as UTF-8"
    raise ConfigError(spot.problem(message))


def _unreadable(path: FilePath, error: OSError) -> str:
    if path.is_dir():
        return "this is a folder; name the configuration file in it"
    if isinstance(error, FileNotFoundError):
        return "there is no such file; `connectory init` writes one, or give the name of yours"
    return f"the file cannot be read: {error.strerror or error}"


def _build(
    data: Any, *, document: Document | None, folder: FilePath, environ: Mapping[str, str] | None
) -> tuple[Config | None, list[Problem]]:
    """Make the configuration of data; with problems it is what remains without the parts that are wrong."""
    problems = list(document.problems) if document else []
    if not is_map(data):
        place = (
            document.place(()) if document and data is not None else Place(document.file if document else "")
        )
        wrong = (
            "the configuration is empty"
            if data is None
            else f"the configuration must be a mapping, not {kind_of(data)}"
        )
        return None, [*problems, place.problem(f"{wrong}; {_BEGIN}")]
    if document:
        for path in _secrets(data):
            document.hide(path)
    environment = substitute(data, os.environ if environ is None else environ)
    redactor = Redactor(secrets_of(environment.data, environment.inserted))
    config, found = _Builder(document, folder, data, environment, redactor).build(problems)
    return config, [_blanked(problem, redactor) for problem in found]


def _blanked(problem: Problem, redactor: Redactor) -> Problem:
    excerpt = redactor.text(problem.excerpt, keep_length=True)
    return replace(problem, message=redactor.text(problem.message), excerpt=excerpt)


class _Builder:
    """Validates data; what is wrong is cut out, so that the rest can be checked in the same go."""

    def __init__(
        self,
        document: Document | None,
        folder: FilePath,
        source: Any,
        environment: Environment,
        redactor: Redactor,
    ) -> None:
        self._document, self._folder, self._source = document, folder, source
        self._environment, self._redactor = environment, redactor
        self._unset = dict(environment.unset)

    def build(self, problems: list[Problem]) -> tuple[Config | None, list[Problem]]:
        data = self._environment.data
        problems += [
            self._problem(path, f"{subject(path)} {message}") for path, message in self._environment.wrong
        ]
        names = {
            section: [name for name in data[section] if isinstance(name, str)]
            for section in KINDS
            if is_map(data.get(section))
        }
        config, error = self._validate(data)
        if config is None and error is not None and self._read_scalars(error, data):
            config, error = self._validate(data)
        incomplete: set[Path] = set()
        if error is not None:
            problems += from_validation(
                error, data, locate=self._locate, unset=self._unset, inserted=self._environment.inserted
            )
            incomplete = _cut_out(error, data)
            config, _ = self._validate(data)
        if config is not None:
            problems += checks.check(config, broken=checks.Broken(names, incomplete))
        return config, problems

    def _validate(self, data: Any) -> tuple[Config | None, ValidationError | None]:
        try:
            config = Config.model_validate(_placed(data))
        except ValidationError as error:
            return None, error
        config.attach(
            folder=self._folder,
            document=self._document,
            source=self._source,
            unset=self._unset_problems(),
            redactor=self._redactor,
        )
        return config, None

    def _unset_problems(self) -> tuple[Unset, ...]:
        return tuple(
            Unset(path, name, self._problem(path, f"the environment variable {name!r} is not set"))
            for path, name in self._environment.unset
        )

    def _read_scalars(self, error: ValidationError, data: Any) -> bool:
        """Read texts from the environment as the numbers or booleans that are wanted; say whether any was."""
        changed = False
        for details in error.errors(include_url=False, include_input=False):
            path, _ = document_path(details, data)
            text = value_at(data, path)
            wanted = details["type"] in SCALAR_TYPES and path in self._environment.inserted
            if not wanted or not isinstance(text, str):
                continue
            value_at(data, path[:-1])[path[-1]] = scalar(text)
            changed = True
        return changed

    def _locate(self, path: Path, *, key: bool = False) -> Place:
        return Place("") if self._document is None else self._document.place(path, key=key)

    def _problem(self, path: Path, message: str) -> Problem:
        return self._locate(path).problem(message, path=path)


def _placed(data: dict[Any, Any]) -> dict[Any, Any]:
    """Tell every step where it stands."""
    placed = dict(data)
    for section in ("incoming", "outgoing"):
        if is_map(data.get(section)):
            placed[section] = {
                name: _placed_in(connection, (section, name)) for name, connection in data[section].items()
            }
    if isinstance(data.get("transformers"), dict):
        placed["transformers"] = _placed_in(
            data["transformers"], ("transformers",), keys=data["transformers"]
        )
    return placed


def _placed_in(mapping: Any, path: Path, *, keys: Any = STEP_KEYS) -> Any:
    if not is_map(mapping):
        return mapping
    chains = {
        key: [PlacedStep(step, (*path, key, index)) for index, step in enumerate(steps)]
        for key, steps in mapping.items()
        if key in keys and is_list(steps)
    }
    return {**mapping, **chains}


def _cut_out(error: ValidationError, data: Any) -> set[Path]:
    """Take out what is wrong: an unknown key alone, otherwise the whole client, connection or section.

    Gives the paths of the mappings from which keys were taken.
    """
    incomplete: set[Path] = set()
    found = error.errors(include_url=False, include_input=False)
    # every path is worked out before the first cut changes the data
    for error_type, path in [(details["type"], document_path(details, data)[0]) for details in found]:
        if error_type == "extra_forbidden":
            incomplete.add(path[:-1])
            cut = path
        else:
            cut = path[:2] if path[:1] and path[0] in KINDS else path[:1]
        parent = value_at(data, cut[:-1])
        if cut and is_map(parent):
            parent.pop(cut[-1], None)
    return incomplete


def _secrets(data: dict[Any, Any]) -> Iterator[Path]:
    """Give the values of clients that no excerpt may show: all but those of keys known to hold no secret."""
    clients = data.get("clients")
    for name, client in clients.items() if is_map(clients) else ():
        for key, value in client.items() if is_map(client) else ():
            if not is_public(str(key)):
                yield from _literals(value, ("clients", name, key))
    yield from databases_in(data)


def _literals(value: Any, path: Path) -> Iterator[Path]:
    """Give the values below a path, but not those that only refer to the environment."""
    if is_map(value):
        for key, below in value.items():
            yield from _literals(below, (*path, key))
    elif not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
        yield path
