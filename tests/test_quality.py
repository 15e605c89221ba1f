"""The gates: every tool that judges the code runs as a test, and so do the rules that no tool knows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("connector", "schemas", "transformers")
ENGINE = ROOT / "connector" / "connectory"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = {
    **os.environ,
    "NO_COLOR": "1",
    "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in SOURCE_ROOTS),  # works without installing
}

TOOLS = {
    "ruff": ["ruff", "check", "--no-fix"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
    "lint-imports": ["lint-imports", "--no-logo"],
    "deptry": ["deptry", "--no-ansi", *SOURCE_ROOTS],
}


def run(*command: str | Path) -> None:
    """Run a tool at the root of the checkout; the failure shows what it said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}",
            pytrace=False,
        )


def python_files(*folders: Path | str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# -- the tools


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_has_nothing_to_say(tool: str):
    name, *options = TOOLS[tool]
    run(Path(sys.executable).with_name(name), *options)


def test_the_catalogue_is_what_the_generator_makes():
    spec = os.environ.get("CONNECTORY_SPEC", "")
    if not spec:
        pytest.skip(
            "CONNECTORY_SPEC names no OpenAPI document: the catalogue is NOT compared with its source"
        )
    assert Path(spec).is_file(), f"CONNECTORY_SPEC names {spec!r}, which is no file"
    run(sys.executable, "-m", "connectory_schemas.generate", "--check")


def test_the_reference_pages_are_what_the_code_says():
    run(sys.executable, ROOT / "docs" / "reference" / "generate.py", "--check")


# -- the rules for imports that the import contracts cannot say


def imports_at_run_time(tree: ast.AST) -> set[str]:
    """The modules that are imported outside `if TYPE_CHECKING`, wherever in the file."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        else:
            found |= imports_at_run_time(node)
    return found


def names_from_the_front_door(tree: ast.AST) -> set[str]:
    """What a module takes from `connectory` itself; a sibling module taken from there is none of it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name == "connectory"}
        elif isinstance(node, ast.ImportFrom) and (node.level, node.module) == (0, "connectory"):
            names |= {alias.name for alias in node.names if not is_module(ENGINE / alias.name)}
    return names


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_inside_the_engine_nobody_imports_the_front_door():
    taken = {relative(path): names_from_the_front_door(parsed(path)) for path in python_files(ENGINE)}
    guilty = {path: names for path, names in taken.items() if names}
    assert guilty == {}, "import the sibling module, `from connectory.errors import ...`"


def test_only_what_sends_builds_and_signs_imports_httpx_at_run_time():
    allowed = [ENGINE / name for name in ("transport", "client.py", "requests/building.py", "auth.py")]
    guilty = [
        relative(path)
        for path in python_files(*SOURCE_ROOTS)
        if any(name.partition(".")[0] == "httpx" for name in imports_at_run_time(parsed(path)))
        and not any(path.is_relative_to(one) for one in allowed)
    ]
    assert guilty == []


def test_the_front_door_imports_no_module_before_it_is_asked_for_a_name():
    code = "import sys, connectory; sys.exit([name for name in sys.modules if name.startswith('connectory.')] or None)"
    run(sys.executable, "-c", code)


# -- the rules for files


def test_the_source_roots_are_no_packages():
    """An `__init__.py` there would overwrite other people's `transformers`."""
    assert [root for root in SOURCE_ROOTS if (ROOT / root / "__init__.py").exists()] == []


def test_no_module_grows_beyond_600_lines():
    long = {
        relative(path): lines
        for path in python_files(*SOURCE_ROOTS)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert long == {}


def test_every_module_says_in_its_first_line_what_it_is_for():
    silent = [
        relative(path)
        for path in python_files(*SOURCE_ROOTS)
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


CODE = {
    "type: ignore": r"\[[\w\-, ]+\]",
    "pyright: ignore": r"\[\w[\w, ]*\]",
    "noqa": r": ?[A-Z]+\d+(?:,? ?[A-Z]+\d+)*",
    "pragma: no cover": "",
}


def unexplained(line: str) -> bool:
    """Say whether a line silences a tool without a code, or without saying why."""
    for name, code in CODE.items():
        found = re.search(rf"#\s*{name}(.*)", line)
        if found and not re.match(rf"{code}\s+[-#]\s*\w", found[1]):
            return True
    return False


def silenced(line: str) -> list[str]:
    """The codes that a line silences: a run of lines with the same codes needs the reason once."""
    return re.findall(r"[A-Z]+\d{3,}|\[[\w\-, ]+\]", line.partition("  # ")[2])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = 1", False),
        ("x = 1  # type: ignore", True),
        ("x = 1  # type: ignore[assignment]", True),
        ("x = 1  # type: ignore[assignment]  # the library has no types", False),
        ("x = 1  # noqa", True),
        ("x = 1  # noqa: A002", True),
        ("x = 1  # noqa: A002, S101 - the API's own word", False),
        ("x = 1  # noqa - the API's own word", True),
        ("x = 1  # pyright: ignore[reportUnknownMemberType]  # jmespath has no types", False),
        ("x = 1  # pyright: ignore", True),
    ],
)
def test_a_silenced_rule_needs_its_code_and_a_reason(line: str, *, expected: bool):
    assert unexplained(line) is expected


def numbered(path: Path) -> Iterator[tuple[int, str, str]]:
    """Each line with its number and the line above it, where a longer reason may stand."""
    lines = ["", *path.read_text(encoding="utf-8").splitlines()]
    return ((number, above.strip(), line) for number, (above, line) in enumerate(pairwise(lines), 1))


def test_no_tool_is_silenced_without_a_code_and_a_reason():
    guilty = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in python_files(*SOURCE_ROOTS, "tests", "docs")
        if path != Path(__file__)
        for number, above, line in numbered(path)
        if unexplained(line) and not above.startswith("# ") and silenced(line) != silenced(above)
    ]
    assert guilty == []


# -- the versions that CI installs


def constraints() -> dict[str, Version]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").split()
    return {
        canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)
    }


def declared() -> list[Requirement]:
    project = PYPROJECT["project"]
    words = [
        *project["dependencies"],
        *(word for extra in project["optional-dependencies"].values() for word in extra),
    ]
    words += [
        word for group in PYPROJECT["dependency-groups"].values() for word in group if isinstance(word, str)
    ]
    return [Requirement(word) for word in words]


def test_the_constraints_pin_every_declared_requirement_within_its_range():
    pins = constraints()
    wrong = [
        f"{requirement} is pinned to {pins.get(canonicalize_name(requirement.name))}"
        for requirement in declared()
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), Version("0")))
    ]
    assert wrong == []
