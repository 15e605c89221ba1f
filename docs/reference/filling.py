"""Parts of pages that are made: the list of all pages, the rows of other products, and `llms.txt`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells import cell, flow
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / ".mkdocs.yml"
ROWS = ROOT / "tests" / "cases" / "seed_rows.json"
PRODUCTS = {
    "alumio": "Alumio",
    "tray": "Tray.io",
    "dronahq": "DronaHQ",
    "power-platform": "Microsoft Power Platform",
    "nexla": "Nexla",
}
MADE = {"file": "file-abc123", "job": "ftjob-abc123", "thread": "thread_abc123", "fine_tune": "ft-abc123"}
REGION = re.compile(r"(?P<begin><!-- made: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def products() -> dict[Path, str]:
    """Give the pages of the other products, their tables filled in."""
    folder = DOCS / "how-to" / "coming-from"
    return {
        folder / f"{stem}.md": _filled(folder / f"{stem}.md", "rows", _rows(product))
        for stem, product in PRODUCTS.items()
    }


def lists(made: Mapping[Path, str]) -> dict[Path, str]:
    """Give what lists all pages: the index, and `llms.txt` for readers that are programs.

    `made` has the texts of pages that may not be written yet.
    """
    settings = YAML(typ="safe").load(SITE.read_text(encoding="utf-8"))
    pages = {name: _about(DOCS / name, made) for _, names in sections(settings["nav"]) for name in names}
    return {
        DOCS / "index.md": _filled(DOCS / "index.md", "map", _map(settings["nav"], pages)),
        DOCS / "llms.txt": "\n".join(_llms(settings, pages)) + "\n",
    }


def _filled(page: Path, name: str, lines: Iterable[str]) -> str:
    """Put lines where a page says `<!-- made: NAME -->`."""
    text, count = REGION.subn(
        lambda found: (
            "\n".join([found["begin"], *lines, "", found["end"]]) if found["name"] == name else found[0]
        ),
        page.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise SystemExit(f"{page} has no <!-- made: {name} --> ... <!-- end -->")
    return text


def _llms(settings: Mapping[str, Any], pages: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield f"# {settings['site_name']}"
    yield ""
    yield f"> {settings['site_description']}"
    yield ""
    yield "Each address is a page in Markdown; the same address with .html is for people."
    for section, names in sections(settings["nav"]):
        yield from ("", f"## {section}", "")
        for name in names:
            title, summary = pages[name]
            yield f"- [{title}]({name}): {summary}"


def sections(nav: list[Any]) -> Iterator[tuple[str, list[str]]]:
    """Give each innermost section of the navigation with its pages."""
    alone = [page for page in nav if isinstance(page, str)]
    if alone:
        yield "Start", alone
    for entry in nav:
        if isinstance(entry, dict):
            for title, below in entry.items():
                yield from _below(title, below)


def _below(title: str, below: Any) -> Iterator[tuple[str, list[str]]]:
    pages = [page for page in below if isinstance(page, str)]
    if pages:
        yield title, pages
    for entry in below:
        if isinstance(entry, dict):
            for name, deeper in entry.items():
                yield from _below(f"{title}: {name}", deeper)


def _about(page: Path, made: Mapping[Path, str]) -> tuple[str, str]:
    """Give a page's title and the first sentence below it, without its links."""
    text = made.get(page) or page.read_text(encoding="utf-8")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    below = text[title.end() :] if title else text
    paragraphs = (one.strip() for one in below.split("\n\n"))
    first = next((one for one in paragraphs if re.match(r"[\w`*&\[]", one) and "```" not in one), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(first.split()))
    sentence = re.match(r".*?\.(?= |$)", plain)
    return (title[1] if title else page.stem), (sentence[0] if sentence else plain).rstrip(":.") + "."


def _map(nav: list[Any], pages: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """List every page, but not each group of entities."""
    for section, names in sections(nav):
        shown = [name for name in names if name != "index.md" and not name.startswith("reference/entities/")]
        if not shown:
            continue
        yield from ("", f"### {section}", "")
        for name in shown:
            title, summary = pages[name]
            yield f"- [{title}]({name}): {summary}"


def _rows(product: str) -> Iterator[str]:
    """Give the table of what a product offers, and where it is here."""
    yield ""
    yield "| there | request | here | written as |"
    yield "|---|---|---|---|"
    for row in json.loads(ROWS.read_text(encoding="utf-8")):
        if row["product"] == product:
            request = f"`{row['method']} {row['path']}`" if row.get("path", "").startswith("/") else ""
            cells = (row["row"], request, row["here"], _written(row))
            yield f"| {' | '.join(map(cell, cells))} |"


def _written(row: dict[str, Any]) -> str:
    """Write the row's own part of a configuration on one line."""
    parts = row.get("config", {})
    if "clients" in row and (row["kind"] == "config" or "throttle" in row):
        parts = {"clients": row["clients"]}
    return "<br>".join(f"`{flow(_shown(one))}`" for part in parts.values() for one in part.values())


def _shown(value: Any) -> Any:
    """Put names that a reader knows in place of what the tests fill in."""
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"\{\{(\w+)_id\}\}", lambda found: MADE.get(found[1], f"{found[1]}-1"), value)
    value = value.replace("{{hook}}", "https://hooks.example.com/results")
    return value.replace("made-up", "${OPENAI_API_KEY}")
