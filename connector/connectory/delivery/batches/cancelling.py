"""Ending the batches of a run that nobody works on: it is noted first, so that later lives send nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.delivery.batches.ledger import STREAM
from connectory.errors import ConfigError, RecordError, RunStoppedError
from connectory.journal import change_cursor
from connectory.requests.building import Call

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.catalogue.batchable import BatchOption
    from connectory.client import Client


def note_cancelled(folder: Path) -> list[str]:
    """Note in the folder of a run that it is cancelled, and give the batches that are under way. Raises ConfigError."""
    under_way: list[str] = []

    def cancelled(known: Any) -> Any:
        if known is None or known["over"]:
            raise ConfigError(f"run {folder.name} has no batches under way")
        under_way.extend(one["batch"] for one in known["lots"] if one["state"] == "created")
        return {**known, "cancelled": True}

    change_cursor(folder, STREAM, cancelled)
    return under_way


async def cancel(option: BatchOption, client: Client, batches: list[str]) -> list[str]:
    """Have batches cancelled; give what is to be said of those that were not. Raises RunStoppedError."""
    entity, problems = option.entities["batch.cancel"], list[str]()
    for name in batches:
        call = Call(entity, entity.actions["create"], {"batch_id": name}, validate="off")
        try:
            outcome = await client.send(call, client.prepare(call))
        except RecordError as error:
            problems.append(f"batch {name!r}: {error}")
            continue
        if isinstance(outcome.error, RunStoppedError):
            raise outcome.error
        if outcome.error is not None:
            problems.append(f"batch {name!r}: {outcome.error}")
    return problems
