"""Give fields other names."""

from connectory import Field, Record, transformer


@transformer(value="names")
def rename(record: Record, *, names: dict[str, Field]) -> Record:
    """Rename fields, `{old: new}`, in their places; a record without the old field stays as it is.

    A dotted new name such as `address.city` reaches into an object, which is made where it is missing. Two fields
    that would end up with one name are an error: neither is lost in silence.

    Options:
        names: the fields to rename, `{old: new}`

    Examples:
        {"city": "address.city"}
        {"name": "title", "descr": "description"}
    """
    renamed: Record = {}
    inside: Record = {}
    for name, value in record.items():
        new = names.get(name)
        if new is not None and "." in new.name:
            inside[name] = value
        elif (new.name if new else name) in renamed:
            raise ValueError(f"two fields would be called {new.name if new else name!r}")
        else:
            renamed[new.name if new else name] = value
    for name, value in inside.items():
        names[name].add(renamed, value)
    return renamed
