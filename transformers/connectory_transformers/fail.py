"""Set a record aside."""

from typing import Any

from connectory import Context, Record, Template, TransformerError, transformer


@transformer(value="message")
def fail(record: Record, *, message: Template, context: Context) -> Any:
    """Make the record an error with this message; it becomes a dead letter, and the run goes on.

    Mostly inside `when`.

    Options:
        message: what is wrong with the record; a template

    Examples:
        "no price in &{id}"
    """
    raise TransformerError(str(message.render(record, context.scope)))
