"""The kill test of an incoming: a list of many pages, read by processes that are killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kill.evidence import Evidence, parsed
from kill.harness import OUTPUT, Trial


class Reading(Trial):
    """A trial that reads `records` files, `PAGE` a page."""

    PAGE = 20

    def served(self) -> dict[str, Any]:
        """Say what the server is to do: it has a list."""
        return {**super().served(), "items": self.plan.records, "page": self.PAGE}

    def configuration(self, port: int) -> dict[str, Any]:
        """The configuration with an incoming instead of an outgoing."""
        found = super().configuration(port)
        del found["outgoing"]
        return {**found, "incoming": {"files": {"entity": "files"}}}

    def command(self) -> list[str]:
        """The command, the same for every process."""
        return [*self.plan.words, "run", "incoming", "files", "--output", OUTPUT]

    @property
    def expected(self) -> int:
        """How many requests it takes without a kill."""
        return int(self.pages * (1 + self.plan.faults))

    @property
    def pages(self) -> int:
        """How many pages the list has."""
        return -(-self.plan.records // self.PAGE)


def problems(evidence: Evidence) -> Iterator[str]:
    """Give what contradicts the promise: every item once and in order, and no more read again than was cut off."""
    numbers = [parsed(line).get("number") for line in evidence.output.splitlines()]
    if numbers != list(range(evidence.records)):
        yield f"the output has {len(numbers)} items, {len(set(numbers))} different ones, for {evidence.records}"
    answered = Counter(request["path"] for request in evidence.requests if request["fault"] is None)
    again = sum(answered.values()) - len(answered)
    if again > evidence.kills:
        yield f"{again} pages were answered again after {evidence.kills} kills"
    last = evidence.endings[-1]
    if not last.over or (last.sent is None and last.code):
        yield f"the last process ended with {last.code}: {evidence.said[-500:]}"
