"""What a docstring says of options: what each of them is, and what a step with them looks like."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def summary(code: Any) -> str:
    """Give the first line."""
    return (inspect.getdoc(code) or "").partition("\n")[0]


def description(code: Any) -> str:
    """Give all of it up to the options."""
    return re.split(r"\n(?:Options|Examples):\n", f"{inspect.getdoc(code) or ''}\n")[0].strip()


def option_docs(code: Any) -> dict[str, str]:
    """Read the part `Options:`: a line `name: what it is` each, indented lines go on."""
    described: dict[str, str] = {}
    name = ""
    for line in _part(code, "Options"):
        if found := re.match(r"(\w+): +(.+)", line):
            name, described[found[1]] = found[1], found[2]
        elif name and line.startswith(" "):
            described[name] += f" {line.strip()}"
        else:
            break
    return described


def examples(code: Any) -> list[Any]:
    """Read the part `Examples:`: what may stand behind the name, a line of JSON each; another line ends it."""
    found: list[Any] = []
    for line in _part(code, "Examples"):
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _part(code: Any, title: str) -> Iterator[str]:
    """Give the lines below a title, without the blanks in front of all of them."""
    for line in (inspect.getdoc(code) or "").partition(f"\n{title}:\n")[2].splitlines():
        if not line.startswith("    "):
            return
        yield line[4:]
