"""Have a value in a second place."""

from copy import deepcopy

from connectory import Field, Record, transformer


@transformer(value="names")
def copy(record: Record, *, names: dict[Field, Field]) -> Record:
    """Copy values to further fields, `{old: new}`; a record without the old field stays as it is.

    All values are taken from the record as it comes in. A new field that is there already is replaced.

    Options:
        names: the fields to copy, `{old: new}`; a dotted name reaches into an object

    Examples:
        {"id": "source.id"}
        {"text": "original"}
    """
    values = [(new, deepcopy(old.get(record))) for old, new in names.items() if old.has(record)]
    for new, value in values:
        new.put(record, value)
    return record
