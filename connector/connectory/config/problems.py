"""What pydantic has against the configuration, in the configuration's words and with its place."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Union, get_args, get_origin

from pydantic import BaseModel

from connectory.config.incoming import IncomingConfig
from connectory.config.model import ConfigModel
from connectory.config.shapes import is_list, is_map
from connectory.config.versions import CURRENT, newer
from connectory.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from connectory.config.document import Place
    from connectory.config.shapes import Path
    from connectory.errors import Problem

KINDS = {
    "clients": "client",
    "incoming": "incoming",
    "outgoing": "outgoing",
    "routes": "route",
    "transformers": "chain",
    "tests": "tests of chain",
}
SCALAR_TYPES = frozenset(
    {"int_type", "int_parsing", "int_from_float", "float_type", "bool_type", "literal_error"}
)
STEP_KEYS = frozenset({"transformers", "input_transformers", "transformer", "response_transformers"})
_SYNONYMS = {
    "api_key": "token",
    "apikey": "token",
    "key": "token",
    "url": "base_uri",
    "endpoint": "base_uri",
    "host": "base_uri",
    "body": "payload",
    "data": "payload",
    "filter": "transformers",
    "parameters": "request_parameters",
}
_UNCHECKED = frozenset(
    {
        "insecure",
        "skip_verify",
        "ssl_verify",
        "tls_verify",
        "verify",
        "verify_certificates",
        "verify_ssl",
        "verify_tls",
    }
)
"""What other programs call the option that checks no certificates, which there is not."""
_NOWHERE = object()
_NEEDED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_OTHERS = {
    "string_too_short": "must not be empty",
    "finite_number": "must be a finite number",
    "invalid-json-value": "is no value that JSON can hold",
}


class Locate(Protocol):
    """Finds the place of a path."""

    def __call__(self, path: Path, *, key: bool = False) -> Place:
        """Give the place of a value, or of its key."""
        ...


def from_validation(
    error: ValidationError, data: Any, *, locate: Locate, unset: Mapping[Path, str], inserted: Iterable[Path]
) -> list[Problem]:
    """Turn every error of a validation into a problem."""
    hidden = frozenset(inserted)
    problems: list[Problem] = []
    for details in error.errors(include_url=False, include_input=False):
        path, on_key = document_path(details, data)
        value = value_at(data, path)
        if path in unset and not on_key:
            message = f"the environment variable {unset[path]!r} is not set, and {subject(path)} needs it"
        elif path == ("version",) and isinstance(value, int) and value > CURRENT:
            message = newer(value)
        elif on_key:
            message = _about_key(details, path)
        else:
            message = f"{subject(path)} {_about_value(details, path, value, echo=path not in hidden)}"
        problems.append(locate(path, key=on_key).problem(message, path=path))
    return problems


def document_path(details: ErrorDetails, data: Any) -> tuple[Path, bool]:
    """Give the way to what is wrong as the document has it, and whether the key itself is meant.

    pydantic puts the names of branches of a union between the keys; they are in no document.
    """
    path: list[str | int] = []
    current: Any = data
    missing = details["type"] == "missing"
    for part in details["loc"][:-1] if missing else details["loc"]:
        below = _child(current, part)
        if below is not _NOWHERE:
            current = below
            path.append(part)
    if missing:
        return (*path, details["loc"][-1]), True
    return tuple(path), details["loc"][-1:] == ("[key]",) or details["type"] == "extra_forbidden"


def value_at(data: Any, path: Path) -> Any:
    """Give the value at a path, or None."""
    for part in path:
        data = _child(data, part)
    return None if data is _NOWHERE else data


def _child(value: Any, part: str | int) -> Any:
    if is_map(value):
        return value.get(part, _NOWHERE)
    if is_list(value) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOWHERE


def subject(path: Path) -> str:
    """Call the thing at a path by its name: `'total' of 'timeout' of client 'openai'`."""
    if not path:
        return "the configuration"
    parent, last = path[:-1], path[-1]
    if len(path) == 1:
        return repr(last)
    if len(path) == 2 and path[0] in KINDS:  # noqa: PLR2004 - section and name
        return f"{KINDS[str(path[0])]} {last!r}"
    if isinstance(last, int):
        if (owner := _owner_of_tests(parent)) is not None:
            return f"test {last + 1} of {subject(owner)}"
        is_step = parent[-1] in STEP_KEYS or parent[:-1] == ("transformers",)
        return f"{'step' if is_step else 'item'} {last + 1} of {subject(parent)}"
    return f"{last!r} of {subject(parent)}"


def _owner_of_tests(path: Path) -> Path | None:
    """Give the chain or connection whose list of tests stands at a path, or None for any other path."""
    match path:
        case ("tests", chain):
            return ("transformers", chain)
        case ("incoming" | "outgoing", _, "tests"):
            return path[:2]
        case _:
            return None


def kind_of(value: Any) -> str:
    """Say what kind of value something is."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    for types_, words in (((int, float), "a number"), (str, "text"), (list, "a list"), (dict, "a mapping")):
        if isinstance(value, types_):
            return words
    return f"a {type(value).__name__}"


def allowed_keys(path: Path) -> list[str]:
    """Give the keys that a mapping at this path may have, empty where any may stand."""
    found: list[Any] = [ConfigModel]
    for part in path:
        found = [deeper for one in found for deeper in _below(one, part)]
    models = [one for one in found if isinstance(one, type) and issubclass(one, BaseModel)]
    keys = [key for model in models for key in model.model_fields]
    return [*keys, "transformer"] if IncomingConfig in models else keys


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    """Give the types of what stands below a key of a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        yield from _leaves(fields[part].annotation) if part in fields else ()
    elif get_origin(annotation) in (Mapping, dict):
        yield from _leaves(get_args(annotation)[1])
    elif get_origin(annotation) is tuple:
        yield from _leaves(get_args(annotation)[0])


def _leaves(annotation: Any) -> Iterator[Any]:
    """Give the branches of a union, without annotations."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for branch in get_args(annotation):
            yield from _leaves(branch)
    else:
        yield annotation


def _about_key(details: ErrorDetails, path: Path) -> str:
    parent, key = path[:-1], str(path[-1])
    if details["type"] == "missing":
        return f"{subject(parent)} has no {key!r}"
    if details["type"] != "extra_forbidden":
        verdict = details["msg"] if details["type"] == "connectory" else "must be text"
        return f"{key!r} in {subject(parent)} {verdict}"
    known = allowed_keys(parent)
    where = f"in {subject(parent)}" if parent else "at the top"
    if key == "transformer":
        hint = "; it is another name for 'input_transformers': give one of them"
    elif parent[:1] == ("clients",) and key.lower().replace("-", "_") in _UNCHECKED:
        hint = "; certificates are always checked: name the authority to trust with 'ca_file'"
    else:
        hint = did_you_mean(key, known)
    if not hint and _SYNONYMS.get(key.lower()) in known:
        hint = f"; did you mean {_SYNONYMS[key.lower()]!r}?"
    return f"unknown key {key!r} {where}{hint or '; there are ' + ', '.join(known)}"


def _about_value(details: ErrorDetails, path: Path, value: Any, *, echo: bool) -> str:
    error_type, context = details["type"], details.get("ctx", {})
    if error_type == "connectory":
        return details["msg"]
    if error_type == "literal_error":
        return _about_choice(str(context["expected"]), path, value, echo=echo)
    if error_type in _NEEDED:
        return _about_type(_NEEDED[error_type], path, value)
    return _about_size(error_type, context, value)


def _about_size(error_type: str, context: Mapping[str, Any], value: Any) -> str:
    if error_type in _BOUNDS:
        words, key = _BOUNDS[error_type]
        return f"must be {words} {context[key]:g}"
    if error_type == "union_tag_invalid":
        needed = (
            str(context["expected_tags"]).replace("'<text>'", "text").replace("'<", "a ").replace(">'", "")
        )
        return f"must be {needed.replace(', ', ' or ')}, not {kind_of(value)}"
    return _OTHERS.get(error_type, "is not valid")


def _about_choice(expected: str, path: Path, value: Any, *, echo: bool) -> str:
    choices = expected.replace(" or ", ", ").split(", ")
    if path[-1] == "pagination":
        expected = "'all', 'first' or {pages: N}"
    if value in choices:  # 1 is wanted and '1' was written
        return f"must be {expected}, not text; leave the quotes out"
    got = repr(value) if echo and isinstance(value, (str, int)) else kind_of(value)
    hint = (
        did_you_mean(value, [choice.strip("'") for choice in choices])
        if isinstance(value, str) and echo
        else ""
    )
    return f"must be {expected}, not {got}{hint}"


def _about_type(needed: str, path: Path, value: Any) -> str:
    if needed == "a mapping" and len(path) == 2 and path[0] in KINDS:  # noqa: PLR2004 - section and name
        if path[-1] in allowed_keys(path):
            return f"is none: {path[-1]!r} is a key of every {KINDS[str(path[0])]}; indent it below a name"
        if value is None:
            return "has nothing below it; indent its keys further than its name, or write {}"
    hint = ""
    if needed == "text" and isinstance(value, (int, float)):
        hint = "; put it in quotes"
    elif "number" in needed and isinstance(value, str) and value.isdecimal():
        hint = "; leave the quotes out"
    elif needed == "a list" and isinstance(value, str):
        hint = "; put it in brackets"
    return f"must be {needed}, not {kind_of(value)}{hint}"
