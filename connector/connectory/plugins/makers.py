"""Code that makes a source or a sink: a function or class whose options the configuration gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.plugins.importing import fetch
from connectory.plugins.signatures import Transformer, options_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def load_maker(kind: str, use: str, written: Any, *, folder: Path | None) -> Callable[[], Any]:
    """Import `module:name` and check its options; gives what makes the source or sink. Raises ConfigError.

    The code comes from what is installed and from the folder, where one is given.
    """
    what = f"{kind} {use!r}"
    function = fetch(use, what=what, folder=folder and folder.resolve())
    if not callable(function):
        raise ConfigError(f"{what} is no function or class")
    found = Transformer(
        use, use, function, options_of(function, what=what), None, None, may_drop=False, kind=kind
    )
    arguments, complaints = found.check(written)
    if complaints:
        raise ConfigError("; ".join(message for _, message in complaints))

    def make() -> Any:
        try:
            return function(**arguments)
        except (
            Exception
        ) as error:  # user's code runs here: whatever it raises is a problem of the configuration
            raise ConfigError(f"{what} cannot be made: {type(error).__name__}: {error}") from error

    return make
