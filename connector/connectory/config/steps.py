"""One step of a chain as it is written, in each of the accepted forms, brought to one shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import PydanticCustomError

from connectory.config.shapes import Path, is_map

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

FORMS = (
    "write '- name', '- name: options', '- use: module:function' (with 'options' beside it), "
    "or '- {prototype: name, parameters: {...}}'"
)
_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step as it is written, together with where it stands."""

    written: Any
    path: Path


class StepConfig(BaseModel):
    """One step: `name` of a transformer or of a named chain, or `use` of code, and its options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: str | None = Field(default=None, description="A transformer, or a named chain (default: none)")
    use: str | None = Field(default=None, description="Code of one's own, as module:function (default: none)")
    options: Any = Field(default=None, repr=False, description="The transformer's options (default: none)")
    path: Path = Field(default=(), repr=False, description="Where the step stands (default: not known)")
    options_path: Path = Field(
        default=(), repr=False, description="Where its options stand (default: not known)"
    )

    @property
    def title(self) -> str:
        """What to call the step in a message."""
        return self.name or self.use or ""

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, written: Any) -> dict[str, Any]:
        path: Path = ()
        if isinstance(written, PlacedStep):
            written, path = written.written, written.path
        fields, options_key = _forms(written)
        return {**fields, "path": path, "options_path": (*path, *options_key)}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"description": f"One step of a chain: {FORMS}"}


def parse_step(written: Any, *, path: Path = ()) -> StepConfig:
    """Read one step that stands inside the options of another; raises pydantic's ValidationError."""
    return StepConfig.model_validate(PlacedStep(written, path))


def _forms(written: Any) -> tuple[dict[str, Any], Path]:
    """Give the fields of a step and the key below which its options stand."""
    if isinstance(written, str):
        return {"name": _name(written)}, ()
    if not is_map(written) or not all(isinstance(key, str) for key in written):
        raise _problem(f"is no step; {FORMS}")
    step: dict[str, Any] = written
    if "use" in step and step.keys() <= {"use", "options"}:
        return {"use": _code(step["use"]), "options": step.get("options")}, (
            "options",
        ) if "options" in step else ()
    if "prototype" in step and step.keys() <= {"prototype", "parameters"}:
        key = ("parameters",) if "parameters" in step else ()
        return {"name": _name(step["prototype"]), "options": step.get("parameters")}, key
    if len(step) != 1:
        raise _problem(_mixed(step))
    [(name, options)] = step.items()
    return {"name": _name(name), "options": options}, (name,)


def _name(written: Any) -> str:
    if not isinstance(written, str) or not written.strip():
        raise _problem(f"has no name; {FORMS}")
    if _CODE.fullmatch(written):
        raise _problem(f"names code; write '- use: {written}'")
    if any(character.isspace() for character in written):
        raise _problem(f"has a name with a space in it; {FORMS}")
    return written


def _code(written: Any) -> str:
    if not isinstance(written, str) or not _CODE.fullmatch(written):
        raise _problem("has a 'use' that is not 'module:function'")
    return written


def _mixed(step: dict[str, Any]) -> str:
    """Say what is wrong with a mapping of none or several keys."""
    if not step:
        return f"is empty; {FORMS}"
    first = next(iter(step))
    if step[first] is None:
        return f"has options beside its name; indent the options of {first!r} further than {first!r} itself"
    names = ", ".join(repr(key) for key in step)
    return f"has the keys {names}, and a step has one name; begin each step with '- '; {FORMS}"


def _problem(message: str) -> PydanticCustomError:
    return PydanticCustomError("connectory", "{message}", {"message": message})
