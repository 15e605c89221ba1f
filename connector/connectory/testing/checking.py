"""One transformer, held against all that a chain expects of it."""

from __future__ import annotations

import inspect
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.chain import single_chain
from connectory.errors import ConfigError, ConnectoryError, RecordError
from connectory.interfaces import Context
from connectory.plugins import load_code, load_transformer, read_signature
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from connectory.chain import Chain
    from connectory.plugins import Transformer
    from connectory.record import Record

Named: TypeAlias = "str | Callable[..., Any]"
"""A transformer: its function or class, its name, or `module:function`."""

_UNSAID: Any = object()
_ODD: tuple[Any, ...] = (None, True, 0, -1.5, "", "text", [], [1], {}, {"a": 1})
"""What a field may hold where something else is expected: data is what it is."""


@dataclass(frozen=True, slots=True)
class Example:
    """A record, and what becomes of it: `gives` a record, a list of several or None, or fails with an `error`.

    `error` is a part of the message. `options` are a step's; `scope` is what surrounds the record, such as `run`.
    """

    record: Record
    gives: Any = _UNSAID
    error: str | None = None
    options: Any = None
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])


def apply_transformer(
    transformer: Named,
    record: Record,
    *,
    options: Any = None,
    scope: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> list[Record]:
    """Give what a transformer makes of a record, as in a chain; what it opens is closed again.

    `folder` is that of a configuration, where names and modules are looked for too. Raises ConfigError for the options,
    RecordError for the record.
    """
    chain = single_chain(_found(transformer, folder), options)
    try:
        return list(chain.apply(record, scope or {}))
    finally:
        _close(chain)


def check_transformer(
    transformer: Named, *examples: Example | Record, in_place: bool = False, folder: Path | None = None
) -> None:
    """Check that a transformer keeps to what a chain expects; one AssertionError lists everything that it does not.

    The transformer and its options are described and typed. Each example gives what it says, and the same when it is
    given again. What comes out is JSON, several records share nothing, and neither the record nor what surrounds it was
    changed; `in_place` allows the record to be. Records like the examples, with a field missing or of another type, are
    shaped or refused with a RecordError, never with another exception.
    """
    problems = _Problems()
    try:
        found = _found(transformer, folder)
        problems += _undescribed(found)
    except ConfigError as error:
        raise AssertionError(str(error)) from None
    if not examples:
        problems += ["there is no example: give a record, or an Example that says what becomes of it"]
    for number, one in enumerate(examples, 1):
        example = one if isinstance(one, Example) else Example(one)
        problems += [f"example {number}: {what}" for what in _broken(found, example, in_place=in_place)]
    for what in _untyped_errors(
        found, [one if isinstance(one, Example) else Example(one) for one in examples]
    ):
        problems += [what]
    if problems:
        listed = "".join(f"\n- {one}" for one in problems)
        raise AssertionError(f"transformer {found.name!r} is not what a chain expects:{listed}")


_Problems = list[str]


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one run over a record gave: the records, or the error, and what the record and the scope are afterwards."""

    made: list[Any]
    error: Exception | None
    record: Any
    scope: Any


def _found(transformer: Named, folder: Path | None) -> Transformer:
    if not isinstance(transformer, str):
        return read_signature(getattr(transformer, "__name__", "it"), transformer, origin="the test")
    if ":" in transformer:
        return load_code(transformer, folder=folder)
    return load_transformer(transformer, folder=folder)


def _undescribed(found: Transformer) -> Iterator[str]:
    text = inspect.getdoc(found.function) or ""
    if not text or text.startswith(f"{found.name}("):  # that is how a dataclass describes itself
        yield "it has no docstring; its first line is what 'connectory transformers list' shows"
    for name, option in found.options.items():
        if option.type == "any":
            yield f"the option {name!r} has no type; annotate it, so that lint can check it"
        elif text and not re.search(rf"\b{re.escape(name)}\b", text):
            yield f"the option {name!r} is not described: the docstring does not name it"
        option.adapter.json_schema()


def _broken(found: Transformer, example: Example, *, in_place: bool) -> Iterator[str]:
    try:
        tried = _try(found, example)
        again = _try(found, example)
    except ConfigError as error:
        yield str(error)
        return
    yield from _unexpected(tried, example)
    if tried.error is None:
        yield from _not_json(tried.made)
        if _text(tried.made) != _text(again.made):
            yield f"the same record gave {_short(tried.made)} and then {_short(again.made)}"
        if (shared := _shared(tried.made)) is not None:
            yield f"its records share {_short(shared)}: a later step that changes one would change the others"
    if not in_place and tried.record != example.record:
        yield (
            f"it changed the record it was handed, to {_short(tried.record)}; make a new one, or say in_place=True"
        )
    if tried.scope != _scope(example):
        yield "it changed what surrounds the record; other steps see that too"


def _unexpected(tried: _Tried, example: Example) -> Iterator[str]:
    if example.error is not None:
        if tried.error is None:
            yield f"it gave {_short(tried.made)}, and an error with {example.error!r} was due"
        elif example.error not in str(tried.error):
            yield f"the error says {str(tried.error)!r}, not {example.error!r}"
        return
    if tried.error is not None:
        yield f"it failed: {tried.error}"
        return
    if example.gives is _UNSAID:
        return
    several = isinstance(example.gives, list)
    due = [] if example.gives is None else cast("list[Any]", example.gives if several else [example.gives])
    if tried.made != due:
        yield f"it gave {_short(tried.made)}, and {_short(due)} was due"


def _untyped_errors(found: Transformer, examples: list[Example]) -> Iterator[str]:
    """Tell of exceptions that say nothing to the reader of a dead letter, each kind once."""
    told = set[str]()
    for example in examples:
        for what, record in [("like the example", example.record), *_variants(example.record)]:
            try:
                error = _try(found, Example(record, options=example.options, scope=example.scope)).error
            except ConfigError:
                break
            bare = error.__cause__ if isinstance(error, RecordError) else error
            if bare is None or isinstance(bare, ConnectoryError):
                continue
            kind = type(bare).__name__
            if kind not in told:
                told.add(kind)
                yield (
                    f"a record {what} ends in a bare {kind}: {bare}; raise connectory.TransformerError with words that "
                    "say what is wrong with the record"
                )


def _variants(record: Record) -> Iterator[tuple[str, Record]]:
    """Give records as they come too: with a field missing, or of another type."""
    for name in record:
        yield f"without {name!r}", {key: value for key, value in record.items() if key != name}
        for odd in _ODD:
            yield f"whose {name!r} is {odd!r}", {**record, name: odd}


def _try(found: Transformer, example: Example) -> _Tried:
    record, scope = deepcopy(example.record), _scope(example)
    chain = single_chain(found, example.options)
    made, failed = list[Any](), None
    try:
        made = list(chain.steps[0](record, Context(scope)))
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked for
        failed = error
    finally:
        _close(chain)
    return _Tried(made, failed, record, scope)


def _scope(example: Example) -> dict[str, Any]:
    return {"input": deepcopy(example.record), **deepcopy(dict(example.scope))}


def _close(chain: Chain) -> None:
    for one in chain.kept:
        one.close()


def _not_json(made: list[Any]) -> Iterator[str]:
    for one in made:
        try:
            dumps(one)
        except JsonTextError as error:
            yield f"it gave what is {error}: {_short(one)}"


def _text(made: list[Any]) -> Any:
    try:
        return dumps(made)
    except JsonTextError:
        return repr(made)


def _shared(made: list[Any]) -> Any:
    """Give an object or list that two of the records hold, None where there is none."""
    seen = set[int]()
    for record in made:
        own = {id(one): one for one in _containers(record)}
        for number, one in own.items():
            if number in seen:
                return one
        seen |= own.keys()
    return None


def _containers(value: Any) -> Iterable[Any]:
    if isinstance(value, (dict, list)):
        yield value
        inner = cast("Any", value)
        for one in inner.values() if isinstance(value, dict) else inner:
            yield from _containers(one)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - enough to see which
