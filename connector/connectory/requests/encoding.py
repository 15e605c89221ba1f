"""A request in the catalogue's words turned into its parts: a path, a query string, the parts of a form."""

from __future__ import annotations

import base64
import binascii
import math
import mimetypes
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable
from urllib.parse import quote, unquote

from connectory.errors import RequestError, did_you_mean
from connectory.text.json import JsonTextError, dumps


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file on disk that data names: where it may lie is for others to decide."""

    name: str


@runtime_checkable
class Unread(Protocol):
    """A file, or a stretch of one, that is read while it is sent."""

    @property
    def size(self) -> int: ...  # noqa: D102 - said above
    @property
    def identity(self) -> str: ...  # noqa: D102 - said above
    def pieces(self) -> AsyncGenerator[bytes, None]: ...  # noqa: D102 - said above


Content: TypeAlias = bytes | Path | NamedFile | Unread
FilePart: TypeAlias = tuple[str, str | None, Content, str]
"""Name, filename (None: a part without one), content or where it lies, content type."""

_PATH_SAFE = "!$&'()*+,;=:@"
_PLACE = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BINARY = "application/octet-stream"
_FILE_KEYS = frozenset(["path", "content", "base64", "filename", "content_type"])
_FILE_SOURCES = ("path", "content", "base64")


class QueryParameter(Protocol):
    """What has to be known of a query parameter: `form` repeats a list's name, `brackets` writes `name[]`."""

    @property
    def style(self) -> str: ...  # noqa: D102 - said above


def expand_path(template: str, values: Mapping[str, Any]) -> str:
    """Fill a URL template's parameters.

    Raises RequestError for a missing or unknown name and for a value that would change which path is meant.
    """
    names = _PLACE.findall(template)
    for name in values:
        if name not in names:
            takes = f"it takes {', '.join(names)}" if names else "it takes none"
            raise RequestError(
                f"path {template!r} has no parameter {name!r}{did_you_mean(name, names)} ({takes})"
            )
    return _PLACE.sub(lambda place: _segment(template, place[1], values), template)


def _segment(template: str, name: str, values: Mapping[str, Any]) -> str:
    what = f"path parameter {name!r} of {template!r}"
    if name not in values:
        raise RequestError(f"{what} is missing; give it as path: {{{name}: ...}}")
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"{what} must be text or a whole number, not {_kind(value)}")
    text = str(value)
    if not text:
        raise RequestError(f"{what} is empty")
    if _CONTROL.search(text):
        raise RequestError(f"{what} has a control character in it: {text!r}")
    if _plain(text) in {".", ".."}:
        raise RequestError(f"{what} is {text!r}, which would mean another path")
    return _quote(text, what, safe=_PATH_SAFE)


def _plain(text: str) -> str:
    """Undo percent-encoding, also where it was done more than once."""
    while (decoded := unquote(text)) != text:
        text = decoded
    return text


def encode_query(
    query: Mapping[str, Any],
    parameters: Mapping[str, QueryParameter],
    fixed: Mapping[str, str],
) -> str:
    """Write a query string: lists as `name[]=a&name[]=b`, objects as `name[key]=value`, nothing for None.

    A name that has its brackets already is kept. Raises RequestError for a value that has no place in a
    query, and for one that contradicts the entity's fixed query.
    """
    pairs = [*fixed.items()]
    for name, value in query.items():
        if name not in fixed:
            parameter = parameters.get(name.removesuffix("[]"))
            pairs += _pairs(name, value, repeat=parameter is not None and parameter.style == "form")
        elif _scalar(name, value) != fixed[name]:
            raise RequestError(f"query parameter {name!r} is always {fixed[name]!r} here; take {value!r} out")
    what = "query"
    return "&".join(f"{_quote(name, what)}={_quote(value, what)}" for name, value in pairs)


def _pairs(name: str, value: Any, *, repeat: bool = False) -> Iterator[tuple[str, str]]:
    """Give the name-value pairs of a query or form field."""
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, one in cast("dict[str, Any]", value).items():
            yield from _pairs(f"{name.removesuffix('[]')}[{key}]", one)
    elif isinstance(value, list | tuple):
        inner = name if repeat or name.endswith("[]") else f"{name}[]"
        for one in cast("list[Any]", value):
            yield from _pairs(inner, one, repeat=repeat)
    else:
        yield name, _scalar(name, value)


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise RequestError(f"parameter {name!r} cannot be {_kind(value)}")


def _quote(text: str, what: str, safe: str = "") -> str:
    return quote(_bytes(what, text), safe=safe)


def _bytes(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{what} has half a character in it (a lone surrogate): {text!r}") from error


def split_multipart(
    payload: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[list[tuple[str, str]], list[FilePart]]:
    """Split a payload into the text fields and the files of a form; the schema says what is a file.

    The schema is self-contained. A file is `{"path": ...}`, `{"content": text}` or `{"base64": ...}`, each
    with `filename` and `content_type` if wanted, or bytes, a Path, or text that is the content.

    Raises RequestError for a file that cannot be made of what was given.
    """
    properties = dict(_properties(schema, schema))
    fields: list[tuple[str, str]] = []
    files: list[FilePart] = []
    for name, value in payload.items():
        if value is None:
            continue
        own = properties.get(name.removesuffix("[]"))
        media_type = next((one.get("contentMediaType") for one in _alternatives(own, schema)), None)
        if _holds_files(own, schema) and not _is_reference(value, own, schema):
            files += _files(name, value)
        elif media_type:
            content = _bytes(name, value) if isinstance(value, str) else _json(name, value)
            files.append((name, None, content, str(media_type)))
        else:
            fields += _pairs(name, value)
    return fields, files


def _json(name: str, value: Any) -> bytes:
    try:
        return dumps(value)
    except JsonTextError as error:
        raise RequestError(f"{name!r} is {error}") from None


def _properties(schema: Any, root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in _alternatives(schema, root):
        yield from part.get("properties", {}).items()


def _alternatives(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give a schema and every branch of its unions and intersections, with references looked up."""
    if isinstance(schema, Mapping):
        one = cast("dict[str, Any]", schema)
        yield one
        if "$ref" in one:
            yield from _alternatives(_definition(one["$ref"], root), root)
        for branch in [*one.get("allOf", []), *one.get("anyOf", []), *one.get("oneOf", [])]:
            yield from _alternatives(branch, root)


def _definition(reference: str, root: Mapping[str, Any]) -> Any:
    return root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})


def _holds_files(schema: Any, root: Mapping[str, Any]) -> bool:
    for one in _alternatives(schema, root):
        if "binary" in (one.get("format"), one.get("contentEncoding")):
            return True
        if "items" in one and _holds_files(one["items"], root):
            return True
    return False


def _is_reference(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    """Say whether an object is no file but the other thing that the property may hold, as `{"id": ...}`."""
    if not isinstance(value, Mapping) or not value or any(key in value for key in _FILE_SOURCES):
        return False
    keys = cast("dict[str, Any]", value).keys()
    return any(keys <= one.get("properties", {}).keys() for one in _alternatives(schema, root))


def _files(name: str, value: Any) -> Iterator[FilePart]:
    if isinstance(value, list | tuple):
        many = name if name.endswith("[]") else f"{name}[]"
        for one in cast("list[Any]", value):
            yield _file(many, one)
    else:
        yield _file(name, value)


def _file(name: str, value: Any) -> FilePart:
    if isinstance(value, str):
        return _file_part(name, _bytes(name, value), {"filename": f"{_stem(name)}.txt"})
    if isinstance(value, bytes | Unread):
        return _file_part(name, value, {})
    if isinstance(value, Path):
        return _file_part(name, value, {"filename": value.name})
    if not isinstance(value, Mapping):
        wanted = f"text or an object with one of {_SOURCES}"
        raise RequestError(f"file {name!r} must be {wanted}, not {_kind(value)}")
    return _described_file(name, cast("Mapping[str, Any]", value))


_SOURCES = ", ".join(_FILE_SOURCES)


def _described_file(name: str, value: Mapping[str, Any]) -> FilePart:
    given = [key for key in _FILE_SOURCES if key in value]
    if len(given) != 1:
        found = f"both {' and '.join(given)}" if given else f"only {', '.join(map(repr, value)) or 'nothing'}"
        raise RequestError(f"file {name!r} needs one of {_SOURCES}; it has {found}")
    for key in value:
        if key not in _FILE_KEYS:
            raise RequestError(f"file {name!r} has an unknown key {key!r}{did_you_mean(key, _FILE_KEYS)}")
        if not isinstance(value[key], str) and not (key == "path" and isinstance(value[key], Path)):
            raise RequestError(f"{key!r} of file {name!r} must be text, not {_kind(value[key])}")
        if value[key] == "" and key != "content":
            raise RequestError(f"{key!r} of file {name!r} is empty")
    if given == ["path"]:
        path = Path(value["path"])
        source = value["path"] if isinstance(value["path"], Path) else NamedFile(value["path"])
        return _file_part(name, source, {"filename": path.name, **value})
    if given == ["content"]:
        return _file_part(name, _bytes(name, value["content"]), {"filename": f"{_stem(name)}.txt", **value})
    return _file_part(name, _decoded(name, value["base64"]), value)


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"file {name!r} is not base64: {error}") from error


def _file_part(name: str, content: Content, described: Mapping[str, Any]) -> FilePart:
    filename = str(described.get("filename", _stem(name)))
    if _CONTROL.search(filename):
        raise RequestError(f"filename of file {name!r} has a control character in it: {filename!r}")
    guessed = mimetypes.guess_type(filename)[0]
    content_type = described.get("content_type") or guessed or _BINARY
    return name, filename, content, str(content_type)


def _stem(name: str) -> str:
    return name.removesuffix("[]")


def _kind(value: Any) -> str:
    """Name a value's JSON type, and the value itself where it is short."""
    names: dict[type, str] = {
        type(None): "null",
        bool: "a boolean",
        dict: "an object",
        list: "a list",
        int: "a number",
        float: "a number",
    }
    name = next((word for kind, word in names.items() if type(value) is kind), f"a {type(value).__name__}")
    return f"{name} ({value})" if name in {"a boolean", "a number"} else name
