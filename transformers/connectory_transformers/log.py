"""Write a line to the log."""

import logging
from typing import Literal

from connectory import Context, Record, Template, transformer


@transformer(value="message")
def log(
    record: Record,
    *,
    message: Template,
    level: Literal["debug", "info", "warning", "error"] = "warning",
    context: Context,
) -> Record:
    """Write a line to the log `connectory`, and leave the record as it is; secrets are blanked.

    Options:
        message: the line; a template
        level: debug, info, warning or error; the command line shows the last two, with --verbose all

    Examples:
        {"message": "&{id} has no text", "level": "warning"}
        "no text in &{id}"
    """
    line = message.render(record, context.scope)
    context.logger.log(logging.getLevelNamesMapping()[level.upper()], "%s", line)
    return record
