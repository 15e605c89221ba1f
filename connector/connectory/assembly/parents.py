"""How an incoming reads: its parents, what it remembers and what it is known by, resolved."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from connectory.chain import Chain
from connectory.config.descent import Above, above, over
from connectory.errors import ConfigError, ExpressionError, did_you_mean
from connectory.expressions import compile_expression
from connectory.expressions.functions import seconds
from connectory.placeholders import compile_template
from connectory.reading.increments import Incremental
from connectory.reading.subscription import Subscription
from connectory.requests.parameters import RequestParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectory.catalogue import Action, Catalogue, Entity
    from connectory.config import Config, IncomingConfig, IncrementalConfig
    from connectory.expressions import Clock, Expression
    from connectory.reading.subscription import KeepParent

    Placed = Callable[[tuple[str, ...], Callable[[], Any]], Any]

_NUMBERS = ('"integer"', '"number"')


@dataclass(frozen=True, slots=True)
class Level:
    """One level of parents: what is read, and with which client; None for the child's."""

    subscription: Subscription
    client: str | None
    incoming: str | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What an incoming is known by, and what it remembers, resolved: fields of its Subscription."""

    config: Config
    place: tuple[str, ...]
    settings: IncomingConfig
    placed: Placed
    clock: Clock

    def identifier(self) -> Sequence[Expression]:
        """Compile what an item is known by."""
        written = self.settings.identifier
        texts = [written] if isinstance(written, str) else written or ()
        return [self._expression("identifier", text) for text in texts]

    def keep_parent(self) -> KeepParent | None:
        """Compile what an item keeps of its parent."""
        keep = self.settings.keep_parent
        if keep is None or keep is True:
            return keep
        if isinstance(keep, tuple):
            return [self._expression("keep_parent", text) for text in keep]
        return {name: self._expression("keep_parent", text, name) for name, text in keep.items()}

    def incremental(self, action: Action, *, raw: bool) -> Incremental | None:
        """Compile by what only new items are read. Raises ConfigError for a query that the entity does not take."""
        written = self.settings.incremental
        if written is None:
            return None
        paging = action.response.pagination
        is_cursor = bool(
            written.query and paging and paging.style == "cursor" and written.query == paging.parameter
        )
        if is_cursor and written.lookback is not None:
            self._refuse(
                "lookback", f"{written.query!r} goes on behind an item, and no time can be taken from that"
            )
        schema: Any = {}
        if written.query is not None and not raw:
            name = written.query.partition("[")[0]
            if name not in action.query:
                hint = did_you_mean(name, action.query) or f"; there is {', '.join(action.query)}"
                self._refuse("query", f"there is no query parameter {name!r}{hint if action.query else ''}")
            schema = action.query[name].schema
        return Incremental(
            self._expression("incremental", written.field, "field"),
            written.query,
            is_cursor,
            self._start(written, schema),
            seconds(written.lookback) if written.lookback else 0,
        )

    def _start(self, written: IncrementalConfig, schema: Any) -> Any:
        """Read where the first run begins: a number, a date, or an expression."""
        start = written.start
        if not isinstance(start, str):
            return start
        try:
            date = datetime.fromisoformat(start)
        except ValueError:
            expression = self._expression("incremental", start, "start", clock=self.clock)
            try:
                return expression({}, {})
            except ExpressionError as error:
                return self._refuse("start", f"{error}; write a number, a date, or something like ago('7d')")
        if any(kind in json.dumps(schema) for kind in _NUMBERS):
            return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
        return start

    def _expression(self, key: str, text: str, *further: str, clock: Clock = time.time) -> Expression:
        made: Expression = self.placed(
            (*self.place, key, *further), partial(compile_expression, text, clock=clock)
        )
        return made

    def _refuse(self, key: str, message: str) -> Any:
        raise ConfigError(self.config.problem((*self.place, "incremental", key), message))


def run_clock(run: Mapping[str, Any]) -> Clock:
    """Make the clock of request parameters: the same time in every life of a run, or they would be others each time."""
    started_at = run.get("started_at")
    return time.time if started_at is None else lambda: started_at


def resolve_above(
    config: Config,
    catalogue: Catalogue,
    name: str,
    subscribe: Callable[[str], Subscription],
    run: Mapping[str, Any],
) -> list[Level]:
    """Resolve the parents of an incoming, outermost first. Raises ConfigError."""
    levels = list[Level]()
    settings = config.incoming[name]
    seen = {name}
    while True:
        place = ("incoming", name, "each")
        try:
            one = above(config, catalogue, settings)
            while one is not None and one.incoming is None:
                upper = over(catalogue, one)
                levels.append(Level(_of_entity(one, upper, run), None, None))
                one = upper
        except ConfigError as error:
            raise ConfigError(config.problem(place, problem.message) for problem in error.problems) from None
        if one is None or one.incoming is None:
            return levels[::-1]
        if one.incoming in seen:
            raise ConfigError(config.problem(place, f"incoming {one.incoming!r} is its own parent"))
        name, settings = one.incoming, config.incoming[one.incoming]
        seen.add(name)
        levels.append(Level(subscribe(name), settings.client, name))


def _of_entity(one: Above, upper: Above | None, run: Mapping[str, Any]) -> Subscription:
    """Resolve the reading of an entity that is only named as a parent."""
    if one.entity is None:
        raise ConfigError("a parent that is no incoming is an entity")
    nothing = Chain()
    return Subscription(
        one.entity.name,
        one.entity,
        one.entity.actions["read"],
        RequestParameters(compile_template({"path": {}, "query": {}})),
        nothing,
        nothing,
        run=run,
        fills=upper.fills(one.entity, ()) if upper else None,
        parent_field=one.entity.parent_field,
    )


def fill(config: Config, catalogue: Catalogue, settings: IncomingConfig, entity: Entity | None) -> str | None:
    """Name the path parameter of an incoming's URL that its parent's own field fills."""
    try:
        parents = above(config, catalogue, settings)
    except ConfigError:  # told by who resolves the parents
        return None
    return parents.fills(entity, settings.request_parameters.path) if parents else None
