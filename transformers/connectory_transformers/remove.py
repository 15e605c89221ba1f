"""Take fields out of a record."""

from connectory import Record, transformer


@transformer(value="fields")
def remove(record: Record, *, fields: list[str]) -> Record:
    """Remove these fields; one that is absent already is fine."""
    for name in fields:
        record.pop(name, None)
    return record
