"""Blank what is personal."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from connectory import Field, Pattern, Record, transformer

What: TypeAlias = Literal["email", "phone", "card", "iban", "ip", "key"]

# Each part is bounded: none of them takes longer than the text is long.
_PATTERNS: dict[str, re.Pattern[str]] = {
    "email": re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    "key": re.compile(r"(?<![A-Za-z0-9])(?:sk|pk|rk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,200}"),
    "iban": re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
    "card": re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"),
    "ip": re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
    "phone": re.compile(
        r"(?<![\w.])(?:\+\d|\(?0\d)[\d ()/.-]{5,17}\d(?!\w)|(?<![\w.])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?!\w)"
    ),
}


@transformer
def redact(
    record: Record,
    *,
    fields: list[Field] | None = None,
    what: list[What] | None = None,
    pattern: Pattern | None = None,
    by: str = "[redacted]",
) -> Record:
    """Blank what looks personal in texts, at any depth: it finds patterns, and never everything.

    Options:
        fields: the fields that are searched, with all that lies in them; without it, the whole record
        what: what is blanked: email, phone, card, iban, ip, key; without it, all of these
        pattern: a regular expression of what is blanked too
        by: what stands there instead

    Examples:
        {"fields": ["note"], "what": ["email", "phone"]}
        {"pattern": "(?i)project [a-z]+", "by": "***"}
    """
    kinds = list(_PATTERNS) if what is None else [one for one in _PATTERNS if one in what]

    def blank(text: str) -> str:
        for kind in kinds:
            text = _PATTERNS[kind].sub(partial(_instead, kind, by), text)
        return text if pattern is None else pattern.replace(text, by.replace("\\", r"\\"))

    if fields is None:
        return cast("Record", _walk(record, blank))
    for field in fields:
        if field.has(record):
            field.put(record, _walk(field.get(record), blank))
    return record


def _instead(kind: str, by: str, found: re.Match[str]) -> str:
    return found[0] if kind == "card" and not _is_card(found[0]) else by


def _is_card(number: str) -> bool:
    """Say whether the digits add up as those of a card do."""
    digits = [int(one) for one in reversed(number) if one.isdecimal()]
    doubled = [sum(divmod(2 * one, 10)) for one in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _walk(value: Any, blank: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return blank(value)
    if isinstance(value, dict):
        return {name: _walk(one, blank) for name, one in cast("Record", value).items()}
    if isinstance(value, list):
        return [_walk(one, blank) for one in cast("list[object]", value)]
    return value
