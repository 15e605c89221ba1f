"""Make a new record."""

from connectory import Context, Record, Template, transformer


@transformer(value="fields")
def build(record: Record, *, fields: dict[str, Template], context: Context) -> Record:
    """Make a new record of these fields alone; what is not named is gone.

    Options:
        fields: the new fields, `{name: value}`; a value is a template

    Examples:
        {"model": "gpt-5-mini", "input": "&{text}"}
        {"id": "&{id}", "size": "&{length(text)}"}
    """
    return {name: template.render(record, context.scope) for name, template in fields.items()}
