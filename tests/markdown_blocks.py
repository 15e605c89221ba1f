"""The fenced blocks and links of a Markdown page, with the lines on which they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FENCE = re.compile(
    r"(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=ticks)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
EXCUSE = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z")
FILE = re.compile(r"`(?P<name>[\w.\-/]+\.\w+)`[^`\n]*:\s*\Z")
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is the line of its first line of text, `excuse` why it is not run.

    `file` is the name that the line before it gives: "Put this into `connectory.yaml`:".
    """

    page: Path
    language: str
    text: str
    line: int
    excuse: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page in order."""
    source = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(source):
        indent = len(found["indent"])
        text = "".join(
            line[indent:] if line.strip() else line for line in found["text"].splitlines(keepends=True)
        )
        excuse = EXCUSE.search(source[: found.start()])
        line = source.count("\n", 0, found.start("text")) + 1
        before = source[: excuse.start() if excuse else found.start()]
        file = FILE.search(before)
        yield Block(
            page,
            found["language"],
            text,
            line,
            excuse=excuse["reason"] if excuse else "",
            file=file["name"] if file else "",
        )


def prose(page: Path) -> str:
    """Give the page without its fenced blocks, the line numbers kept."""
    return FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Give the line and the target of each link."""
    text = prose(page)
    for found in LINK.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found["target"]


def anchors(page: Path) -> set[str]:
    """Give the names that a link may point to: its headings, spelled as a web address."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
