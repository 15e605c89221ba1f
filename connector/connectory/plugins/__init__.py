"""Plug-ins: transformers found by name, by entry point, or as `module:function`."""

from __future__ import annotations

from connectory.plugins.lookup import (
    GROUP,
    Listed,
    list_transformers,
    load_code,
    load_transformer,
    transformer_names,
)
from connectory.plugins.signatures import Complaint, NestedError, Option, Transformer, transformer

__all__ = [
    "GROUP",
    "Complaint",
    "Listed",
    "NestedError",
    "Option",
    "Transformer",
    "list_transformers",
    "load_code",
    "load_transformer",
    "transformer",
    "transformer_names",
]
