"""Fill in what is missing."""

from connectory import Context, Field, Record, Template, transformer


@transformer(value="values")
def default(record: Record, *, values: dict[Field, Template], context: Context) -> Record:
    """Set fields that are absent or null; all others stay as they are, an empty text too.

    Options:
        values: what the fields get, `{name: value}`; a value is a template

    Examples:
        {"title": "untitled", "size": "&{length(text)}"}
        {"tags": []}
    """
    for field, template in values.items():
        if field.get(record) is None:
            field.put(record, template.render(record, context.scope))
    return record
