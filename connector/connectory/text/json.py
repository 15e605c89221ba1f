"""JSON text in and out, strictly: what the standard forbids is refused, and no number changes its value."""

from __future__ import annotations

import codecs
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn, cast

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # the extra `fast` is optional


# What is no JSON value is refused with orjson as it is without.
_PLAIN_ONLY = (orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS) if orjson else 0


DEEPEST = 200
"""Levels of nesting: what is read can be walked, copied and written again without Python's own limit coming near."""

_TOO_DEEP = f"nested too deeply: more than {DEEPEST} levels"


class JsonTextError(ValueError):
    """The text is not JSON; the message says where and never quotes it."""


# orjson reads an integer beyond 64 bits as a float, and the standard library reads 1e999 as infinity (orjson does not):
# texts in which either could stand go to the slower reader that keeps integers and refuses infinities. For both, all
# digits are alike; so are brackets, which are counted, and the spaces that JSON knows.
_ALIKE = bytes.maketrans(b"123456789E{\t\n\r", b"000000000e[   ")

# Bytes are searched with `find`: before Python 3.12 `in` raises an exception inside, and catches it, each time.


def loads(text: bytes | str) -> Any:
    """Parse JSON text.

    Integers of any size keep their value. `NaN` and `Infinity` are refused, as are numbers too large for a float.
    A byte order mark is accepted. Of a key that an object has twice the last value counts. Raises JsonTextError.
    """
    if orjson is not None and type(text) is bytes:
        alike = text.translate(_ALIKE)
        if alike.find(_LONG) < 0:
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                pass  # the standard library decides what is wrong, so that both installs say the same
            else:
                if (containers := alike.count(b"[")) > DEEPEST and _is_deep(value, containers):
                    raise JsonTextError(_TOO_DEEP)
                return value
    return _read(text, _read_fast)


def loads_unique(text: bytes | str) -> Any:
    """Parse JSON text like `loads`, and refuse an object that has a key twice: one of its values would be lost."""
    if orjson is not None and type(text) is bytes:
        alike = text.translate(_ALIKE)
        if alike.count(b"[") <= DEEPEST and alike.find(_LONG) < 0:
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                value = _ABSENT
            if value is not _ABSENT and _is_unique(value, text, alike):
                return value
    return _read(text, _read_unique)


def is_one_line(text: bytes) -> bool:
    """Say whether JSON text can stand in a line of its own, as it is."""
    return text.find(b"\n") < 0 and text.find(b"\r") < 0 and not text.startswith(codecs.BOM_UTF8)


def _read(text: bytes | str, read: Callable[[bytes, bytes], Any]) -> Any:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    alike = raw.translate(_ALIKE)
    try:
        value = read(raw, alike)
    except UnicodeDecodeError as error:
        raise JsonTextError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JsonTextError(
            f"{error.msg.lower().removesuffix(' at')} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise JsonTextError(_TOO_DEEP) from None
    except ValueError as error:
        raise JsonTextError(str(error)) from None
    if (containers := alike.count(b"[")) > DEEPEST and _is_deep(value, containers):
        raise JsonTextError(_TOO_DEEP)
    return value


def _is_deep(value: Any, containers: int) -> bool:
    """Say whether a value is nested too deeply, whose text has at most so many objects and lists.

    When all of them are found there are none below: the numbers of vectors need not be looked at.
    """
    level = _containers([value])
    for _ in range(DEEPEST):
        containers -= len(level)
        if containers <= 0:
            return False
        level = [inner for outer in level for inner in _containers(outer)]
    return bool(level)


_CONTAINERS = frozenset[type]({dict, list})


def _containers(outer: Any) -> list[Any]:
    values = cast("dict[str, Any]", outer).values() if type(outer) is dict else cast("list[Any]", outer)
    if _CONTAINERS.isdisjoint(map(type, values)):  # a vector has thousands of numbers
        return []
    return [one for one in values if type(one) is dict or type(one) is list]


_LONG = b"0" * 19


def _is_suspicious(alike: bytes) -> bool:
    return alike.find(_LONG) >= 0 or alike.find(b"e000") >= 0 or alike.find(b"e+000") >= 0


def _read_fast(raw: bytes, alike: bytes) -> Any:
    if orjson is not None and alike.find(_LONG) < 0:
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
    return (_strict if _is_suspicious(alike) else _plain).decode(raw.decode("utf-8-sig"))


def _read_unique(raw: bytes, alike: bytes) -> Any:
    if orjson is not None and alike.find(_LONG) < 0:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            value = _ABSENT
        if value is not _ABSENT and _is_unique(value, raw, alike):
            return value
    return (_unique_strict if _is_suspicious(alike) else _unique).decode(raw.decode("utf-8-sig"))


def _is_unique(value: Any, text: bytes, alike: bytes) -> bool:
    """Say that no object has a key twice, of a text that orjson has read; False where that is not certain.

    orjson cannot see it. But no more keys stand in a text than colons, or than quotes before a colon where no quote has
    a space behind it; and when the value has as many, none was lost.
    """
    return _are_all(value, text.count(b":")) or (alike.find(b'" ') < 0 and _are_all(value, text.count(b'":')))


def _are_all(value: Any, most: int) -> bool:
    """Say whether a value has as many names as there can be in its text."""
    return (type(value) is dict and len(value) == most) or _keys(value) == most  # pyright: ignore[reportUnknownArgumentType]  # any JSON


def _keys(value: Any) -> int:
    """Count the names in a JSON value."""
    number, inner = 0, value
    if type(value) is dict:
        fields = cast("dict[str, Any]", value)
        number, inner = len(fields), fields.values()
    elif type(value) is not list:
        return 0
    for one in inner:
        if type(one) is dict or type(one) is list:
            number += _keys(one)
    return number


def dumps(value: Any, *, finite: bool = False) -> bytes:
    """Write compact UTF-8 JSON. Raises JsonTextError for what JSON cannot hold.

    `finite` says that every number in it was read from JSON: then nobody looks for NaN, which orjson writes as null.
    """
    if orjson is not None:
        try:
            text = orjson.dumps(value, None, _PLAIN_ONLY)
        except TypeError:  # integers beyond 64 bits and lone surrogates: the slower writer keeps them
            pass
        else:
            # orjson would write NaN as null; one byte is found faster than four, and vectors are long
            if finite or text.find(b"n") < 0 or text.find(b"null") < 0 or not _has_nan(value):
                return text
    try:
        return _dump(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _dump(value, ensure_ascii=True).encode()


def _dump(value: Any, *, ensure_ascii: bool) -> str:
    try:
        return json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise JsonTextError(f"not representable as JSON: {error}") from None


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_nan, cast("dict[object, object]", value).values()))
    if isinstance(value, list | tuple):
        return any(map(_has_nan, cast("list[object]", value)))
    return False


def _refuse(constant: str) -> NoReturn:
    raise JsonTextError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonTextError("a number is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        shown = twice if len(twice) <= _LONGEST_KEY else f"{twice[:_LONGEST_KEY]}…"
        raise JsonTextError(f"an object has the key {shown!r} twice")
    return made


_ABSENT = object()
_LONGEST_KEY = 60
_plain = json.JSONDecoder(parse_constant=_refuse)
_strict = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_unique = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_once)
_unique_strict = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
