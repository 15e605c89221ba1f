"""The environments of the tools: one for each, with pinned versions, made when it is missing or no longer what is asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
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


def environment(name: str) -> Path:
    """Give the Python of an environment that has what `environments.toml` says."""
    wanted, folder = WANTED[name], HERE / name
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
        place = f"connectory[{extra}] @ {ROOT.as_uri()}" if extra else f"connectory @ {ROOT.as_uri()}"
        _install(name, "-c", str(CONSTRAINTS), "--reinstall-package", "connectory", place)
    mark.write_text(said)
    return python_of(folder)


def versions(name: str) -> dict[str, str]:
    """Say what is installed in it."""
    done = _call(
        name, [_uv(), "pip", "list", "-q", "--format", "json", "--python", str(python_of(HERE / name))]
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
            str(python_of(HERE / name)),
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
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{name} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
