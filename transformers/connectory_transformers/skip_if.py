"""Drop records for which a condition holds."""

from connectory import Context, Expression, Record, transformer


@transformer(value="condition")
def skip_if(record: Record, *, condition: Expression, context: Context) -> Record | None:
    """Drop the record when the expression is true; an absent field is an error, never a reason to keep or drop.

    The opposite of `keep_if`. In an outgoing, the result of a dropped record is `skipped`.

    Options:
        condition: what must not hold, as a bare expression

    Examples:
        "status == 'done'"
    """
    return None if condition.holds(record, context.scope) else record
