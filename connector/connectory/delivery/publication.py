"""What an outgoing connection makes of a record, and of the answer to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from connectory.errors import ExpressionError, RecordError, RequestError, TransformerError
from connectory.events import Whose
from connectory.frozen import value
from connectory.record import Delivery, Record
from connectory.requests.building import Call
from connectory.requests.parameters import as_object
from connectory.steps.firsts import Firsts
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from connectory.catalogue import Action, Entity
    from connectory.catalogue.batchable import BatchOption
    from connectory.chain import Chain
    from connectory.cost.guards import Budget, MostDead
    from connectory.cost.prices import Prices
    from connectory.delivery.packs import PackOption
    from connectory.delivery.states import Until
    from connectory.delivery.uploads import PartsOption
    from connectory.expressions import Expression
    from connectory.files.saving import FixedTarget, SaveTo
    from connectory.interfaces import Item
    from connectory.placeholders import Template
    from connectory.requests.parameters import RequestParameters


Apply: TypeAlias = "Callable[[Record, Mapping[str, Any]], Iterable[Record]]"
"""Gives what a chain makes of a record."""

_NO_DEFAULTS: Record = {"path": {}, "query": {}}
_TOO_DEEP = "nested too deeply: the record cannot be copied"
"""Of a record that a program handed over or a transformer made; in a file it is refused before."""


@value(frozen=True, slots=True)
class Part:
    """One delivery to make.

    `record` is what the chain left; without one there is nothing to send, because of `error` or because the chain
    dropped the record. `whole` says that the part stands for the item as such, and not for one of the records that the
    chain made of it. Parts with the same `key` go one at a time, in their order. `beside` are the numbers of all parts
    of the item, where that has to be known long after the item.
    """

    item: Item
    index: int
    delivery: Delivery
    id: str
    record: Record | None = None
    error: RecordError | None = None
    whole: bool = True
    key: str | None = None
    beside: tuple[int, ...] = ()


_PATH = re.compile(r"[\w.\[\]]+")
"""A path along fields and indexes, which sees nothing but what it names."""


@dataclass(frozen=True, slots=True)
class Publication:
    """An outgoing connection, resolved.

    `actions` maps the HTTP methods that a record may choose from to their actions, the default first. `defaults`
    renders to the request parameters below the record's own. When `path`, `query` and `payload` are all None the
    record brings them; otherwise these templates make the request and the record's columns are only data.
    `address` puts the URL and headers that a record brings into a raw request that has no path of its own.
    `files_root` and `upload` are for files that are sent, `save` and `stream` for answers. `accept` is the condition
    that an answer has to meet; `only` skips records that earlier runs had answered; `on_uncertain` says what becomes of
    a delivery of which nobody knows whether it was done, None by the kind of action. `until` says when what is created
    is at its end, if that is waited for; `sequence` gives what deliveries have in common that go one after the other.
    `pack` says how many go in one request, `batch` that they go through the Batch API; `prices` are the client's.
    """

    name: str
    entity: Entity
    actions: Mapping[str, Action]
    chain: Chain
    defaults: RequestParameters
    path: Template | None = None
    query: Template | None = None
    payload: Template | None = None
    result: Template | None = None
    response_chain: Chain | None = None
    address: Callable[[Call, Record], Call] | None = None
    derived: Mapping[str, Expression] = field(default_factory=dict[str, Any])
    identifier: Sequence[Expression] = ()
    accept: Expression | None = None
    only: Literal["new", "changed"] | None = None
    on_uncertain: Literal["resend", "hold"] | None = None
    max_dead: MostDead | None = None
    budget: Budget | None = None
    prices: Prices | None = None
    validate: str | None = None
    ordered: bool = True
    concurrency: int = 32
    files_root: Path | None = None
    save: SaveTo | FixedTarget | None = None
    stream: Literal["aggregate", "events"] | None = None
    upload: PartsOption | None = None
    until: Until | None = None
    sequence: Expression | None = None
    pack: PackOption | None = None
    batch: BatchOption | None = None
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    firsts: Firsts = field(default_factory=Firsts)
    shows_http: bool = field(init=False, default=False)
    shows_derived: bool = field(init=False, default=True)
    templates: tuple[tuple[str, Template], ...] = field(init=False, default=())
    plain: bool = field(init=False, default=False)
    only_action: Action | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Find out, once, what the records need: to make `http` of an answer costs more than most results."""
        texts = [] if self.accept is None else [self.accept.text]
        texts += [] if self.result is None else [one.text for one in self.result.expressions]
        shows = self.response_chain is not None or any("http" in text for text in texts)
        object.__setattr__(self, "shows_http", shows)
        shows = self.response_chain is not None or any(
            "derived" in text or not _PATH.fullmatch(text) for text in texts
        )
        object.__setattr__(self, "shows_derived", shows)
        own = [("path", self.path), ("query", self.query), ("payload", self.payload)]
        templates = tuple((name, template) for name, template in own if template is not None)
        object.__setattr__(self, "templates", templates)
        object.__setattr__(
            self, "only_action", next(iter(self.actions.values())) if len(self.actions) == 1 else None
        )
        object.__setattr__(
            self, "plain", not (self.chain.steps or self.identifier or self.sequence or self.only)
        )

    @property
    def counted(self) -> bool:
        """Say whether anybody wants to know what is used."""
        return self.budget is not None or self.prices is not None

    @property
    def deletes(self) -> bool:
        """Say whether a record can delete something."""
        return any(action.method == "DELETE" for action in self.actions.values())

    @property
    def target(self) -> str:
        """Name what is sent: the methods and the template of the path."""
        return f"{'|'.join(self.actions)} {self.entity.path}"

    def parts(self, item: Item, seq: int, run: str, apply: Apply | None = None) -> list[Part]:
        """Run the chain over an item; an item that fails or is dropped is one part without a record.

        `seq` counts the items of the source; `run` is the run in whose name they are sent, unless the item repeats a
        delivery of another one. `apply` gives what the chain made, where it was run already.
        """
        origin, record = item.origin, item.record
        if origin is None and apply is None and self.plain and item.error is None:  # one part, as it was read
            delivery, own = Delivery(run, item.position, 0, seq), record.get("id")
            name = str(own) if type(own) is str or type(own) is int else item.position
            return [Part(item, seq, delivery, name, record, whole=False)]
        if origin is None:
            return self._made(item, seq, seq, run, apply)
        parts = self._made(item, seq, origin.index, origin.run, apply)
        if origin.part is None:
            return parts
        wanted = [part for part in parts if part.delivery.part == origin.part]
        if wanted:
            return wanted[:1]
        error = TransformerError(
            f"the transformers make no part {origin.part} of this record any more; its dead letter stays"
        )
        delivery = Delivery(origin.run, item.position, origin.part, seq)
        return [Part(item, origin.index, delivery, item.position, error=error, whole=False)]

    def _made(self, item: Item, seq: int, index: int, run: str, apply: Apply | None) -> list[Part]:
        name, key, error = item.position, None, item.error
        records: list[Record] = []
        if error is None:
            try:
                name, key = self._identify(item), self._key(item)
                records = self._records(item, apply)
            except RecordError as raised:
                error = raised
            except RecursionError:
                error = RecordError(_TOO_DEEP)
        if error is not None or not records:
            delivery = Delivery(run, item.position, 0, seq)
            return [Part(item, index, delivery, name, error=error, key=None if error else key)]
        if len(records) == 1:
            delivery = Delivery(run, item.position, 0, seq)
            return [Part(item, index, delivery, name, records[0], whole=False, key=key)]
        return [
            Part(
                item,
                index,
                Delivery(run, item.position, number, seq),
                f"{name}#{number}",
                record,
                whole=False,
                key=key,
            )
            for number, record in enumerate(records)
        ]

    def _records(self, item: Item, apply: Apply | None) -> list[Record]:
        if apply is not None:
            return list(apply(item.record, self.chain_scope(item)))
        if not self.chain.steps:
            return [item.record]
        notes = self.firsts.of(item.position) if self.chain.remembers else None
        return list(self.chain.apply(item.record, self.chain_scope(item), notes))

    def chain_scope(self, item: Item) -> dict[str, Any]:
        """Give what the chain sees beside the record."""
        return {"run": self.run, "input": item.record}

    async def aclose(self) -> None:
        """Close what the transformers have opened."""
        for chain in (self.chain, self.response_chain):
            if chain is not None:
                await chain.close()

    def call(self, part: Part) -> Call:
        """Make the request of a part in the catalogue's words. Raises RecordError."""
        try:
            return self._call(part)
        except RecursionError:
            raise RecordError(_TOO_DEEP) from None

    def _call(self, part: Part) -> Call:
        record = part.record or {}
        scope = self._scope(part)
        own = (
            {name: fill.render(record, scope) for name, fill in self.templates} if self.templates else record
        )
        defaults = _NO_DEFAULTS if self.defaults.is_empty else self.defaults.render(record, scope)
        action = self.only_action or self._action(record)
        # A deletion takes no body: a payload that the record carries for other reasons is left where it is.
        payload = own.get("payload") if action.body is not None or self.payload is not None else None
        path, query = own.get("path"), own.get("query")
        path = defaults["path"] if path is None else {**defaults["path"], **as_object(path, "'path'")}
        query = defaults["query"] if query is None else {**defaults["query"], **as_object(query, "'query'")}
        if self.stream is not None:
            payload, query = streamed(action, payload, query)
        save = None
        if self.save is not None:
            named = {**record, "input": part.item.record}  # also where the record has an `input` of its own
            save = self.save.target(named, scope, key=part.delivery.key, owner=part.id)
        call = Call(
            self.entity,
            action,
            path,
            query,
            payload,
            self.validate,
            files_root=self.files_root,
            save=save,
            stream=self.stream,
            on_uncertain=self.on_uncertain,
            whose=Whose(self.run.get("id", ""), self.name, part.id),
        )
        return call if self.address is None else self.address(call, record)

    def accepts(self, part: Part, call: Call, response: Any, *, http: Mapping[str, Any]) -> bool:
        """Say whether the answer meets `accept`. Raises RecordError."""
        if self.accept is None:
            return True
        document = self._document(part, call, response)
        return bool(self.accept(document, {**self._scope(part), "http": http, **document}))

    def shape(
        self, part: Part, call: Call, response: Any, *, http: Mapping[str, Any] | None = None
    ) -> list[Any] | None:
        """Make the output lines of an ok result, or None when nothing is configured. Raises RecordError.

        `http` is what expressions see under that name: `status` and `headers` of the answer.
        """
        if self.result is None and self.response_chain is None:
            return None
        try:
            return self._shaped(part, call, response, http=http)
        except RecursionError:
            raise RecordError(_TOO_DEEP) from None

    def _shaped(self, part: Part, call: Call, response: Any, *, http: Mapping[str, Any] | None) -> list[Any]:
        document = self._document(part, call, response)
        scope = {**self._scope(part), "http": http or {}, **document}
        shaped = (
            [document] if self.response_chain is None else list(self.response_chain.apply(document, scope))
        )
        if self.result is None:
            return list(shaped)
        return [self.result.render(line, scope) for line in shaped]

    def _action(self, record: Record) -> Action:
        default = next(iter(self.actions.values()))
        method = record.get("method", default.method)
        if not isinstance(method, str) or method not in self.actions:
            allowed = ", ".join(self.actions)
            raise RequestError(
                f"outgoing {self.name!r}: the record's 'method' is {method!r}; allowed are {allowed}"
            )
        return self.actions[method]

    def _scope(self, part: Part) -> Record:
        return {"run": self.run, "input": part.item.record, "record": part.record}

    def _document(self, part: Part, call: Call, response: Any) -> Record:
        request = {"path": dict(call.path), "query": dict(call.query), "payload": call.payload}
        derived: Record = {}
        for name, expression in self.derived.items() if self.shows_derived else ():
            try:
                derived[name] = expression(response, {})
            except ExpressionError:  # a derived output that this answer does not have is absent
                continue
        return {"input": part.item.record, "request": request, "response": response, "derived": derived}

    def _key(self, item: Item) -> str | None:
        if self.sequence is None:
            return None
        value = self.sequence(item.record, {"run": self.run, "input": item.record})
        return None if value is None else dumps(value).decode()

    def _identify(self, item: Item) -> str:
        if not self.identifier:
            own = item.record.get("id")
            if own is None and self.only is not None:
                raise ExpressionError("`only` needs an `identifier`, and this record has no 'id'")
            return str(own) if isinstance(own, str | int) and not isinstance(own, bool) else item.position
        scope = {"run": self.run, "input": item.record}
        values = (expression(item.record, scope) for expression in self.identifier)
        return "/".join(value if isinstance(value, str) else dumps(value).decode() for value in values)


def streamed(action: Action, payload: Any, query: Record) -> tuple[Any, Record]:
    """Ask for a stream in the field that the catalogue names; of a raw request it names none, and `stream` is usual."""
    place, _, name = (action.response.stream or "body.stream").partition(".")
    if place == "query":
        return payload, {**query, name: True}
    if place == "body" and isinstance(payload, dict):
        value = "sse" if name == "stream_format" else True
        return {**cast("Record", payload), name: value}, query
    return payload, query
