"""Who hears what happens: several at once, closely or not; and of every run both ends are told."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from connectory.events import Event, Kind, Listener, RunBroken, RunFinished, RunStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping


@runtime_checkable
class Close(Protocol):
    """A listener that may want to hear of every attempt of every request; asked once for each client."""

    def hears_requests(self) -> bool:
        """Say whether it does: telling it costs some time for each request."""
        ...


def hears_requests(listen: Listener) -> bool:
    """Say whether a listener wants to hear of every attempt of every request."""
    return isinstance(listen, Close) and listen.hears_requests()


class Everyone:
    """Hands each event to several listeners."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def __call__(self, event: Event) -> None:
        """Tell all of them, in their order."""
        for listen in self._listeners:
            listen(event)

    def hears_requests(self) -> bool:
        """Say whether one of them does."""
        return any(map(hears_requests, self._listeners))


def together(first: Listener, *others: Listener | None) -> Listener:
    """Make one listener of those that there are."""
    given = [one for one in others if one is not None]
    return Everyone(first, *given) if given else first


@contextmanager
def told(
    listen: Listener,
    named: tuple[str, str],
    counts: Callable[[], Mapping[str, Any]],
    *,
    kind: Kind,
    entity: str,
    total: int | None = None,
) -> Generator[None, None, None]:
    """Tell the beginning and the end of a run, which is named by its id and its connection."""
    run, connection = named
    listen(RunStarted(run, connection, total, kind, entity))
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        left = isinstance(error, GeneratorExit)  # whoever read the results has enough
        kind_of = "" if left else type(error).__name__
        reason = "" if left else str(error)
        listen(RunBroken(run, connection, dict(counts()), time.monotonic() - began, kind_of, reason))
        raise
    listen(RunFinished(run, connection, dict(counts()), time.monotonic() - began))
