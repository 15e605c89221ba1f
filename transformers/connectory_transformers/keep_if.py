"""Drop records for which a condition does not hold."""

from connectory import Context, Expression, Record, transformer


@transformer(value="condition")
def keep_if(record: Record, *, condition: Expression, context: Context) -> Record | None:
    """Keep the record when the expression is true; an absent field is an error, never a reason to keep.

    Null, false, and an empty text, list or object count as false; the number 0 counts as true.

    Options:
        condition: what must hold, as a bare expression

    Examples:
        "created_at < ago('30d')"
    """
    return record if condition.holds(record, context.scope) else None
