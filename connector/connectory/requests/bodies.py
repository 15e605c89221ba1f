"""The body of a request: JSON, text or a form, from a payload and the content types that an entity takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import RequestError
from connectory.files.sent import locate
from connectory.requests import encoding
from connectory.requests.forms import Form
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectory.catalogue import Body
    from connectory.requests.forms import Part

_JSON, _FORM = "application/json", "multipart/form-data"


def compose(
    what: str,
    body: Body | None,
    payload: Any,
    *,
    schema: Callable[[Any], dict[str, Any]],
    files_root: Path | None = None,
) -> tuple[str, bytes | Form] | None:
    """Give the content type and the content of a body, or None for no body. Raises RequestError.

    `schema` gives the self-contained form of a catalogue's schema; below `files_root` lie the files that a payload
    may name.
    """
    if payload is None:
        if body is not None and body.required:
            hint = """payload: "&{@}" sends the record itself"""
            raise RequestError(f"{what}: the entity needs a payload and the record brings none; {hint}")
        return None
    if body is None:
        raise RequestError(f"{what}: the entity takes no payload")
    if isinstance(payload, str) and (text := _text_type(body)):
        return text, payload.encode("utf-8", "replace")
    if _FORM in body.content:
        form = _form(what, body, payload, schema=schema, files_root=files_root)
        if form is not None:
            return form.content_type, form
    try:
        return _JSON, dumps(payload)
    except JsonTextError as error:
        raise RequestError(f"{what}: the payload is {error}") from None


def _form(
    what: str,
    body: Body,
    payload: Any,
    *,
    schema: Callable[[Any], dict[str, Any]],
    files_root: Path | None,
) -> Form | None:
    """Lay out a form where the entity takes nothing else, or where the payload holds a file; else give None."""
    if not isinstance(payload, dict):
        if _JSON in body.content:
            return None
        raise RequestError(f"{what}: the payload becomes a form and must be an object")
    payload = cast("dict[str, Any]", payload)
    fields, files = encoding.split_multipart(payload, schema(body.content[_FORM]))
    if _JSON in body.content and not files:
        return None
    parts: list[Part] = [(name, None, _bytes(name, value), None) for name, value in fields]
    for name, filename, content, media in files:
        if isinstance(content, encoding.NamedFile):
            parts.append((name, filename, locate(content.name, files_root), media))
        else:
            parts.append(
                (name, filename, locate(content, None) if isinstance(content, Path) else content, media)
            )
    return Form(parts)


def _bytes(name: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name!r} has half a character in it (a lone surrogate): {value!r}") from None


def _text_type(body: Body) -> str | None:
    """Give the type of a body that is plain text, where the entity takes one."""
    return next((media for media in body.content if media not in {_JSON, _FORM}), None)
