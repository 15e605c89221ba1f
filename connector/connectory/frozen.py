"""Values of which every record makes some: frozen to the type checkers, and cheap to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, **options: Any) -> Any:
        """Make a dataclass that can be compared and hashed, and whose fields nobody is meant to set anew.

        A frozen dataclass sets each of its own fields by way of `object.__setattr__`: for the values of one record that
        is a fortieth of all it costs. Who sets a field anew is found by the type checkers.
        """
        return dataclass(unsafe_hash=frozen, **options)
