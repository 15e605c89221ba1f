"""A chain: steps that turn one record into none, one or many."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from pydantic import ValidationError

from connectory.aside import off_loop, pulled, wait_for
from connectory.config import parse_step
from connectory.errors import (
    ConfigError,
    ExpressionError,
    Problem,
    RecordError,
    RunStoppedError,
    TransformerError,
)
from connectory.interfaces import Context, Memory, Step
from connectory.opening import Opening
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

if TYPE_CHECKING:
    from pathlib import Path

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

    `kept` are the objects among them that are closed at the end; `waits` says that some step is awaited.
    """

    steps: tuple[Step, ...] = ()
    folder: Path | None = None
    kept: tuple[Opening, ...] = ()
    waits: bool = False

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
        )

    def run(self, record: Record, context: Context) -> Iterator[Record]:
        """Give what a record becomes by these steps: for a transformer that was handed them as an option."""
        return self._run(record, context, 0)

    def apply(self, record: Record, scope: Mapping[str, Any]) -> Iterator[Record]:
        """Give what the record becomes; `input` in the scope stays as it was read, whatever steps change."""
        if not self.steps:
            return iter((record,))
        return self._run(fresh(record), Context(_with_input(scope, record), self.folder), 0)

    def trace(self, record: Record, scope: Mapping[str, Any]) -> list[Traced]:
        """Run step by step and keep what each gave, up to the first error."""
        context = Context(_with_input(scope, record), self.folder)
        records, traced = [fresh(record)], list[Traced]()
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
) -> Chain:
    """Build a chain; a ConfigError lists everything that is wrong in any step.

    `named` are the reusable chains, `folder` is the one of the configuration, whose code `use` may import.
    """
    builder = _Builder(named or {}, folder)
    return builder.chain(builder.build(steps), locate or _unlocated)


def single_chain(found: Transformer, options: Any) -> Chain:
    """Build a chain of one transformer that was found already; a ConfigError lists what is wrong with the options."""
    builder = _Builder({}, None)
    return builder.chain(builder.step(found, options, ()), _unlocated)


@dataclass(frozen=True, slots=True)
class _Step:
    """A transformer with its options; one record out is a tuple of one, which the chain need not iterate."""

    name: str
    function: Callable[..., Any]
    context: str | None
    may_drop: bool

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The options as the transformer is given them, for who looks at a chain."""
        return cast("Mapping[str, Any]", getattr(self.function, "keywords", {}))

    def __call__(self, record: Record, context: Context) -> Iterable[Record]:
        try:
            made = self.function(record, **{self.context: context}) if self.context else self.function(record)
            made = _arrived(made)
        except (Exception, SystemExit) as error:  # a plug-in may raise anything; it is this record's error
            raise self._failure(error) from error
        if type(made) is dict or isinstance(made, dict):
            return (cast("Record", made),)
        if made is None:
            return self._nothing()
        if isinstance(made, AsyncIterable):
            made = pulled(cast("AsyncIterable[object]", made))
        if isinstance(made, Iterable) and not isinstance(made, (str, bytes, Mapping)):
            return self._many(cast("Iterable[object]", made))
        raise TransformerError(
            f"transformer {self.name!r} returned {_type(made)}; return a record, or several"
        )

    def _nothing(self) -> tuple[()]:
        if self.may_drop:
            return ()
        raise TransformerError(
            f"transformer {self.name!r} returned nothing; return the record, or annotate '| None' to drop"
        )

    def _many(self, made: Iterable[Any]) -> Iterator[Record]:
        try:
            for one in made:
                yield self._checked(one)
        except (Exception, SystemExit) as error:  # a generator runs its code here
            raise self._failure(error) from error

    def _checked(self, one: Any) -> Record:
        if isinstance(one, dict):
            return cast("Record", one)
        raise TransformerError(f"transformer {self.name!r} gave {_type(one)} where a record was due")

    def _failure(self, error: BaseException) -> Exception:
        if isinstance(error, (ExpressionError, TransformerError)) and not str(error).startswith(
            "transformer "
        ):
            return type(error)(f"transformer {self.name!r}: {error}")
        if isinstance(error, (RecordError, RunStoppedError)):
            return error
        return TransformerError(f"transformer {self.name!r}: {type(error).__name__}: {error}")


@dataclass(slots=True)
class _Builder:
    """Builds steps and collects what is wrong in them; `within` names the chains and steps they stand in."""

    named: Mapping[str, Sequence[StepConfig]]
    folder: Path | None
    within: tuple[str, ...] = ()
    complaints: list[Complaint] = field(default_factory=list[Complaint])
    kept: list[Opening] = field(default_factory=list[Opening])
    awaited: list[str] = field(default_factory=list[str])

    def chain(self, steps: Iterable[Step], locate: Locate) -> Chain:
        """Give the chain of steps that this builder gives. Raises ConfigError with everything that is wrong."""
        built = tuple(steps)
        if self.complaints:
            raise ConfigError(locate(where, what) for where, what in self.complaints)
        return Chain(built, self.folder, tuple(self.kept), bool(self.awaited))

    def build(self, steps: Iterable[StepConfig]) -> Iterator[Step]:
        for step in steps:
            if step.name is not None and step.name in self.named:
                yield from self._chain(step, step.name)
                continue
            try:
                yield from self.step(self._find(step), step.options, step.options_path)
            except ConfigError as error:
                self.complaints += [(step.path, problem.message) for problem in error.problems]

    def step(self, found: Transformer, options: Any, place: Place) -> Iterator[Step]:
        """Give the step of a transformer, or note what is wrong with its options. Raises ConfigError."""
        inside = self._inside(found.name)
        arguments, complaints = found.check(options, inside)
        self.complaints += [((*place, *where), what) for where, what in complaints]
        if complaints:
            return
        self.kept += inside.kept  # what stands in a step is closed with it, and waited for
        self.awaited += inside.awaited
        for nested in arguments.values():
            if isinstance(nested, Chain):  # one that was built elsewhere brings its own
                self.kept += nested.kept
                self.awaited += [found.name] * nested.waits
        if found.memory:
            arguments[found.memory] = Memory()
        function = found.bind(arguments)
        if found.waits:
            self.awaited.append(found.name)
        if found.is_class:
            function = Opening(found.name, function)
            self.kept.append(function)
        yield _Step("/".join((*self.within, found.name)), function, found.context, found.may_drop)

    def steps(self, written: list[Any]) -> Chain:
        """Build the steps of an option. Raises NestedError with the places inside it."""
        parsed: list[StepConfig] = []
        builder = _Builder(self.named, self.folder, self.within)
        for index, one in enumerate(written):
            try:
                parsed.append(parse_step(one, path=(index,)))
            except ValidationError as error:
                for each in error.errors():
                    builder.complaints.append(((index,), f"step {index + 1} {each['msg']}"))
        built = tuple(builder.build(parsed))
        if builder.complaints:
            raise NestedError(builder.complaints)
        self.kept += builder.kept
        self.awaited += builder.awaited
        return Chain(built, self.folder, (), bool(builder.awaited))

    def _inside(self, name: str) -> _Builder:
        return _Builder(self.named, self.folder, (*self.within, name))

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
        inner = _Builder(
            self.named, self.folder, (*self.within, name), self.complaints, self.kept, self.awaited
        )
        yield from inner.build(self.named[name])


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


def _arrived(made: Any) -> Any:
    """Wait for what has to be awaited; a record has not."""
    return wait_for(made) if hasattr(made, "__await__") else made


def _type(value: Any) -> str:
    return f"a value of type {type(value).__name__!r}"
