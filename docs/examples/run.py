"""Run examples against a sandbox, and hold what they leave against what is expected.

    python docs/examples/run.py conversations     this one (without a name: all of them)
    python docs/examples/run.py --write           make what is expected anew

An example is a folder: `connectory.yaml`, whose head says the commands, and its input. `before/` makes what the
server holds already, `expected/` is what the commands leave; `…` stands there for what is different each time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from connectory import Connector
from connectory.sandbox import EmbeddedSandbox

EXAMPLES = Path(__file__).parent
COMMAND = re.compile(r"^#   connectory (.+)$", re.MULTILINE)
TOKEN = 'token: "${OPENAI_API_KEY}"'  # noqa: S105 - a name
VARIES = re.compile(r"(?<![0-9a-z])[0-9a-f]{8,}(?![0-9a-z])|\d{4}-\d\d-\d\d")
"""What the sandbox makes up: ids, and the days on which it did."""
TIMES = range(1_600_000_000, 3_000_000_000)
MANY = 20
PROGRAM = ["connectory"]
DAY = 86_400


def examples() -> list[str]:
    """Name the examples that say their commands."""
    return sorted(
        path.parent.name for path in EXAMPLES.glob("*/connectory.yaml") if commands(path.parent.name)
    )


def commands(example: str) -> list[list[str]]:
    """Give the words of the commands in an example's head."""
    return [
        shlex.split(words) for words in COMMAND.findall((EXAMPLES / example / "connectory.yaml").read_text())
    ]


def left_by(example: str, folder: Path) -> dict[str, list[str]]:
    """Run an example in an empty folder; give the lines that it leaves by file, and those of its output as `stdout`."""
    shutil.copytree(
        EXAMPLES / example,
        folder,
        ignore=shutil.ignore_patterns(".connectory", "expected"),
        dirs_exist_ok=True,
    )
    for script in folder.glob("*.sql"):
        with contextlib.closing(sqlite3.connect(script.with_suffix(".db"))) as database:
            database.executescript(script.read_text())
    given = {path.relative_to(folder) for path in folder.rglob("*")}
    ages = [0.0]
    with EmbeddedSandbox(clock=lambda: time.time() - ages[-1]) as sandbox:
        prepare(sandbox, folder, ages)
        shown = [line for words in commands(example) for line in run(words, sandbox, folder)]
    left, others = {"stdout": shown}, list[str]()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir() or name in given or name.parts[0] == ".connectory":
            continue
        if path.suffix == ".jsonl":
            left[str(name)] = path.read_text().splitlines()
        else:
            others.append(name.as_posix())
    for path in sorted(folder.glob("*.db")):
        with contextlib.closing(sqlite3.connect(path)) as database:
            left[f"{path.name}.sql"] = [line for line in database.iterdump() if line.startswith("INSERT")]
    left["files.txt"] = others
    here = re.escape(str(folder))
    return {
        name: sorted(visible(re.sub(here, "…", line)) for line in lines)
        for name, lines in left.items()
        if lines
    }


def prepare(sandbox: EmbeddedSandbox, folder: Path, ages: list[float]) -> None:
    """Make what the server holds before the example, `days` ago; `as` names its id for the lines that follow."""
    before, ids = folder / "before", dict[str, str]()
    if not before.exists():
        return
    with (
        Connector.openai(token=sandbox.token, base_uri=sandbox.base_uri) as connector,
        contextlib.chdir(before),
    ):
        for line in Path("steps.jsonl").read_text().splitlines():
            step: dict[str, Any] = json.loads(re.sub(r"\{\{(\w+)\}\}", lambda found: ids[found[1]], line))
            ages.append(step.get("days", 0) * DAY)
            for _ in range(step.get("times", 1)):
                if "read" in step:
                    _ = list(connector.read(step["read"], path=step["path"]))
                    continue
                made = connector.create(step["create"], path=step.get("path"), payload=step["payload"])
                ids[step.get("as", "")] = made.response["id"]
    ages.append(0)
    shutil.rmtree(before)


def run(words: list[str], sandbox: EmbeddedSandbox, folder: Path) -> list[str]:
    """Run one command, and give the lines of its output; where the example names a server, a sandbox stands for it."""
    config = folder / "connectory.yaml"
    if TOKEN in config.read_text():
        here = f'token: "{sandbox.token}"\n    base_uri: "{sandbox.base_uri}"'
        config.write_text(config.read_text().replace(TOKEN, here))
    elif sandbox.base_uri not in config.read_text():
        words = [*words, "--sandbox"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the same program as here
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", *PROGRAM, *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise SystemExit(f"connectory {shlex.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.splitlines()


def visible(text: str) -> str:
    """Put `…` for what is different each time."""
    try:
        return json.dumps(masked(json.loads(text)), ensure_ascii=False)
    except ValueError:
        return VARIES.sub("…", text)


def masked(value: Any) -> Any:
    """Put `…` for what is different each time in a value: ids, times, and long lists of numbers."""
    if isinstance(value, dict):
        return {name: masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return "…" if len(value) > MANY else [masked(one) for one in value]
    if isinstance(value, str):
        return VARIES.sub("…", value)
    return "…" if isinstance(value, int) and value in TIMES else value


def expected(example: str) -> dict[str, list[str]]:
    """Read what an example is expected to leave."""
    folder = EXAMPLES / example / "expected"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text().splitlines() for path in files}


def write(example: str, left: dict[str, list[str]]) -> None:
    """Write down what an example leaves."""
    folder = EXAMPLES / example / "expected"
    shutil.rmtree(folder, ignore_errors=True)
    for name, lines in left.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


def main() -> int:
    """Run the examples that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=examples())
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    wrong = 0
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            left = left_by(name, Path(folder))
        if options.write:
            write(name, left)
        fits = left == expected(name)
        wrong += not fits
        print(f"{name}: {'as expected' if fits else 'not as expected'}")
        for file, lines in left.items():
            print(f"  {file}", *lines[:3], sep="\n    ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
