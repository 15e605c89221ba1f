"""Fixtures for pytest: `pytest_plugins = ["connectory.testing.fixtures"]` in the `conftest.py` makes them known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectory.sandbox import EmbeddedSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connectory_sandbox() -> Iterator[EmbeddedSandbox]:
    """Give a sandbox of the test's own: its `base_uri` and `token` are those of a client."""
    with EmbeddedSandbox() as running:
        yield running
