"""Put the fields of another object into the record."""

from typing import Literal, cast

from connectory import Context, Record, Template, TransformerError, transformer


@transformer(value="objects")
def merge(
    record: Record,
    *,
    objects: Template,
    win: Literal["new", "old"] = "new",
    deep: bool = False,
    context: Context,
) -> Record:
    """Add the fields of an object, or of several one after the other, to the record; null adds nothing.

    Options:
        objects: the object, or a list of them; a template such as `"&{address}"`
        win: whose value stays where both have a field: new, or old
        deep: whether objects that both have are merged too, instead of replaced

    Examples:
        "&{address}"
        {"objects": ["&{defaults}", "&{own}"], "win": "old", "deep": true}
    """
    made = objects.render(record, context.scope)
    for one in cast("list[object]", made if isinstance(made, list) else [made]):
        if one is not None and not isinstance(one, dict):
            raise TransformerError(f"cannot merge {one!r:.60}: it is no object")
        _merge(record, cast("Record", one or {}), win, deep=deep)
    return record


def _merge(owner: Record, other: Record, win: str, *, deep: bool) -> None:
    for name, value in other.items():
        present = owner.get(name)
        if deep and isinstance(present, dict) and isinstance(value, dict):
            _merge(cast("Record", present), cast("Record", value), win, deep=True)
        elif win == "new" or name not in owner:
            owner[name] = value
