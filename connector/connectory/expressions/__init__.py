"""JMESPath, made strict about what is absent and compiled to plain Python functions."""

from __future__ import annotations

import time
from typing import Any

from connectory.errors import ConfigError, ExpressionError
from connectory.expressions.compiling import compile_tree
from connectory.expressions.functions import Clock
from connectory.expressions.options import CompiledOption
from connectory.expressions.reading import closing_brace, parse
from connectory.expressions.refusals import AbsentError, RefusedError, is_false
from connectory.expressions.walking import Scope

__all__ = [
    "NOTHING",
    "Clock",
    "CompiledOption",
    "Expression",
    "Scope",
    "closing_brace",
    "compile_expression",
    "is_false",
]

NOTHING: Scope = {}


class Expression(CompiledOption):
    """A compiled expression: call it with a root document and the scopes beside it.

    Two expressions of the same text are equal. `clock` gives the epoch seconds that `now()` and `ago()` use.
    """

    __slots__ = ("_walk", "text")
    written = str

    def __init__(self, text: str, *, clock: Clock = time.time) -> None:
        self.text = text
        tree = parse(text)
        try:
            self._walk = compile_tree(tree, clock=clock)
        except ConfigError as error:
            raise ConfigError(f"cannot use the expression {text!r}: {error}") from None

    def value(self, root: Any, scope: Scope = NOTHING) -> Any:
        """Give the value; an absent field or types that do not go together are an `ExpressionError`."""
        try:
            return self._walk(root, scope)
        except RefusedError as error:
            raise ExpressionError(f"expression {self.text!r}: {error.why(self.text)}") from None

    def search(self, root: Any, scope: Scope = NOTHING, *, missing: Any = None) -> Any:
        """Give the value, or `missing` when something in it is absent; other errors stay errors."""
        try:
            return self._walk(root, scope)
        except AbsentError:
            return missing
        except RefusedError as error:
            raise ExpressionError(f"expression {self.text!r}: {error.why(self.text)}") from None

    __call__ = value

    def holds(self, root: Any, scope: Scope = NOTHING) -> bool:
        """Say whether a condition is true, as JMESPath has it: the number 0 is, an empty text is not."""
        return not is_false(self(root, scope))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(text: str, *, clock: Clock = time.time) -> Expression:
    """Compile an expression once; one that cannot be read is a `ConfigError` that points into it."""
    return Expression(text, clock=clock)
