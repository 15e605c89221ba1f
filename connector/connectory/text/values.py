"""Values of databases and of files with types, as JSON has them: no number changes its value."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def jsonable(value: Any) -> Any:
    """Give a value as JSON has it.

    Bytes become what a payload takes as a file, times ISO 8601, a decimal number the number where a float has exactly
    its value, else its text; what JSON knows nothing like becomes its text.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(bytes(cast("bytes", value))).decode()}
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dict):
        return {str(name): jsonable(one) for name, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set):
        return [jsonable(one) for one in cast("Sequence[Any]", value)]
    written = getattr(value, "isoformat", None)
    return written() if callable(written) else str(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
