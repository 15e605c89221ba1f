"""Write docs/faults.md from the marks of the tests: `python tests/faults/table.py [--check]`."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"

FAULTS = {
    "Network": {
        "N1": "nobody listens at the address",
        "N2": "nobody listens, and later somebody does",
        "N3": "the connection breaks after the request, before any answer",
        "N4": "the connection breaks in the middle of the answer",
        "N5": "an answer without a length ends in the middle",
        "N6": "the server takes the request and says nothing",
        "N7": "the answer comes a byte at a time",
        "N8": "the server stops taking the request",
        "N9": "the certificate is not to be trusted, or TLS is too old or missing",
        "N10": "the host name is unknown, or unknown for a moment",
        "N11": "the server speaks HTTP/2",
        "N12": "a kept connection was closed meanwhile",
        "N13": "the proxy refuses, fails or hangs up",
        "N14": "the server is away for a minute, again and again",
        "N15": "a long run with failures and cancellations",
    },
    "Protocol": {
        "P1": "status 200 with what is not JSON",
        "P2": "an answer that unpacks to far too much, or is packed otherwise",
        "P3": "an answer of gigabytes, or without end",
        "P4": "a redirect",
        "P5": "429 without a word on how long, again and again",
        "P6": "wishes to wait in every form, sensible or not",
        "P7": "this computer's clock is wrong, or is set meanwhile",
        "P8": "headers about limits in every form",
        "P9": "a list that goes round in circles",
        "P10": "empty pages that promise more",
        "P11": "a list that promises more and gives no way to it",
        "P12": "a list that changes while it is read",
        "P13": "a next page on another server",
        "P14": "interim answers, and heads that are odd or endless",
        "P15": "status 200 with an error in it",
        "P16": "a server that knows the delivery's key: 409, 422",
        "P17": "no request id, or several",
        "P18": "a stream of events that breaks",
    },
    "Process": {
        "X1": "killed at any moment",
        "X2": "asked to end, once and twice",
        "X3": "stopped and continued; a laptop that sleeps",
        "X4": "the disk is full",
        "X5": "the journal is damaged",
        "X6": "the end of the results is torn",
        "X7": "the journal is gone and the results are there",
        "X8": "two processes with one job",
        "X9": "folders that cannot be written, other users, links",
        "X10": "a record that kills the process each time",
        "X11": "input or configuration changed between two runs",
        "X12": "the reader of the output goes away; the input ends early",
        "X13": "the clock is set back",
        "X14": "a newer version with the state of an older one",
        "X15": "threads, and a program that blocks for seconds",
    },
    "Bad input": {
        "B1": "a line that is no JSON, or no object",
        "B2": "a line of a hundred megabytes",
        "B3": "NaN, infinity, numbers beyond all bounds",
        "B4": "nesting without end, numbers of thousands of digits",
        "B5": "bytes that are no text, half of a character, zero bytes",
        "B6": "unusual line ends within a text",
        "B7": "the same key twice in an object",
        "B8": "numbers and keys that do not survive a rewrite",
        "B9": "path values that lead elsewhere",
        "B10": "header values with line ends or strange characters",
        "B11": "an unknown key in the configuration",
        "B12": "YAML that is a trap",
        "B13": "environment variables that are missing, empty or odd",
        "B14": "expressions that take for ever",
        "B15": "payloads of the wrong shape",
        "B16": "the same record twice",
        "B17": "empty or strange input; output upon the input",
        "B18": "files to upload that are missing, change or lie elsewhere",
    },
    "Security": {
        "S1": "secrets in any output",
        "S2": "libraries whose errors carry the value",
        "S3": "credentials to a foreign server",
        "S4": "data that wants to choose the server",
        "S5": "a configuration that brings code",
        "S6": "files outside the folder that is allowed",
        "S7": "certificates that are not checked",
        "S8": "a token over plain HTTP",
        "S9": "control characters in what is shown",
        "S10": "proxies from the environment",
        "S11": "files that others can read",
        "S12": "schemas that fetch from elsewhere",
        "S13": "costs without bound",
    },
}
"""Each section's rows and their faults, in plain words."""

WITHOUT: dict[str, str] = {}
"""Rows without a test, and why."""

HEAD = """# What happens when something fails

Every row is a fault that a test makes on purpose, most of them with a server of its own on a real socket. What is the same
for all of them is not repeated: each record has one result or is counted as not sent, there were as many requests as the
results say, the token is in no output, and the same records then go through to a healthy server.

This page is made from the tests: `python tests/faults/table.py`.
"""


class Row(NamedTuple):
    """A test's mark: which row of the table, what happens, and which test shows it."""

    row: str
    answer: str
    test: str


def marked(folder: Path = ROOT / "tests") -> Iterator[Row]:
    """Give the marks of every test, in the order of files and lines. Raises SystemExit for one that cannot be read."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            name = f"{path.relative_to(folder.parent).as_posix()}::{node.name}"
            for decorator in node.decorator_list:
                yield from _marks(decorator, name)


def _marks(decorator: ast.expr, name: str) -> Iterator[Row]:
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.fault"):
            try:
                row, answer = (ast.literal_eval(argument) for argument in node.args)
            except ValueError:
                raise SystemExit(f"{name}: a fault mark has two texts, the row and what happens") from None
            yield Row(row, answer, name)


def problems(rows: list[Row]) -> list[str]:
    """Say what the table lacks, or has too much."""
    known = {row for section in FAULTS.values() for row in section}
    tested = {one.row for one in rows}
    found = [f"{one.test}: there is no row {one.row!r}" for one in rows if one.row not in known]
    found += [f"row {row} has no test" for row in sorted(known - tested - WITHOUT.keys())]
    found += [f"row {row} has a test and is among WITHOUT" for row in sorted(tested & WITHOUT.keys())]
    return found


def page(rows: list[Row]) -> str:
    """Write the page."""
    by_row: defaultdict[str, list[Row]] = defaultdict(list)
    for one in rows:
        by_row[one.row].append(one)
    lines = [HEAD]
    for section, faults in FAULTS.items():
        shown = [row for row in faults if row in by_row or row in WITHOUT]
        if not shown:
            continue
        lines += [f"## {section}\n", "| row | fault | what happens | tests |", "|---|---|---|---|"]
        lines += [_line(row, faults[row], by_row[row]) for row in shown]
        lines.append("")
    return "\n".join(lines)


def _line(row: str, fault: str, tests: list[Row]) -> str:
    if not tests:
        return f"| {row} | {fault} | {WITHOUT[row]} | none |"
    answers = " ".join(dict.fromkeys(_sentence(one.answer) for one in tests))
    names = "<br>".join(f"`{name}`" for name in dict.fromkeys(one.test for one in tests))
    return f"| {row} | {fault} | {answers} | {names} |"


def _sentence(text: str) -> str:
    """Begin with a capital and end with a full stop; a bar would end the cell."""
    text = (text[0].upper() + text[1:]).replace("|", "\\|")
    return text if text.endswith(".") else f"{text}."


def main(*, check: bool) -> int:
    """Write the page, or say whether it is what the tests say."""
    rows = list(marked())
    found = problems(rows)
    wanted = page(rows)
    if check and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted):
        found.append("docs/faults.md is not what the tests say: run python tests/faults/table.py")
    for problem in found:
        print(problem, file=sys.stderr)
    if not found and not check:
        PAGE.write_text(wanted, encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
