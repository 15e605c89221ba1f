"""Give fields other names."""

from typing import Any, cast

from connectory import Record, transformer


@transformer(value="names")
def rename(record: Record, *, names: dict[str, str]) -> Record:
    """Rename fields, `{old: new}`, in their places; a record without the old field stays as it is.

    A dotted new name such as `address.city` reaches into an object, which is made where it is missing. Two fields
    that would end up with one name are an error: neither is lost in silence.
    """
    renamed: Record = {}
    inside = [(names[name], value) for name, value in record.items() if "." in names.get(name, "")]
    for name, value in record.items():
        new = names.get(name, name)
        if name in names and "." in new:
            continue
        _put(renamed, new, new, value)
    for name, value in inside:
        *way, last = name.split(".")
        owner = renamed
        for step in way:
            inner = owner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise TypeError(f"cannot make {name!r}: {step!r} is no object")
            owner = cast("Record", inner)
        _put(owner, last, name, value)
    return renamed


def _put(owner: Record, key: str, name: str, value: Any) -> None:
    if key in owner:
        raise ValueError(f"two fields would be called {name!r}")
    owner[key] = value
