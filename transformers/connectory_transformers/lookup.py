"""Look a value up in a table."""

import csv
import json
from copy import deepcopy
from functools import lru_cache
from typing import Annotated, Any, Literal

from connectory import Field, InFile, Record, TransformerError, transformer


@transformer(one_of=("table", "file"))
def lookup(
    record: Record,
    *,
    field: Field,
    into: Field | None = None,
    table: dict[str, Any] | None = None,
    file: Annotated[str, InFile()] | None = None,
    key: str | None = None,
    value: str | None = None,
    missing: Literal["error", "null", "keep"] | None = "error",
) -> Record:
    """Replace a value by what a table says of it; null and an absent field stay as they are.

    The table stands in the configuration, or in a file below its folder: CSV with a line of names, or a JSON object.

    Options:
        field: the value that is looked up; a number counts as its text
        into: where the found value goes; without it, in its place
        table: the table itself, `{value: found}`
        file: a file that holds the table
        key: the column of a CSV file that is searched; the first without it
        value: the column of a CSV file that is given; without it, the whole line as an object
        missing: what happens to a value that the table does not have: error, null, or keep it as it is

    Examples:
        {"field": "country", "table": {"de": "Germany", "fr": "France"}, "missing": "keep"}
        {"field": "sku", "into": "price", "file": "products.csv", "key": "sku", "value": "price"}
    """
    wanted = field.get(record)
    if wanted is None:
        return record
    text = wanted if isinstance(wanted, str) else json.dumps(wanted)
    known = table if table is not None else _table(file or "", key, value)
    if text in known:
        (into or field).put(record, deepcopy(known[text]))
    elif missing in {"null", None}:
        (into or field).put(record, None)
    elif missing == "error":
        raise TransformerError(f"the table has no {text!r:.60}, which {field.name!r} is")
    elif into is not None:
        into.put(record, wanted)
    return record


@lru_cache(maxsize=16)
def _table(text: str, key: str | None, value: str | None) -> dict[str, Any]:
    """Read a file's text once; the same file in two steps is one table for each pair of columns."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise TransformerError(f"the file holds no JSON object: {error}") from None
    rows = csv.DictReader(text.splitlines(keepends=True))
    names = list(rows.fieldnames or ())
    for name in (key, value):
        if name is not None and name not in names:
            raise TransformerError(f"the file has no column {name!r}; it has {', '.join(map(repr, names))}")
    searched = key or (names[0] if names else "")
    return {row[searched]: dict(row) if value is None else row[value] for row in rows}
