"""What may leave this program as text: known secrets are blanked, control characters are written out."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, quote_plus
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST_SECRET = 8
"""Characters; what is shorter is no secret but what a local server wants to hear, and blanking it spoils texts."""

BLANK = "****"

_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "token"})
_URL_SAFE = "!$&'()*+,;=:@"
_ESCAPED = re.compile(rb"\\u00[2-7]")
"""Escapes that JSON does not need: a server that writes them may write a secret in a way that no form has."""

_RUN = re.compile(r"[A-Za-z0-9_.~-]+")
"""Characters that no form changes."""

_SHORTEST_RUN = 4

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_INVISIBLE = re.compile(f"[{_CONTROL}]")
_INVISIBLE_OR_END = re.compile(f"[{_CONTROL}\n]")
_OWN_SLOTS = ("filename", "filename2", "object", "reason", "strerror", "text", "msg")


class Redactor:
    """The secret values of one configuration, and every form in which they come back.

    Blanked are a value as it is, percent-encoded, escaped for JSON, HTML and Python, and in base64.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self._needles: tuple[bytes, ...] = ()
        self._turn = threading.Lock()
        self.add(*secrets)
        with _turn:
            _living.add(self)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._forms)} forms>"

    def add(self, *secrets: str) -> None:
        """Take in secrets; one that is several words counts as each of its words as well."""
        parts = {part for secret in secrets for part in _parts(secret)}
        found = {form for part in parts for form in _forms(part)}
        if found.issubset(self._forms):
            return
        with self._turn:
            self._forms = tuple(sorted({*self._forms, *found}, key=lambda form: (-len(form), form)))
            self._needles = (*self._needles, *{needle for part in parts for needle in _needles(part)})

    def seen_in(self, body: bytes) -> bool:
        """Say whether a body may hold a secret: quick, because nearly none does."""
        for needle in self._needles:
            if body.find(needle) >= 0:  # `in` raises an exception inside, and catches it, before Python 3.12
                return True
        if body.find(b"\\") < 0 or not self._needles:  # one byte is found many times faster than five
            return False
        return body.find(b"\\u00") >= 0 and _ESCAPED.search(body) is not None

    def text(self, text: str, *, keep_length: bool = False) -> str:
        """Blank the secrets out of a text."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, "*" * len(form) if keep_length else BLANK)
        return text

    def content(self, body: bytes) -> bytes:
        """Blank the secrets out of bytes, whose length stays the same."""
        for form in self._forms if self.seen_in(body) else ():
            raw = form.encode("utf-8", "surrogatepass")
            body = body.replace(raw, b"*" * len(raw))
        return body

    def value(self, value: Any) -> Any:
        """Blank the secrets out of every text and name of a JSON value; what was given stays as it is."""
        top: list[Any] = [value]
        waiting: list[tuple[Any, Any]] = [(top, 0)]
        while waiting:  # no recursion: an answer may be nested as deep as the parser allows
            parent, key = waiting.pop()
            one: Any = parent[key]
            if isinstance(one, str):
                parent[key] = self.text(one)
            elif isinstance(one, int) and not isinstance(one, bool):
                parent[key] = BLANK if self.text(str(one)) != str(one) else one
            elif isinstance(one, Mapping):
                copy = {self._name(name): below for name, below in _pairs(parent[key])}
                parent[key] = copy
                waiting += [(copy, name) for name in copy]
            elif isinstance(one, list | tuple):
                many = list(cast("Iterable[Any]", one))
                parent[key] = many
                waiting += [(many, index) for index in range(len(many))]
        return top[0]

    def error(self, error: BaseException) -> None:
        """Blank the secrets out of an exception and of those behind it, in place; their types stay."""
        for one in _behind(error):
            one.args = tuple(self._changed(argument) for argument in one.args)
            for name, value in [*vars(one).items()]:
                if (changed := self._changed(value)) is not value:
                    vars(one)[name] = changed
            for name in _OWN_SLOTS:
                value = getattr(one, name, None)
                if isinstance(value, str) and (text := self.text(value)) != value:
                    with suppress(AttributeError, TypeError):  # of another class, where it is computed
                        setattr(one, name, text)

    def _changed(self, value: Any) -> Any:
        """Give the very same object where nothing in it is secret."""
        held: Any = value
        if isinstance(value, str | Mapping | list | tuple):
            blanked = self.value(held)
            return held if _NOTHING.value(held) == blanked else blanked
        return held

    def _name(self, name: Any) -> Any:
        return self.text(name) if isinstance(name, str) else name


_turn = threading.Lock()
_living: WeakSet[Redactor] = WeakSet()


def blank(text: str) -> str:
    """Blank the secrets of every configuration in use: for texts of which nobody knows where they come from."""
    with _turn:
        living = list(_living)
    for redactor in living:
        text = redactor.text(text)
    return text


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write control characters as escapes (`\x1b`), so that a text cannot steer a terminal or forge a line.

    `lines` keeps line ends: for texts that are made of lines.
    """
    pattern = _INVISIBLE if lines else _INVISIBLE_OR_END
    return pattern.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class LogFilter(logging.Filter):
    """Lets every line through, without secrets and on one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what is about to be written."""
        record.msg, record.args = visible(blank(record.getMessage())), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = visible(blank(trace(record.exc_info[1])), lines=True)
        return True


def trace(error: BaseException) -> str:
    """Give an exception's traceback as text, as it is printed."""
    return "".join(traceback.format_exception(error)).rstrip("\n")


def _parts(secret: str) -> Iterator[str]:
    whole = secret.strip()
    words = whole.split()
    if len(words) > 1 and words[0].lower() in _SCHEMES:
        words, whole = words[1:], whole[len(words[0]) :].strip()
    for part in {whole, *words}:
        if len(part) >= SHORTEST_SECRET:
            yield part


def _forms(secret: str) -> Iterator[str]:
    yield secret
    encoded = [quote(secret, safe="", errors="replace"), quote(secret, safe=_URL_SAFE, errors="replace")]
    encoded.append(quote_plus(secret, errors="replace"))
    yield from encoded
    yield from (re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in encoded)
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text
        yield text.replace("/", "\\/")
    yield html.escape(secret)
    yield repr(secret)[1:-1]
    raw = secret.encode("utf-8", "surrogatepass")
    yield base64.b64encode(raw).decode("ascii").rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _needles(secret: str) -> Iterator[bytes]:
    """Give what is in every form of a secret: few and long texts, for which a body is searched fast."""
    encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii").rstrip("=")
    for text in (secret, encoded):
        longest = max(_RUN.findall(text), key=len, default="")
        if len(longest) >= _SHORTEST_RUN:
            yield longest.encode("ascii")
        else:
            yield from (form.encode("utf-8", "surrogatepass") for form in _forms(secret))


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Give an exception, its causes and contexts, and the members of groups, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", one).exceptions


def _pairs(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(mapping.items())


_NOTHING = Redactor()
