"""Read JSON that stands in a text."""

import json

from connectory import Field, Record, TransformerError, transformer


@transformer(value="fields")
def parse_json(record: Record, *, fields: list[Field]) -> Record:
    """Replace texts that hold JSON by what they say; a field that is absent or no text stays as it is.

    JSON between the lines of a Markdown fence, as models write it, is read too.

    Options:
        fields: the fields that hold JSON

    Examples:
        ["arguments"]
    """
    for field in fields:
        value = field.get(record)
        if isinstance(value, str):
            try:
                field.put(record, json.loads(_inside(value)))
            except ValueError as error:
                raise TransformerError(f"field {field.name!r} holds no JSON: {error}") from None
    return record


def _inside(text: str) -> str:
    """Give what stands between the lines of a fence; a text without one as it is."""
    first, _, rest = text.strip().partition("\n")
    return rest.removesuffix("```") if first.startswith("```") and rest.endswith("```") else text
