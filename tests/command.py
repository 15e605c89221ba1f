"""Run the command line as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary import given, leaks, leaks_since, state_of

ROOTS = [str(Path(__file__).parent.parent / name) for name in ("connector", "schemas", "transformers")]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    said: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> str:
        return self.said.strip().splitlines()[-1] if self.said.strip() else ""


def connectory(
    *words: str, folder: Path, stdin: str = "", traceback: bool = False, watched: bool = True, **environ: str
) -> Done:
    """Run `connectory` in a folder; a traceback fails the test whatever else happened, and so does a secret.

    What is searched for secrets is stdout, stderr and every file that the run made or changed, unless the test says
    that it is not `watched`.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CONNECTORY_"))
    }
    before = state_of(folder) if watched else {}
    done = subprocess.run(
        [sys.executable, "-m", "connectory", *words],
        input=stdin.encode(),
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join(ROOTS), "PYTHONWARNINGS": "error", **environ},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.decode()
    assert traceback or "Traceback" not in said, said
    if watched:
        secrets = given(folder, words, environ)
        assert leaks(done.stdout, secrets) == [], done.stdout
        assert leaks(said, secrets) == [], said
        assert leaks_since(folder, before, secrets) == [], "a file that the run wrote holds a secret"
    return Done(done.returncode, done.stdout.decode(), said)
