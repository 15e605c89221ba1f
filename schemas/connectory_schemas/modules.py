"""Python source, read and never run: the modules of a package, and what a name in one of them means."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from connectory_schemas.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_DEEPEST = 20
"""Imports of imports that are followed: more of them go round in a circle."""

Definition: TypeAlias = ast.ClassDef | ast.expr
"""What a module says a name is: a class, or the value it is given."""

Origin: TypeAlias = tuple[str, str | None]
"""Where an imported name comes from: a module, and the name there; None for the module itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One module: what it defines, and where its other names come from (a module, and a name in it)."""

    name: str
    tree: ast.Module
    package: str
    definitions: dict[str, Definition] = field(default_factory=dict[str, Definition])
    imports: dict[str, Origin] = field(default_factory=dict[str, Origin])


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means: a class or an alias of the package, or only the name that others gave it."""

    name: str
    module: Module | None = None
    node: Definition | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A package's folder; its modules are read when they are first asked for."""

    folder: Path
    known: dict[str, Module | None] = field(default_factory=dict[str, "Module | None"])

    @property
    def name(self) -> str:
        """Give the package's own name."""
        return self.folder.name

    def module(self, dotted: str) -> Module | None:
        """Read a module by its dotted name, the package's included; None when there is none."""
        if dotted not in self.known:
            self.known[dotted] = self._read(dotted)
        return self.known[dotted]

    def below(self, dotted: str) -> Iterator[Module]:
        """Give every module below a sub-package, in alphabetical order."""
        paths: list[Path] = sorted(self._path(dotted).rglob("*.py"))
        for path in paths:
            parts = path.relative_to(self.folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if (found := self.module(name)) is not None:
                yield found

    def find(self, node: ast.expr, module: Module) -> Found:
        """Say what a name or a dotted name in a module means."""
        if isinstance(node, ast.Attribute):
            home = self._home(node.value, module)
            return self._in(home, node.attr) if home else Found(node.attr)
        if not isinstance(node, ast.Name):
            raise SdkError(f"{module.name}: {ast.unparse(node)!r} is no name")
        return self._in(module, node.id)

    def _home(self, node: ast.expr, module: Module) -> Module | None:
        """Find the module that a name stands for, as in `file_list_params.FileListParams`."""
        if not isinstance(node, ast.Name) or node.id not in module.imports:
            return None
        home, name = module.imports[node.id]
        return self.module(f"{home}.{name}" if name else home)

    def _in(self, module: Module, name: str, depth: int = 0) -> Found:
        if name in module.definitions:
            return Found(name, module, module.definitions[name])
        home, original = module.imports.get(name, ("", None))
        following = self.module(home) if original and depth < _DEEPEST else None
        if following is None or original is None:
            return Found(original or name)
        return self._in(following, original, depth + 1)

    def _path(self, dotted: str) -> Path:
        return self.folder.parent.joinpath(*dotted.split("."))

    def _read(self, dotted: str) -> Module | None:
        if dotted.partition(".")[0] != self.name:
            return None
        path = self._path(dotted)
        is_package = path.is_dir()
        file = path / "__init__.py" if is_package else path.with_suffix(".py")
        if not file.is_file():
            return None
        package = dotted if is_package else dotted.rpartition(".")[0]
        module = Module(dotted, ast.parse(file.read_text(encoding="utf-8"), str(file)), package)
        for statement in _statements(module.tree.body):
            _note(statement, module)
        return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements at a module's top, those below an `if` or `try` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements([*statement.body, *statement.orelse])


def _note(statement: ast.stmt, module: Module) -> None:
    match statement:
        case ast.ClassDef(name=name):
            module.definitions[name] = statement
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            module.definitions[name] = value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            module.definitions[name] = value
        case ast.Import(names=names):
            for one in names:
                module.imports[one.asname or one.name] = (one.name, None)
        case ast.ImportFrom(names=names, level=level):
            home = _absolute(statement.module or "", level, module.package)
            for one in names:
                module.imports[one.asname or one.name] = (home, one.name)
        case _:
            pass


def _absolute(name: str, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
