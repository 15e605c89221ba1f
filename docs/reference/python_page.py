"""The page of the public Python names."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from cells import cell

import connectory

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {
    "Run": ("Connector", "AsyncConnector"),
    "Describe": ("Catalogue", "Entity", "Record", "Result", "Expression", "Template"),
    "Extend": (
        "transformer",
        "Context",
        "Memory",
        "Reader",
        "Chain",
        "Field",
        "Pattern",
        "Schema",
        "InFile",
        "read_file",
        "Source",
        "Sink",
        "Journal",
        "Tally",
    ),
}
ABOUT = """\
# Python

Every public name, imported from `connectory`; what is in no list here may change. `help(connectory.Connector)` says
the same. The exceptions are on a page of [their own](errors.md), the [events](events.md) too.
What tests of your own may use is in `connectory.testing` ([how](../how-to/transformer.md#test-it)) and
`connectory.sandbox` ([how](../how-to/sandbox.md)).
"""
CONSTRUCTED = (
    "Take a configuration that is read already: `from_file`, `from_dict` and `openai` have the same options."
)
SANDBOXED = """\
### A configuration in front of the sandbox

What `--sandbox` does on the command line: the configuration stays as it is and needs no key; all its clients speak to a
sandbox of their own ([more](../how-to/sandbox.md)).

```python
from connectory.testing import sandboxed

config = {
    "version": 1,
    "clients": {"openai": {"token": "none"}},
    "incoming": {"models": {"entity": "models"}},
}
with sandboxed(config) as connector:  # or the name of a file: sandboxed("connectory.yaml")
    print([model["id"] for model in connector.incoming("models")])
```
"""


def python() -> Iterator[str]:
    """Give the page of every public name."""
    yield from ABOUT.splitlines()
    listed = {name for names in GROUPS.values() for name in names}
    raised = [name for name in connectory.__all__ if name not in listed]
    for group, names in GROUPS.items():
        yield from ("", f"## {group}")
        for name in names:
            yield from ("", f"### {name}", "", *_thing(name, getattr(connectory, name)))
        if group == "Run":
            yield from ("", *SANDBOXED.splitlines())
    yield from ("", "## Fail", "")
    yield ", ".join(f"[`{name}`](errors.md#{name.lower()})" for name in raised if name.endswith("Error"))


def _thing(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        if inspect.isfunction(thing):
            yield from ("```text", f"{name}{_signature(thing)}", "```", "")
            yield from _doc(thing)
        else:
            yield f"`{thing}`"
        return
    yield from _doc(thing)
    methods = list(_methods(thing))
    if methods:
        yield from ("", "| call | what it does |", "|---|---|")
    if {"from_file", "from_dict"} <= set(vars(thing)):
        shown = _signature(thing.__init__).replace(
            ", shared=None", ""
        )  # what processes of one run share is none of yours
        yield f"| {cell(f'`{name}{shown}`')} | {cell(CONSTRUCTED)} |"
    for method, function in methods:
        first = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        call = f"{method}{_signature(function)}" if callable(function) else method
        yield f"| {cell(f'`{call}`')} | {cell(first)} |"


def _methods(thing: Any) -> Iterator[tuple[str, Any]]:
    for name, member in vars(thing).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_"):
            continue
        if inspect.isfunction(function) and function.__doc__:
            yield name, function
        elif isinstance(member, property) and member.__doc__:
            yield name, member


def _signature(function: Any) -> str:
    """Give the parameters by their names: the types are in `help`."""
    parts, bare = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not bare:
            parts.append("*")
            bare = True
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        given = parameter.default is parameter.empty
        default = "" if given else f"={parameter.default!r}"
        parts.append(f"{star}{parameter.name}{default}")
        bare = bare or parameter.kind is parameter.VAR_POSITIONAL
    return re.sub(r"<[^>]*>", "...", f"({', '.join(parts)})")


def _doc(thing: Any) -> Iterator[str]:
    yield from re.sub(r"`{2}", "`", inspect.cleandoc(thing.__doc__ or "")).splitlines()
