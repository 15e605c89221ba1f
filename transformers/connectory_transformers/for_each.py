"""Run steps for each element of a list."""

from dataclasses import replace
from typing import Any, cast

from connectory import Chain, Context, Field, Record, TransformerError, transformer


@transformer(at_once=True)
def for_each(record: Record, *, field: Field, do: Chain, into: str | None = None, context: Context) -> Record:
    """Run steps for each element of a list, inside the record; an element may become none or many.

    In the steps an element is the record, and `record` is the whole one.

    Options:
        field: the list
        do: the steps
        into: the name under which an element stands in the steps; it is needed where elements are no objects

    Examples:
        {"field": "lines", "into": "line", "do": [{"keep_if": "line.qty > `0`"}]}
    """
    elements = field.need(record)
    if not isinstance(elements, list):
        raise TransformerError(f"{field.name!r} is {elements!r:.60}, not a list")
    inside = replace(context, scope={**context.scope, "record": record})
    made: list[Any] = []
    for number, element in enumerate(cast("list[object]", elements)):
        one = element if into is None else {into: element}
        if not isinstance(one, dict):
            raise TransformerError(
                f"element {number} of {field.name!r} is {one!r:.60}, not an object; name a field for it with 'into'"
            )
        made += do.run(cast("Record", one), inside)
    if into is not None:
        name = Field(into)
        made = [name.need(one) for one in made]
    field.put(record, made)
    return record
