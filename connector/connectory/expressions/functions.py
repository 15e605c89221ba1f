"""The functions an expression may call: JMESPath's own, and those that know about time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions

from connectory.errors import ConfigError, did_you_mean
from connectory.expressions.refusals import RefusedError, is_number, show

Clock: TypeAlias = Callable[[], float]
Call: TypeAlias = Callable[[list[Any]], Any]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ARITY = {"now": 0, "ago": 1, "epoch": 1, "date": 2, "default": 2}
_BUILT_IN = Functions()


def bind(name: str, given: int, *, clock: Clock) -> Call:
    """Give the function of that name, called with a list of `given` values."""
    _check_arity(name, given)
    match name:
        case "now":
            return lambda _arguments: int(clock())
        case "ago":
            return lambda arguments: int(clock()) - seconds(arguments[0])
        case "epoch":
            return lambda arguments: _epoch(arguments[0])
        case "date":
            return lambda arguments: _date(arguments[0], arguments[1])
        case _:
            return lambda arguments: _call(name, arguments)


def reference(walk: Callable[[Any], Any]) -> object:
    """Wrap `&expr` the way that jmespath's functions take it."""
    return _Expression(walk)


class _Expression:
    # jmespath checks types by the class's name: it must be this one.
    __slots__ = ("expression",)

    def __init__(self, expression: Callable[[Any], Any]) -> None:
        self.expression = expression

    def visit(self, expression: Callable[[Any], Any], element: Any) -> Any:
        return expression(element)


def _check_arity(name: str, given: int) -> None:
    table = cast("dict[str, Any]", _BUILT_IN.FUNCTION_TABLE)
    if name not in _ARITY and name not in table:
        raise ConfigError(f"no function {name!r}{did_you_mean(name, [*_ARITY, *table])}")
    signature: tuple[Any, ...] = () if name in _ARITY else table[name]["signature"]
    wanted = _ARITY.get(name, len(signature))
    more = bool(signature) and signature[-1].get("variadic", False)
    if given < wanted or (given > wanted and not more):
        takes = f"{'at least ' if more else ''}{wanted} argument{'' if wanted == 1 else 's'}"
        raise ConfigError(f"{name}() takes {takes}, not {given}")


def _call(name: str, arguments: list[Any]) -> Any:
    try:
        return _BUILT_IN.call_function(name, arguments)
    except JMESPathTypeError as error:
        wanted = " or ".join(error.expected_types)
        raise RefusedError(f"{name}() takes {wanted}, not {show(error.current_value)}") from None
    except (JMESPathError, ValueError, TypeError, ArithmeticError) as error:
        raise RefusedError(f"{name}() failed: {error}") from None


def seconds(text: Any) -> int:
    """Read a length of time such as `30d`."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw])\s*", text) if isinstance(text, str) else None
    if not found:
        raise RefusedError(f"ago() takes a number and one of s, m, h, d, w, such as '30d', not {show(text)}")
    return int(found[1]) * _SECONDS[found[2]]


def _moment(value: Any, function: str) -> datetime:
    try:
        if is_number(value):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            return read if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise RefusedError(
        f"{function}() takes epoch seconds or a date such as '2025-01-31T12:00:00Z', not {show(value)}"
    )


def _epoch(value: Any) -> int | float:
    if is_number(value):
        return cast("int | float", value)
    seconds = _moment(value, "epoch").timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def _date(value: Any, form: Any) -> str:
    if not isinstance(form, str):
        raise RefusedError(f"date() takes a format such as '%Y-%m-%d', not {show(form)}")
    return _moment(value, "date").astimezone(UTC).strftime(form)
