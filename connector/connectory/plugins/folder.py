"""The folder `transformers` beside a configuration: each file there that defines its own name is a transformer."""

from __future__ import annotations

import ast
import sys
from hashlib import blake2b
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.plugins.importing import Importing, place_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

FOLDER = "transformers"


def files_of(folder: Path | None) -> dict[str, Path]:
    """Give the files of a configuration's folder that are transformers, by name; none of them is run.

    A folder with an `__init__.py` is somebody's package, and no list of transformers.
    """
    place = _place(folder)
    return {} if place is None else {file.stem: file for file in sorted(place.glob("*.py")) if _defines(file)}


def file_of(folder: Path | None, name: str) -> Path | None:
    """Give the file of a configuration's folder that is the transformer of a name."""
    place = _place(folder)
    if place is None or not name.isidentifier():
        return None
    file = place / f"{name}.py"
    return file if file.is_file() and _defines(file) else None


def _place(folder: Path | None) -> Path | None:
    place = folder and folder / FOLDER
    return None if place is None or not place.is_dir() or (place / "__init__.py").exists() else place


def load_file(file: Path, *, what: str) -> Any:
    """Run a file of the folder, once, and give what has its name. Raises ConfigError."""
    folder = file.parent.parent.resolve()
    if not file.resolve().is_relative_to(folder):
        raise ConfigError(f"{what}: {file} is a link out of the configuration's folder; copy it there")
    try:
        with Importing(folder):
            module = _module(file)
    except Exception as error:  # user's code runs here: whatever it raises is a problem of the configuration
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{what} cannot be imported: {problem} ({place_of(error)})") from error
    if not hasattr(module, file.stem):
        raise ConfigError(f"{what}: {file} defines no {file.stem!r}")
    return getattr(module, file.stem)


def _module(file: Path) -> ModuleType:
    """Import a file under a name that nothing else has: `email.py` is a good name for a transformer."""
    place = file.resolve()
    name = f"_connectory_{blake2b(str(place).encode(), digest_size=8).hexdigest()}_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and models look their names up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _defines(file: Path) -> bool:
    """Say whether a file defines its own name; one that cannot be read is told of when it is loaded."""
    if file.stem.startswith("_") or not file.stem.isidentifier():
        return False
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return True
    return any(file.stem in _names(node) for node in tree.body)


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.ImportFrom(names=names):
            return [one.asname or one.name for one in names]
        case _:
            return []
