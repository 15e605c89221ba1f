"""Write a value as JSON in a text."""

import json

from connectory import Field, Record, TransformerError, transformer


@transformer(value="fields")
def to_json(record: Record, *, fields: list[Field], indent: int | None = None) -> Record:
    """Replace values by their JSON, texts too; a field that is absent stays absent.

    `parse_json` gives them back.

    Options:
        fields: the fields whose values are written
        indent: spaces for each level; without it, all stands on one line

    Examples:
        {"fields": ["attributes"], "indent": 2}
        ["attributes"]
    """
    for field in fields:
        if field.has(record):
            try:
                text = json.dumps(field.get(record), ensure_ascii=False, allow_nan=False, indent=indent)
            except (ValueError, TypeError) as error:
                raise TransformerError(f"field {field.name!r} cannot be written as JSON: {error}") from None
            field.put(record, text)
    return record
