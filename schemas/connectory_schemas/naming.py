"""Names: from a URL template to an entity's name and title, and when two aliases are the same."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARAMETER = re.compile(r"\{([^{}]*)\}")
_ACRONYMS = {"api": "API", "id": "ID", "url": "URL", "http": "HTTP", "sso": "SSO", "ip": "IP"}


def singular(word: str, exceptions: Mapping[str, str] | None = None) -> str:
    """Give the singular of a path segment by its last word's ending: batches, categories, boxes, files."""
    if exceptions and word in exceptions:
        return exceptions[word]
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word.removesuffix("s")


def split_template(template: str) -> tuple[list[str], dict[str, str]]:
    """Split a path key into its segments and the query that is part of it."""
    path, _, query = template.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return [segment for segment in path.split("/") if segment], {name: value for name, _, value in pairs}


def nameless(template: str) -> str:
    """Give a template without its parameters' names: what is the same however they are called."""
    return PARAMETER.sub("{}", template)


def entity_name(template: str, exceptions: Mapping[str, str] | None = None) -> str:
    """Name the entity of a URL template: dots, no parameters, what stands before one in the singular."""
    segments, fixed = split_template(template)
    words = [_switch(name, value) for name, value in fixed.items()]
    for segment, following in zip(segments, [*segments[1:], ""], strict=False):
        if PARAMETER.search(segment):
            continue
        word = _word(segment)
        words.append(singular(word, exceptions) if PARAMETER.search(following) else word)
    return ".".join(words) or "root"


def qualified_name(template: str, exceptions: Mapping[str, str] | None = None) -> str:
    """Name the entity with its parameters: for a template whose plain name another one has already."""
    parameters = [_word(name) for name in PARAMETER.findall(template)]
    plain = entity_name(template, exceptions)
    return f"{plain}.by_{'_'.join(parameters)}" if parameters else plain


def title(name: str, words: Mapping[str, str]) -> str:
    """Make a title of an entity's name; `words` says how some words are written."""
    text = " ".join(name.replace(".", " ").replace("_", " ").split())
    for plain, written in {**_ACRONYMS, **words}.items():
        text = re.sub(rf"\b{re.escape(plain)}\b", written.replace("\\", r"\\"), text)
    return text[:1].upper() + text[1:]


def alias_key(alias: str) -> str:
    """Give the form in which aliases are compared: `list-files`, `list_files` and `listFiles` are one."""
    return re.sub(r"[^a-z0-9]", "", alias.lower())


def first_clash(names: Sequence[str]) -> str | None:
    """Give the first name that occurs twice."""
    counted = Counter(names)
    return next((name for name in names if counted[name] > 1), None)


def _switch(name: str, value: str) -> str:
    return _word(name) if value in {"", "true", "1"} else _word(f"{name}_{value}")


def _word(segment: str) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", segment).lower()
    return re.sub(r"[^a-z0-9]+", "_", snake).strip("_") or "x"
