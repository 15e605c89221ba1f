"""Reshape a record by an expression."""

from collections.abc import Iterable
from copy import deepcopy
from typing import cast

from connectory import Context, Expression, Record, transformer


@transformer(value="to")
def map(  # noqa: A001 - the word users write
    record: Record, *, to: Expression, context: Context
) -> Record | Iterable[Record]:
    """Replace the record by what the expression gives: an object, or a list of objects for many records.

    Options:
        to: the new record, as a bare expression

    Examples:
        "{id: id, text: content[0].text}"
    """
    made = to(record, context.scope)
    if isinstance(made, dict):
        return deepcopy(cast("Record", made))
    if isinstance(made, list):
        return deepcopy(cast("list[Record]", made))
    raise TypeError(f"the expression gave {made!r:.60}, not an object or a list of objects")
