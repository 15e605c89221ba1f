"""The settings of tap and target: what a Singer `--config` file, and with it a Meltano plugin, may say."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectory.errors import ConfigError, Problem, did_you_mean
from connectory.files.storage import why
from connectory.text.json import JsonTextError, loads_unique

if TYPE_CHECKING:
    from collections.abc import Mapping

_YAML = (".yaml", ".yml")


class Settings(BaseModel):
    """What tap and target have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    config: str | None = Field(
        default=None,
        description="Connectory's own configuration file (default: ./connectory.yaml, else $CONNECTORY_CONFIG)",
    )
    client: str | None = Field(default=None, description="Use this client instead of the configured one")
    sandbox: bool = Field(
        default=False, description="Point every client to an embedded sandbox; no key is needed"
    )


class TapSettings(Settings):
    """The settings of the tap."""

    incoming: tuple[str, ...] | None = Field(
        default=None, description="The incomings that are streams (default: all that are not disabled)"
    )


class TargetSettings(Settings):
    """The settings of the target."""

    streams: dict[str, str | None] = Field(
        default_factory=dict,
        description="The outgoing of each stream that has another name, null for a stream to leave out, '*' for all "
        "others (default: a stream goes to the outgoing of its name)",
    )
    job: str | None = Field(
        default=None, description="A name that tells this pipeline from others that use the same outgoings"
    )
    yes: bool = Field(default=False, description="Let outgoings delete")


S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], file: str | None) -> S:
    """Read a settings file; one in YAML is Connectory's own configuration. Raises ConfigError."""
    if file is None:
        return kind()
    if file.endswith(_YAML):
        return kind(config=file)
    written = read_json(file, "the settings")
    if not isinstance(written, dict):
        raise ConfigError(f"the settings in {file!r} are no JSON object")
    given = cast("Mapping[str, Any]", written)
    try:
        return kind.model_validate({name: one for name, one in given.items() if one is not None})
    except ValidationError as error:
        problems = [_problem(kind, file, one) for one in error.errors(include_url=False, include_input=False)]
        raise ConfigError(Problem(one) for one in problems) from None


def read_json(file: str, what: str) -> Any:
    """Read a JSON file; of one with several lines, the last counts. Raises ConfigError."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {what} in {file!r}: {why(error)}") from None
    try:
        return loads_unique(text)
    except JsonTextError as error:
        lines = text.strip().splitlines()
        if not lines:
            return None
        try:
            return loads_unique(lines[-1])
        except JsonTextError:
            raise ConfigError(f"cannot read {what} in {file!r}: no JSON: {error}") from None


def about(kind: type[Settings], name: str, capabilities: tuple[str, ...]) -> dict[str, Any]:
    """Say what a tap or target is called, what it can do, and which settings it has, as `--about` prints it."""
    return {
        "name": name,
        "version": version("connectory"),
        "capabilities": list(capabilities),
        "settings": kind.model_json_schema(),
    }


def _problem(kind: type[Settings], file: str, details: Any) -> str:
    place = ".".join(map(str, details["loc"]))
    if details["type"] == "extra_forbidden":
        hint = did_you_mean(place, kind.model_fields) or f"; there is {', '.join(kind.model_fields)}"
        return f"the settings in {file!r}: there is no setting {place!r}{hint}"
    return f"the settings in {file!r}: {place}: {details['msg'][:1].lower()}{details['msg'][1:]}"
