"""Drop what came before."""

from connectory import Context, Expression, Memory, Record, transformer


@transformer(value="by")
def deduplicate(
    record: Record, *, by: Expression | None = None, context: Context, memory: Memory
) -> Record | None:
    """Keep the first record of those that are alike, and drop the others of the same run.

    The journal remembers, on the disk, in the transaction that notes what is done: a run that was killed and is taken
    up again goes on where it was, and a record that was not done yet is no repetition of itself. Where there is no
    journal, memory has room for a million records, and forgets the oldest then. Each run begins with nothing; for what
    came in earlier ones there is `only: new`.

    Options:
        by: what makes two records alike, such as `id` or `[name, city]`; without it, the whole record

    Examples:
        "id"
        "[shop, number]"
    """
    return record if memory.first(context, record if by is None else by(record, context.scope)) else None
