"""Hide what should not leave the shop."""

from connectory import Record, TransformerError, transformer


@transformer(value="field")
def mask(record: Record, *, field: str, keep: int = 2) -> Record:
    """Replace the text in `field` by its first `keep` characters and stars."""
    value = record.get(field)
    if not isinstance(value, str):
        raise TransformerError(f"{field!r} is {value!r:.60}, not a text")
    return {**record, field: value[:keep] + "***"}
