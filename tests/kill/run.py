"""Runs the whole kill test and writes what came of it to docs/measured/kill.md: `python tests/kill/run.py`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import_module("kill.measuring").main()
