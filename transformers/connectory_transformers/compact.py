"""Leave out what is null."""

from connectory import Record, transformer


@transformer
def compact(record: Record, *, also: list[str | int | float | bool] | None = None) -> Record:
    """Remove the fields that are null, and with `also` those that have one of these values, such as ''.

    Only the record's own fields are looked at, never what lies inside them.

    Options:
        also: further values whose fields are removed

    Examples:
        {"also": ["", 0]}
    """
    unwanted = [(type(value), value) for value in also or ()]
    return {
        name: value
        for name, value in record.items()
        if value is not None and (type(value), value) not in unwanted
    }
