"""Templates: JSON values whose strings carry `&{expression}` and `?{expression}`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.errors import ConfigError, Problem
from connectory.expressions import NOTHING, Clock, CompiledOption, Expression, Scope, closing_brace

if TYPE_CHECKING:
    from collections.abc import Iterable

Fill: TypeAlias = Callable[[Any, Scope], Any]

_OPENING = re.compile(r"&&\{|\?\?\{|\$\$\{|&\{|\?\{")
_ESCAPES = {"&&{": "&{", "??{": "?{", "$${": "${"}


class Template(CompiledOption):
    """A compiled value: `render` gives a new one each time, filled from a root document and the scopes.

    `expressions` are those in it, in order, and `optional` those of them that may be absent; a template without any
    `is_constant`. What a placeholder inserts is a copy and is never scanned again.
    """

    __slots__ = ("_clock", "_constant", "_fill", "expressions", "optional", "source")

    def __init__(self, source: Any, *, clock: Clock = time.time, copies: bool = True) -> None:
        compiler = _Compiler(clock, copies=copies)
        self._clock = clock
        self.source = source
        self._constant, self._fill = compiler.compile(source, ())
        if compiler.problems:
            raise ConfigError(compiler.problems)
        self.expressions: tuple[Expression, ...] = tuple(compiler.expressions)
        self.optional: frozenset[Expression] = frozenset(compiler.optional)

    def for_writing(self) -> Template:
        """Give the same template for values that are only written: what a placeholder inserts is then no copy."""
        return Template(self.source, clock=self._clock, copies=False)

    @property
    def is_constant(self) -> bool:
        """Say whether it renders the same for every record."""
        return self._fill is None

    def render(self, root: Any, scope: Scope = NOTHING) -> Any:
        """Fill the placeholders; an absent field is an `ExpressionError`."""
        return fresh(self._constant) if self._fill is None else self._fill(root, scope)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"


def compile_template(value: Any, *, clock: Clock = time.time) -> Template:
    """Compile a value once; a `ConfigError` lists every placeholder in it that cannot be read."""
    return Template(value, clock=clock)


def fresh(value: Any) -> Any:
    """Copy the lists and objects of a JSON value."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {key: fresh(one) if isinstance(one, (dict, list)) else one for key, one in members}
    if isinstance(value, list):
        return [fresh(one) if isinstance(one, (dict, list)) else one for one in cast("list[object]", value)]
    return value


class _Compiler:
    """Gives a constant, or a function that fills; it collects what is wrong and goes on."""

    def __init__(self, clock: Clock, *, copies: bool = True) -> None:
        self._clock, self._copies = clock, copies
        self.expressions: list[Expression] = []
        self.optional: list[Expression] = []
        self.problems: list[Problem] = []

    def compile(self, value: Any, path: tuple[str | int, ...]) -> tuple[Any, Fill | None]:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[str, Any]", value), path)
        if isinstance(value, (list, tuple)):
            return self._list(cast("list[Any]", value), path)
        return value, None

    def _object(self, value: Mapping[str, Any], path: tuple[str | int, ...]) -> tuple[Any, Fill | None]:
        made = [(key, *self.compile(one, (*path, key))) for key, one in value.items()]
        if all(fill is None for _, _, fill in made):
            return {key: constant for key, constant, _ in made}, None
        fixed = {key: constant for key, constant, _ in made}
        slots = [(key, way) for key, constant, fill in made if (way := fill or _copying(constant))]

        def fill_object(root: Any, scope: Scope) -> Any:
            members = fixed.copy()
            for key, fill in slots:
                members[key] = fill(root, scope)
            return members

        return None, fill_object

    def _list(self, value: Iterable[Any], path: tuple[str | int, ...]) -> tuple[Any, Fill | None]:
        made = [self.compile(one, (*path, index)) for index, one in enumerate(value)]
        if all(fill is None for _, fill in made):
            return [constant for constant, _ in made], None
        fixed = [constant for constant, _ in made]
        slots = [
            (place, way) for place, (constant, fill) in enumerate(made) if (way := fill or _copying(constant))
        ]

        def fill_list(root: Any, scope: Scope) -> Any:
            elements = fixed.copy()
            for place, fill in slots:
                elements[place] = fill(root, scope)
            return elements

        return None, fill_list

    def _text(self, text: str, path: tuple[str | int, ...]) -> tuple[Any, Fill | None]:
        try:
            parts = self._parts(text)
        except ConfigError as error:
            where = ".".join(map(str, path))
            self.problems += [Problem(problem.message, path=where) for problem in error.problems]
            return None, None
        fills = [part for part in parts if not isinstance(part, str)]
        if not fills:
            return "".join(cast("list[str]", parts)), None
        if len(parts) == 1:
            return None, _alone(fills[0]) if self._copies else fills[0]
        return None, _within(parts)

    def _parts(self, text: str) -> list[str | Fill]:
        """Cut a string into literal texts and what fills the gaps. Raises ConfigError with all that is wrong."""
        parts: list[str | Fill] = []
        problems: list[Problem] = []
        done, literal = 0, ""
        while opening := _OPENING.search(text, done):
            literal += text[done : opening.start()]
            if escaped := _ESCAPES.get(opening[0]):
                literal, done = literal + escaped, opening.end()
                continue
            end = closing_brace(text, opening.end())
            if end < 0:
                open_ended = f"the placeholder {text[opening.start() :]!r} has no closing brace: add '}}'"
                raise ConfigError([*problems, Problem(open_ended)])
            parts += [literal] if literal else []
            try:
                parts.append(self._placeholder(text[opening.end() : end], optional=opening[0] == "?{"))
            except ConfigError as error:
                problems += error.problems
            done, literal = end + 1, ""
        if problems:
            raise ConfigError(problems)
        literal += text[done:]
        return [*parts, literal] if literal else parts

    def _placeholder(self, text: str, *, optional: bool) -> Fill:
        expression = Expression(text.strip(), clock=self._clock)
        self.expressions.append(expression)
        if optional:
            self.optional.append(expression)
            return expression.search
        return expression.value


def _copying(constant: Any) -> Fill | None:
    """Give what copies a constant each time; None for one that nobody can change."""
    return (lambda _root, _scope: fresh(constant)) if isinstance(constant, (dict, list)) else None


def _alone(fill: Fill) -> Fill:
    def copied(root: Any, scope: Scope) -> Any:
        value = fill(root, scope)
        return fresh(value) if isinstance(value, (dict, list)) else value

    return copied


def _within(parts: list[str | Fill]) -> Fill:
    def join(root: Any, scope: Scope) -> str:
        return "".join([part if isinstance(part, str) else _as_text(part(root, scope)) for part in parts])

    return join


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
