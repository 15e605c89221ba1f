"""Every HTTP method of the installed official SDK, called with made-up arguments, and the request it makes.

Arguments are made of the methods' annotations alone, and nothing leaves: the transport keeps the request. Beside each
argument stands what it should be on the wire, in the words of a payload of ours.
"""

from __future__ import annotations

import base64
import inspect
import re
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from types import CodeType, ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import httpx2
import openai
import typing_extensions
from openai import _types
from openai._resource import SyncAPIResource
from openai._utils import PropertyInfo

BASE_URI = "http://127.0.0.1:9/v1"
DEEPEST = 5
"""How deep optional fields are filled in; below, only required ones are."""
STEPS = ("required", "full", "other")
"""What is given: what must be; everything; everything, with the last of what each may be in place of the first."""

_SENDERS = frozenset(["_get", "_post", "_delete", "_get_api_list", "_put", "_patch"])
_OPTIONS = frozenset(["self", "extra_headers", "extra_query", "extra_body", "timeout"])
_WRAPPERS = frozenset([typing_extensions.Required, typing_extensions.NotRequired, Annotated])
_UNIONS = frozenset([Union, UnionType])
_MAPS = frozenset([dict, Mapping])
_LISTS = frozenset([list, tuple, Iterable, Sequence, _types.SequenceNotStr])
_FILE = object()
"""Stands for what may be a file's content, in a union of all its forms."""
_TEXT = "té xt+&="
_PLAIN: dict[Any, Any] = {
    None: None,
    NoneType: None,
    str: _TEXT,
    bool: True,
    int: 2,
    float: 0.5,
    object: _TEXT,
    Any: _TEXT,
}
_DATES = {datetime: datetime(2026, 1, 2, 3, 4, 5), date: date(2026, 1, 2)}  # noqa: DTZ001 - as the SDK takes it
_CONTENT = b"\x00{}\xff\r\n"


class UnsampledError(Exception):
    """An argument is nothing that JSON can say, such as a Python type or a function."""


class _RecordedError(BaseException):
    """Carries the request out of the client, past everything that catches exceptions."""

    def __init__(self, request: httpx2.Request) -> None:
        self.request = request


@dataclass(frozen=True)
class Argument:
    """One argument: its name in Python and on the wire, and its value in both."""

    name: str
    wire: str
    value: Any
    sent: Any

    @property
    def is_header(self) -> bool:
        return "-" in self.wire


@dataclass(frozen=True)
class Method:
    """One method of a resource; `name` is how a program calls it."""

    name: str
    bound: Callable[..., Any]

    @property
    def function(self) -> Any:
        return inspect.unwrap(self.bound.__func__)

    @property
    def sends(self) -> bool:
        """Say whether the method makes a request itself: helpers that loop, poll or connect call others."""
        return not _SENDERS.isdisjoint(_names(self.function.__code__))

    def signatures(self) -> list[Any]:
        return typing.get_overloads(self.function) or [self.function]

    def arguments(self, signature: Any, step: str) -> list[Argument]:
        hints = typing_extensions.get_type_hints(signature, self.function.__globals__, include_extras=True)
        described = self._described()
        places = _places(self.function.__code__)
        last = step == "other"
        found: list[Argument] = []
        for name, parameter in inspect.signature(signature).parameters.items():
            needed = parameter.default is parameter.empty
            if name in _OPTIONS or (step == "required" and not needed):
                continue
            if name in places:
                found.append(Argument(name, name, f"{name}: a/b c%d", f"{name}: a/b c%d"))
                continue
            wire = _alias(described.get(name)) or (
                name if name in described else _header(self.function) or name
            )
            try:
                value, sent = sample(hints[name], last=last)
            except UnsampledError:
                if needed:
                    raise
                continue
            made = Argument(name, wire, value, sent)
            found.append(_as_header(made) if made.is_header else made)
        return found

    def _described(self) -> dict[str, Any]:
        """Give the fields of the typed dictionaries that the method turns its arguments into."""
        names = _names(self.function.__code__)
        modules = [
            one
            for one in (self.function.__globals__.get(name) for name in sorted(names))
            if isinstance(one, ModuleType)
        ]
        types = [getattr(module, name, None) for module in modules for name in sorted(names)]
        return {name: hint for one in types for name, hint in _fields(one).items()}

    def request(self, arguments: list[Argument]) -> httpx2.Request:
        """Call the method and give the request that it would have sent."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                self.bound(**{one.name: one.value for one in arguments})
            except _RecordedError as recorded:
                return recorded.request
        raise AssertionError(f"{self.name} made no request")


def _as_header(made: Argument) -> Argument:
    """Give a header's argument: it takes no other letters, and a list is sent as one line."""
    value = ["a", "b"] if isinstance(made.value, list) else "a b"
    return Argument(made.name, made.wire, value, ",".join(value) if isinstance(value, list) else value)


def _record(request: httpx2.Request) -> httpx2.Response:
    request.read()
    raise _RecordedError(request)


@cache
def methods() -> tuple[Method, ...]:
    """Give every public method of every resource of a client."""
    client = openai.OpenAI(
        api_key="t",
        admin_api_key="t",
        base_url=BASE_URI,
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(_record)),
    )
    return tuple(_methods(client, ""))


def _methods(owner: Any, prefix: str) -> Iterator[Method]:
    for name, member in inspect.getmembers(type(owner)):
        if name.startswith("_"):
            continue
        if isinstance(member, property | cached_property):
            below = getattr(owner, name)
            if isinstance(below, SyncAPIResource):
                yield from _methods(below, f"{prefix}{name}.")
        elif inspect.isfunction(member) and prefix:
            yield Method(prefix + name, getattr(owner, name))


def _names(code: CodeType) -> set[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*(_names(one) for one in inner))


def _places(code: CodeType) -> set[str]:
    """Give the path parameters: the places of the URL template in the code."""
    templates = [one for one in code.co_consts if isinstance(one, str) and one.startswith("/")]
    return {name for one in templates for name in re.findall(r"\{(\w+)\}", one)}


def _header(function: Any) -> str | None:
    """Give the header that a method without a typed dictionary makes of an argument."""
    names = [one for one in function.__code__.co_consts if isinstance(one, str)]
    return next((one for one in names if re.fullmatch(r"[a-z]+-[a-z-]+", one)), None)


def sample(hint: Any, *, last: bool, depth: int = 0) -> tuple[Any, Any]:
    """Make a value of an annotation, and what it is on the wire. Raises UnsampledError."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in _WRAPPERS:
        return sample(inner[0], last=last, depth=depth)
    if origin in _UNIONS:
        return _one_of(inner, last=last, depth=depth)
    if typing_extensions.is_typeddict(hint):
        return _object(hint, last=last, depth=depth)
    if hint is dict or origin in _MAPS:
        value, sent = sample(inner[1] if inner else str, last=last, depth=depth + 1)
        return {"key": value}, {"key": sent}
    if origin in _LISTS:
        value, sent = sample(inner[0], last=last, depth=depth + 1)
        return [value, value], [sent, sent]
    return _plain(hint, last=last)


def _plain(hint: Any, *, last: bool) -> tuple[Any, Any]:
    if get_origin(hint) is Literal:
        value = get_args(hint)[-1 if last else 0]
        return value, value
    if hint is _FILE:
        name = "last.png" if last else "first file.jsonl"
        return (name, _CONTENT), {"base64": base64.b64encode(_CONTENT).decode(), "filename": name}
    if hint in _DATES:
        return _DATES[hint], _DATES[hint].isoformat()
    if hint in _PLAIN:
        return _PLAIN[hint], _PLAIN[hint]
    raise UnsampledError(hint)


def _one_of(branches: tuple[Any, ...], *, last: bool, depth: int) -> tuple[Any, Any]:
    files = get_args(_types.FileTypes)
    kept = [one for one in branches if one not in (_types.Omit, _types.NotGiven, NoneType)]
    if set(files) <= set(kept):  # a dictionary in a file's place is typed, and refused
        lists = [one for one in kept if one not in files and not typing_extensions.is_typeddict(one)]
        kept = [_FILE, *lists]
    for branch in reversed(kept) if last else kept:
        try:
            return sample(branch, last=last, depth=depth)
        except UnsampledError:
            continue
    raise UnsampledError(branches)


def _object(hint: Any, *, last: bool, depth: int) -> tuple[dict[str, Any], dict[str, Any]]:
    value: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for name, field in _fields(hint).items():
        needed = get_origin(field) is typing_extensions.Required or (
            get_origin(field) is not typing_extensions.NotRequired and name in hint.__required_keys__
        )
        if needed or depth < DEEPEST:
            try:
                pair = sample(field, last=last, depth=depth + 1)
            except UnsampledError:
                if needed:
                    raise
                continue
            value[name], sent[_alias(field) or name] = pair
    return value, sent


def _fields(hint: Any) -> dict[str, Any]:
    """Give the fields of a typed dictionary, or of all those in a union."""
    if typing_extensions.is_typeddict(hint):
        return _hints(hint)
    if get_origin(hint) in _UNIONS:
        return {name: field for one in get_args(hint) for name, field in _fields(one).items()}
    return {}


@cache
def _hints(hint: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(hint, include_extras=True)


def _alias(hint: Any) -> str | None:
    """Find the name on the wire among an annotation's marks."""
    if get_origin(hint) is None or hint is None:
        return None
    marks = getattr(hint, "__metadata__", ())
    own = next((one.alias for one in marks if isinstance(one, PropertyInfo) and one.alias), None)
    return own or (_alias(get_args(hint)[0]) if get_origin(hint) in _WRAPPERS else None)
