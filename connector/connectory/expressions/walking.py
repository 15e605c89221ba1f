"""The functions that a compiled expression is made of: each takes a node and the scopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.expressions.refusals import AbsentError, Key, RefusedError, is_false, is_number, show

if TYPE_CHECKING:
    from connectory.expressions.places import Place

Scope: TypeAlias = Mapping[str, Any]
Walk: TypeAlias = Callable[[Any, Scope], Any]
Listing: TypeAlias = Callable[[Any, Scope], list[Any]]

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"lt": lt, "lte": le, "gt": gt, "gte": ge}


def itself(node: Any, _scope: Scope) -> Any:
    """Give the current node."""
    return node


def rooted(first: str, steps: list[Key], place: Place) -> Walk:
    """Walk from the root, where the record's own fields win and the scopes stand behind them.

    `place` is where the further steps begin.
    """

    def start(node: Any, scope: Scope) -> Any:
        try:
            return node[first]
        except (KeyError, TypeError):
            if first in scope:
                return scope[first]
            if first == "record":
                return node
            raise AbsentError(node, first, "the record") from None

    if not steps:
        return start
    rest = path(steps, place)

    def whole(node: Any, scope: Scope) -> Any:
        try:
            value: Any = node[first] if first in node else scope[first]
            for key in steps:
                value = _inner(value, key) if type(key) is int else value[key]
        except (LookupError, TypeError):
            return rest(start(node, scope), scope)  # which finds it, or says what is missing
        return value

    return whole


def path(steps: list[Key], place: Place) -> Walk:
    """Walk along fields and indexes."""

    def by_name(node: Any, _scope: Scope) -> Any:
        value: Any = node
        try:
            for key in steps:
                value = value[key]
        except (KeyError, TypeError):
            raise _broken(node, steps, place) from None
        return value

    def by_any(node: Any, _scope: Scope) -> Any:
        value: Any = node
        try:
            for key in steps:
                value = _inner(value, key) if type(key) is int else value[key]
        except (LookupError, TypeError):
            raise _broken(node, steps, place) from None
        return value

    return by_any if any(isinstance(key, int) for key in steps) else by_name


def _inner(value: Any, index: int) -> Any:
    """Give an element of a list: a text can be indexed in Python too, and must not be here."""
    if isinstance(value, str):
        raise TypeError
    return value[index]


def _broken(node: Any, steps: list[Key], place: Place) -> AbsentError:
    """Walk again, slowly, to where the path breaks off."""
    value: Any = node
    done = 0
    for key in steps:
        if not _has(value, key):
            break
        value = value[key]
        done += 1
    return AbsentError(value, steps[done], place.after(steps[:done]).name)


def _has(value: Any, key: Key) -> bool:
    if isinstance(key, str):
        return isinstance(value, dict) and key in value
    return isinstance(value, list) and -len(cast("list[object]", value)) <= key < len(
        cast("list[object]", value)
    )


def in_turn(walks: list[Walk]) -> Walk:
    """Hand each one's value to the next."""
    first, *rest = walks

    def turn(node: Any, scope: Scope) -> Any:
        node = first(node, scope)
        for walk in rest:
            node = walk(node, scope)
        return node

    return turn


def strict(walk: Walk) -> Walk:
    """Make absence inside an error that no projection may swallow."""

    def whole(node: Any, scope: Scope) -> Any:
        try:
            return walk(node, scope)
        except AbsentError as error:
            error.droppable = False
            raise

    return whole


def projected(base: Listing, right: Walk) -> Walk:
    """Map over a list; an element whose path is absent or null is dropped, as JMESPath does."""

    def project(node: Any, scope: Scope) -> list[Any]:
        kept: list[Any] = []
        for element in base(node, scope):
            try:
                value = right(element, scope)
            except AbsentError as error:
                if not error.droppable:
                    raise
                continue
            if value is not None:
                kept.append(value)
        return kept

    return project


def filtered(base: Listing, holds: Walk) -> Listing:
    """Keep the elements for which a condition holds."""
    return lambda node, scope: [one for one in base(node, scope) if not is_false(holds(one, scope))]


def of_something(walk: Walk, name: str) -> Walk:
    """Refuse null, which has no field to make something of."""

    def make(node: Any, scope: Scope) -> Any:
        if node is None:
            raise AbsentError(None, "*", name)
        return walk(node, scope)

    return make


def flattened(base: Listing) -> Walk:
    """Open the lists in a list, one level deep."""

    def flatten(node: Any, scope: Scope) -> list[Any]:
        merged: list[Any] = []
        for element in base(node, scope):
            if isinstance(element, list):
                merged += cast("list[object]", element)
            else:
                merged.append(element)
        return merged

    return flatten


def listed(base: Walk, name: str) -> Listing:
    """Insist on a list."""

    def insist(node: Any, scope: Scope) -> list[Any]:
        value = base(node, scope)
        if isinstance(value, list):
            return cast("list[object]", value)
        raise AbsentError(value, None, name)

    return insist


def values(base: Walk, name: str) -> Listing:
    """Give the values of an object."""

    def of_object(node: Any, scope: Scope) -> list[Any]:
        value = base(node, scope)
        if not isinstance(value, dict):
            raise AbsentError(value, "*", name)
        return list(cast("dict[str, Any]", value).values())

    return of_object


def either(left: Walk, right: Walk) -> Walk:
    """Give the right value when the left one is absent or false."""

    def choose(node: Any, scope: Scope) -> Any:
        try:
            value = left(node, scope)
        except AbsentError:
            return right(node, scope)
        return right(node, scope) if is_false(value) else value

    return choose


def both(left: Walk, right: Walk) -> Walk:
    """Give the left value when it is false, else the right one."""

    def check(node: Any, scope: Scope) -> Any:
        value = left(node, scope)
        return value if is_false(value) else right(node, scope)

    return check


def first_present(walks: list[Walk]) -> Walk:
    """Give the first value that is neither absent nor null; the last one as it is."""
    *early, last = walks

    def first(node: Any, scope: Scope) -> Any:
        for walk in early:
            try:
                value = walk(node, scope)
            except AbsentError:
                continue
            if value is not None:
                return value
        return last(node, scope)

    return first


def compared(left: Walk, right: Walk, sign: str) -> Walk:
    """Compare two values of one type."""
    if sign in _ORDER:
        order = _ORDER[sign]
        return lambda node, scope: _ordered(left(node, scope), right(node, scope), order, sign)
    wanted = sign == "eq"
    return lambda node, scope: _equal(left(node, scope), right(node, scope), sign) is wanted


def _equal(left: Any, right: Any, sign: str) -> bool:
    if type(left) is type(right) or left is None or right is None or (is_number(left) and is_number(right)):
        return bool(left == right)
    raise RefusedError(f"cannot compare {show(left)} {_SIGNS[sign]} {show(right)}: the types differ")


def _ordered(left: Any, right: Any, order: Callable[[Any, Any], bool], sign: str) -> bool:
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return order(left, right)
    raise RefusedError(
        f"cannot compare {show(left)} {_SIGNS[sign]} {show(right)}: both must be numbers or texts"
    )
