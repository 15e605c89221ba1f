"""What became of each object of an export: mapped, mapped in part, or not, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["mapped", "in part", "not mapped"]


@dataclass(slots=True)
class Fate:
    """One object: the line it stands in, what it is, where it went, and what should be known of it.

    `missing` names what was left behind, so that the object does not do here what it did there; `notes` are the rest.
    """

    line: int
    type: str
    identifier: str
    target: str = ""
    missing: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    @property
    def outcome(self) -> Outcome:
        """Say how much of it is there."""
        if not self.target:
            return "not mapped"
        return "in part" if self.missing else "mapped"

    def as_dict(self) -> dict[str, Any]:
        """Give the line of a report that programs read."""
        return {
            "line": self.line,
            "type": self.type,
            "identifier": self.identifier,
            "outcome": self.outcome,
            "target": self.target or None,
            "missing": self.missing,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """Give the words for a person."""
        arrow = f" -> {self.target}" if self.target else ""
        head = f"{self.outcome:<10}  line {self.line}: {self.type} {self.identifier}{arrow}"
        more = [f"missing: {one}" for one in self.missing] + self.notes
        return [head, *(f"            {one}" for one in more)]
