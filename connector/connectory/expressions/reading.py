"""The text of an expression, read into jmespath's syntax tree or refused with a caret and a hint."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from jmespath.exceptions import JMESPathError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import Parser

from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

Node: TypeAlias = dict[str, Any]

DEEPEST = 100
"""Levels of an expression: a hundred pipes, or a hundred brackets inside each other."""

_TOO_DEEP = f"the expression nests more than {DEEPEST} levels deep; write it as several steps"
_SIGNS = {"eq", "ne", "lt", "lte", "gt", "gte"}
_GOES_ON = {"dot", "lbracket", "lparen", "flatten", "filter"}
_WORDS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!"}
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse(text: str) -> Node:
    """Give the syntax tree of an expression, in which `a.0.b` reads as `a[0].b`."""
    tokens = _tokens(text)
    _refuse_lookalikes(text, tokens)
    rewritten, shifts = _rewrite_numbers(text, tokens)
    try:
        tree = cast("Node", Parser().parse(rewritten).parsed)
    except ParseError as error:
        at = error.lex_position
        _refuse(text, at - sum(shift for end, shift in shifts if end <= at))
    except RecursionError:
        raise ConfigError(_TOO_DEEP) from None
    except (JMESPathError, ValueError, LookupError) as error:
        raise ConfigError(f"cannot read the expression {text!r}: {error}") from None
    if _is_deep(tree):
        raise ConfigError(_TOO_DEEP)
    return tree


def _is_deep(tree: Node) -> bool:
    level: list[Any] = [tree]
    for _ in range(DEEPEST):  # the bounds of a slice are no nodes
        level = [
            child
            for node in level
            if isinstance(node, dict)
            for child in cast("Node", node).get("children", ())
        ]
    return bool(level)


def closing_brace(text: str, start: int) -> int:
    """Give the index of the `}` that ends the expression beginning at `start`, or -1 when there is none."""
    depth = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        try:
            for token in cast("Iterator[Node]", Lexer().tokenize(text[start:])):
                depth += {"lbrace": 1, "rbrace": -1}.get(token["type"], 0)
                if depth < 0:
                    return start + cast("int", token["start"])
        except (JMESPathError, ValueError, RecursionError):
            # What follows is no expression; the next brace shows the reader which text is meant.
            return text.find("}", start)
    return -1


def _tokens(text: str) -> list[Node]:
    if not text.strip():
        raise ConfigError("the expression is empty; '@' stands for the whole record")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            return cast("list[Node]", list(Lexer().tokenize(text)))
    except PendingDeprecationWarning:
        reason = "what stands in backticks is JSON; a text stands in single quotes"
        _refuse(text, text.index("`"), reason)
    except ParseError as error:
        _refuse(text, error.lex_position)
    except RecursionError:
        raise ConfigError(_TOO_DEEP) from None
    except ValueError as error:
        raise ConfigError(f"cannot read the expression {text!r}: {error}") from None


def _rewrite_numbers(text: str, tokens: list[Node]) -> tuple[str, list[tuple[int, int]]]:
    """Read `a.0.b` as `a[0].b`; give where the new text is longer, too, so that a caret can be moved back."""
    parts: list[str] = []
    shifts: list[tuple[int, int]] = []
    done = length = 0
    for dot, number in pairwise(tokens):
        if dot["type"] == "dot" and number["type"] == "number":
            parts += [text[done : dot["start"]], f"[{number['value']}]"]
            length += len(parts[-1]) + len(parts[-2])
            done = number["end"]
            shifts.append((length, len(parts[-1]) - (done - dot["start"])))
    return "".join([*parts, text[done:]]), shifts


def _refuse_lookalikes(text: str, tokens: list[Node]) -> None:
    """Refuse what reads as a field's name and is surely meant as a value: `x == "done"`, `x == true`."""
    kinds = ["", *(token["type"] for token in tokens), ""]
    for token, before, after in zip(tokens, kinds, kinds[2:], strict=False):
        alone = (before in _SIGNS and after not in _GOES_ON) or (after in _SIGNS and before != "dot")
        argument = (before == "lparen" and after in {"rparen", "comma"}) or (
            before == "comma" and after == "rparen"
        )
        value = token["value"]
        if token["type"] == "quoted_identifier" and (alone or argument) and _BARE.fullmatch(value):
            _refuse(
                text, token["start"], f"in double quotes it is a field's name; write '{value}' for a text"
            )
        if token["type"] == "unquoted_identifier" and alone and value in {"true", "false", "null"}:
            _refuse(text, token["start"], f"it is read as a field's name; write `{value}`, in backticks")


def _refuse(text: str, at: int, reason: str = "") -> NoReturn:
    at = min(at, len(text))
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].split("\n", 1)[0]
    caret = f"    {line}\n    {' ' * (at - start)}^"
    raise ConfigError(
        f"cannot read the expression {text!r}: {reason or _sigil(text, at) or _advice(text, at)}\n{caret}"
    )


def _sigil(text: str, at: int) -> str:
    """Say that a sign of templates or of the environment has no place here; nothing where there is none."""
    if text[:2] in {"&{", "?{"}:
        return f"an expression stands bare here, without the sign: {text[2:].removesuffix('}').strip()}"
    if text[at : at + 1] == "$" or text[at - 1 : at + 1] == "${":
        return "'${' stands for the environment and never inside an expression"
    return ""


def _advice(text: str, at: int) -> str:
    rest = text[at:]
    for name in re.finditer(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)+", text):
        if name.start() < at < name.end():
            quoted = f'{text[: name.start()]}"{name[0]}"{text[name.end() :]}'
            return f"a name with '-' stands in double quotes: {quoted}"
    for word in (re.match(r"\w+", rest), re.search(r"\w+(?=\s+$)", text[:at])):
        if word and word[0] in _WORDS:
            return f"{word[0]!r} is written {_WORDS[word[0]]}"
    if number := re.match(r"-?\d+(\.\d+)?", rest):
        return f"a number stands in backticks: `{number[0]}`"
    if rest.startswith("="):
        return "'=' compares nothing; write =="
    if rest[:1] in {"'", '"', "`"}:
        return f"the {rest[0]} that opens here is not closed"
    return f"unexpected {rest[0]!r}" if rest else "it ends too early"
