"""A large file, sent in parts: the upload is begun, its parts go side by side, and completing it makes the file."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import OutcomeUnknownError, RequestError
from connectory.files.sent import LocalFile
from connectory.requests.attempts import Outcome
from connectory.requests.building import Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import httpx

    from connectory.catalogue import Entity
    from connectory.client import Client

ENTITIES = ("uploads", "upload.parts", "upload.complete", "upload.cancel")
LARGEST = 8 * 1024**3
"""Bytes that the API takes in one upload."""


class _GivenUpError(Exception):
    """A request of the upload failed for good; the others are not needed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class PartsOption:
    """The option `upload`: files of more than `over` bytes go in parts of `part_size`, `parallel` of them at once."""

    entities: Mapping[str, Entity]
    part_size: int
    over: int
    parallel: int

    async def send(
        self,
        client: Client,
        call: Call,
        request: httpx.Request,
        *,
        begin: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Send a prepared request, in parts where its file is large; `begin` comes before the first byte."""
        form = request.extensions.get("form")
        large = [one for one in form.parts if one[0] == "file" and _size(one[2]) > self.over] if form else []
        if not large:
            return await client.send(call, request, begin=begin)
        if begin is not None:
            await begin()
        _, filename, file, media = large[0]
        upload = _Upload(self, client, call, request.headers.get("Idempotency-Key"))
        try:
            return await upload.run(file, str(filename), str(media))
        except RequestError as error:  # the file is too large, or a request could not be made
            return Outcome(None, error, upload.attempts)


class _Upload:
    """One file on its way."""

    def __init__(self, option: PartsOption, client: Client, call: Call, key: str | None) -> None:
        self.option, self.client, self.call, self.key = option, client, call, key
        self.attempts = 0
        self._room = asyncio.Semaphore(option.parallel)

    async def run(self, file: LocalFile, filename: str, media: str) -> Outcome:
        if file.size > LARGEST:
            raise RequestError(f"file {filename!r} has {file.size} bytes; an upload takes at most {LARGEST}")
        given = cast("dict[str, Any]", self.call.payload)
        payload = {key: given[key] for key in ("purpose", "expires_after") if given.get(key) is not None}
        payload |= {"filename": filename, "bytes": file.size, "mime_type": _declared(filename, media)}
        try:
            begun = await self._ask("uploads", {}, payload, "begin")
        except _GivenUpError as failed:
            return failed.outcome
        path = {"upload_id": _field(begun, "id")}
        try:
            async with asyncio.TaskGroup() as group:
                starts = range(0, file.size, self.option.part_size)
                parts = [group.create_task(self._part(path, file, start)) for start in starts]
            done = await self._ask(
                "upload.complete", path, {"part_ids": [one.result() for one in parts]}, "end"
            )
        except* _GivenUpError as failures:
            outcome = _first(failures)
        else:
            return self._outcome(done)
        await self._cancel(path)
        return replace(outcome, attempts=self.attempts)

    async def _part(self, path: dict[str, Any], file: LocalFile, start: int) -> Any:
        async with self._room:
            stretch = file.part(start, self.option.part_size)
            made = await self._ask("upload.parts", path, {"data": stretch}, str(start))
            return _field(made, "id")

    async def _ask(self, entity: str, path: dict[str, Any], payload: Any, step: str) -> Outcome:
        found = self.option.entities[entity]
        call = Call(found, found.actions["create"], path, {}, payload, whose=self.call.whose)
        key = f"{self.key}-{step}" if self.key else None
        try:
            outcome = await self.client.send(call, self.client.prepare(call, key=key))
        except RequestError as error:
            raise _GivenUpError(Outcome(None, error, self.attempts)) from None
        self.attempts += outcome.attempts
        if outcome.answer is None:
            raise _GivenUpError(outcome)
        return outcome

    async def _cancel(self, path: dict[str, Any]) -> None:
        attempts = self.attempts
        with suppress(_GivenUpError):  # what is not completed the server forgets by itself
            await self._ask("upload.cancel", path, None, "cancel")
        self.attempts = attempts

    def _outcome(self, done: Outcome) -> Outcome:
        answer = done.unwrap()
        made = _object(answer.value).get("file") or answer.value
        return replace(done, answer=replace(answer, value=made), attempts=self.attempts)


def _size(content: Any) -> int:
    return content.size if isinstance(content, LocalFile) else 0


def _field(outcome: Outcome, name: str) -> str:
    found = _object(outcome.unwrap().value).get(name)
    if not isinstance(found, str):
        error = OutcomeUnknownError(f"the upload cannot go on: an answer has no {name!r}")
        raise _GivenUpError(Outcome(None, error, outcome.attempts))
    return found


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _first(failures: BaseExceptionGroup[_GivenUpError]) -> Outcome:
    """Give the outcome of the failure that came first, out of however many groups."""
    first: BaseExceptionGroup[_GivenUpError] | _GivenUpError = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first.outcome


def _declared(filename: str, media: str) -> str:
    """Name a type that the API takes for the file's purpose: for JSON Lines the one that the API calls `text/jsonl`."""
    return "text/jsonl" if media == "application/octet-stream" and filename.endswith(".jsonl") else media
