"""Run steps where a condition holds."""

from collections.abc import Iterable

from connectory import Chain, Context, Expression, Record, transformer


@transformer(at_once=True)
def when(
    record: Record,
    *,
    condition: Expression,
    do: Chain | None = None,
    otherwise: Chain | None = None,
    context: Context,
) -> Iterable[Record]:
    """Run steps for the records for which an expression is true, and others for the rest.

    Where no steps are given, the record stays as it is. An absent field is an error of the record.

    Options:
        condition: the condition, as a bare expression
        do: the steps for records for which it holds
        otherwise: the steps for all others

    Examples:
        {"condition": "priority == 'high'", "do": [{"set": {"model": "gpt-5"}}], "otherwise": ["compact"]}
    """
    steps = do if condition.holds(record, context.scope) else otherwise
    return (record,) if steps is None else steps.run(record, context)
