"""A syntax tree, turned once into nested Python functions."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError
from connectory.expressions import functions, walking
from connectory.expressions.places import Place, keys, starts_with_name
from connectory.expressions.refusals import RefusedError, is_false

if TYPE_CHECKING:
    from connectory.expressions.functions import Clock
    from connectory.expressions.reading import Node
    from connectory.expressions.walking import Listing, Scope, Walk


def compile_tree(tree: Node, *, clock: Clock) -> Walk:
    """Give the function of (root, scope) that an expression's tree stands for."""
    return _Compiler(clock).compile(tree, Place(root=True))


class _Compiler:
    """One method for each type of tree node, found by the type's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def compile(self, node: Node, place: Place) -> Walk:
        way = keys(node)
        if way is None:
            return cast("Walk", getattr(self, f"_{node['type']}")(node, place))
        if not way:
            return walking.itself
        if place.root and starts_with_name(node):
            return walking.rooted(cast("str", way[0]), way[1:], place.after(way[:1]))
        return walking.path(way, place)

    def _children(self, node: Node, place: Place) -> list[Walk]:
        return [self.compile(child, place) for child in node["children"]]

    def _whole(self, walk: Walk, place: Place) -> Walk:
        return walking.strict(walk) if place.projected else walk

    def _subexpression(self, node: Node, place: Place) -> Walk:
        walks: list[Walk] = []
        for child in node["children"]:
            walks.append(self.compile(child, place))
            place = replace(place.inner(child), root=False)
        return walking.in_turn(walks)

    _pipe = _index_expression = _subexpression

    def _literal(self, node: Node, _place: Place) -> Walk:
        value = node["value"]
        if isinstance(value, (dict, list)):
            # The record it goes into may be changed later; the literal must not.
            return lambda _node, _scope: copy.deepcopy(cast("Any", value))
        return lambda _node, _scope: value

    def _or_expression(self, node: Node, place: Place) -> Walk:
        return walking.either(*self._children(node, place))

    def _and_expression(self, node: Node, place: Place) -> Walk:
        return self._whole(walking.both(*self._children(node, place)), place)

    def _not_expression(self, node: Node, place: Place) -> Walk:
        (inner,) = self._children(node, place)
        return self._whole(lambda node, scope: is_false(inner(node, scope)), place)

    def _comparator(self, node: Node, place: Place) -> Walk:
        left, right = self._children(node, place)
        return self._whole(walking.compared(left, right, node["value"]), place)

    def _multi_select_list(self, node: Node, place: Place) -> Walk:
        items = self._children(node, place)
        make = self._whole(lambda node, scope: [item(node, scope) for item in items], place)
        return walking.of_something(make, place.name)

    def _multi_select_dict(self, node: Node, place: Place) -> Walk:
        pairs = [(pair["value"], self.compile(pair["children"][0], place)) for pair in node["children"]]
        make = self._whole(lambda node, scope: {key: walk(node, scope) for key, walk in pairs}, place)
        return walking.of_something(make, place.name)

    def _flatten(self, node: Node, place: Place) -> Walk:
        return walking.flattened(self._list(node["children"][0], place))

    def _slice(self, node: Node, place: Place) -> Walk:
        part = slice(*node["children"])
        if part.step == 0:
            raise ConfigError("the step of a slice cannot be 0")
        whole = walking.listed(walking.itself, place.name)
        return lambda node, scope: whole(node, scope)[part]

    def _list(self, node: Node, place: Place) -> Listing:
        return walking.listed(self.compile(node, place), place.inner(node).name)

    def _projection(self, node: Node, place: Place) -> Walk:
        source, right = node["children"]
        return walking.projected(self._list(source, place), self.compile(right, place.element(source)))

    def _filter_projection(self, node: Node, place: Place) -> Walk:
        source, right, condition = node["children"]
        element = place.element(source)
        holds = walking.strict(self.compile(condition, element))
        kept = walking.filtered(self._list(source, place), holds)
        return walking.projected(kept, self.compile(right, element))

    def _value_projection(self, node: Node, place: Place) -> Walk:
        source, right = node["children"]
        base = walking.values(self.compile(source, place), place.inner(source).name)
        return walking.projected(base, self.compile(right, place.element(source)))

    def _expref(self, node: Node, place: Place) -> Walk:
        inner = self.compile(node["children"][0], Place("an element", projected=place.projected))
        return lambda _node, scope: functions.reference(lambda element: inner(element, scope))

    def _function_expression(self, node: Node, place: Place) -> Walk:
        name, arguments = node["value"], self._children(node, place)
        call = functions.bind(name, len(arguments), clock=self._clock)
        if name in {"default", "not_null"}:
            return self._whole(walking.first_present(arguments), place)
        if name == "ago" and node["children"][0]["type"] == "literal":
            return _ago(node["children"][0]["value"], self._clock)

        def apply(node: Any, scope: Scope) -> Any:
            return call([argument(node, scope) for argument in arguments])

        return self._whole(apply, place)


def _ago(value: Any, clock: Clock) -> Walk:
    """Read a written length of time now: a wrong one is the configuration's error, not the record's."""
    try:
        length = functions.seconds(value)
    except RefusedError as error:
        raise ConfigError(str(error)) from None
    return lambda _node, _scope: int(clock()) - length
