"""A name from the configuration, turned into a transformer."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import cache, reduce
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, UnknownNameError, did_you_mean
from connectory.plugins.signatures import Option, Transformer, read_signature

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint
    from types import ModuleType

BUILT_IN = "connectory_transformers"
GROUP = "connectory.transformers"
_DEFINED = (FunctionType, BuiltinFunctionType, MethodType, type)
"""What says where it was defined; of any other callable only its class does."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of transformers; `problem` says why it cannot be loaded."""

    name: str
    origin: str
    doc: str = ""
    description: str = ""
    options: tuple[Option, ...] = ()
    problem: str = ""


def load_transformer(name: str, *, also: Iterable[str] = ()) -> Transformer:
    """Find a transformer by its name; a wrong name suggests the nearest one, of those in `also` too."""
    origins = _origins(name)
    if not origins:
        hint = "'connectory transformers list' shows all"
        raise UnknownNameError("transformer", name, {*transformer_names(), *also}, hint=hint)
    if len(origins) > 1:
        places = " and ".join(f"{code} ({origin})" for origin, code in origins)
        raise ConfigError(f"the transformer name {name!r} is taken twice, by {places}; uninstall one of them")
    [(origin, code)] = origins
    return read_signature(name, _fetch(code, what=f"transformer {name!r}", folder=None), origin=origin)


def load_code(use: str, *, folder: Path | None = None) -> Transformer:
    """Import `module:function` from the configuration's folder or from what is installed."""
    function = _fetch(use, what=f"transformer {use!r}", folder=folder and folder.resolve())
    return read_signature(use.partition(":")[2], function, origin=use)


def transformer_names() -> list[str]:
    """Give every name that a step can have."""
    package = importlib.import_module(BUILT_IN)
    built_in = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name[0] != "_"]
    return sorted({*built_in, *_entry_points()})


def list_transformers() -> list[Listed]:
    """Describe every transformer that has a name; one that cannot be loaded is listed with its problem."""
    return [_describe(name) for name in transformer_names()]


def _describe(name: str) -> Listed:
    try:
        found = load_transformer(name)
    except ConfigError as error:
        return Listed(name, " and ".join(origin for origin, _ in _origins(name)), problem=str(error))
    return Listed(name, found.origin, found.doc, found.description, tuple(found.options.values()))


def _origins(name: str) -> list[tuple[str, str]]:
    """Give (origin, `module:function`) of each place that has the name: one rule for all of them."""
    points = sorted((_distribution(point), point.value) for point in _entry_points().get(name, ()))
    if name.isidentifier() and name[0] != "_" and find_spec(f"{BUILT_IN}.{name}"):
        return [("built in", f"{BUILT_IN}.{name}:{name}"), *points]
    return points


@cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "installed"


def _fetch(code: str, *, what: str, folder: Path | None) -> Any:
    module_name, _, attribute = code.replace(" ", "").partition(":")
    names = [*module_name.split("."), *attribute.split(".")]
    if not attribute or any(not one.isidentifier() or one.startswith("__") for one in names):
        raise ConfigError(f"{what} is no 'module:function'")
    module = _import(module_name, what=what, folder=folder)
    try:
        function = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        guess = did_you_mean(attribute, dir(module))
        where = f" ({module.__file__})" if module.__file__ else ""
        raise ConfigError(f"{what}: module {module_name!r}{where} has no {attribute!r}{guess}") from None
    home = getattr(function, "__module__", None) if isinstance(function, _DEFINED) else None
    if isinstance(home, str) and _is_pythons_own(home):
        raise ConfigError(f"{what} is a function of Python's own; wrap it in a function that takes a record")
    return function


def _is_pythons_own(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _refuse_way_out(name: str, *, what: str, folder: Path) -> None:
    """Refuse a module of the folder that a link takes from elsewhere, before its code runs."""
    place = folder
    for part in name.split("."):
        place /= part
        for one in (place, place.with_suffix(".py"), place / "__init__.py"):
            if one.exists() and not one.resolve().is_relative_to(folder):
                raise ConfigError(f"{what}: {one} is a link out of the configuration's folder; copy it there")


def _import(name: str, *, what: str, folder: Path | None) -> ModuleType:
    if folder:
        _refuse_way_out(name, what=what, folder=folder)
    try:
        with _Importing(folder):
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{what} cannot be imported: {error} ({_place(error)})") from error
        looked = f"{folder} and " if folder else ""
        raise ConfigError(f"{what}: no module {error.name!r} in {looked}the installed packages") from None
    except Exception as error:  # user's code runs here: whatever it raises is a problem of the configuration
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{what} cannot be imported: {problem} ({_place(error)})") from error
    if folder and _hidden(name, module, folder):
        ours = folder / name.partition(".")[0]
        raise ConfigError(f"{what}: {ours} is hidden by an installed module of that name; rename it")
    return module


def _hidden(name: str, module: ModuleType, folder: Path) -> bool:
    top = folder / name.partition(".")[0]
    ours = top.with_suffix(".py").is_file() or (top / "__init__.py").is_file()
    return ours and not _is_below(module, folder)


def _is_below(module: ModuleType, folder: Path) -> bool:
    """Say whether a module is the folder's own, not of an environment that lies in the folder."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not Path(file).resolve().is_relative_to(folder):
        return False
    installed = (Path(entry).resolve() for entry in sys.path)
    inside = [entry for entry in installed if entry != folder and entry.is_relative_to(folder)]
    return not any(Path(file).resolve().is_relative_to(entry) for entry in inside)


def _place(error: Exception) -> str:
    """Give the file and line of the user's code that an import died of."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}"


class _Importing:
    """While open, modules come from what is installed and then from one folder, never from the current one.

    What was imported from a folder is seen only by imports for that folder: two configurations may both have
    a module of the same name.
    """

    _lock = threading.RLock()
    _own: dict[Path, dict[str, ModuleType]] = {}  # noqa: RUF012 - shared on purpose, as sys.modules is

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._lock.acquire()
        self._path = sys.path[:]
        first, *rest = sys.path or [""]
        started_here = first == "" or Path(first).resolve() == Path.cwd()
        installed = [entry for entry in (rest if started_here else sys.path) if entry]
        sys.path[:] = [*installed, *([str(self._folder)] if self._folder else [])]
        self._swap()
        self._before = set(sys.modules)
        importlib.invalidate_caches()

    def _swap(self) -> None:
        for folder, modules in self._own.items():
            for name in modules if folder != self._folder else ():
                sys.modules.pop(name, None)
        if self._folder:
            sys.modules.update(self._own.get(self._folder, {}))

    def __exit__(self, *_: object) -> None:
        sys.path[:] = self._path
        if self._folder:
            new = {name: sys.modules[name] for name in sys.modules.keys() - self._before}
            ours = {name: module for name, module in new.items() if _is_below(module, self._folder)}
            self._own.setdefault(self._folder, {}).update(ours)
        self._lock.release()
