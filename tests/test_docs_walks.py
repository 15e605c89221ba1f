"""Pages whose commands build on one another are walked as a reader walks them, and print what the page says."""

from __future__ import annotations

import re
import subprocess

import pytest
from markdown_blocks import blocks
from test_docs import PAGES, ROOT, is_walk, prepare
from test_docs_commands import environment

HIDDEN = re.compile(r"<!-- for the walk\n(.*?)-->", re.DOTALL)
WALKS = [page for page in PAGES if is_walk(page)]


def steps(page):
    """Give the commands of a page in order, each with the output that the page shows below it."""
    text = page.read_text("utf-8")
    found = [
        (block.line, block.language, block.text)
        for block in blocks(page)
        if not block.excuse and not block.file
    ]
    found += [(text.count("\n", 0, one.start()), "sh", one[1]) for one in HIDDEN.finditer(text)]
    made = []
    for _, language, said in sorted(found):
        if language == "sh":
            made.append((said, []))
        elif language in {"jsonl", "text"} and made:
            made[-1][1].extend(said.splitlines())
    return made


def pattern(line):
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))


def test_there_are_walks():
    assert [page.name for page in WALKS] == ["resume.md", "tutorial.md"]


@pytest.mark.parametrize("page", WALKS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_walk_prints_what_the_page_says(page, tmp_path):
    prepare(page, tmp_path)
    walk = steps(page)
    script = "".join(f"printf '\\n@@%s@@\\n' {number}\n{said}\n" for number, (said, _) in enumerate(walk))
    done = subprocess.run(
        ["bash", "-eu", "-c", f"exec 2>&1\n{script}"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    printed = re.split(r"\n@@\d+@@\n", done.stdout)[1:]
    assert len(printed) == len(walk)
    for (said, expected), output in zip(walk, printed, strict=True):
        lines = output.splitlines()
        for line in expected:
            found = [one for one in lines if pattern(line).fullmatch(one.strip())]
            assert found, f"{said}\nshould print\n{line}\nand printed\n{output}"
