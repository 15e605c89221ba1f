"""The options of a read or a write, checked: what `.option(...)` said, and nothing that would do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import unquote, urlsplit

from pyspark import SparkFiles

from connectory.config import load_config
from connectory.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.config import Config

READ = ("config", "incoming", "client", "raw", "partitions")
POLL = ("config", "incoming", "client", "raw", "state", "every")
WRITE = ("config", "outgoing", "client", "identifier", "results", "path", "layout", "new")

_OF_SPARK = frozenset({"checkpointlocation", "queryname", "outputmode"})
"""Options that Spark itself reads, and hands on."""

_GIVEN = ("path.", "query.")
_TRUTH = {"true": True, "false": False}
MOST_PARTITIONS = 32
"""Partitions of a read at most, where nobody has said how many."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a read or a write was asked to do.

    `path` and `query` are request parameters, as on the command line. `folder` is what all machines see: the results of
    a write, the state of a stream. `identifier` are the columns by which a row is known.
    """

    config: str
    connection: str
    client: str | None = None
    folder: str = ""
    identifier: tuple[str, ...] = ()
    layout: Literal["json", "parquet"] = "json"
    new: bool = False
    raw: bool = False
    partitions: int = MOST_PARTITIONS
    every: float = 10.0
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])

    def load(self) -> Config:
        """Read the configuration, on whatever machine this is. Raises ConfigError."""
        return load_config(find_file(self.config))

    @property
    def place(self) -> Path:
        """The folder that all machines see."""
        return Path(self.folder)


def read_options(
    given: Mapping[str, str], kind: Literal["incoming", "outgoing"], names: tuple[str, ...]
) -> Options:
    """Check the options of a data source. Raises ConfigError."""
    written = {name.lower(): value for name, value in given.items()}
    parameters = names[0:0] if kind == "outgoing" else _GIVEN
    for name in written:
        if name not in names and name not in _OF_SPARK and not name.startswith(parameters or ("\0",)):
            hint = did_you_mean(name, names) or f"; there is {', '.join(names)}"
            raise ConfigError(f"format 'connectory' has no option {name!r} here{hint}")
    known = [_needed(written, one, hint) for one, hint in (("config", "connectory.yaml"), (kind, "NAME"))]
    shared = "results" if kind == "outgoing" else "state"
    folder = written.get(shared) or (written.get("path") if kind == "outgoing" else None)
    if shared in names and not folder:
        where = '.save("/shared/results")' if kind == "outgoing" else '.option("state", "/shared/state")'
        raise ConfigError(f"say where all machines of the cluster can keep the {shared}: {where}")
    return Options(
        config=known[0],
        connection=known[1],
        client=written.get("client"),
        folder=str(local_path(folder)) if folder and shared in names else "",
        identifier=tuple(one.strip() for one in written.get("identifier", "").split(",") if one.strip()),
        layout=cast("Literal['json', 'parquet']", _one_of(written, "layout", ("json", "parquet"))),
        new=_TRUTH[_one_of(written, "new", ("false", "true"))],
        raw=_TRUTH[_one_of(written, "raw", ("false", "true"))],
        partitions=int(_number(written, "partitions", MOST_PARTITIONS, least=1)),
        every=_number(written, "every", 10.0, least=0),
        path=_parameters(written, "path."),
        query=_parameters(written, "query."),
    )


def local_path(text: str) -> Path:
    """Give the path of a folder on a file system that all machines have. Raises ConfigError for another kind of URI."""
    parts = urlsplit(text)
    if parts.scheme in {"", "file"} and not parts.netloc:
        path = Path(unquote(parts.path) if parts.scheme else text)
        if path.is_absolute():
            return path
        raise ConfigError(
            f"{text!r} is relative, and every machine has a current folder of its own: write /..."
        )
    raise ConfigError(
        f"{text!r} is no folder of a file system: tasks add to files there, which object stores cannot do; "
        "name a folder that is mounted on all machines (NFS, a volume), and copy the results from there"
    )


def find_file(name: str) -> Path:
    """Find the configuration on this machine: at its path, or as a file that `--files` sent. Raises ConfigError."""
    path = Path(name)
    if path.is_file():
        return path
    try:
        sent = Path(SparkFiles.get(path.name))  # pyright: ignore[reportUnknownMemberType]  # pyspark types it loosely
    except Exception:  # noqa: BLE001 - there is no Spark here yet: then there are no files of it either
        sent = path
    if sent.is_file():
        return sent
    raise ConfigError(
        f"the configuration {name!r} is not on this machine: put it on a path that all machines have, or send it with "
        "spark-submit --files"
    )


def _needed(written: Mapping[str, str], name: str, example: str) -> str:
    value = written.get(name)
    if not value:
        raise ConfigError(f"format 'connectory' needs .option({name!r}, {example!r})")
    return value


def _one_of(written: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = written.get(name, known[0]).lower()
    if value not in known:
        raise ConfigError(f"option {name!r} is {value!r}; it can be {' or '.join(known)}")
    return value


def _number(written: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    try:
        value = float(written.get(name, default))
    except ValueError:
        value = least - 1
    if value < least:
        raise ConfigError(
            f"option {name!r} is {written.get(name)!r}; it must be a number of {least:g} or more"
        )
    return value


def _parameters(written: Mapping[str, str], start: str) -> dict[str, str]:
    return {name.removeprefix(start): value for name, value in written.items() if name.startswith(start)}
