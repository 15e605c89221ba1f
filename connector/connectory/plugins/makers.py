"""Code that makes a source or a sink: a function or class whose options the configuration gives."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, UnknownNameError
from connectory.plugins.importing import fetch
from connectory.plugins.signatures import Transformer, options_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def maker_names(kind: str) -> list[str]:
    """Give the names of the sources or sinks that installed packages have."""
    return sorted({point.name for point in entry_points(group=f"connectory.{kind}s")})


def _installed(kind: str, name: str) -> str:
    found = sorted({point.value for point in entry_points(group=f"connectory.{kind}s", name=name)})
    if not found:
        hint = f"it is the name that an installed package gives its {kind}, or module:name"
        raise UnknownNameError(kind, name, maker_names(kind), hint=hint)
    if len(found) > 1:
        raise ConfigError(
            f"the {kind} name {name!r} is taken twice, by {' and '.join(found)}; uninstall one of them"
        )
    return found[0]


def load_maker(kind: str, use: str, written: Any, *, folder: Path | None) -> Callable[[], Any]:
    """Import `module:name` and check its options; gives what makes the source or sink. Raises ConfigError.

    The code comes from what is installed and from the folder, where one is given. A name alone is one that an installed
    package gave it, in the entry-point group `connectory.sources` or `connectory.sinks`.
    """
    what = f"{kind} {use!r}"
    if ":" in use:
        function = fetch(use, what=what, folder=folder and folder.resolve())
    else:
        function = fetch(_installed(kind, use), what=what, folder=None)
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
