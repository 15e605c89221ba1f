"""Make one record of each element of a list."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast

from connectory import Context, Expression, Record, transformer


@transformer(value="field")
def split(
    record: Record, *, field: Expression, into: str | None = None, context: Context
) -> Iterator[Record]:
    """Give one record for each element of a list; an empty list gives none.

    `field` is an expression for the list. Without `into`, each element must be an object and is the new
    record. With `into`, each record keeps the other fields, and the element stands under that name; a list
    that is a field of the record (`field: items`) is left out.
    """
    elements = field(record, context.scope)
    if not isinstance(elements, list):
        raise TypeError(f"{field.text!r} gave {elements!r:.60}, not a list")
    rest = {name: value for name, value in record.items() if name != field.text}
    for element in cast("list[object]", elements):
        yield _placed(deepcopy(element), deepcopy(rest), into)


def _placed(element: Any, rest: Record, into: str | None) -> Record:
    if into is not None:
        return {**rest, into: element}
    if not isinstance(element, dict):
        raise TypeError(f"an element is {element!r:.60}, not an object; name a field for it with 'into'")
    return cast("Record", element)
