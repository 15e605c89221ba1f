"""A transformer with a state: opened before its first record, closed at the end of the run, however it ends."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

from connectory.errors import RunStoppedError, SetupError
from connectory.listeners.logs import transformers_logger
from connectory.steps.aside import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable


class Opening:
    """An object that takes records, and its `open` and `close` where it has them; both may be asynchronous."""

    def __init__(self, name: str, taker: Callable[..., Any]) -> None:
        self._name, self._taker, self._is_open = name, taker, False
        self._opening = threading.Lock()

    def __call__(self, record: Any, **more: Any) -> Any:
        """Hand a record over; the first one opens. Raises SetupError when that fails: no record would go better."""
        if not self._is_open:
            with self._opening:  # records may come at the same time
                if not self._is_open:
                    self._open()
        return self._taker(record, **more)

    def _open(self) -> None:
        try:
            self._do("open")
        except RunStoppedError:
            raise
        except (Exception, SystemExit) as error:  # a plug-in may raise anything
            problem = f"transformer {self._name!r} cannot be opened: {type(error).__name__}: {error}"
            raise SetupError(problem) from error
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Say whether there is something to close."""
        return self._is_open

    def close(self) -> None:
        """Close what was opened; it may be opened again. What fails is told, and stops nothing that is done already."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._do("close")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the same
            problem = f"{type(error).__name__}: {error}"
            transformers_logger.warning("transformer %r could not be closed: %s", self._name, problem)

    def _do(self, verb: str) -> None:
        method = getattr(self._taker, verb, None)
        made = method() if callable(method) else None
        if inspect.isawaitable(made):
            wait_for(made)
