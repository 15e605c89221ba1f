"""An event loop whose time only waiting moves: hours pass at once, and every run is the same."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

SEED = 20_250_701


class _Selector(selectors.SelectSelector):
    """Looks for what is ready without waiting, and moves the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.patience = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            if not (ready := super().select(5)):
                raise RuntimeError("everything waits, and nothing will ever happen")
            return ready
        if not (ready := super().select(min(self.patience, timeout))):
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for code that waits and opens no socket; threads get a moment of real time before the clock moves."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self._virtual.patience = 0.05
        return super().run_in_executor(executor, func, *args)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in virtual time, always with the same luck; what waits for ever is an error."""
    random.seed(SEED)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Give the seconds that have passed."""
    return asyncio.get_running_loop().time()
