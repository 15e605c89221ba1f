"""Add fields to a record."""

from connectory import Context, Field, Record, Template, transformer


@transformer(value="fields")
def set(  # noqa: A001 - the word users write
    record: Record, *, fields: dict[Field, Template], context: Context
) -> Record:
    """Add or replace fields; a dotted name such as `address.city` reaches into an object.

    All values are made from the record as it comes in, then set in order. An object on the way that is
    missing is made; a value on the way that is no object is an error. A field that has exactly the dotted
    name is replaced as it stands.

    Options:
        fields: the fields, `{name: value}`; a value is a template

    Examples:
        {"model": "gpt-5-mini", "address.city": "&{city}"}
        {"status": "new"}
    """
    values = [(field, template.render(record, context.scope)) for field, template in fields.items()]
    for field, value in values:
        field.put(record, value)
    return record
