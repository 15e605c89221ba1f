"""Give values another type."""

import json
from math import isfinite
from typing import Any, Literal, TypeAlias

from connectory import Expression, Field, Record, TransformerError, transformer

Kind: TypeAlias = Literal["int", "float", "bool", "string", "date"]

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TO_DATE = Expression("date(@, '%Y-%m-%dT%H:%M:%SZ')")


@transformer(value="fields")
def cast(record: Record, *, fields: dict[Field, Kind]) -> Record:
    """Give values another type, without losing anything; null and an absent field stay as they are.

    A number with a fraction is no `int`. A `bool` is true, yes or 1; false, no or 0. A `string` of a list or object is
    JSON. A `date` is made of epoch seconds or a date in ISO 8601, and written in UTC.

    Options:
        fields: the type of each field, `{name: type}`: int, float, bool, string or date

    Examples:
        {"count": "int", "price": "float", "paid": "bool", "at": "date"}
        {"paid": "bool", "code": "string"}
    """
    for field, kind in fields.items():
        value = field.get(record)
        if value is None:
            continue
        try:
            field.put(record, _cast(value, kind))
        except (ValueError, TypeError, OverflowError):
            raise TransformerError(f"{field.name!r} is {value!r:.60}, which is no {kind}") from None
    return record


def _cast(value: Any, kind: Kind) -> Any:
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if kind == "date":
        return _TO_DATE(value)
    if kind == "bool":
        found = value if isinstance(value, bool) else _BOOLEANS.get(str(value).strip().lower())
        if found is None:
            raise ValueError(value)
        return found
    if isinstance(value, bool):
        raise TypeError(value)
    if kind == "int":
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return int(value)
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number
