"""What a connection says of files and streams, resolved and held against its entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from connectory.delivery.uploads import ENTITIES, PartsOption
from connectory.errors import ConfigError
from connectory.files.saving import FixedTarget, SaveTo, Target
from connectory.placeholders import compile_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from connectory.catalogue import Action, Catalogue, Entity
    from connectory.config import Config, IncomingConfig, OutgoingConfig

_FORM = "multipart/form-data"


def files_root(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, actions: Mapping[str, Action]
) -> Path | None:
    """Give the folder of the files that may be sent, if any may. Raises ConfigError where no file can be sent."""
    if not settings.files_root:
        return None
    if not any(one.body is not None and _FORM in one.body.content for one in actions.values()):
        message = "'files_root' does nothing here: the request has no place for a file"
        raise ConfigError(config.problem((*place, "files_root"), message, key=True))
    return config.file(settings.files_root)


def save_to(
    config: Config, place: tuple[str, ...], settings: IncomingConfig | OutgoingConfig, action: Action
) -> SaveTo | None:
    """Compile where answers go. Raises ConfigError where the answers are many or none."""
    if settings.save_to is None:
        return None
    problem: Any = None
    if action.response.items is not None:
        problem = "'save_to' is for one answer, and this entity gives a list of items; write 'output'"
    if problem is None:
        try:
            return SaveTo(compile_template(settings.save_to), config.folder)
        except ConfigError as error:
            problem = error.problems[0].message
    raise ConfigError(config.problem((*place, "save_to"), problem))


def fixed_target(path: str | Path | None) -> FixedTarget | None:
    """Make the place of an answer of a path that the program's user wrote."""
    return None if path is None else FixedTarget(Target.at(path))


def stream(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, actions: Mapping[str, Action]
) -> Literal["aggregate", "events"] | None:
    """Say how answers stream. Raises ConfigError for an entity that has no stream."""
    if settings.stream is not None and settings.entity is not None:
        silent = [one for one in actions.values() if one.response.stream is None]
        if silent:
            message = f"entity {settings.entity!r} answers at once: it has no stream"
            raise ConfigError(config.problem((*place, "stream"), message))
    return settings.stream


def upload(
    config: Config, place: tuple[str, ...], settings: OutgoingConfig, entity: Entity, catalogue: Catalogue
) -> PartsOption | None:
    """Resolve how large files are sent in parts. Raises ConfigError for an entity that makes no files."""
    if settings.upload is None:
        return None
    if entity.name != "files":
        message = f"'upload' is for the entity 'files', not {entity.name!r}"
        raise ConfigError(config.problem((*place, "upload"), message, key=True))
    own = settings.upload
    entities = {name: catalogue[name] for name in ENTITIES}
    return PartsOption(entities, part_size=own.part_size, over=own.over, parallel=own.parallel)
