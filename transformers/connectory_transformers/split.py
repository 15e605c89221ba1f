"""Make one record of each element of a list."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast

from connectory import Context, Expression, Record, TransformerError, transformer


@transformer(value="field")
def split(
    record: Record,
    *,
    field: Expression,
    into: str | None = None,
    keep: list[str] | None = None,
    context: Context,
) -> Iterator[Record]:
    """Give one record for each element of a list; an empty list gives none.

    Without `into`, each element must be an object and is the new record, with the fields of `keep` beside its own.
    With `into`, each record keeps the other fields, or those of `keep` alone, and the element stands under that name;
    a list that is a field of the record (`field: items`) is left out.

    Options:
        field: the list, as a bare expression
        into: the name under which the element stands
        keep: the fields of the record that each element gets; one that is absent stays absent

    Examples:
        {"field": "items", "into": "item", "keep": ["id"]}
        "items"
    """
    elements = field(record, context.scope)
    if not isinstance(elements, list):
        raise TypeError(f"{field.text!r} gave {elements!r:.60}, not a list")
    wanted = (
        keep if keep is not None else [] if into is None else [name for name in record if name != field.text]
    )
    rest = {name: record[name] for name in wanted if name in record}
    for element in cast("list[object]", elements):
        yield _placed(deepcopy(element), deepcopy(rest), into)


def _placed(element: Any, rest: Record, into: str | None) -> Record:
    if into is not None:
        return {**rest, into: element}
    if not isinstance(element, dict):
        raise TypeError(f"an element is {element!r:.60}, not an object; name a field for it with 'into'")
    own = cast("Record", element)
    for name in rest:
        if name in own:
            raise TransformerError(
                f"two fields would be called {name!r}; name a field for the element with 'into'"
            )
    return {**rest, **own}
