"""A Meltano project, with Meltano and other people's targets in environments of their own, made by uv."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import ROOTS

if TYPE_CHECKING:
    from collections.abc import Callable

MELTANO = "meltano==4.4.1"
TARGETS = {
    "target-jsonl": ["target-jsonl==0.1.4"],
    "target-duckdb": ["target-duckdb==0.8.0", "duckdb==1.5.6"],
}


def uv() -> str:
    """Find uv; without it nothing can be installed here."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("NOT TESTED with Meltano: there is no `uv` to make its environment with")
    return found


def installed(folder: Path, *requirements: str) -> Path:
    """Make an environment with programs, and give the folder of its programs; skips loudly where it cannot be."""
    commands = [
        [uv(), "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv(), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *requirements],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(
                f"NOT TESTED with {', '.join(requirements)}: it cannot be installed: {done.stderr[-500:]}"
            )
    return folder / "bin"


class Project:
    """A folder with a `meltano.yml`, and its programs in front of all others."""

    def __init__(self, folder: Path, meltano: Path, *programs: Path) -> None:
        self.folder, self._meltano = folder, meltano
        ours = folder / "bin"
        ours.mkdir(parents=True)
        for name in ("tap", "target"):
            code = f"from connectory.cli.singer import {name}_connectory as run; run()"
            script = (
                f'#!/bin/sh\nPYTHONPATH="{os.pathsep.join(ROOTS)}" exec "{sys.executable}" -c "{code}" "$@"\n'
            )
            (ours / f"{name}-connectory").write_text(script)
            (ours / f"{name}-connectory").chmod(0o755)
        (folder / "out").mkdir()
        kept = {
            name: one for name, one in os.environ.items() if not name.startswith(("OPENAI_", "CONNECTORY_"))
        }
        self.environment = {
            **kept,
            "PATH": os.pathsep.join([str(ours), *map(str, programs), os.environ["PATH"]]),
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "MELTANO_HUB_URL": "http://127.0.0.1:9",  # nothing is asked of the hub
            "NO_COLOR": "1",
            "OPENAI_API_KEY": "made-up",
        }

    def run(self, *words: str, during: Callable[[], None] | None = None) -> tuple[int, str]:
        """Run Meltano to its end, or kill all of it when `during` returns; give the exit code and what was said."""
        process = subprocess.Popen(
            [str(self._meltano / "meltano"), *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if during is not None:
                during()
                os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate(timeout=200)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, said.decode()

    def get(self, *words: str) -> Any:
        code, said = self.run(*words)
        assert code == 0, said
        return said
