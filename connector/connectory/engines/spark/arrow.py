"""Arrow, which comes without types: it is loaded by name, and what comes from it is Any."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

arrow: Any = import_module("pyarrow")
parquet: Any = import_module("pyarrow.parquet")

Batch: TypeAlias = Any
"""A `pyarrow.RecordBatch`: rows as Spark hands them over."""
