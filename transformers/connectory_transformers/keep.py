"""Leave only some fields in a record."""

from connectory import Record, transformer


@transformer(value="fields")
def keep(record: Record, *, fields: list[str]) -> Record:
    """Keep only these fields, in this order; one that is absent stays absent.

    Options:
        fields: the fields that stay

    Examples:
        ["id", "text"]
    """
    return {name: record[name] for name in fields if name in record}
