"""The entity catalogue: every URL template of the API, and what each of its actions takes and gives back."""

from __future__ import annotations

from connectory.catalogue.dialect import Dialect, Usage
from connectory.catalogue.entity import (
    Action,
    ActionName,
    Body,
    Entity,
    Pagination,
    Parameter,
    Prototype,
    Response,
    end_of,
)
from connectory.catalogue.lookup import Catalogue

__all__ = [
    "Action",
    "ActionName",
    "Body",
    "Catalogue",
    "Dialect",
    "Entity",
    "Pagination",
    "Parameter",
    "Prototype",
    "Response",
    "Usage",
    "end_of",
]
