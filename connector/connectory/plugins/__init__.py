"""Plug-ins: transformers found by name, by entry point, in the configuration's folder, or as `module:function`."""

from __future__ import annotations

from connectory.plugins.lookup import (
    GROUP,
    Listed,
    describe,
    list_transformers,
    load_code,
    load_transformer,
    transformer_names,
)
from connectory.plugins.signatures import Complaint, Option, Transformer, read_signature, transformer

__all__ = [
    "GROUP",
    "Complaint",
    "Listed",
    "Option",
    "Transformer",
    "describe",
    "list_transformers",
    "load_code",
    "load_transformer",
    "read_signature",
    "transformer",
    "transformer_names",
]
