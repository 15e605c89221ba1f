"""Input that is clearly no JSON Lines, recognised by how it begins, with the command that converts it."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from connectory.errors import InputError
from connectory.text.json import JsonTextError, loads

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = 16 * 1024
"""Bytes that are looked at, at most."""

LINES = 20
"""Lines that are looked at, at most."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Foreign:
    """What the input looks like, and a command that turns it, from its standard input, into JSON Lines."""

    what: str
    command: str = ""

    def error(self, name: str, *, packed: bool) -> InputError:
        """Make the error that ends the run before anything is sent."""
        shown = "the input" if name == "-" else repr(name)
        message = (
            f"{shown} is no JSON Lines, one JSON object a line: it looks like {self.what}; nothing was sent"
        )
        if not self.command:
            return InputError(message)
        file = shlex.quote("FILE" if name == "-" else name)
        target = shlex.quote("FILE.jsonl" if name == "-" else _target(name))
        command = f"gzip -dc {file} | {self.command}" if packed else f"{self.command} < {file}"
        return InputError(f"{message}; convert it first", command=f"{command} > {target}")


Verdict: TypeAlias = Foreign | Literal["lines", "open"]
"""`lines`: read it line by line, whatever may be wrong with some. `open`: more has to come before it can be told."""

_CSV = (
    "python3 -c \"import csv, json; rows = csv.DictReader(open(0, encoding='utf-8-sig', newline=''){more}); "
    '[print(json.dumps(row)) for row in rows]"'
)
_ARRAY = (
    "python3 -c \"import json; [print(json.dumps(one)) for one in json.load(open(0, encoding='utf-8-sig'))]\""
)
_MAGIC = (
    (b"\xff\xfe\0\0", Foreign("UTF-32", "iconv -f UTF-32 -t UTF-8")),
    (b"\0\0\xfe\xff", Foreign("UTF-32", "iconv -f UTF-32 -t UTF-8")),
    (b"\xff\xfe", Foreign("UTF-16", "iconv -f UTF-16 -t UTF-8")),
    (b"\xfe\xff", Foreign("UTF-16", "iconv -f UTF-16 -t UTF-8")),
    (b"\x28\xb5\x2f\xfd", Foreign("a zstd file", "zstd -dc")),
    (b"BZh", Foreign("a bzip2 file", "bzip2 -dc")),
    (b"\xfd7zXZ\0", Foreign("an xz file", "xz -dc")),
    (b"PK\x03\x04", Foreign("a zip file, or a spreadsheet; take the records out of it")),
    (b"PAR1", Foreign("a Parquet file; write input: {parquet: FILE}")),
    (b"SQLite format 3\0", Foreign("an SQLite database; export its rows as JSON Lines")),
    (b"%PDF-", Foreign("a PDF file")),
)
_WIDE = {b"\1\0\1\0": "LE", b"\0\1\0\1": "BE"}
"""Which of the first four bytes are zero where each character takes two."""

_MARKUP = Foreign("XML or a web page")
_PRETTY = Foreign("JSON written over several lines", "jq -c .")
_OPENING = (b"[", b"{", b"[{")
_LIST = Foreign("one JSON list over several lines", _ARRAY)

ONE_LIST = Foreign("one JSON list", _ARRAY)


def by_magic(start: bytes) -> Foreign | None:
    """Recognise a file by its first bytes alone, where programs write the same ones into each."""
    return next((foreign for magic, foreign in _MAGIC if start.startswith(magic)), None)


def judge(start: bytes, *, ended: bool) -> Verdict:
    """Judge an input by its first bytes; `ended` when there are no more."""
    for magic, foreign in _MAGIC:
        if start.startswith(magic):
            return foreign
        if not ended and magic.startswith(start):
            return "open"
    order = _WIDE.get(bytes(min(one, 1) for one in start[:4]))
    if order:
        return Foreign("UTF-16", f"iconv -f UTF-16{order} -t UTF-8")
    return _judge_text(start.removeprefix(BYTE_ORDER_MARK), ended=ended, full=len(start) >= LOOK)


def _judge_text(text: bytes, *, ended: bool, full: bool) -> Verdict:
    *complete, rest = text.split(b"\n")
    lines = [line for line in [*complete, *([rest] if ended else [])] if line.strip()][:LINES]
    final = ended or full or len(lines) == LINES
    if not lines:
        return "lines" if final else "open"
    if is_json(lines[0]):
        return "lines"
    if lines[0].strip() in _OPENING:
        return _spread(lines[0])
    if lines[0].lstrip()[:1] in _OPENING:
        return _judge_value(lines, rest if len(lines) < LINES and not ended else b"", final=final)
    if any(map(_is_object, lines[1:])):
        return "lines"
    return _judge_rows(lines) if final else "open"


def _judge_value(lines: list[bytes], rest: bytes, *, final: bool) -> Verdict:
    """Tell a value over several lines from lines of which the first is broken."""
    text = b"\n".join([*lines, rest]).decode("utf-8", "replace").lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        reached = error.pos
    except (RecursionError, ValueError):
        return "lines"
    else:
        return _spread(lines[0]) if "\n" in text[:end] else "lines"
    if not final:
        return "open"
    # a value that is too large to be seen whole goes on, as JSON, in the second line
    behind = text.partition("\n")[2].lstrip()
    goes_on = bool(behind) and reached > len(text) - len(behind) and not any(map(_is_object, lines[1:]))
    return _spread(lines[0]) if goes_on else "lines"


def _spread(text: bytes) -> Foreign:
    return _LIST if text.lstrip()[:1] == b"[" else _PRETTY


def _judge_rows(lines: list[bytes]) -> Verdict:
    texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
    if texts[0].lstrip().startswith("<"):
        return _MARKUP
    for delimiter, what, more in (
        (",", "CSV", ""),
        (";", "CSV with semicolons", ", delimiter=';'"),
        ("\t", "columns between tabs", ", delimiter='\\t'"),
    ):
        widths = [len(row) for row in _rows(texts, delimiter)]
        if len(widths) > 1 and widths[0] == widths[1] > 1:
            return Foreign(what, _CSV.format(more=more))
    return "lines"


def _rows(texts: list[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(texts[:2], delimiter=delimiter)
    except csv.Error:
        return


def is_json(line: bytes) -> bool:
    """Say whether a line is one JSON value."""
    try:
        loads(line)
    except JsonTextError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    return line.lstrip()[:1] == b"{" and is_json(line)


def _target(name: str) -> str:
    path = Path(name.removesuffix(".gz"))
    return str(path.with_suffix(".lines.jsonl" if path.suffix == ".jsonl" else ".jsonl"))
