"""What this engine needs beside Connectory, and the words for what is missing."""

from __future__ import annotations

from importlib.util import find_spec

_NEEDED = ("pyspark", "pyarrow", "pandas")


def refuse_missing() -> None:
    """Raise ModuleNotFoundError, with what to do, where a library is not installed."""
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if absent:
        raise ModuleNotFoundError(
            f"connectory.engines.spark needs {', '.join(absent)}; install the extra on the driver and on every worker: "
            "pip install 'connectory[spark]'"
        )
