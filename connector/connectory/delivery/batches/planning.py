"""The lines of input files, and which of them go into one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectory.catalogue.batchable import inputs_of, model_of
from connectory.errors import RequestError
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from connectory.catalogue.batchable import BatchOption
    from connectory.delivery.publication import Part
    from connectory.requests.building import Call


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its text, and what counts against the limits of a file."""

    text: bytes
    model: str
    inputs: int


def line_of(option: BatchOption, part: Part, call: Call, body: bytes | None) -> Line:
    """Make the line of a request with its body, None for a form. Raises RequestError where a batch takes none such."""
    if body is None:
        raise RequestError(f"{call.what}: a batch takes no files; `delivery: direct` sends them")
    if call.query:
        raise RequestError(f"{call.what}: the requests of a batch have no query")
    head = dumps({"custom_id": part.delivery.key, "method": "POST", "url": option.endpoint})
    text = head[:-1] + b',"body":' + body + b"}\n"
    inputs = inputs_of(call.payload)
    if len(text) > option.size:
        raise RequestError(f"{call.what}: the request has {len(text)} bytes, and a batch takes {option.size}")
    if option.inputs is not None and inputs > option.inputs:
        raise RequestError(f"{call.what}: the request has {inputs} inputs, and a batch takes {option.inputs}")
    try:
        dumps(part.item.record)
    except JsonTextError as error:
        raise RequestError(f"{call.what}: the record cannot be kept: it is {error}") from None
    return Line(text, model_of(call.payload), inputs)


def fits(option: BatchOption, line: Line, *, requests: int, size: int, inputs: int) -> bool:
    """Say whether a file that holds so much has room for a line."""
    return (
        requests < option.requests
        and size + len(line.text) <= option.size
        and (option.inputs is None or inputs + line.inputs <= option.inputs)
    )


@dataclass(slots=True)
class Plan:
    """A part as it would be made: the lines of one input file."""

    model: str
    lines: list[bytes] = field(default_factory=list[bytes])
    inputs: int = 0

    @property
    def size(self) -> int:
        """Count the bytes."""
        return sum(map(len, self.lines))


def plan(option: BatchOption, lines: list[Line]) -> list[Plan]:
    """Give the parts that so few lines would become that all of them are in memory."""
    plans: list[Plan] = []
    taking: dict[str, Plan] = {}
    for line in lines:
        found = taking.get(line.model)
        if found is None or not fits(
            option, line, requests=len(found.lines), size=found.size, inputs=found.inputs
        ):
            found = taking[line.model] = Plan(line.model)
            plans.append(found)
        found.lines.append(line.text)
        found.inputs += line.inputs
    return plans
