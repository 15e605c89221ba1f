"""Pick-lists: which values a property can have, each with a text for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connectory.catalogue import Catalogue, Entity

Option: TypeAlias = dict[str, Any]
"""One line of a pick-list: `text` for people, `value` for the request."""

MODEL = "model"
"""The property whose values the server knows best."""

MODES: Mapping[str, str] = {
    "chat": r"^(chat)?gpt-(?!image|realtime|.*(instruct|transcribe|tts|realtime))|^o\d|\bchat\b|codex",
    "completion": r"instruct|^(text-)?(davinci|curie|babbage|ada)(-\d+)?$",
    "embedding": r"embed|^text-search-|^text-similarity-",
    "image": r"image|dall-e",
    "moderation": r"moderation",
    "realtime": r"realtime",
    "speech": r"\btts\b",
    "transcription": r"whisper|transcribe",
    "video": r"\bsora\b|video",
}
"""How the names of models for one kind of work look."""

_WORDS = {
    "gpt": "GPT",
    "tts": "TTS",
    "hd": "HD",
    "dall": "DALL",
    "e": "E",
    "chatgpt": "ChatGPT",
    "ada": "Ada",
}
_FEW = 5
_SIZE = re.compile(r"\d+[kb]")
_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2})$")
_PLAIN = re.compile(r"[a-z0-9.-]+")


def model_options(names: Iterable[str], mode: str | None = None) -> list[Option]:
    """Make the pick-list of models.

    With a mode, those whose names suggest it come first and those that suggest nothing at the end; a model that is
    plainly for other work is left out.
    """
    if mode is not None and mode not in MODES:
        raise UnknownNameError("mode", mode, MODES, hint=f"there are {', '.join(MODES)}")
    found = list(dict.fromkeys(names))
    if mode is not None:
        suggested = {name: suggested_modes(name) for name in found}
        found = [name for name in found if mode in suggested[name]] + [
            name for name in found if not suggested[name]
        ]
    return [{"text": model_text(name), "value": name} for name in found]


def suggested_modes(model: str) -> set[str]:
    """Say for which work a model is, as far as its name tells; a fine-tuned one is for what its base is for."""
    name = model.lower().removeprefix("ft:").partition(":")[0].rpartition("/")[2]
    return {mode for mode, pattern in MODES.items() if re.search(pattern, name)}


def model_text(model: str) -> str:
    """Write a model's name the way people do: `gpt-3.5-turbo-16k` is GPT-3.5 Turbo 16K."""
    if not _PLAIN.fullmatch(model):
        return model
    dated = _DATE.search(model)
    bare = model[: dated.start()] if dated else model
    text = " ".join(_word(word) for word in bare.split("-") if word)
    text = re.sub(r"\b(GPT|ChatGPT|TTS|DALL|E) (?=[\dE])", r"\1-", text)
    return f"{text} ({dated[1]})" if dated else text


def _word(word: str) -> str:
    if word in _WORDS or _SIZE.fullmatch(word):
        return _WORDS.get(word, word.upper())
    return word if word[0].isdigit() or re.fullmatch(r"o\d+", word) else word.capitalize()


def schema_options(catalogue: Catalogue, place: str) -> list[Option]:
    """Make the pick-list of a property from its schema: `ENTITY.PROPERTY`, such as `images.generations.size`.

    Raises ConfigError when there is no such property, or when its values are not a list.
    """
    entity, path = _entity(catalogue, place)
    found = [_descend(catalogue, schema, path) for schema in _roots(entity)]
    found = [schemas for schemas in found if schemas]
    if not found:
        known = sorted({name for schema in _roots(entity) for name in _names(catalogue, schema)})
        hint = did_you_mean(path[0], known) or f"; there are {', '.join(known)}"
        raise ConfigError(f"entity {entity.name!r} has no property {'.'.join(path)!r}{hint}")
    values = dict.fromkeys(
        value for schemas in found for schema in schemas for value in _values(catalogue, schema)
    )
    if not values:
        raise ConfigError(f"the values of {place!r} are not a list: its schema names none")
    write = model_text if path[-1] == MODEL else _text
    return [{"text": write(value), "value": value} for value in values]


def property_options(catalogue: Catalogue, place: str, mode: str | None) -> list[Option]:
    """Make the pick-list of a property; with a mode, that of a model for such work. Raises ConfigError."""
    found = schema_options(catalogue, place)
    if mode is None:
        return found
    if place.rpartition(".")[2] != MODEL:
        raise ConfigError(f"a mode goes with models, not with {place!r}")
    return model_options([str(one["value"]) for one in found], mode)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _entity(catalogue: Catalogue, place: str) -> tuple[Entity, list[str]]:
    """Find the longest beginning that names an entity; the rest is the way to the property."""
    words = place.split(".")
    for count in range(len(words) - 1, 0, -1):
        try:
            return catalogue.find(".".join(words[:count])), words[count:]
        except UnknownNameError:
            continue
    message = (
        f"{place!r} names no property; write 'model', or ENTITY.PROPERTY such as images.generations.size"
    )
    owners = [name for name, entity in catalogue.items() if _has(catalogue, entity, words[-1])]
    nearest = f"; {words[-1]!r} is one of {', '.join(owners[:_FEW])}" if owners else ""
    raise ConfigError(message + nearest)


def _has(catalogue: Catalogue, entity: Entity, name: str) -> bool:
    return any(name in _names(catalogue, schema) for schema in _roots(entity))


def _roots(entity: Entity) -> Iterator[Any]:
    """Give an object schema for each place where a property may stand: path, query and payload."""
    yield {"properties": entity.parameter_schemas}
    for action in entity.actions.values():
        yield {"properties": {one.name: one.schema for one in action.query.values()}}
        if action.body is not None:
            yield from action.body.content.values()


def _branches(catalogue: Catalogue, schema: Any, seen: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Give a schema and every branch of its unions, with references looked up."""
    found: Any = catalogue.resolve(schema)
    if not isinstance(found, dict) or id(found) in seen:  # pyright: ignore[reportUnknownArgumentType] - any JSON
        return
    one = cast("dict[str, Any]", found)
    yield one
    for key in ("allOf", "anyOf", "oneOf"):
        for branch in one.get(key, ()):
            yield from _branches(catalogue, branch, seen | {id(one)})


def _names(catalogue: Catalogue, schema: Any) -> Iterator[str]:
    for one in _branches(catalogue, schema):
        yield from one.get("properties", {})


def _descend(catalogue: Catalogue, schema: Any, path: list[str]) -> list[Any]:
    found = [schema]
    for name in path:
        found = [
            one["properties"][name]
            for each in found
            for one in _branches(catalogue, each)
            if name in one.get("properties", {})
        ]
    return found


def _values(catalogue: Catalogue, schema: Any) -> Iterator[Any]:
    """Give the values that a schema names; those of a list's elements where it is a list."""
    for one in _branches(catalogue, schema):
        if "const" in one:
            yield one["const"]
        for value in one.get("enum", ()):
            if value is not None:
                yield value
        if one.get("type") in ("boolean", ["boolean", "null"]):
            yield from (True, False)
        if "items" in one:
            yield from _values(catalogue, one["items"])
