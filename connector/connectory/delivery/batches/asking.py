"""What the API is asked for a batch: to take its file, to begin it, how far it is, and for its answers."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import (
    ApiError,
    ConnectoryError,
    CredentialsError,
    RecordError,
    RunStoppedError,
    SaveError,
    StorageError,
    UnavailableError,
)
from connectory.events import Listener, Noticed, Whose
from connectory.files.saving import Target
from connectory.pagination import Walk, largest_page
from connectory.requests.building import Call
from connectory.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from connectory.catalogue.batchable import BatchOption
    from connectory.client import Client
    from connectory.delivery.batches.ledger import Lot
    from connectory.interfaces import Journal
    from connectory.requests.attempts import Outcome

RUN, LOT, TRY = "connectory_run", "connectory_part", "connectory_try"
"""What a batch is known by: pairs in its metadata."""

LOOKS, LAG = 2, 2.0
"""How often a list is searched for what may have been made, and the seconds between: it may come into it late."""

EARLIER = 86_400
"""Seconds before the run began in which nothing of it can have been made, whatever the clocks say."""

_GONE = frozenset({404, 410})
_REFUSED_ACCESS = frozenset({401, 403})


class Asking:
    """The requests about batches of one run. `pause` waits, but not when the run stops."""

    def __init__(
        self,
        option: BatchOption,
        client: Client,
        journal: Journal,
        *,
        listen: Listener,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.option, self._client, self._journal = option, client, journal
        self._listen, self._pause = listen, pause

    def uploading(self, path: Path) -> Call:
        """Give the request that uploads an input file."""
        return self._call("files", "create", payload={"purpose": "batch", "file": path})

    def creating(self, lot: Lot) -> Call:
        """Give the request that begins the batch of a lot."""
        payload = {
            "input_file_id": lot.file or "FILE",
            "endpoint": self.option.endpoint,
            "completion_window": self.option.window,
            "metadata": self._known_by(lot),
        }
        return self._call("batches", "create", payload=payload)

    async def upload(self, lot: Lot, path: Path, *, doubt: bool) -> str:
        """Upload the file of a lot, unless it was in doubt whether that was done and it was; give the file's id."""
        return await self._make(lot, self.uploading(path), "file", lambda: self._file(path), doubt=doubt)

    async def create(self, lot: Lot, *, doubt: bool) -> str:
        """Begin the batch of a lot, unless it was in doubt whether that was done and it was; give the batch's id."""
        return await self._make(lot, self.creating(lot), "batch", lambda: self._batch(lot), doubt=doubt)

    async def find(self, lot: Lot) -> str | None:
        """Find the batch of a lot that may have been begun."""
        return await self._found(lambda: self._batch(lot))

    async def look(self, batch: str) -> Outcome:
        """Read a batch. Raises RunStoppedError."""
        return await self._ask(self._call("batch", "read", {"batch_id": batch}))

    async def cancel(self, batch: str) -> None:
        """Have a batch cancelled; one that is over says so, and is read as it is."""
        with suppress(RecordError):
            await self._ask(self._call("batch.cancel", "create", {"batch_id": batch}))

    async def delete(self, file: str) -> None:
        """Delete a file that nobody needs any more; what refuses to go stays."""
        outcome = await self._ask(self._call("file", "delete", {"file_id": file}))
        if isinstance(outcome.error, ApiError) and outcome.error.status not in _GONE:
            self._listen(
                Noticed(
                    f"the input file {file!r} of a batch stays at the server: {outcome.error}",
                    self._journal.run,
                )
            )

    async def save(self, file: str, path: Path) -> bool:
        """Save the content of a file; False for one that is not there. Raises RunStoppedError."""
        call = self._call("file.content", "read", {"file_id": file}, save=Target.at(path))
        outcome = await self._ask(call)
        error = outcome.error
        if isinstance(error, SaveError):
            raise StorageError(str(error))
        if isinstance(error, ApiError) and error.status in _GONE:
            return False
        if error is not None:
            raise UnavailableError(f"the answers of a batch cannot be fetched: {error}")
        return True

    async def _make(
        self,
        lot: Lot,
        call: Call,
        thing: str,
        find: Callable[[], Awaitable[str | None]],
        *,
        doubt: bool,
    ) -> str:
        policy = self._client.options.policy
        for attempt in range(1, policy.attempts + 1):
            if doubt and (found := await self._found(find)) is not None:
                return found
            lot.doubt = lot.doubt or (doubt and thing == "batch")
            key = f"{self._journal.run}-{lot.number}-{lot.batches}-{thing}"
            outcome = await self._ask(call, key=key)
            if outcome.answer is not None:
                return self._named(outcome.answer.value, thing)
            error = outcome.error
            doubt = doubt or outcome.in_doubt
            again = outcome.retryable or doubt or (thing == "batch" and _is_lag(error))
            if not again or attempt == policy.attempts:
                raise _cause(error)(f"the {thing} of {lot.requests} requests was not made: {error}")
            await self._pause(backoff(attempt, policy, 1.0))
        raise UnavailableError(f"the {thing} of {lot.requests} requests was not made")

    async def _found(self, find: Callable[[], Awaitable[str | None]]) -> str | None:
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(LAG)
            if (found := await find()) is not None:
                return found
        return None

    async def _file(self, path: Path) -> str | None:
        size = await asyncio.to_thread(os.path.getsize, path)
        return await self._listed(
            "files",
            {"purpose": "batch"},
            lambda one: one.get("filename") == path.name and one.get("bytes", size) == size,
        )

    async def _batch(self, lot: Lot) -> str | None:
        known = self._known_by(lot)

        def is_it(one: Mapping[str, Any]) -> bool:
            said: Any = one.get("metadata")
            return isinstance(said, dict) and known.items() <= cast("dict[str, Any]", said).items()

        return await self._listed("batches", {}, is_it)

    async def _listed(
        self, entity: str, query: Mapping[str, Any], is_it: Callable[[Mapping[str, Any]], bool]
    ) -> str | None:
        """Find something of this run in a list that begins with the newest. Raises RunStoppedError."""
        action = self.option.entities[entity].actions["read"]
        walk = Walk(action.response.pagination, entity)
        following: Mapping[str, Any] | None = largest_page(action.response.pagination, None)
        while following is not None:
            outcome = await self._ask(self._call(entity, "read", query={**query, **following}))
            if outcome.answer is None:
                raise _cause(outcome.error)(
                    f"{entity} cannot be listed, to see what was made: {outcome.error}"
                )
            answer: Any = outcome.answer.value
            found: Any = cast("dict[str, Any]", answer).get("data") if isinstance(answer, dict) else None
            items: list[Any] = found if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType]  # any JSON
            for one in items:
                if isinstance(one, dict) and is_it(cast("dict[str, Any]", one)):
                    return self._named(one, entity)
            if items and _is_before(items[-1], self._journal.started_at - EARLIER):
                return None
            more = walk.following(answer, items)
            following = None if more is None else {**largest_page(action.response.pagination, None), **more}
        return None

    def _known_by(self, lot: Lot) -> dict[str, str]:
        return {RUN: self._journal.run, LOT: str(lot.number), TRY: str(lot.batches)}

    async def _ask(self, call: Call, *, key: str | None = None) -> Outcome:
        try:
            outcome = await self._client.send(
                call, self._client.prepare(call, key=key, life=self._journal.life)
            )
        except RecordError as error:
            raise UnavailableError(f"{call.what} cannot be asked: {error}") from error
        if isinstance(outcome.error, RunStoppedError):
            raise outcome.error
        return outcome

    def _call(
        self,
        entity: str,
        action: str,
        path: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        payload: Any = None,
        save: Target | None = None,
    ) -> Call:
        found = self.option.entities[entity]
        chosen = found.actions[cast("Any", action)]
        whose = Whose(self._journal.run)
        return Call(found, chosen, path or {}, query or {}, payload, validate="off", save=save, whose=whose)

    def _named(self, value: Any, thing: str) -> str:
        name: Any = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise UnavailableError(f"the server's answer about the {thing} of a batch has no 'id'")
        return name


def _is_before(item: Any, moment: float) -> bool:
    made: Any = cast("dict[str, Any]", item).get("created_at") if isinstance(item, dict) else None
    return isinstance(made, int | float) and made < moment


def _is_lag(error: ConnectoryError | None) -> bool:
    """Say whether a batch was refused because its file, uploaded a moment ago, is not known everywhere yet."""
    return isinstance(error, ApiError) and (
        error.status in _GONE or error.param == "input_file_id" or "file" in f"{error.code}"
    )


def _cause(error: ConnectoryError | None) -> type[RunStoppedError]:
    denied = isinstance(error, ApiError) and error.status in _REFUSED_ACCESS
    return CredentialsError if denied else UnavailableError
