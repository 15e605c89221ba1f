"""A chain: steps that turn one record into none, one or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from connectory.errors import (
    ConfigError,
    ExpressionError,
    Problem,
    RecordError,
    RunStoppedError,
    TransformerError,
)
from connectory.interfaces import Context, Step
from connectory.placeholders import fresh
from connectory.plugins import Transformer, load_code, load_transformer, transformer_names

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.record import Record

Place: TypeAlias = tuple[str | int, ...]
Locate: TypeAlias = Callable[[Place, str], Problem]


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
    """Built steps, run depth-first: a record goes all the way before the next one is made."""

    steps: tuple[Step, ...] = ()

    def apply(self, record: Record, scope: Mapping[str, Any]) -> Iterator[Record]:
        """Give what the record becomes; `input` in the scope stays as it was read, whatever steps change."""
        if not self.steps:
            return iter((record,))
        return self._run(fresh(record), Context(_with_input(scope, record)), 0)

    def trace(self, record: Record, scope: Mapping[str, Any]) -> list[Traced]:
        """Run step by step and keep what each gave, up to the first error."""
        context = Context(_with_input(scope, record))
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
    builder = _Builder(named or {}, folder, locate or _unlocated)
    built = list(builder.build(steps, within=()))
    if builder.problems:
        raise ConfigError(builder.problems)
    return Chain(tuple(built))


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
        except (Exception, SystemExit) as error:  # a plug-in may raise anything; it is this record's error
            raise self._failure(error) from error
        if type(made) is dict or isinstance(made, dict):
            return (cast("Record", made),)
        if made is None:
            return self._nothing()
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
        if isinstance(error, ExpressionError) and not str(error).startswith("transformer "):
            return ExpressionError(f"transformer {self.name!r}: {error}")
        if isinstance(error, (RecordError, RunStoppedError)):
            return error
        return TransformerError(f"transformer {self.name!r}: {type(error).__name__}: {error}")


@dataclass(slots=True)
class _Builder:
    named: Mapping[str, Sequence[StepConfig]]
    folder: Path | None
    locate: Locate
    problems: list[Problem] = field(default_factory=list[Problem])

    def build(self, steps: Iterable[StepConfig], *, within: tuple[str, ...]) -> Iterator[Step]:
        for step in steps:
            if step.name is not None and step.name in self.named:
                yield from self._chain(step, step.name, within)
                continue
            try:
                found = self._find(step)
                arguments, complaints = found.check(step.options)
            except ConfigError as error:
                self.problems += [self.locate(step.path, problem.message) for problem in error.problems]
                continue
            self.problems += [self.locate((*step.options_path, *where), what) for where, what in complaints]
            name = "/".join((*within, found.name))
            yield _Step(name, partial(found.function, **arguments), found.context, found.may_drop)

    def _find(self, step: StepConfig) -> Transformer:
        if step.use is not None:
            return load_code(step.use, folder=self.folder)
        return load_transformer(step.name or "", also=self.named)

    def _chain(self, step: StepConfig, name: str, within: tuple[str, ...]) -> Iterator[Step]:
        problem = ""
        if name in within:
            problem = f"the chain {name!r} runs itself, by way of {' → '.join((*within, name))}"
        elif step.options is not None:
            problem = f"{name!r} is a chain and takes no options"
        elif name in transformer_names():
            problem = f"{name!r} is a chain here and a transformer too; give the chain another name"
        if problem:
            self.problems.append(self.locate(step.path, problem))
            return
        yield from self.build(self.named[name], within=(*within, name))


def _unlocated(place: Place, message: str) -> Problem:
    return Problem(message, path=".".join(map(str, place)))


def _with_input(scope: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
    return scope if "input" in scope else {**scope, "input": record}


def _type(value: Any) -> str:
    return f"a value of type {type(value).__name__!r}"
