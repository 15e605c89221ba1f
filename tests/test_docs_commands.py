"""The shell lines of the documents run: what would reach a server meets the sandbox."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from test_docs import BLOCKS, ROOT, command_lines, is_walk, prepare

if TYPE_CHECKING:
    from pathlib import Path

NOT_RUN = {
    r"pytest -n 2": "the test command itself: .ci/run runs it, word for word",
    r"docs/examples/run\.py": "tests/test_docs_examples.py runs every example",
    r"tests/benchmarks/|nox -s bench": "measures for hours",
    r"^connectory sandbox": "runs until it is interrupted: tests/test_sandbox.py and others start it",
    r"^pip install \./shop": "installs into this environment: tests/test_package.py does that in one of its own",
    r"^connectory runs (cancel|repair)": "wants a run: tests/test_batches_cli.py and tests/test_resume.py have one",
    r"^connectory catalogue (build|diff)": "wants an OpenAPI document: tests/test_catalogue_building.py has some",
    r"^connectory import alumio": "wants an export: tests/test_importing.py has one",
    r"file_id=file-abc123": "the sandbox has no such file: tests/test_saving.py reads one that is there",
    r"--processes": "wants a long input: the tests in tests/processes have one",
    r"--detach$|delivery: batch": "leaves work behind at the server, and the sandbox ends with the command",
}
"""Lines that are only parsed, and why. A line above which a page says `<!-- not run: reason -->` is neither."""


def run_lines() -> list[Any]:
    """The shell lines that are run, not only parsed."""
    return [
        pytest.param(block.page, run, id=f"{block.page.name}: {run}")
        for block in BLOCKS
        if block.language in {"sh", "console"} and not block.excuse and not is_walk(block.page)
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
        if line.strip() and not why_not(run := without_installing(line))
    ]


def why_not(line: str) -> str:
    """Give the reason why a line is not run, if there is one."""
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), "")


def without_installing(line: str) -> str:
    line = re.sub(r"^\s*\$ ", "", line)
    if "pip install" in line and (found := command_lines(line)):
        return shlex.join(["connectory", *found[-1]])
    return line


def test_every_reason_not_to_run_a_line_has_a_line():
    lines = "\n".join(
        without_installing(line)
        for block in BLOCKS
        if block.language in {"sh", "console"}
        for line in block.text.splitlines()
    )
    assert [pattern for pattern in NOT_RUN if not re.search(pattern, lines, re.MULTILINE)] == []


REACHING = {"check", "run", "preview", "read", "create", "delete", "request", "replay", "options"}
SHIM = """\
#!/bin/sh
case "$1" in %s) case " $* " in *" --sandbox "*) ;; *) set -- "$@" --sandbox ;; esac ;; esac
exec "%s" -m connectory "$@"
"""
"""The program as the documents call it; what would reach a server meets the sandbox."""


def environment(folder: Path) -> dict[str, str]:
    """Give the environment of a reader: the program on the path, and no key."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    program = programs / "connectory"
    program.write_text(SHIM % ("|".join(sorted(REACHING)), sys.executable), encoding="utf-8")
    program.chmod(0o755)
    given = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ("connector", "schemas", "transformers")),
    }
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "CONNECTORY_CONFIG"):
        given.pop(name, None)
    return given


@pytest.mark.parametrize(("page", "line"), run_lines())
def test_commands_in_the_documents_succeed(page: Path, line: str, tmp_path: Path):
    prepare(page, tmp_path)
    shell = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(
        shell,
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        pytest.fail(
            f"{line}\nended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr}", pytrace=False
        )
