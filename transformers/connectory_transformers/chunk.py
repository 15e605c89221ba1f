"""Cut a long text into pieces."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

from connectory import Record, transformer

_END = re.compile(r"[.!?\u2026][\"')\]\u201d\u00bb]{0,3}(?=\s)|[\u3002\uff01\uff1f]|\n")


@transformer(value="field")
def chunk(
    record: Record,
    *,
    field: str,
    size: int = 1000,
    overlap: int = 0,
    by: Literal["words", "sentences"] = "words",
    into: str | None = None,
) -> Iterator[Record]:
    """Give one record for each piece of a text, of at most `size` characters; an empty text gives none.

    A piece ends between two words where it can. It begins `overlap` characters, at most, before the end of the one
    before it. Each record keeps the other fields. Its piece stands in `field`, or under the name `into`; `chunk`
    says which one it is: `{number, start, end}`, from 0. By sentences, a piece is made of whole ones, those that it
    repeats too; a sentence longer than `size` is cut between words.

    Options:
        field: the text
        size: characters of a piece, at most
        overlap: characters of a piece that the next one repeats, at most
        by: where a piece may end: after words, or after sentences and lines alone
        into: the name under which the piece stands; without it, in the text's place

    Examples:
        {"field": "text", "size": 2000, "overlap": 200}
        {"field": "text", "by": "sentences", "into": "piece"}
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size is {size} and overlap {overlap}; a piece must be longer than what it repeats")
    text = record.get(field)
    if not isinstance(text, str):
        raise TypeError(f"{field!r} is {text!r:.60}, not a text")
    cut = _pieces if by == "words" else _sentences
    for number, (start, end) in enumerate(cut(text, size, overlap)):
        made: dict[str, Any] = {name: deepcopy(value) for name, value in record.items() if name != field}
        made[into or field] = text[start:end]
        yield {**made, "chunk": {"number": number, "start": start, "end": end}}


def _pieces(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Give where each piece begins and ends, without the blanks around it."""
    start, before, length = _skip(text, 0), 0, len(text.rstrip())
    while start < length:
        end = min(start + size, length)
        if end < length:
            space = _last_space(text, max(start, before) + 1, end + 1)
            if not space and start < before and text[before].isspace():  # better no overlap than half a word
                start = _skip(text, before)
                continue
            end = space or end
        last = len(text[start:end].rstrip()) + start
        if last <= before:  # nothing but what the piece before has
            start = _skip(text, before)
            continue
        yield start, last
        before = last
        start = _skip(text, _word(text, max(start + 1, end - overlap), end)) if end < length else length


def _sentences(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Give where each piece of whole sentences begins and ends."""
    ends = [*(found.end() for found in _END.finditer(text)), len(text)]
    spans = list[tuple[int, int]]()
    start = 0
    for end in ends:
        spans += [(start + first, start + last) for first, last in _pieces(text[start:end], size, 0)]
        start = end
    piece = list[tuple[int, int]]()
    for span in spans:
        if piece and span[1] - piece[0][0] > size:
            yield piece[0][0], piece[-1][1]
            while piece and (piece[-1][1] - piece[0][0] > overlap or span[1] - piece[0][0] > size):
                del piece[0]
        piece.append(span)
    if piece:
        yield piece[0][0], piece[-1][1]


def _last_space(text: str, start: int, end: int) -> int:
    """Give the last blank of a part of a text, 0 for none."""
    return next((place for place in range(end - 1, start - 1, -1) if text[place].isspace()), 0)


def _word(text: str, start: int, end: int) -> int:
    """Give the beginning of a word between two places, the end where there is only the rest of one."""
    if text[start - 1].isspace() or not text[end].isspace():
        return start
    return next((place for place in range(start, end) if text[place].isspace()), end)


def _skip(text: str, start: int) -> int:
    """Give the place of the next character that is no blank."""
    while start < len(text) and text[start].isspace():
        start += 1
    return start
