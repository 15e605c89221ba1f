"""What each step made of the first records, and which placeholders came to nothing in all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ExpressionError
from connectory.expressions import Expression
from connectory.placeholders import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connectory.chain import Chain, Traced


@dataclass(slots=True)
class Watched:
    """One step, or the templates of a connection: what it was given and what it made, over all records."""

    name: str
    arguments: Any
    given: int = 0
    passed: int = 0
    records: list[Any] = field(default_factory=list[Any])
    errors: list[str] = field(default_factory=list[str])
    values: dict[str, list[Any]] = field(default_factory=dict[str, "list[Any]"])
    """What each placeholder and expression came to: a value, or the words for what is absent."""

    def look(self, record: Any, scope: Mapping[str, Any]) -> None:
        """Note what the placeholders come to for a record that the step has taken without an error."""
        self.passed += 1
        for written, expression, optional in _expressions(self.arguments):
            try:
                value: Any = expression(record, scope)
            except ExpressionError as error:
                if (
                    not optional
                ):  # the step took the record: the expression is for something else than the record
                    continue
                value = _Absent(str(error).partition(": ")[2])
            self.values.setdefault(written, []).append(value)

    def warnings(self, noun: str) -> Iterator[str]:
        """Say what came to nothing in every record."""
        of_all = f"in all {self.passed} {noun}s" if self.passed != 1 else f"in the one {noun}"
        for written, values in self.values.items():
            if len(values) < self.passed:
                continue
            if all(isinstance(one, _Absent) for one in values):
                yield f"{written} is null {of_all}: {values[0]}"
            elif all(one is None or isinstance(one, _Absent) for one in values):
                yield f"{written} is null {of_all}"
            elif all(one == [] for one in values):
                yield f"{written} is an empty list {of_all}"

    @property
    def line(self) -> dict[str, Any]:
        """What `preview --steps` prints of it."""
        shown: dict[str, Any] = {"step": self.name, "given": self.given, "records": self.records}
        return shown | ({"errors": self.errors} if self.errors else {})


class _Absent(str):
    """The words for what is absent."""

    __slots__ = ()


class Stepping:
    """Collects, step by step, what a chain makes of several records."""

    def __init__(self, chain: Chain, *, templates: Mapping[str, Template | None] | None = None) -> None:
        self.steps = [Watched(step.name, getattr(step, "arguments", {})) for step in chain.steps]
        named = {name: one for name, one in (templates or {}).items() if one is not None}
        self.templates = Watched("request", named)
        self.records: list[Any] = []

    def add(self, record: Any, scope: Mapping[str, Any], traced: Iterable[Traced]) -> None:
        """Take what one record became."""
        self.records.append(record)
        given = [record]
        for step, one in zip(self.steps, traced, strict=False):
            step.given += len(given)
            step.records += one.records
            if one.error is not None:
                step.errors.append(str(one.error))
                return
            for each in given:
                step.look(each, {"input": record, **scope})
            given = one.records

    def filled(self, record: Any, scope: Mapping[str, Any]) -> None:
        """Take a record that the connection's templates were filled from, whatever becomes of the request."""
        self.templates.look(record, scope)

    def add_request(self, request: Any) -> None:
        """Take the request that was made of what the chain left."""
        self.templates.given += 1
        self.templates.records.append(request)

    def refuse(self, error: str) -> None:
        """Take what is wrong with a request that could not be made."""
        self.templates.given += 1
        self.templates.errors.append(error)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give one object a step, the records as they were read first; `warnings` say what came to nothing."""
        yield {"step": "input", "records": self.records}
        for number, step in enumerate(self.steps, 1):
            yield {"number": number, **step.line, **_warned(step, self._warnings(step))}
        if self.templates.given:
            shown = self.templates.line
            shown["requests"] = shown.pop("records")
            yield shown | _warned(self.templates, self.templates.warnings("record"))

    def _warnings(self, step: Watched) -> Iterator[str]:
        yield from step.warnings("record")
        if step.given and not step.records and not step.errors:
            yield f"no record is left of {step.given}"


def _warned(step: Watched, warnings: Iterable[str]) -> dict[str, Any]:
    found = list(warnings)
    return {"warnings": found} if found and step.given else {}


def _expressions(value: Any) -> Iterator[tuple[str, Expression, bool]]:
    """Give what is written, its expression, and whether what it names may be absent."""
    if isinstance(value, Template):
        for one in value.expressions:
            optional = one in value.optional
            yield ("?{" if optional else "&{") + one.text + "}", one, optional
    elif isinstance(value, Expression):
        yield value.text, value, False
    elif isinstance(value, dict):
        for one in cast("dict[str, Any]", value).values():
            yield from _expressions(one)
    elif isinstance(value, list | tuple):
        for one in cast("list[Any]", value):
            yield from _expressions(one)
