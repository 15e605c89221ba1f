"""Run the command line in a process of its own that gets a signal in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from command import ROOTS

if TYPE_CHECKING:
    from pathlib import Path


def ended_at(
    folder: Path, words: tuple[str, ...], sign: str, number: int, *, times: int = 1
) -> tuple[int, str]:
    """Run a command, send it a signal once stderr has said something so often; give its code and what it said."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CONNECTORY_"))
    }
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "connectory", *words],
        cwd=folder,
        env={**environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if sign in line:
                times -= 1
                if not times:
                    process.send_signal(number)
        process.wait(60)
    assert times <= 0, f"never said {sign!r}: {''.join(said)}"
    return process.returncode, "".join(said)
