"""Why records failed, as few lines: alike causes are one, with a count, the first records and what to do about it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectory.record import Record

MOST_SHOWN = 5
"""Causes that the summary names."""

MOST_KEPT = 1000
"""Causes that are told apart at all."""

FIRST = 3
"""Records that are named of each."""

LONGEST = 240
"""Characters of a message that are shown."""

_VARYING = re.compile(r"""'[^']*'|"[^"]*"|\d+""")
"""What differs between messages that say the same: what is quoted, and numbers."""

ADVICE = {
    "accept": "answered, but not as `accept` wants; `{replay} --results` judges the answers anew",
    "expression": "mend the records or the expression; `{preview} --steps` shows it",
    "outcome_unknown": "the server may have done it; `{replay} --in-doubt` sends it again",
    "request": "what would be sent does not fit the API; `{preview}` shows it",
    "result": "answered and paid for; mend `result`, then `{replay} --results` shapes it anew",
    "save": "answered and paid for, but not saved; see to the disk and to `save_to`",
    "transformer": "mend the records or the transformer; `{preview} --steps` shows it",
    "work": "it was created and ended badly; the response in the dead letter says why",
}
"""What to do about a class of failure."""

BY_STATUS = {
    401: "`connectory check` looks at the token",
    403: "`connectory check` looks at the permissions",
    404: "the server knows no such thing: look at the path parameters and the model",
    413: "the records are too large for the server",
    429: "the server wants it slower; the command below sends them again",
}


@dataclass(slots=True)
class Cause:
    """Records that failed alike."""

    kind: str
    code: str | None
    message: str
    status: int | None = None
    count: int = 0
    retryable: bool = False
    records: list[str] = field(default_factory=list[str])

    @property
    def advice(self) -> str:
        """Say what to do about it."""
        if self.retryable and self.kind != "outcome_unknown":
            return "it may go better another time; the command below sends them again"
        if self.kind == "api":
            refused = "the server refuses what is sent: mend the records or the payload"
            return BY_STATUS.get(self.status or 0, refused)
        return ADVICE.get(self.kind, "")

    def lines(self, advice: str) -> list[str]:
        """Say it, with what to do about it."""
        named = " ".join(filter(None, [self.kind, self.code]))
        message = self.message if len(self.message) <= LONGEST else f"{self.message[:LONGEST]}..."
        told = filter(None, [self._where(), advice])
        return [f"  {self.count} x {named}: {message}", *(f"      {one}" for one in told)]

    def _where(self) -> str:
        if not self.records:
            return ""
        more = self.count - len(self.records)
        found = ", ".join(self.records) + (f" and {more} more" if more > 0 else "")
        return f"record{'s' * (self.count != 1)} {found}"


class Causes:
    """The causes of a run, most frequent first.

    `preview` is the command that shows what would be sent, `replay` the one that sends it again; an incoming has none,
    and the records of a route cannot be previewed without it.
    """

    def __init__(self, preview: str = "", replay: str = "") -> None:
        self.preview, self.replay = preview, replay
        self._found: dict[tuple[str, str | None, str], Cause] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, letter: Record) -> bool:
        """Take in a dead letter; say whether it is the first of its kind."""
        error = cast("Mapping[str, Any]", letter["error"])
        status = letter.get("http_status")
        cause = Cause(error["class"], error.get("code"), str(error["message"]), status)
        cause.retryable, cause.count = bool(error.get("retryable")), 1
        cause.records = [str(letter["id"])] if letter["id"] else []
        return self._take(cause)

    def merge(self, data: Iterable[Mapping[str, Any]]) -> None:
        """Take in what another process has found."""
        for one in data:
            self._take(Cause(**one))

    def as_data(self) -> list[dict[str, Any]]:
        """Give them as JSON."""
        return [asdict(one) for one in self.most()]

    def most(self) -> list[Cause]:
        """Give them, most frequent first."""
        return sorted(self._found.values(), key=lambda one: -one.count)

    def lines(self) -> list[str]:
        """Say them, up to so many."""
        found = self.most()
        more = len(found) - MOST_SHOWN
        said = [line for one in found[:MOST_SHOWN] for line in one.lines(self._advice(one))]
        return said + ([f"  and {more} other causes"] if more > 0 else [])

    def told(self) -> list[dict[str, Any]]:
        """Give them for programs."""
        return [
            {
                "class": one.kind,
                "code": one.code,
                "message": one.message[:LONGEST],
                "count": one.count,
                "records": one.records,
                "next": self._advice(one),
            }
            for one in self.most()[:MOST_SHOWN]
        ]

    def _advice(self, cause: Cause) -> str:
        if not self.replay and cause.kind not in {"expression", "transformer"}:
            return ""
        advice = cause.advice
        if "{preview}" in advice and not self.preview:
            advice = advice.rpartition("; ")[0]
        return advice.format(preview=self.preview, replay=self.replay)

    def _take(self, new: Cause) -> bool:
        key = (new.kind, new.code, _VARYING.sub("*", new.message))
        if key not in self._found and len(self._found) >= MOST_KEPT:
            key = ("other", None, "")
        found = self._found.get(key)
        if found is None:
            self._found[key] = new
            return True
        found.count += new.count
        found.retryable = found.retryable and new.retryable
        found.records += new.records[: max(0, FIRST - len(found.records))]
        return False
