"""Read JSON that stands in a text."""

import json

from connectory import Record, transformer


@transformer(value="fields")
def parse(record: Record, *, fields: list[str]) -> Record:
    """Replace texts that hold JSON by what they say; a field that is absent or no text stays as it is."""
    for name in fields:
        value = record.get(name)
        if isinstance(value, str):
            try:
                record[name] = json.loads(value)
            except ValueError as error:
                raise ValueError(f"field {name!r} holds no JSON: {error}") from None
    return record
