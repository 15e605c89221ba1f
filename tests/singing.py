"""Tap and target of the Singer protocol, in this process: messages in, messages out."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from connected import run

from connectory.cli.singer import _lane
from connectory.formats.lines import Line, item_of
from connectory.interfaces import Item
from connectory.singer import Tap, TapState, Target, TargetSettings, selected, streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from connectory.connector import AsyncConnector
    from connectory.errors import RecordError

__all__ = ["Out", "Sync", "deliver", "lines_of", "message", "of_kind", "sync"]


class Out:
    """What a tap or a target prints; `heard` is called with each line as it leaves."""

    def __init__(self, heard: Callable[[Any], None] = lambda _line: None) -> None:
        self.lines: list[Any] = []
        self._held: list[Any] = []
        self._heard = heard

    async def add(self, written: bytes) -> None:
        self._held += [json.loads(line) for line in written.splitlines()]

    async def flush(self) -> None:
        held, self._held = self._held, []
        for line in held:
            self.lines.append(line)
            self._heard(line)


class Sync:
    """What one sync of the tap came to."""

    def __init__(self, out: Out, tap: Tap, failures: list[RecordError]) -> None:
        self.messages, self.tap, self.failures = out.lines, tap, failures

    @property
    def records(self) -> list[tuple[str, Any]]:
        return [(one["stream"], one["record"]) for one in self.messages if one["type"] == "RECORD"]

    @property
    def states(self) -> list[Any]:
        return [one["value"] for one in self.messages if one["type"] == "STATE"]

    def ids(self, stream: str) -> list[Any]:
        return [record["id"] for name, record in self.records if name == stream]


def sync(
    make: Callable[[], AsyncConnector],
    *,
    state: Any = None,
    catalog: Any = None,
    names: Any = None,
    notes: list[Any] | None = None,
    out: Out | None = None,
) -> Sync:
    """Sync with the tap, as the command does."""
    made, out, failures = make(), out or Out(), list[Any]()
    chosen = selected(streams(made.assembly, made.catalogue, names), catalog)
    heard = (lambda event: None) if notes is None else notes.append
    tap = Tap(made, chosen, TapState(state), out, listen=heard, fail=failures.append)

    async def main() -> None:
        async with made:
            await tap.run()

    run(main)
    return Sync(out, tap, failures)


def message(kind: str, stream: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, **({"stream": stream} if stream else {}), **more}


def lines_of(messages: Iterable[Any]) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in messages)


def of_kind(messages: Iterable[Any], kind: str) -> list[Any]:
    return [one for one in messages if one["type"] == kind]


class Fed:
    """Lines as the target reads them from a pipe; a callable among them is awaited before the next line."""

    def __init__(self, given: Iterable[Any]) -> None:
        self._given = given

    async def __aiter__(self) -> AsyncIterator[Item]:
        number = 0
        for one in self._given:
            if callable(one):
                await one()
                continue
            number += 1
            text = (one if isinstance(one, str) else json.dumps(one)).encode()
            yield item_of(Line(number, text, 0, 0, len(text)))


def deliver(
    made: AsyncConnector, given: Iterable[Any], out: Out | None = None, *, notes: Any = None, **settings: Any
) -> tuple[list[Any], Target]:
    """Give messages to the target, as the command does; give the states that it printed."""
    out, wanted = out or Out(), TargetSettings(**settings)
    open_lane = partial(_lane, made, wanted, {"sandbox": False, "config": None, "new": False})
    heard = notes.append if notes is not None else (lambda _event: None)
    target = Target(open_lane, made.config.outgoing, wanted.streams, out, listen=heard)

    async def main() -> None:
        async with made:
            await target.run(Fed(given))

    run(main)
    return out.lines, target
