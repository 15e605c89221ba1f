"""Read JSON that stands in a text."""

import json
import re

from connectory import Field, Record, TransformerError, transformer

_FENCE = re.compile(r"\s*```\w*\s*\n(.*)\n\s*```\s*", re.DOTALL)


@transformer(value="fields")
def parse_json(record: Record, *, fields: list[Field]) -> Record:
    """Replace texts that hold JSON by what they say; a field that is absent or no text stays as it is.

    JSON between the lines of a Markdown fence, as models write it, is read too.

    Options:
        fields: the fields that hold JSON
    """
    for field in fields:
        value = field.get(record)
        if isinstance(value, str):
            fenced = _FENCE.fullmatch(value)
            try:
                field.put(record, json.loads(fenced[1] if fenced else value))
            except ValueError as error:
                raise TransformerError(f"field {field.name!r} holds no JSON: {error}") from None
    return record
