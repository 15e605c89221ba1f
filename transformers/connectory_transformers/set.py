"""Add fields to a record."""

from typing import cast

from connectory import Context, Record, Template, transformer


@transformer(value="fields")
def set(  # noqa: A001 - the word users write
    record: Record, *, fields: dict[str, Template], context: Context
) -> Record:
    """Add or replace fields; a dotted name such as `address.city` reaches into an object.

    All values are made from the record as it comes in, then set in order. An object on the way that is
    missing is made; a value on the way that is no object is an error. A field that has exactly the dotted
    name is replaced as it stands.
    """
    values = [(name, template.render(record, context.scope)) for name, template in fields.items()]
    for name, value in values:
        owner, last = (record, name) if name in record else _walk(record, name)
        owner[last] = value
    return record


def _walk(record: Record, name: str) -> tuple[Record, str]:
    *way, last = name.split(".")
    owner = record
    for step in way:
        inner = owner.setdefault(step, {})
        if not isinstance(inner, dict):
            raise TypeError(f"cannot set {name!r}: {step!r} is no object")
        owner = cast("Record", inner)
    return owner, last
