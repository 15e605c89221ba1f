"""Replace parts of texts."""

from connectory import Field, Pattern, Record, transformer


@transformer(one_of=("text", "pattern"))
def replace(
    record: Record,
    *,
    fields: list[Field],
    text: str | None = None,
    pattern: Pattern | None = None,
    by: str = "",
) -> Record:
    r"""Replace a text, or what matches a regular expression, in fields; what is absent or no text stays as it is.

    A pattern that could search for ever is refused before the run begins.

    Options:
        fields: the fields that are searched
        text: the text to replace, as it stands
        pattern: the regular expression to replace, in Python's syntax; `(?i)` in front ignores case
        by: what stands there instead; with a pattern, `\1` or `\g<name>` is one of its groups

    Examples:
        {"fields": ["text"], "text": "colour", "by": "color"}
        {"fields": ["text"], "pattern": "(?i)<br ?/?>", "by": " "}
    """
    for field in fields:
        value = field.get(record)
        if isinstance(value, str):
            field.put(
                record, value.replace(text or "", by) if pattern is None else pattern.replace(value, by)
            )
    return record
