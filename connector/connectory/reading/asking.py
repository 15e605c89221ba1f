"""What a chain asks the server while it shapes a record: reads alone, equal ones once a run."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, TransformerError, did_you_mean
from connectory.pagination import Walk, largest_page
from connectory.requests.building import Call
from connectory.steps.aside import home_loop
from connectory.text.json import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from connectory.catalogue import Catalogue, Entity
    from connectory.client import Client

KEPT = 32 * 1024 * 1024
"""Bytes of answers that a chain keeps for equal requests; the one that was not asked for longest goes first."""

LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that is kept, at most."""

_SHAPES = frozenset({"json", "text"})


@dataclass(slots=True)
class _Kept:
    """Answers by what was asked, as JSON: each who asks gets a copy."""

    answers: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict[bytes, bytes])
    size: int = 0

    def get(self, key: bytes) -> bytes | None:
        if key in self.answers:
            self.answers.move_to_end(key)
        return self.answers.get(key)

    def put(self, key: bytes, text: bytes) -> None:
        if len(text) > LARGEST:
            return
        self.answers[key] = text
        self.size += len(key) + len(text)
        while self.size > KEPT:
            gone, old = self.answers.popitem(last=False)
            self.size -= len(gone) + len(old)


class Asking:
    """Asks for the steps of one chain, in the loop of the client.

    `client` gives a client by its name, the connection's own where a step names none; without it nothing is connected,
    as in `lint`, and entities are looked up all the same.
    """

    def __init__(self, catalogue: Catalogue, client: Callable[[str], Client] | None) -> None:
        self._catalogue, self._client = catalogue, client
        self._kept, self._asked = _Kept(), dict[bytes, asyncio.Task[bytes]]()

    def check(self, entity: str, path: Collection[str] | None = None) -> None:
        """Hold an entity, and the names of path parameters, against the catalogue. Raises ConfigError."""
        found = self._entity(entity)
        if path is None:
            return
        wanted = found.path_parameters
        if unknown := [name for name in path if name not in wanted]:
            choice = did_you_mean(unknown[0], wanted) or (
                f"; it has {', '.join(map(repr, wanted))}" if wanted else "; it has none"
            )
            raise ConfigError(f"entity {found.name!r} has no path parameter {unknown[0]!r}{choice}")
        if missing := [name for name in wanted if name not in path]:
            raise ConfigError(
                f"entity {found.name!r} needs the path parameter {missing[0]!r} ({found.path}); "
                f'write path: {{{missing[0]}: "&{{...}}"}}'
            )

    async def read(
        self,
        entity: str,
        *,
        path: Mapping[str, Any],
        query: Mapping[str, Any],
        most: int | None = None,
        client: str = "",
    ) -> Any:
        """Give an object, or the items of a list; each time a copy. Raises ApiError, TransformerError."""
        home = home_loop()
        if self._client is None or home is None:
            raise TransformerError(f"nothing is connected here that could be asked for {entity!r}")
        work = self._answer(self._entity(entity), path, query, most, client)
        return loads(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home)))

    async def _answer(
        self, entity: Entity, path: Mapping[str, Any], query: Mapping[str, Any], most: int | None, client: str
    ) -> bytes:
        """Give the answer as JSON: one that is kept, or that another record waits for, or a new one."""
        key = dumps([client, entity.name, path, query, most])
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        while (asked := self._asked.get(key)) is not None:
            await asyncio.wait([asked])
            if not asked.cancelled():  # then who asked was ended, and this one asks for itself
                return asked.result()
        task = asyncio.ensure_future(self._ask(entity, path, query, most, client))
        self._asked[key] = task
        try:
            text = await task
        finally:
            del self._asked[key]
        self._kept.put(key, text)
        return text

    async def _ask(
        self, entity: Entity, path: Mapping[str, Any], query: Mapping[str, Any], most: int | None, client: str
    ) -> bytes:
        asks = cast("Callable[[str], Client]", self._client)(client)
        action = entity.actions["read"]
        rule, name = action.response.pagination, action.response.items
        walk, made = Walk(rule, f"{action.method} {entity.path}"), list[Any]()
        size = {} if name is None or most is None else largest_page(rule, most)
        following: Mapping[str, Any] | None = {}
        while following is not None:
            answer = await asks.call(Call(entity, action, path, {**size, **query, **following}))
            items = _items(answer.value, name)
            if items is None:
                return dumps(answer.value)
            made += items
            if most is None:
                break
            if len(made) > most:
                raise TransformerError(
                    f"{walk.what}: the list has more than {most} items; raise 'most', or ask for the first page alone"
                )
            following = walk.following(answer.value, items)
        return dumps(made)

    def _entity(self, name: str) -> Entity:
        try:
            entity = self._catalogue.find(name, "read")
        except ConfigError as error:
            if name in self._catalogue or self._catalogue.implied_action(name) is not None:
                raise ConfigError(
                    f"{error}; a chain only reads: what writes belongs to an outgoing, as a step of a route"
                ) from None
            raise
        kind = entity.actions["read"].response.kind
        if kind not in _SHAPES:
            raise ConfigError(
                f"entity {entity.name!r} answers with {kind}, which has no place in a record; read it with an "
                "incoming and 'save_to'"
            )
        return entity


def _items(answer: Any, name: str | None) -> list[Any] | None:
    """Give the items of a list; None for an answer that is none."""
    if name is None:
        return None
    found: Any = cast("dict[str, Any]", answer).get(name) if isinstance(answer, dict) else answer
    return found if isinstance(found, list) else None  # pyright: ignore[reportUnknownVariableType] - JSON holds anything
