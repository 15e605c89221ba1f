"""Drop what came before."""

import json
from hashlib import blake2b

from connectory import Context, Expression, Memory, Record, transformer


@transformer(value="by")
def deduplicate(
    record: Record,
    *,
    by: Expression | None = None,
    most: int = 1_000_000,
    context: Context,
    memory: Memory,
) -> Record | None:
    """Keep the first record of those that are alike, and drop the others of the same run.

    It remembers as long as the process lives: a run that is taken up again knows nothing of what came before. For what
    came in earlier runs there is `only: new`.

    Options:
        by: what makes two records alike, such as `id` or `[name, city]`; without it, the whole record
        most: how many records are remembered; the oldest is forgotten then

    Examples:
        {"by": "id"}
        {"by": "[shop, number]", "most": 10000}
    """
    value = record if by is None else by(record, context.scope)
    known = blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=16).digest()
    seen = memory.of(context)
    if known in seen:
        return None
    seen[known] = None
    if len(seen) > most:
        del seen[next(iter(seen))]
    return record
