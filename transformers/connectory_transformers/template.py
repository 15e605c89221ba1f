"""Write a text from a template."""

import json
from typing import Annotated

from connectory import Context, Field, InFile, Record, Template, transformer


@transformer(one_of=("text", "file"))
def template(
    record: Record,
    *,
    into: Field,
    text: Template | None = None,
    file: Annotated[Template, InFile()] | None = None,
    context: Context,
) -> Record:
    """Write a text, such as a prompt, into a field; the template may stand in a file below the configuration's folder.

    Options:
        into: where the text goes
        text: the template, with placeholders
        file: a file that holds it

    Examples:
        {"into": "prompt", "text": "Translate to &{language}: &{text}"}
        {"into": "prompt", "file": "prompts/translate.txt"}
    """
    chosen = text or file
    made = None if chosen is None else chosen.render(record, context.scope)
    into.put(record, made if isinstance(made, str) else json.dumps(made, ensure_ascii=False))
    return record
