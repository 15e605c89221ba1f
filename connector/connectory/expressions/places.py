"""What the current node of an expression is: how messages spell it, and whether scopes stand beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectory.expressions.reading import Node
    from connectory.expressions.refusals import Key

_WRAPPERS = {"flatten", "projection", "filter_projection", "value_projection"}


@dataclass(frozen=True, slots=True)
class Place:
    """A way from something that has a name, such as the record or an element of a list.

    `root` is true for the root document alone, `projected` inside a projection, which drops what is absent.
    """

    of: str = "the record"
    way: tuple[Key, ...] = ()
    root: bool = False
    projected: bool = False

    @property
    def name(self) -> str:
        """Spell it, in quotes where it is a path."""
        if not self.way:
            return self.of
        spelt = repr(_spell(self.way))
        return spelt if self.of == "the record" else f"{spelt} of {self.of}"

    def after(self, way: list[Key]) -> Place:
        """Go some steps further."""
        return replace(self, way=(*self.way, *way), root=self.root and not way)

    def inner(self, node: Node) -> Place:
        """Give the place of a node's value; what is projected is called by the path it comes from."""
        while node["type"] in _WRAPPERS:
            node = node["children"][0]
        way = keys(node)
        return replace(self, of="the value", way=(), root=False) if way is None else self.after(way)

    def element(self, node: Node) -> Place:
        """Give the place of one element of a node's value."""
        return Place(f"an element of {self.inner(node).name}", projected=True)


def keys(node: Node) -> list[Key] | None:
    """Give the steps of a plain path, or None for anything else."""
    match node["type"]:
        case "field" | "index":
            return [node["value"]]
        case "identity" | "current":
            return []
        case "subexpression" | "index_expression":
            parts = [keys(child) for child in node["children"]]
            return None if None in parts else [key for part in parts for key in part or ()]
        case _:
            return None


def starts_with_name(node: Node) -> bool:
    """Say whether a path begins with a field, not with `@` or an index."""
    while node["children"]:
        node = node["children"][0]
    return bool(node["type"] == "field")


def _spell(way: tuple[Key, ...]) -> str:
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in way]
    return "".join(parts).removeprefix(".")
