"""The commands of the project: `nox` runs what CI runs, `nox -s NAME` one of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"  # the Pythons that are installed, and no others
nox.options.sessions = ["lint", "types", "imports", "tests", "docs", "package"]

PYPROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = [
    name.rpartition(" ")[2]
    for name in PYPROJECT["project"]["classifiers"]
    if name.startswith("Programming Language :: Python :: 3.")
]
CONSTRAINTS = ".ci/constraints.txt"
PARALLEL = ["-n", "2", "--dist", "loadfile"]  # as the README's test command has it
# These have a session of their own; the others need not run them again for every Python.
GATES = [
    "tests/test_quality.py",
    *map(str, sorted(Path("tests").glob("test_docs*.py"))),
    "tests/test_site.py",
    "tests/test_image.py",
    "tests/test_typing.py",
    "tests/test_entity_pages.py",
    "tests/test_pictures.py",
    "tests/test_package.py",
]


def install(session: nox.Session, *groups: str) -> None:
    """Install the project as CI does: editable, with its extras, at the versions of the constraints."""
    chosen = [word for group in groups for word in ("--group", group)]
    session.install("-c", CONSTRAINTS, "-e", ".[fast,sandbox]", *chosen)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff: rules and format. `nox -s lint -- --fix` repairs what it can."""
    install(session, "lint")
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Run both type checkers, strict: over the code, and over what users write."""
    install(session, "lint", "test", "counterparts")
    session.run("mypy")
    session.run("pyright", "--pythonpath", str(Path(session.virtualenv.location) / "bin" / "python"))
    session.run("pytest", "tests/test_typing.py")


@nox.session
def imports(session: nox.Session) -> None:
    """Check who imports whom, and that what is imported is declared."""
    install(session, "lint", "test")
    session.run("lint-imports")
    session.run("deptry", "connector", "schemas", "transformers")
    session.run("pytest", "tests/test_quality.py", "-k", "import")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python that the project claims."""
    install(session, "test", "counterparts")
    ignored = [] if session.posargs else [f"--ignore={path}" for path in GATES]
    session.run("pytest", *PARALLEL, *ignored, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every example of the documents, build the site, and check that nothing is left undescribed."""
    install(session, "test", "lint", "docs")
    elsewhere = {"tests/test_quality.py", "tests/test_package.py", "tests/test_typing.py"}
    files = [path for path in GATES if path not in elsewhere]
    session.run("pytest", *files, *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Build the documents into `.site/`, strictly."""
    session.install("-c", CONSTRAINTS, *nox.project.dependency_groups(PYPROJECT, "docs"))
    session.run("python", "docs/site.py")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist, the wheel from it, and use the wheel alone in a new environment."""
    install(session, "test")
    session.install("uv")  # the tests make environments with it
    session.run("pytest", "tests/test_package.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest versions that the project claims to work with."""
    extras = ",".join(PYPROJECT["project"]["optional-dependencies"])
    # --upgrade: what an older bound brought in an environment that is reused would be kept
    chosen = ["--upgrade", "--resolution", "lowest-direct", "--group", "test", "--group", "counterparts"]
    session.install(*chosen, "-e", f".[{extras}]")
    session.run("pytest", *PARALLEL, *(f"--ignore={path}" for path in GATES), *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside other tools: `nox -s bench -- --quick`; what is compared is installed into .venv-bench."""
    session.install("uv")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)
