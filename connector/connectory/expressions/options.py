"""What is compiled as an option of a transformer: its class may stand in a type hint, and pydantic checks the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


class CompiledOption:
    """A class that is made of what the configuration says: `written` is the type of that."""

    __slots__ = ()
    written: ClassVar[Any] = Any

    @classmethod
    def _checked(cls, value: Any) -> Self:
        try:
            return cls(value)  # type: ignore[call-arg]  # every such class is made of one value
        except ConfigError as error:
            raise ValueError(str(error)) from error  # pydantic adds the place and goes on to the next value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        # A core schema is plain data: an option may be annotated with such a class without pydantic here.
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": cls._checked},
            "schema": handler(cls.written),
        }
