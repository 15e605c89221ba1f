"""One JSON Schema, ready to judge values: the fast library decides where it is installed, jsonschema explains."""

from __future__ import annotations

import re
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.schemas.validation.names import Walker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import Draft202012Validator

    from connectory.schemas.validation.names import Notice


class Validator:
    """Judges values by one self-contained schema; `fast=False` does without jsonschema-rs where it is installed."""

    def __init__(self, schema: Mapping[str, Any], *, fast: bool = True) -> None:
        self.schema = dict(schema)
        self._wants_fast = fast

    def errors(self, value: Any, *, name: str = "payload") -> list[str]:
        """Say what is wrong, at most five things: place, what is there, what is allowed; nothing for a valid value.

        Of the value itself a message shows a short scalar at most. Raises ConfigError for a schema that no value can
        be held against.
        """
        decided = self._decided(value)
        if decided:
            return []
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - most values are valid

        from connectory.schemas.validation.explaining import Explainer  # noqa: PLC0415 - the same

        try:
            errors = list(self._slow.iter_errors(value))  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - its stubs
        except RecursionError:
            return [f"{name}: nested too deeply"]
        except Unresolvable as error:
            raise ConfigError(
                f"the schema of {name} has the reference {error.ref!r}, which leads elsewhere, and nothing is fetched; "
                "put what it names into the catalogue, or set validate: off"
            ) from None
        except re.error as error:
            raise ConfigError(
                f"the schema of {name} has an unusable pattern: {error}; set validate: off"
            ) from error
        if not errors and decided is False:
            return [f"{name}: is not allowed in this form"]
        return Explainer(self.schema).messages(errors, name)

    def accepts(self, value: Any) -> bool:
        """Say whether the value is valid."""
        decided = self._decided(value)
        return not self.errors(value) if decided is None else decided

    def notices(self, value: Any) -> Iterator[Notice]:
        """Give what is allowed and still looks like a mistake."""
        return self._walker.notices(value)

    def _decided(self, value: Any) -> bool | None:
        """Say whether the fast library finds the value valid; None where it is not there or cannot tell."""
        if self._fast is None:
            return None
        try:
            return bool(self._fast.is_valid(value))
        except (
            ValueError,
            TypeError,
        ):  # not JSON in a way that jsonschema may put up with, as a key that is no text
            return None

    @cached_property
    def _fast(self) -> Any:
        if not self._wants_fast:
            return None
        try:
            library = import_module("jsonschema_rs")
        except ImportError:
            return None  # the extra `fast` is optional
        try:
            return library.Draft202012Validator(self.schema, retriever=_refuse)
        except ValueError:
            return None  # a pattern that only Python's `re` understands, say

    @cached_property
    def _slow(self) -> Draft202012Validator:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to load, and not every command checks
        from referencing import Registry  # noqa: PLC0415 - an empty one: nothing is ever fetched

        return Draft202012Validator(self.schema, registry=Registry[Any]())

    @cached_property
    def _walker(self) -> Walker:
        return Walker(self.schema, self._holds)

    def _holds(self, schema: Mapping[str, Any], value: Any) -> bool:
        return bool(self._slow.evolve(schema=schema).is_valid(value))  # pyright: ignore[reportUnknownMemberType] - its stubs


def _refuse(uri: str) -> Any:
    raise ValueError(f"schema {uri!r} is elsewhere")
