"""Bring what lies deep to the top."""

from collections.abc import Iterator
from typing import Any, cast

from connectory import Record, TransformerError, transformer


@transformer(value="fields")
def flatten(
    record: Record,
    *,
    fields: list[str] | None = None,
    separator: str = ".",
    lists: bool = False,
    depth: int = 100,
) -> Record:
    """Replace objects by their fields, with names such as `address.city`; empty objects stay.

    Two fields that would end up with one name are an error: neither is lost in silence.

    Options:
        fields: the fields to flatten; without it, all
        separator: what stands between the names
        lists: whether lists are flattened too, as `tags.0`
        depth: how many levels are flattened

    Examples:
        {"fields": ["address"], "separator": "_", "lists": true}
        {"depth": 1}
    """
    flat: Record = {}
    for name, value in record.items():
        levels = depth if fields is None or name in fields else 0
        for new, one in _flat(name, value, separator, lists=lists, depth=levels):
            if new in flat:
                raise TransformerError(f"two fields would be called {new!r}")
            flat[new] = one
    return flat


def _flat(name: str, value: Any, separator: str, *, lists: bool, depth: int) -> Iterator[tuple[str, Any]]:
    inner: dict[Any, object] = {}
    if isinstance(value, dict):
        inner = cast("dict[Any, object]", value)
    elif lists and isinstance(value, list):
        inner = dict(enumerate(cast("list[object]", value)))
    if not inner or depth < 1:
        yield name, value
    for key, one in inner.items() if depth > 0 else ():
        yield from _flat(f"{name}{separator}{key}", one, separator, lists=lists, depth=depth - 1)
