"""What the author of a transformer tests it with; nothing here needs pytest but `connectory.testing.fixtures`."""

from __future__ import annotations

from connectory.testing.checking import Example, apply_transformer, check_transformer
from connectory.testing.sandboxed import sandboxed

__all__ = ["Example", "apply_transformer", "check_transformer", "sandboxed"]
