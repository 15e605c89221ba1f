"""The schema for editors, and what is held against it, for the tests of both."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema

from connectory.catalogue import Catalogue
from connectory.config import config_schema
from connectory.plugins import list_transformers

CLIENT = {"openai": {"prototype": "openai", "token": "sk-made-up"}}


@cache
def whole() -> dict[str, Any]:
    """The schema of the built-in transformers and the catalogue as it comes."""
    return config_schema(Catalogue.load(), list_transformers())


def refused(validator: jsonschema.Draft202012Validator, data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message:.200}" for error in validator.iter_errors(data)]


def with_step(step: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "clients": CLIENT,
        "incoming": {"example": {"entity": "files", "transformers": [step]}},
    }
