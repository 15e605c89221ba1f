"""One step of a chain: a transformer with its options, and what it may give."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ExpressionError, RecordError, RunStoppedError, TransformerError
from connectory.steps.aside import pulled, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectory.interfaces import Context
    from connectory.record import Record


@dataclass(frozen=True, slots=True)
class BuiltStep:
    """A transformer with its options; one record out is a tuple of one, which the chain need not iterate.

    `waits` says that it waits for something, `at_once` that it may do so for several records at the same time.
    """

    name: str
    function: Callable[..., Any]
    context: str | None
    may_drop: bool
    waits: bool = False
    at_once: bool = False

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The options as the transformer is given them, for who looks at a chain."""
        return cast("Mapping[str, Any]", getattr(self.function, "keywords", {}))

    def __call__(self, record: Record, context: Context) -> Iterable[Record]:
        """Give what the transformer makes of a record. Raises RecordError, whatever its code raised."""
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


def _arrived(made: Any) -> Any:
    """Wait for what has to be awaited; a record has not."""
    return wait_for(made) if hasattr(made, "__await__") else made


def _type(value: Any) -> str:
    return f"a value of type {type(value).__name__!r}"
