"""The configuration as one validated, frozen tree that knows where each of its values stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from connectory.config.document import Document, Place
from connectory.config.model import ConfigModel, OutgoingConfig
from connectory.errors import ConfigError, Problem, UnknownNameError
from connectory.text.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from connectory.config.clients import ClientConfig
    from connectory.config.fields import Section
    from connectory.config.incoming import IncomingConfig
    from connectory.config.shapes import Path


@dataclass(frozen=True, slots=True)
class Unset:
    """A reference to an environment variable that is not set; `problem` says where it stands."""

    path: Path
    variable: str
    problem: Problem


class Config(ConfigModel):
    """The whole configuration file."""

    _folder: FilePath = PrivateAttr(default_factory=FilePath)
    _document: Document | None = PrivateAttr(default=None)
    _source: Any = PrivateAttr(default=None)
    _unset: tuple[Unset, ...] = PrivateAttr(default=())
    _redactor: Redactor = PrivateAttr(default_factory=Redactor)

    def attach(
        self,
        *,
        folder: FilePath,
        document: Document | None,
        source: Any,
        unset: tuple[Unset, ...],
        redactor: Redactor,
    ) -> None:
        """Say where the configuration came from; the loader does, once."""
        self._folder, self._document, self._source, self._unset = folder, document, source, unset
        self._redactor = redactor

    @property
    def folder(self) -> FilePath:
        """The folder against which the files in the configuration are read."""
        return self._folder

    @property
    def runnable(self) -> Mapping[str, list[str]]:
        """The names that can be run, by what they are: incoming, outgoing or route."""
        return {"incoming": [*self.incoming], "outgoing": [*self.outgoing], "route": [*self.routes]}

    @property
    def source(self) -> Any:
        """The data as it was written, before the environment was put in."""
        return self._source

    @property
    def unset(self) -> tuple[Unset, ...]:
        """Every reference to an environment variable that is not set."""
        return self._unset

    @property
    def redactor(self) -> Redactor:
        """What knows the secrets of this configuration; tokens that are read later are added to it."""
        return self._redactor

    @property
    def state_folder(self) -> FilePath:
        """The folder of the journal."""
        return self.file(self.journal) if self.journal else self._folder / ".connectory"

    def file(self, name: str) -> FilePath:
        """Give the path of a file that the configuration names."""
        return self._folder / FilePath(name).expanduser()

    def location(self, path: Path, *, key: bool = False, offset: int = 0, width: int = 0) -> Place:
        """Say where a value stands, or its key; `offset` and `width` point inside a text on one line."""
        if self._document is None:
            return Place("")
        return self._document.place(path, key=key, offset=offset, width=width)

    def problem(
        self,
        path: Path,
        message: str,
        *,
        key: bool = False,
        severity: str = "error",
        offset: int = 0,
        width: int = 0,
    ) -> Problem:
        """Make a problem that points into the file."""
        return self.location(path, key=key, offset=offset, width=width).problem(
            self._redactor.text(message), path=path, severity=severity
        )

    def without(self, place: tuple[str, str], options: Collection[str]) -> Config:
        """Give the configuration as it would be if a connection lacked some of its options."""
        connection: Section = getattr(self, place[0])[place[1]]
        fields = type(connection).model_fields
        defaults: dict[str, Any] = {
            one: fields[one].get_default(call_default_factory=True) for one in options
        }
        unset = [one for one in self._unset if one.path[:2] != place or not set(one.path[2:3]) & {*options}]
        return self._changed(place, defaults, unset)

    def with_options(self, place: tuple[str, str], options: Mapping[str, Any]) -> Config:
        """Give the configuration as it would be if a connection had these options; they need no check."""
        return self._changed(place, options, self._unset)

    def _changed(self, place: tuple[str, str], options: Mapping[str, Any], unset: Iterable[Unset]) -> Config:
        section, name = place
        connections: dict[str, Section] = {**getattr(self, section)}
        connections[name] = connections[name].model_copy(update=options)
        connections[name].model_fields_set.difference_update(options)
        made = self.model_copy(update={section: connections})
        made.attach(
            folder=self._folder,
            document=self._document,
            source=self._source,
            unset=tuple(unset),
            redactor=self._redactor,
        )
        return made

    def require(self, path: Path, *, ignore: Collection[str] = ()) -> None:
        """Raise ConfigError when something below a path needs an environment variable that is not set.

        `ignore` names keys directly below the path whose variables do not matter now.
        """
        depth = len(path)
        problems = [
            one.problem
            for one in self._unset
            if one.path[:depth] == path and not (len(one.path) > depth and one.path[depth] in ignore)
        ]
        if problems:
            raise ConfigError(problems)

    def is_unset(self, path: Path) -> bool:
        """Say whether the value at a path waits for an environment variable that is not set."""
        return any(one.path == path for one in self._unset)

    def client_name(self, connection: IncomingConfig | OutgoingConfig | None = None) -> str:
        """Give the name of a connection's client: its own, the only one, or `default`."""
        if connection is not None and connection.client is not None:
            if connection.client not in self.clients:
                raise UnknownNameError("client", connection.client, self.clients)
            return connection.client
        if len(self.clients) == 1:
            return next(iter(self.clients))
        if "default" in self.clients:
            return "default"
        if not self.clients:
            message = "no client is configured; write one below 'clients'"
            raise ConfigError(message)
        message = f"which client? there are {', '.join(self.clients)}, and none is called 'default'"
        raise ConfigError(message)

    def client(self, connection: IncomingConfig | OutgoingConfig | None = None) -> ClientConfig:
        """Give a connection's client."""
        return self.clients[self.client_name(connection)]
