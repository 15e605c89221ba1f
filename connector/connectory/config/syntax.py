"""Says in words of this configuration why a text is no YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectory.config.document import masked

if TYPE_CHECKING:
    from connectory.config.document import Document
    from connectory.errors import Problem

_PLACEHOLDER = re.compile(r"""(?:[$&?])\{[^}"']*\}?""")
_QUOTED = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""")
_MESSAGES = (
    # a part of the context, a part of the problem, what to say
    (
        "",
        "mapping values are not allowed",
        "a ':' has no place here; quote a value with ': ' in it, or check the indentation",
    ),
    ("", "cannot start any token", "a value cannot begin with this character; put quotes around it"),
    ("scanning an anchor", "", "a value that begins with '&' needs quotes"),
    ("scanning an alias", "", "a value that begins with '*' needs quotes"),
    ("scanning a tag", "", "a value that begins with '!' needs quotes"),
    ("quoted scalar", "", "these quotes are never closed"),
    ("flow", "<stream end>", "this bracket is never closed"),
    ("flow", "", "this does not fit the bracket{begun}: {problem}"),
    (
        "",
        "<block end>",
        "this does not fit the block{begun}: the indentation differs, or something is not closed",
    ),
    ("", "could not find expected ':'", "the key{begun} has no ':' after it"),
)


def explain(document: Document, error: Any) -> list[Problem]:
    """Turn ruamel's error into a problem, after those that were found before it."""
    message, width = _generic(error), 1
    # what is never closed is shown where it opens; everything else where the reading stopped
    mark = error.context_mark if "never closed" in message else error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    found = _unquoted_placeholder(document.lines[line] if line < len(document.lines) else "", column)
    if found:
        column, text = found
        width = len(text)
        message = f'put quotes around a value with a placeholder in it: "{masked(text)}"'
    elif "'\\t'" in str(error.problem):
        column = document.lines[line].find("\t", column)
        message = "a tab cannot indent; use spaces"
    return [*document.problems, document.at(line, column, width=width).problem(message)]


def _unquoted_placeholder(line: str, column: int) -> tuple[int, str] | None:
    """Find a placeholder outside quotes that reaches the column at which YAML gave up."""
    bare = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), line)
    for match in _PLACEHOLDER.finditer(bare):
        if match.start() <= column <= match.end():
            return match.start(), match[0]
    return None


def _generic(error: Any) -> str:
    problem, context = str(error.problem or ""), str(error.context or "")
    for in_context, in_problem, message in _MESSAGES:
        if in_context in context and in_problem in problem:
            begun = f" that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
            return message.format(begun=begun, problem=problem)
    return f"no YAML: {problem or context}"
