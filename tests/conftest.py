"""What holds for the whole suite: no test leaves behind a canary, or another handler of a signal."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from canary import leaks_below
from hypothesis import settings

from connectory import publisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The tests start hundreds of processes: where no compiled modules may be kept, each would compile all of them anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes is the machine's, and what else it does.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")

SLOWEST = (
    "tests/processes",
    "tests/spark",
    "tests/test_kill.py",
    "tests/test_cli.py",
    "tests/test_canary.py",
    "tests/test_docs",
    "tests/test_sources.py",
    "tests/test_quality.py",
    "tests/test_reading_runs.py",
    "tests/test_starting.py",
    "tests/test_meltano.py",
    "tests/faults",
    "tests/test_flows.py",
    "tests/test_batches_cli.py",
    "tests/test_memory.py",
    "tests/test_speed.py",
)
"""What takes longest begins first: else one worker would be at it long after the other one has nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first; within a file everything stays in its order."""

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(SLOWEST) if item.nodeid.startswith(name)), len(SLOWEST))

    items.sort(key=place)


collect_ignore = ["example_package"]
"""A package with tests of its own, which `test_package.py` installs and runs."""


@pytest.fixture(scope="session", autouse=True)
def no_canary_is_left_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search every file below the suite's temporary folder, at its end: what tests share, and what failed ones left."""
    yield
    found = leaks_below(tmp_path_factory.getbasetemp())
    assert found == [], "files that hold a secret"


@pytest.fixture
def tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Search a test's own folder too, before pytest removes it: all of them together would fill two gigabytes."""
    yield tmp_path
    monkeypatch.undo()  # a test may have replaced what searches and removes
    found = leaks_below(tmp_path)
    assert found == [], "files that hold a secret"


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Hear interrupts as on a terminal: what a shell starts in the background ignores them, and its children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def results_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no results gather: tests count what was sent when a result is written. The program itself does."""
    monkeypatch.setattr(publisher, "GATHER", 0)


@pytest.fixture(autouse=True)
def no_handler_is_left() -> Iterator[None]:
    """See that what a test ran in this process took back its handlers of signals."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
