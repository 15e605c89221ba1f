"""Plug-ins: transformers found by name or as `module:function`; sources and sinks as `module:name`."""

from __future__ import annotations

from connectory.plugins.describing import A_STEP
from connectory.plugins.lookup import (
    Listed,
    describe,
    list_transformers,
    load_code,
    load_transformer,
    transformer_names,
)
from connectory.plugins.makers import load_maker
from connectory.plugins.marks import transformer
from connectory.plugins.signatures import (
    Complaint,
    NestedError,
    Transformer,
    read_signature,
)

__all__ = [
    "A_STEP",
    "Complaint",
    "Listed",
    "NestedError",
    "Transformer",
    "describe",
    "list_transformers",
    "load_code",
    "load_maker",
    "load_transformer",
    "read_signature",
    "transformer",
    "transformer_names",
]
