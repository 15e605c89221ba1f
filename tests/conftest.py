"""What holds for the whole suite: nothing that the tests leave behind holds a canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from canary import leaks_below

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def no_canary_is_left_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search every file below the suite's temporary folder, at its end."""
    yield
    found = leaks_below(tmp_path_factory.getbasetemp())
    assert found == [], "files that hold a secret"
