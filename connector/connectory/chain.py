"""A chain: steps that turn one record into none, one or many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from pydantic import ValidationError

from connectory.config import parse_step
from connectory.errors import ConfigError, Problem, RecordError, TransformerError
from connectory.interfaces import Context, Memory, Step
from connectory.placeholders import fresh
from connectory.plugins import (
    A_STEP,
    Complaint,
    NestedError,
    Transformer,
    load_code,
    load_transformer,
    transformer_names,
)
from connectory.steps.aside import off_loop
from connectory.steps.opening import Opening
from connectory.steps.step import BuiltStep

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.interfaces import Notes, Reader
    from connectory.record import Record

Place: TypeAlias = tuple[str | int, ...]
Locate: TypeAlias = Callable[[Place, str], Problem]
T = TypeVar("T")


class StepConfig(Protocol):
    """A step as it is configured: a name or `use`, its options, and where both stand in the file."""

    @property
    def name(self) -> str | None:
        """The name of a transformer or of a chain."""
        ...

    @property
    def use(self) -> str | None:
        """Code, as `module:function`."""
        ...

    @property
    def options(self) -> Any:
        """The options as they are written; None when there are none."""
        ...

    @property
    def path(self) -> Place:
        """Where the step stands."""
        ...

    @property
    def options_path(self) -> Place:
        """Where its options stand."""
        ...


@dataclass(frozen=True, slots=True)
class Traced:
    """What one step of a chain gave for one input: copies of the records, and the error that ended it."""

    step: str
    records: list[Any]
    error: RecordError | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """Built steps, run depth-first: a record goes all the way before the next one is made.

    `kept` are the objects among them that are closed at the end; `waits` says that some step is awaited, `asks` that
    some step asks the server, `remembers` that what it makes of a record depends on those before it.
    """

    steps: tuple[Step, ...] = ()
    folder: Path | None = None
    kept: tuple[Opening, ...] = ()
    waits: bool = False
    asks: bool = False
    remembers: bool = False

    @property
    def at_once(self) -> bool:
        """Say whether some step may wait for several records at the same time."""
        return any(getattr(one, "at_once", False) for one in self.steps)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Let a transformer take steps: an option of this type is written as a list of them."""
        return {
            "type": "function-after",
            "function": {"type": "with-info", "function": _nested},
            "schema": handler(list[Any]),
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: Any, _handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Describe it as a list of steps; the configuration knows what a step is."""
        return {"type": "array", "items": A_STEP}

    def then(self, other: Chain) -> Chain:
        """Give a chain that runs the steps of both."""
        return Chain(
            (*self.steps, *other.steps),
            self.folder or other.folder,
            (*self.kept, *other.kept),
            waits=self.waits or other.waits,
            asks=self.asks or other.asks,
            remembers=self.remembers or other.remembers,
        )

    def run(self, record: Record, context: Context) -> Iterator[Record]:
        """Give what a record becomes by these steps: for a transformer that was handed them as an option."""
        return self._run(record, context, 0)

    def apply(self, record: Record, scope: Mapping[str, Any], notes: Notes | None = None) -> Iterator[Record]:
        """Give what the record becomes; `input` in the scope stays as it was read, whatever steps change."""
        if not self.steps:
            return iter((record,))
        return self._run(*self.begin(record, scope, notes), 0)

    def begin(
        self, record: Record, scope: Mapping[str, Any], notes: Notes | None = None
    ) -> tuple[Record, Context]:
        """Give the record as its first step may change it, and what surrounds it in all of them."""
        return fresh(record), Context(_with_input(scope, record), self.folder, notes)

    def trace(self, record: Record, scope: Mapping[str, Any], notes: Notes | None = None) -> list[Traced]:
        """Run step by step and keep what each gave, up to the first error."""
        first, context = self.begin(record, scope, notes)
        records, traced = [first], list[Traced]()
        for step in self.steps:
            made: list[Any] = []
            try:
                for one in records:
                    made += step(one, context)
            except RecordError as error:
                return [*traced, Traced(step.name, fresh(made), error)]
            traced.append(Traced(step.name, fresh(made)))
            records = made
        return traced

    async def aside(self, work: Callable[[], T]) -> T:
        """Do work that applies this chain; where a step waits, the caller's event loop goes on meanwhile."""
        return await off_loop(work) if self.waits else work()

    async def close(self) -> None:
        """Close what its steps have opened; the next record opens it again."""
        if any(one.is_open for one in self.kept):
            await self.aside(self._close)

    def _close(self) -> None:
        for one in reversed(self.kept):
            one.close()

    def _run(self, record: Record, context: Context, start: int) -> Iterator[Record]:
        for index in range(start, len(self.steps)):
            made = self.steps[index](record, context)
            if type(made) is not tuple:
                for one in made:
                    yield from self._run(one, context, index + 1)
                return
            if not made:
                return
            (record,) = cast("tuple[Record]", made)
        yield record


def build_chain(
    steps: Iterable[StepConfig],
    *,
    named: Mapping[str, Sequence[StepConfig]] | None = None,
    folder: Path | None = None,
    locate: Locate | None = None,
    reader: Reader | None = None,
) -> Chain:
    """Build a chain; a ConfigError lists everything that is wrong in any step.

    `named` are the reusable chains, `folder` is the one of the configuration, whose code `use` may import, and `reader`
    asks the server for steps that want it.
    """
    builder = _Builder(named or {}, folder, reader or Unconnected())
    return builder.chain(builder.build(steps), locate or _unlocated)


def single_chain(found: Transformer, options: Any) -> Chain:
    """Build a chain of one transformer that was found already; a ConfigError lists what is wrong with the options."""
    builder = _Builder({}, None, Unconnected())
    return builder.chain(builder.step(found, options, ()), _unlocated)


@dataclass(slots=True)
class _Builder:
    """Builds steps and collects what is wrong in them; `within` names the chains and steps they stand in."""

    named: Mapping[str, Sequence[StepConfig]]
    folder: Path | None
    reader: Reader
    within: tuple[str, ...] = ()
    complaints: list[Complaint] = field(default_factory=list[Complaint])
    kept: list[Opening] = field(default_factory=list[Opening])
    awaited: list[str] = field(default_factory=list[str])
    asking: list[str] = field(default_factory=list[str])
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    orderly: list[str] = field(default_factory=list[str])
    """Steps that must meet the records one after the other."""

    def chain(self, steps: Iterable[Step], locate: Locate) -> Chain:
        """Give the chain of steps that this builder gives. Raises ConfigError with everything that is wrong."""
        built = tuple(steps)
        if self.complaints:
            raise ConfigError(locate(where, what) for where, what in self.complaints)
        kept, waits, asks = tuple(self.kept), bool(self.awaited), bool(self.asking)
        return Chain(built, self.folder, kept, waits=waits, asks=asks, remembers=bool(self.numbers))

    def build(self, steps: Iterable[StepConfig]) -> Iterator[Step]:
        for step in steps:
            if step.name is not None and step.name in self.named:
                yield from self._chain(step, step.name)
                continue
            try:
                yield from self.step(self._find(step), step.options, step.options_path)
            except ConfigError as error:
                self.complaints += [
                    (
                        (*step.options_path, *problem.path.split(".")) if problem.path else step.path,
                        problem.message,
                    )
                    for problem in error.problems
                ]

    def step(self, found: Transformer, options: Any, place: Place) -> Iterator[Step]:
        """Give the step of a transformer, or note what is wrong with its options. Raises ConfigError."""
        inside = self._inside(found.name)
        arguments, complaints = found.check(options, inside)
        self.complaints += [((*place, *where), what) for where, what in complaints]
        if complaints:
            return
        for nested in arguments.values():
            if isinstance(nested, Chain):  # one that was built elsewhere brings its own
                inside.kept += nested.kept
                inside.awaited += [found.name] * nested.waits
                inside.orderly += [found.name] * nested.waits * (not nested.at_once)
        if found.memory:
            self.numbers[found.name] = number = self.numbers.get(found.name, 0) + 1
            arguments[found.memory] = Memory(f"{found.name}#{number}")
        if found.reader:
            arguments[found.reader] = self.reader
            self.asking.append(found.name)
        function = found.bind(arguments)
        if found.waits:
            inside.awaited.append(found.name)
        if found.is_class:
            function = Opening(found.name, function)
            inside.kept.append(function)
        if found.memory or ((found.is_class or found.waits) and not found.at_once):
            inside.orderly.append(found.name)
        self._take_in(inside)  # what stands in a step is closed with it, and waited for
        waits = bool(inside.awaited)
        at_once = waits and found.at_once and not inside.orderly
        name = "/".join((*self.within, found.name))
        yield BuiltStep(name, function, found.context, found.may_drop, waits, at_once)

    def steps(self, written: list[Any]) -> Chain:
        """Build the steps of an option. Raises NestedError with the places inside it."""
        parsed: list[StepConfig] = []
        builder = self._inside()
        for index, one in enumerate(written):
            try:
                parsed.append(parse_step(one, path=(index,)))
            except ValidationError as error:
                for each in error.errors():
                    builder.complaints.append(((index,), f"step {index + 1} {each['msg']}"))
        built = tuple(builder.build(parsed))
        if builder.complaints:
            raise NestedError(builder.complaints)
        self._take_in(builder)
        return Chain(built, self.folder, (), waits=bool(builder.awaited))

    def _inside(self, *names: str) -> _Builder:
        within = (*self.within, *names)
        return _Builder(self.named, self.folder, self.reader, within, numbers=self.numbers)

    def _take_in(self, inner: _Builder) -> None:
        self.kept += inner.kept
        self.awaited += inner.awaited
        self.asking += inner.asking
        self.orderly += inner.orderly

    def _find(self, step: StepConfig) -> Transformer:
        if step.use is not None:
            return load_code(step.use, folder=self.folder)
        return load_transformer(step.name or "", also=self.named, folder=self.folder)

    def _chain(self, step: StepConfig, name: str) -> Iterator[Step]:
        problem = ""
        if name in self.within:
            problem = f"the chain {name!r} runs itself, by way of {' → '.join((*self.within, name))}"
        elif step.options is not None:
            problem = f"{name!r} is a chain and takes no options"
        elif name in transformer_names(self.folder):
            problem = f"{name!r} is a chain here and a transformer too; give the chain another name"
        if problem:
            self.complaints.append((step.path, problem))
            return
        inner = self._inside(name)
        yield from inner.build(self.named[name])
        self.complaints += inner.complaints
        self._take_in(inner)


class Unconnected:
    """Stands for a reader where nothing is connected."""

    def check(self, entity: str, path: Collection[str] | None = None) -> None:
        """Have no catalogue to look into."""

    async def read(self, entity: str, **_: Any) -> Any:
        """Refuse. Raises TransformerError."""
        raise TransformerError(f"nothing is connected here that could be asked for {entity!r}")


def _nested(written: list[Any], info: Any) -> Chain:
    """Build the steps that stand in an option; pydantic adds the option's place."""
    build = getattr(info.context, "steps", None)
    if build is None:
        raise ValueError("steps can stand only in a step of a chain")
    try:
        return cast("Chain", build(written))
    except NestedError as error:
        raise ValueError(str(error)) from error


def _unlocated(place: Place, message: str) -> Problem:
    return Problem(message, path=".".join(map(str, place)))


def _with_input(scope: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
    return scope if "input" in scope else {**scope, "input": record}
