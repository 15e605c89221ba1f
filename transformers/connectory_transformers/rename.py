"""Give fields other names."""

from connectory import Record, transformer


@transformer(value="names")
def rename(record: Record, *, names: dict[str, str]) -> Record:
    """Rename fields, `{old: new}`, in their places; a record without the old field stays as it is.

    Two fields that would end up with one name are an error: neither is lost in silence.
    """
    renamed: Record = {}
    for name, value in record.items():
        new = names.get(name, name)
        if new in renamed:
            raise ValueError(f"two fields would be called {new!r}")
        renamed[new] = value
    return renamed
