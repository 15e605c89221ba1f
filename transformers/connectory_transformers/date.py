"""Read, shift and write a date."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator

from connectory import Expression, Field, Record, TransformerError, transformer

_EPOCH = Expression("epoch(@)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _shift(text: Any) -> timedelta:
    found = re.fullmatch(r"([+-]?)(\d{1,6})([smhdw])", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(
            f"{text!r} is no length of time; write a number and one of s, m, h, d, w, such as -30d"
        )
    length = timedelta(**{_UNITS[found[3]]: int(found[2])})
    return -length if found[1] == "-" else length


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        raise ValueError(f"there is no time zone {name!r}; write a name such as Europe/Berlin") from None


Shift: TypeAlias = Annotated[Any, BeforeValidator(_shift)]
Zone: TypeAlias = Annotated[Any, BeforeValidator(_zone)]


@transformer(value="field")
def date(
    record: Record,
    *,
    field: Field | None = None,
    into: Field | None = None,
    parse: str | None = None,
    shift: "Shift | None" = None,
    format: str | None = None,  # noqa: A002 - the word users write
    zone: "Zone | None" = None,
) -> Record:
    """Read a date, shift it and write it anew; null and an absent field stay as they are.

    Without `parse` it is epoch seconds or a date in ISO 8601. Without `format` it is written in ISO 8601. Without
    `field` it is this moment.

    Options:
        field: where the date stands; without it, this moment is taken
        into: where the new date goes; without it, in its place
        parse: how the date is written, such as `%d.%m.%Y`
        shift: how far it is moved, such as `-30d` or `12h`: s, m, h, d or w; a day has 24 hours
        format: how it is to be written, such as `%Y-%m-%d`; `epoch` for epoch seconds
        zone: the time zone of a date that says none, and of what is written; UTC without it

    Examples:
        {"field": "created_at", "into": "day", "format": "%Y-%m-%d", "zone": "Europe/Berlin"}
        {"field": "born", "parse": "%d.%m.%Y", "shift": "-1d"}
    """
    target = into or field
    if target is None:
        raise TransformerError("without 'field' it needs 'into', where this moment goes")
    value = time.time() if field is None else field.get(record)
    if value is not None:
        home: Any = zone or UTC
        try:
            moment = _read(value, parse, home).astimezone(UTC) + (shift or timedelta())
            target.put(record, _written(moment.astimezone(home), format))
        except OverflowError:
            raise TransformerError(f"{value!r:.60} leads to a date that no calendar has") from None
    return record


def _read(value: Any, parse: str | None, home: Any) -> datetime:
    if parse is not None:
        if not isinstance(value, str):
            raise TransformerError(f"the date is {value!r:.60}, not a text")
        try:
            read = datetime.strptime(value, parse)  # noqa: DTZ007 - the zone is added below
        except ValueError:
            raise TransformerError(f"the date {value!r:.60} is not written as {parse!r}") from None
    else:
        seconds = _EPOCH(value)
        if not isinstance(value, str):
            return datetime.fromtimestamp(seconds, UTC)
        read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=home)


def _written(moment: datetime, form: str | None) -> Any:
    if form == "epoch":
        seconds = moment.timestamp()
        return int(seconds) if seconds.is_integer() else seconds
    if form is not None:
        return moment.strftime(form)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
