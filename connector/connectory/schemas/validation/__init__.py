"""Holding a request against the entity's JSON Schema, with errors that say what is wrong and where."""

from __future__ import annotations

from connectory.schemas.validation.requests import RequestChecker, query_errors
from connectory.schemas.validation.validator import Validator

__all__ = ["RequestChecker", "Validator", "query_errors"]
