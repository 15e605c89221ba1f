"""Take fields out of a record."""

from connectory import Field, Record, transformer


@transformer(value="fields")
def remove(record: Record, *, fields: list[Field]) -> Record:
    """Remove these fields; one that is absent already is fine.

    Options:
        fields: the fields that go; a dotted name such as `address.city` reaches into an object

    Examples:
        ["internal", "address.street"]
    """
    for field in fields:
        field.take(record)
    return record
