"""What to read: an incoming connection, or what stands for it among the parents, resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.errors import RequestError
from connectory.events import Whose
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from connectory.catalogue import Action, Entity
    from connectory.chain import Chain
    from connectory.expressions import Expression
    from connectory.files.saving import FixedTarget, SaveTo
    from connectory.reading.increments import Incremental
    from connectory.record import Record
    from connectory.requests.parameters import RequestParameters

KeepParent: TypeAlias = "Literal[True] | Sequence[Expression] | Mapping[str, Expression]"


@dataclass(frozen=True, slots=True)
class Parent:
    """The record for which something is read.

    `keys` are what it and its own parents are known by, outermost first; `path` is what filled their URLs.
    A `given` one is a record of the connection's input: templates read its fields as their own.
    """

    record: Record
    keys: tuple[str, ...]
    path: Mapping[str, Any] = field(default_factory=dict[str, Any])
    given: bool = False


@dataclass(frozen=True, slots=True)
class Portion:
    """What can be read apart from the rest: for a parent or a record of the input, else a set of request parameters."""

    parent: Parent | None = None
    parameters: Record | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to read and how to shape it: an incoming connection, resolved.

    `most_pages` and `most_records` are None for all. `save` is where answers go that become files;
    `run` is the scope that expressions see. `parent_field` is what a parent is known by, and the field that `fills` the
    path parameter that is open, where there is one.
    """

    name: str
    entity: Entity
    action: Action
    parameters: RequestParameters
    input_chain: Chain
    chain: Chain
    most_pages: int | None = None
    most_records: int | None = None
    validate: str | None = None
    save: SaveTo | FixedTarget | None = None
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fills: str | None = None
    parent_field: str = "id"
    own_field: str = "id"
    identifier: Sequence[Expression] = ()
    incremental: Incremental | None = None
    only: Literal["new", "changed"] | None = None
    keep_parent: KeepParent | None = None

    @property
    def target(self) -> str:
        """Name what is read: method and template of the path."""
        return f"{self.action.method} {self.entity.path}"

    @property
    def whose(self) -> Whose:
        """Say in whose name it is read."""
        return Whose(self.run.get("id", ""), self.name)

    @property
    def remembers(self) -> bool:
        """Say whether it asks what earlier runs have read."""
        return self.only is not None or self.incremental is not None

    def scope(self, parent: Parent | None) -> dict[str, Any]:
        """Give what expressions see beside a record."""
        return {"run": self.run} if parent is None else {"run": self.run, "parent": parent.record}

    def filled(self, parent: Parent | None) -> Record:
        """Give `{path, query}` for a parent: what is configured, and its own names in the path."""
        scope = self.scope(parent)
        if parent is None:
            return self.parameters.render({}, scope)
        if parent.given:
            return self.parameters.render(parent.record, {**scope, "input": parent.record})
        made = self.parameters.render({}, scope)
        inherited = {name: parent.path[name] for name in self.entity.path_parameters if name in parent.path}
        path = {**inherited, **made["path"]}
        if self.fills is not None and self.fills not in path:
            if self.parent_field not in parent.record:
                raise RequestError(
                    f"{self.target}: the parent has no field {self.parent_field!r} for {{{self.fills}}}; "
                    f'write request_parameters: {{path: {{{self.fills}: "&{{parent...}}"}}}}'
                )
            path[self.fills] = parent.record[self.parent_field]
        return {**made, "path": path}

    def identity(self, item: Record, parent: Parent | None) -> str:
        """Give what an item is known by: its identifier, its `id`, or else a hash of all of it."""
        if self.identifier:
            scope = self.scope(parent)
            return dumps([one(item, scope) for one in self.identifier]).decode()
        own = item.get(self.own_field)
        return str(own) if isinstance(own, str | int) and own != "" else hashed(item).hex()

    def state(self, item: Record, value: Any) -> bytes:
        """Hash what makes an item another one than it was: with `changed` all of it, else its place in time."""
        return hashed(item if self.only == "changed" else [value])

    def kept(self, item: Record, parent: Parent | None) -> Record:
        """Put on an item what it keeps of its parent. Raises ExpressionError for a field that is absent."""
        keep = self.keep_parent
        if keep is None or parent is None:
            return item
        if keep is True:
            return {**item, "parent": parent.record}
        if not isinstance(keep, dict):
            picked = {one.text: one(parent.record) for one in cast("Sequence[Expression]", keep)}
            return {**item, "parent": picked}
        scope = self.scope(parent)
        return {
            **item,
            **{name: one(parent.record, scope) for name, one in cast("dict[str, Any]", keep).items()},
        }


def hashed(value: Any) -> bytes:
    """Hash a JSON value to 16 bytes."""
    return blake2b(dumps(value), digest_size=16).digest()
