"""The mark of tests that use what an older version of the official client does not have."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from connectory_schemas.generate import CONSTRAINTS
from connectory_schemas.sdk import pinned

PINNED, INSTALLED = pinned("openai", CONSTRAINTS), version("openai")

needs_pinned_sdk = pytest.mark.skipif(
    PINNED not in (None, INSTALLED), reason=f"openai {INSTALLED} is installed, and this needs {PINNED}"
)
