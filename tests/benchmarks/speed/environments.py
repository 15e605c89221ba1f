"""The environments of the tools: one for each, with pinned versions, made when it is missing or no longer what is asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / ".venv-bench"
WANTED = tomllib.loads(Path(__file__).with_name("environments.toml").read_text())
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"


class UnavailableError(Exception):
    """This can't be measured here, for the reason that it tells."""


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def folder_of(name: str) -> Path:
    """Say where an environment lies."""
    base, _, commit = name.partition("@")
    return HERE / (f"{base}-then" if commit else base)


def environment(name: str) -> Path:
    """Give the Python of an environment that has what `environments.toml` says; `name@commit` with our code of then.

    All commits share one: the code is installed anew each time.
    """
    base, _, commit = name.partition("@")
    wanted, folder = WANTED[base], folder_of(name)
    mark = folder / "installed.json"
    said = json.dumps([wanted, sys.version])
    if not mark.exists() or mark.read_text() != said:
        print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _call(name, [_uv(), "venv", "-q", "--python", sys.executable, str(folder)])
        if "packages" in wanted:
            _install(name, *wanted["packages"])
    if "project" in wanted:  # anew each time: the code is what changes
        extra = wanted["project"]
        tree = (_laid_out(commit, folder / "project") if commit else ROOT).as_uri()
        place = f"connectory[{extra}] @ {tree}" if extra else f"connectory @ {tree}"
        _install(name, "-c", str(CONSTRAINTS), "--reinstall-package", "connectory", place)
    mark.write_text(said)
    return python_of(folder)


def commit_of(revision: str) -> str:
    """Give the commit that a revision of git is now, in short. Raises UnavailableError."""
    asked = ["git", "rev-parse", "--short", "--verify", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        return _call(revision, asked).strip()
    except (UnavailableError, FileNotFoundError):
        raise UnavailableError(f"git knows no revision {revision!r} of {ROOT}") from None


def _laid_out(commit: str, folder: Path) -> Path:
    """Give a folder that holds the project's files of a commit, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    _call(commit, ["git", "archive", "--output", str(archive), commit])
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    return folder


def versions(name: str) -> dict[str, str]:
    """Say what is installed in it."""
    done = _call(
        name, [_uv(), "pip", "list", "-q", "--format", "json", "--python", str(python_of(folder_of(name)))]
    )
    listed: list[dict[str, Any]] = json.loads(done)
    return {one["name"]: one["version"] for one in listed}


def _install(name: str, *words: str) -> None:
    _call(
        name,
        [
            _uv(),
            "pip",
            "install",
            "-q",
            "--compile-bytecode",
            "--python",
            str(python_of(folder_of(name))),
            *words,
        ],
    )


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise UnavailableError("the environments are made with uv, which is not here: pip install uv")
    return found


def _call(name: str, command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{name} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
