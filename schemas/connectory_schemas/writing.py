"""Catalogue files as text: written so that a change is a small difference, read and compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from connectory_schemas.errors import GenerateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_WIDTH = 118


def pretty(value: Any, indent: int = 0, used: int = 0) -> str:
    """Write JSON so that what fits on a line is one line; the top two levels are always opened."""
    line = json.dumps(value, ensure_ascii=False)
    fits = indent + used + len(line) <= _WIDTH and indent > 1
    if fits or not isinstance(value, dict | list) or not value:
        return line
    pad, end = " " * (indent + 1), " " * indent
    if isinstance(value, list):
        parts = [pad + pretty(one, indent + 1) for one in cast("Sequence[Any]", value)]
        return "[\n" + ",\n".join(parts) + f"\n{end}]"
    keys = [(json.dumps(key) + ": ", one) for key, one in cast("dict[str, Any]", value).items()]
    parts = [pad + key + pretty(one, indent + 1, len(key)) for key, one in keys]
    return "{\n" + ",\n".join(parts) + f"\n{end}}}"


def lines(definitions: Mapping[str, Any]) -> str:
    """Write schemas, one definition a line."""
    parts = (
        f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=False, separators=(',', ':'))}"
        for name, one in definitions.items()
    )
    return '{"$defs": {\n' + ",\n".join(parts) + "\n}}\n"


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Say where two JSON values differ, in a stable order."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        ours, theirs = cast("dict[str, Any]", wanted), cast("dict[str, Any]", found)
        for key in sorted(ours.keys() | theirs.keys()):
            place = f"{path}.{key}" if path else key
            if key not in theirs:
                yield f"{place}: missing"
            elif key not in ours:
                yield f"{place}: not in the document"
            else:
                yield from differences(ours[key], theirs[key], place)
    elif wanted != found:
        yield f"{path}: {json.dumps(found)[:80]}, would be {json.dumps(wanted)[:80]}"


def check(files: Mapping[str, str], folder: Path) -> list[str]:
    """Compare what would be generated with what lies in the folder."""
    problems: list[str] = []
    for name, text in files.items():
        path = folder / name
        found = path.read_text(encoding="utf-8") if path.exists() else None
        if found is None:
            problems.append(f"{name}: missing")
        elif found != text:
            differing = [f"{name}: {one}" for one in differences(json.loads(text), json.loads(found))]
            problems += differing or [f"{name}: same content, written differently"]
    return problems


def read_document(path: Path) -> dict[str, Any]:
    """Read an OpenAPI document or a catalogue from JSON or YAML. Raises GenerateError for what is neither."""
    text = path.read_text(encoding="utf-8")
    try:
        loaded: Any = _yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except ValueError as error:
        raise GenerateError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise GenerateError(f"{str(path)!r} holds no object")
    return cast("dict[str, Any]", loaded)


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415 - most documents are JSON
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - as above

    try:
        return YAML(typ="safe", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType] - its stubs
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
