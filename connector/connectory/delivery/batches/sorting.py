"""The answers of a batch that is over, sorted: which records have theirs, and which are asked for once more."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.delivery.batches.lines import FINAL, judge, own_line, read_line
from connectory.delivery.batches.spool import ERR, OUT, OWN
from connectory.files.private import open_private
from connectory.files.storage import datasync
from connectory.retry import OUT_OF_MONEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.delivery.batches.ledger import Lot
    from connectory.delivery.batches.spool import Spool
    from connectory.retry import Policy

TOKENS = "token_limit_exceeded"
"""The code of a batch that is refused because too many tokens wait already: later it is taken."""

_MODEL = "model"


@dataclass(slots=True)
class Sorted:
    """What the lines of a batch say.

    `answers` are record, kind and place of those that have theirs; `again` the lines of the input file whose requests
    are sent once more; `stop` is why nothing may be sent just now.
    """

    answers: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    again: set[int] = field(default_factory=set[int])
    stop: str = ""


def sort(spool: Spool, lot: Lot, errors: Any, *, policy: Policy, cancelled: bool) -> Sorted:
    """Read the files of answers, line by line, and decide about every request of a lot; may run in a thread.

    What has no line, and is not sent again, gets one of our own: so each record has exactly one. `errors` is what the
    batch says of its input.
    """
    sorted_, rows = Sorted(), list(spool.rows(lot))
    left = {key: index for index, (key, _, _) in enumerate(rows)}
    for kind in (OUT, ERR):
        for place, line in _lines(spool, lot, kind):
            said = read_line(line)
            index = left.get(said["custom_id"]) if said is not None else None
            if said is None or index is None:
                continue  # a line of no request of ours
            verdict = judge(said, attempt=lot.attempt, policy=policy)
            if verdict is FINAL or (cancelled and verdict.kind == "again"):
                del left[said["custom_id"]]
                sorted_.answers.append((rows[index][1], kind, place))
            elif verdict.kind == "stop" and not cancelled:
                sorted_.stop = sorted_.stop or verdict.reason
    refused = _refusals(errors, len(rows))
    last = cancelled or (lot.attempt >= policy.attempts and not sorted_.stop)
    place, own = 0, spool.answer_file(lot, OWN)
    with os.fdopen(open_private(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        for key, index in left.items():
            given = refused.get(index) or refused.get(None)
            if given is not None:
                line = own_line(key, given[1], code=given[0], retryable=False)
            elif last:
                line = own_line(key, _unanswered(lot, cancelled=cancelled), code=lot.ended, retryable=True)
            else:
                sorted_.again.add(index)
                continue
            file.write(line)
            sorted_.answers.append((rows[index][1], OWN, place))
            place += len(line)
        file.flush()
        datasync(file.fileno())
    return sorted_


def reasons(batch: Any) -> list[dict[str, Any]]:
    """Give what a batch that failed says about it."""
    errors: Any = cast("dict[str, Any]", batch).get("errors") if isinstance(batch, dict) else None
    data: Any = cast("dict[str, Any]", errors).get("data") if isinstance(errors, dict) else None
    found: list[Any] = data if isinstance(data, list) else []  # pyright: ignore[reportUnknownVariableType]  # any JSON
    return [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]


def waits_for_tokens(batch: Any) -> bool:
    """Say whether a batch was refused because too many tokens wait already."""
    return any(one.get("code") == TOKENS for one in reasons(batch))


def out_of_money(batch: Any) -> str | None:
    """Give the reason where a batch was refused because no money is left."""
    return next((str(one.get("message")) for one in reasons(batch) if one.get("code") in OUT_OF_MONEY), None)


def told(batch: Any) -> str:
    """Give what a batch says of its failure, for messages."""
    return next((str(one["message"]) for one in reasons(batch) if one.get("message")), "it says no reason")


def _refusals(errors: Any, count: int) -> Mapping[int | None, tuple[str | None, str]]:
    """Give what is wrong with which line, from 0; None stands for all of them: they have one model."""
    found: dict[int | None, tuple[str | None, str]] = {}
    for one in reasons({"errors": errors}):
        line, code = one.get("line"), one.get("code")
        text = (code if isinstance(code, str) else None, f"the batch was refused: {one.get('message')}")
        if _MODEL in f"{one.get('param')} {code}".lower() and code != "mismatched_model":
            found.setdefault(None, text)
        elif isinstance(line, int) and 0 < line <= count:
            found.setdefault(line - 1, text)
    return found


def _unanswered(lot: Lot, *, cancelled: bool) -> str:
    if cancelled:
        return "the batch was cancelled before this request was answered"
    times = "" if lot.attempt == 1 else f", {lot.attempt} times"
    return f"its batch ended as {lot.ended!r}{times}, without an answer to it"


def _lines(spool: Spool, lot: Lot, kind: int) -> Iterator[tuple[int, bytes]]:
    path, place = spool.answer_file(lot, kind), 0
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield place, line
            place += len(line)
