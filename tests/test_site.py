"""The documents are a site: every page is in its navigation, it builds strictly, and nothing in it leads nowhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_blocks import prose
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SETTINGS = YAML(typ="safe").load((ROOT / ".mkdocs.yml").read_text("utf-8"))
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def named(nav):
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from named(below)


def test_every_page_is_in_the_navigation_once():
    listed = list(named(SETTINGS["nav"]))
    missing = [page for page in PAGES if page not in listed]
    assert missing == [], "add them to `nav` in .mkdocs.yml, and run python docs/reference/generate.py"
    assert sorted(listed) == PAGES


def test_nothing_of_the_site_is_fetched_from_elsewhere():
    assert SETTINGS["theme"]["font"] is False
    assert not [key for key in ("extra_javascript", "custom_dir") if key in SETTINGS]


class Page(HTMLParser):
    """What a built page has to point at, and what it points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if name := given.get("id"):
            self.ids.add(name)
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)
        if tag in {"img", "script", "source", "iframe"} and (target := given.get("src")):
            self.loads.append(target)
        if tag == "link" and given.get("rel") != "canonical" and (target := given.get("href")):
            self.loads.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `nox -s site` does, of a copy."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / ".mkdocs.yml", folder)
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("__pycache__", ".connectory"))
    done = subprocess.run(
        [sys.executable, DOCS / "site.py", folder],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        pytest.fail(f"the site does not build:\n{said}", pytrace=False)
    built = folder / ".site"
    return {path: Page(path.read_text("utf-8")) for path in built.rglob("*.html")}


def test_every_page_is_built_and_its_markdown_is_where_programs_look_for_it(site):
    built = next(path for path in site if path.name == "404.html").parent
    pages = {path.relative_to(built).as_posix() for path in site}
    wanted = {page.removesuffix(".md").replace("README", "index") + ".html" for page in PAGES}
    assert pages - {"404.html"} == wanted
    targets = re.findall(r"\]\((\S+)\)", (built / "llms.txt").read_text("utf-8"))
    assert sorted(targets) == PAGES
    assert [target for target in targets if not (built / target).exists()] == []


def test_every_link_and_every_anchor_of_the_built_site_is_there(site):
    broken = []
    for path, page in site.items():
        if path.name == "404.html":
            continue
        for target in [*page.links, *page.loads]:
            parts = urlsplit(target)
            if parts.scheme in {"http", "https", "mailto", "data"}:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            lost = parts.fragment and file in site and unquote(parts.fragment) not in site[file].ids
            if lost or not file.exists():
                broken.append(f"{path.name}: {target}")
    assert broken == []


def test_no_built_page_loads_anything_from_elsewhere(site):
    loaded = {target for page in site.values() for target in page.loads}
    assert sorted(target for target in loaded if urlsplit(target).scheme not in {"", "data"}) == []


# -- words

WORDS = {
    r"\bcatalogs?\b": "catalogue",
    r"dead[- ]?letter queue|DLQ|deadletters?\b|dead-letters?\b": "dead letter",
    r"mock server|fake server": "sandbox",
    r"\bpipelines?\b|\bworkflows?\b": "route, run or connection",
    r"\bjob queue\b": "journal",
    r"\bendpoints?\b": "entity",
    r"\bparams\b|\bquerystring\b": "request parameters",
    r"\bsimply\b|\bjust\b|\beasily\b|\bseamless\w*|\bpowerful\b|\bblazing\w*": "nothing: it says nothing",
    r"\bprocessors?\b(?! time)": "transformer",
}
"""What the documents do not say, and the word of the glossary for it."""
OTHERS = {
    "how-to/coming-from/": "other products' words stand there beside ours",
    "how-to/importing.md": "another product's words",
    "how-to/spark.md": "another tool's words",
    "how-to/meltano.md": "another tool's words",
    "how-to/hosts.md": "other tools' words",
    "compared/README.md": "other tools' words",
    "performance.md": "other tools' words",
    "decisions/": "they speak of what was there before, and of libraries",
    "measured/": "made by programs",
    "how-to/sandbox.md": "the API's own words for what batches and training leave",
    "reference/entities": "the API's own names",
}
"""Where other words are wanted, and why."""


@pytest.mark.parametrize("name", [page for page in PAGES if not page.startswith(tuple(OTHERS))])
def test_a_page_uses_the_words_of_the_glossary(name):
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose(DOCS / name))
    said = [
        f"{name}:{number}: {found[0]!r}; say {better}"
        for number, line in enumerate(text.splitlines(), 1)
        for word, better in WORDS.items()
        if (found := re.search(word, line, re.IGNORECASE))
    ]
    assert said == []


def test_the_glossary_is_in_order_and_has_every_word_that_is_a_key():
    rows = re.findall(
        r"^\| ([a-z, ]+) \|", (DOCS / "reference" / "glossary.md").read_text("utf-8"), re.MULTILINE
    )
    words = [row for row in rows if row != "word"]
    assert words == sorted(words)
    wanted = [
        "client",
        "catalogue",
        "entity",
        "request parameters",
        "incoming",
        "outgoing",
        "input transformer",
    ]
    wanted += ["transformer", "payload", "result", "route", "journal", "dead letter", "sandbox"]
    assert [word for word in wanted if word not in words] == []
