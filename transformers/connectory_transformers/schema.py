"""Hold a record against a JSON Schema."""

from typing import Annotated

from connectory import Field, InFile, Record, Schema, TransformerError, transformer


@transformer(one_of=("schema", "file"))
def schema(
    record: Record,
    *,
    schema: Schema | None = None,
    file: Annotated[Schema, InFile()] | None = None,
    field: Field | None = None,
) -> Record:
    """Let a record pass when it is valid by a JSON Schema; otherwise it is an error that says what is wrong.

    Options:
        schema: the JSON Schema itself
        file: a file that holds it, below the configuration's folder
        field: the part of the record that is checked; without it, the whole record

    Examples:
        {"schema": {"type": "object", "required": ["id"]}}
        {"file": "order.schema.json", "field": "order"}
    """
    checked = schema or file
    name = "record" if field is None else field.name
    value = record if field is None else field.need(record)
    if checked is not None and (errors := checked.errors(value, name=name)):
        raise TransformerError("; ".join(errors))
    return record
