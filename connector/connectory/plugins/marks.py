"""What a function says of itself as a transformer beyond its signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

MARK, ONE_OF, AT_ONCE = "__connectory_value__", "__connectory_one_of__", "__connectory_at_once__"

_F = TypeVar("_F", bound=Callable[..., Any])


@overload
def transformer(function: _F, /) -> _F: ...
@overload
def transformer(
    *, value: str | None = None, one_of: tuple[str, ...] = (), at_once: bool = False
) -> Callable[[_F], _F]: ...
def transformer(
    function: Any = None, /, *, value: str | None = None, one_of: tuple[str, ...] = (), at_once: bool = False
) -> Any:
    """Mark a function as a transformer; it stays an ordinary function.

    `value` names the option that a step gives as it stands: `- keep_if: "..."` instead of
    `- keep_if: {condition: "..."}`. Where there are more options, an object gives them by their names. Of the options
    in `one_of`, a step must give exactly one. `at_once` says that it may wait for several records at the same time; the
    steps behind it meet them in their order all the same.
    """

    def mark(function: _F) -> _F:
        setattr(function, MARK, value)
        setattr(function, ONE_OF, one_of)
        setattr(function, AT_ONCE, at_once)
        return function

    return mark if function is None else mark(function)
