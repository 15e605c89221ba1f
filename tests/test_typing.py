"""The public API has the types that it says: both checkers accept a program that uses all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
API = ROOT / "tests" / "typing" / "api.py"
SOURCE_ROOTS = [str(ROOT / name) for name in ("connector", "schemas", "transformers")]


def check(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": os.pathsep.join(SOURCE_ROOTS), "NO_COLOR": "1"},
    )
    if done.returncode:
        pytest.fail(f"{command[0]}\n{done.stdout}{done.stderr}", pytrace=False)


def test_mypy_accepts_the_public_api(tmp_path):
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    check(tmp_path, "mypy", "--config-file", "mypy.ini", str(API))


def test_pyright_accepts_the_public_api(tmp_path):
    settings = {"include": [str(API)], "extraPaths": SOURCE_ROOTS, "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    check(tmp_path, "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path))
