"""Documents that cannot rot: what they show runs, what they name exists, and what exists is named."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from markdown_blocks import Block, anchors, blocks, links
from ruamel.yaml import YAML

import connectory
from connectory.assembly import Endpoint
from connectory.catalogue import Catalogue
from connectory.cli import main
from connectory.config import check_against, config_from_dict, config_schema, load_config
from connectory.connector import AsyncConnector
from connectory.sandbox import EmbeddedSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
ENTITIES = ROOT / "docs" / "reference" / "entities"
PAGES = [
    path
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    if not path.name.startswith(".")
]
BLOCKS = [
    block
    for page in PAGES
    if page.parent != ENTITIES  # tests/test_entity_pages.py prepares every request of theirs
    for block in blocks(page)
]
TOP_LEVEL_KEYS = {
    "version",
    "clients",
    "incoming",
    "outgoing",
    "routes",
    "transformers",
    "catalogue",
    "tests",
    "journal",
}
CLIENT = {"openai": {"prototype": "openai", "token": "sk-made-up"}}


def of(*languages: str) -> list[Any]:
    """The blocks of a language as parameters, named by the page and the line."""
    return [
        pytest.param(
            block, id=str(block), marks=[pytest.mark.skip(reason=block.excuse)] if block.excuse else []
        )
        for block in BLOCKS
        if block.language in languages
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# -- blocks


@pytest.mark.parametrize("block", of("json", "jsonl"))
def test_json_in_the_documents_parses(block: Block):
    if "…" in block.text:
        assert is_walk(block.page), "an ellipsis stands only in what a walk compares"
        return
    try:
        json.loads(block.text)
    except json.JSONDecodeError:
        for line in filter(str.strip, block.text.splitlines()):
            json.loads(line)


LANGUAGES = {
    "json": "parsed",
    "jsonl": "parsed",
    "yaml": "read as a configuration, and linted",
    "toml": "parsed",
    "python": "run",
    "sh": "run",
    "console": "run",
    "text": "shown: what a program prints, how files lie, what another program is given",
}
"""What becomes of the blocks of each language."""


def test_every_block_says_what_it_is():
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", of("toml"))
def test_toml_in_the_documents_parses(block: Block):
    assert tomllib.loads(block.text)


def is_walk(page: Path) -> bool:
    """Tell whether the commands of a page are run one after another, by tests/test_docs_walks.py."""
    return "<!-- a walk:" in page.read_text("utf-8")


def as_config(written: Any) -> dict[str, Any] | None:
    """Complete a part of a configuration: a list of steps, or sections without their clients."""
    if isinstance(written, list):
        written = {"incoming": {"example": {"entity": "files", "transformers": written}}}
    if not isinstance(written, dict) or not written.keys() & TOP_LEVEL_KEYS:
        return None
    return {"version": 1, "clients": CLIENT, **written}


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_in_the_documents_is_a_configuration_that_lints_clean(block: Block, tmp_path: Path):
    written = as_config(YAML(typ="safe").load(block.text))
    assert written is not None, "not a configuration: fence it as text, or complete it"
    config = config_from_dict(written)
    assert [str(problem) for problem in check_against(config, Catalogue.load())] == []


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("connectory.yaml")), ids=relative)
def test_an_example_lints_clean(file: Path):
    assert [str(problem) for problem in check_against(load_config(file), Catalogue.load())] == []


def command_lines(text: str) -> list[list[str]]:
    """The words of each `connectory ...` of a shell block, without pipes and redirections."""
    text = text.replace("\\\n", " ")
    lines = []
    for line in text.splitlines():
        lexer = shlex.shlex(re.sub(r"^\s*\$ ", "", line), posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;<>()"):
                words.append(word)
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):  # NAME=value before a command
                words.pop(0)
            lines.append(words)
            words = [] if word not in {"<", ">", ">>"} else ["file"]
    return [words[1:] for words in lines if words and Path(words[0]).name == "connectory"]


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line as the program does, and run nothing."""
    context: click.Context | None = None
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = command.make_context(command.name, list(words), parent=context)
        if not isinstance(command, click.Group):
            return
        _, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found


@pytest.mark.parametrize("block", of("sh", "console", "bash", "shell"))
def test_commands_in_the_documents_exist_with_their_options(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for words in command_lines(block.text):
        try:
            parse(main, words)
        except click.exceptions.Exit as stopped:  # --help and --version end the parsing
            if stopped.exit_code:
                raise
        except click.ClickException as error:
            pytest.fail(f"connectory {shlex.join(words)}: {error.format_message()}", pytrace=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connectory lint", [["lint"]]),
        ("$ connectory lint a.yaml", [["lint", "a.yaml"]]),
        ("A=1 connectory lint | grep x > y", [["lint"]]),
        (
            "cat x | connectory run outgoing y --input - && connectory lint",
            [["run", "outgoing", "y", "--input", "-"], ["lint"]],
        ),
        ("connectory read \\\n  files", [["read", "files"]]),
        ("pip install connectory  # connectory lint", []),
        ("python3 -m venv .venv && .venv/bin/connectory lint", [["lint"]]),
    ],
)
def test_a_command_line_is_found_among_the_shell(text: str, expected: list[list[str]]):
    assert command_lines(text) == expected


# -- blocks that run (those of the shell in tests/test_docs_commands.py), with the files of their page


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox() as running:
        yield running


def prepare(page: Path, folder: Path) -> None:
    """Lay out a folder as a reader of the page has it: the examples, and the files that the page says to write."""
    if EXAMPLES.is_dir():
        shutil.copytree(EXAMPLES, folder / "docs" / "examples")
    for block in BLOCKS:
        if block.page == page and block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")


def pages_with(*languages: str) -> list[Path]:
    return [
        page for page in PAGES if any(block.page == page and block.language in languages for block in BLOCKS)
    ]


@pytest.mark.parametrize("page", pages_with("python"), ids=relative)
def test_python_in_the_documents_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: EmbeddedSandbox
):
    prepare(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    endpoint = Endpoint(sandbox.token, sandbox.base_uri.removesuffix("/v1"))
    made = AsyncConnector.__init__
    monkeypatch.setattr(
        AsyncConnector,
        "__init__",
        lambda self, config, **options: made(
            self, config, **options | {"endpoint": options.get("endpoint") or endpoint}
        ),
    )
    namespace: dict[str, Any] = {"__name__": "documents"}
    for block in BLOCKS:
        if block.page == page and block.language == "python" and not block.excuse:
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, namespace)  # noqa: S102 - the project's own documents
    for test in [namespace[name] for name in namespace if name.startswith("test_")]:
        test()


# -- links


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path):
    broken = []
    for line, target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors_of(file)):
            broken.append(f"{relative(page)}:{line}: {target}")
    assert broken == []


@cache
def anchors_of(page: Path) -> set[str]:
    return anchors(page)


def test_every_page_is_reached_from_the_readme_or_the_index():
    reached, waiting = set(), [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [
            (page.parent / target.partition("#")[0]).resolve()
            for _, target in links(page)
            if "://" not in target
        ]
    lost = [relative(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in reached]
    assert lost == []


# -- what exists is named


DOCUMENTS = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")


@pytest.mark.parametrize("name", sorted(connectory.__all__))
def test_every_public_name_has_a_docstring_and_is_in_the_documents(name: str):
    thing = getattr(connectory, name)
    assert isinstance(thing, type(dict[str, Any])) or (thing.__doc__ or "").strip(), "no docstring"
    assert re.search(rf"\b{name}\b", DOCUMENTS), "in no document"


def commands(command: click.Command = main, above: str = "connectory") -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {above: command}
    context = click.Context(command)
    found: dict[str, click.Command] = {}
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None, f"{above} {name} is listed and does not exist"
        found |= commands(inner, f"{above} {name}")
    return found


def test_every_command_has_help():
    assert [name for name, command in commands().items() if not (command.help or "").strip()] == []


def test_every_command_has_an_example():
    assert [name for name, command in commands().items() if name not in (command.help or "")] == []


def test_every_option_has_help():
    silent = [
        f"{name} {option.opts[0]}"
        for name, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_every_command_is_in_the_documents():
    text = re.sub(r"\s+", " ", DOCUMENTS)
    assert [name for name in commands() if name not in text] == []


def config_keys(schema: Any) -> set[str]:
    """Every key that the configuration's JSON Schema knows, wherever in it."""
    if isinstance(schema, list):
        return set().union(*map(config_keys, schema))
    if not isinstance(schema, dict):
        return set()
    properties = schema.get("properties", {})
    named = set(properties) if isinstance(properties, dict) else set()
    return named.union(*map(config_keys, schema.values()))


def test_every_configuration_key_is_in_the_reference():
    schema = config_schema(Catalogue.load())
    # the others are those of entities and of transformers, which have pages of their own
    schema["$defs"] = {name: one for name, one in schema["$defs"].items() if name[0].isupper()}
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert sorted(key for key in config_keys(schema) if not re.search(rf"\b{re.escape(key)}\b", text)) == []


def test_the_design_names_every_module_of_the_engine():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    folder = ROOT / "connector" / "connectory"
    modules = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    # a contract with layers names every module of its package
    rows = [row for one in tools["importlinter"]["contracts"] for row in one.get("layers", ())]
    modules |= {name.strip("() ") for row in rows for name in row.split("|")}
    assert sorted(name for name in modules if not re.search(rf"\b{name}\b", text)) == []
