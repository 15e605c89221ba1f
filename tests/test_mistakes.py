"""The usual mistakes in expressions: what docs/reference/expressions.md says of each is what is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from connectory import ConfigError, Expression, ExpressionError, Template
from connectory.chain import build_chain
from connectory.config import lint, parse_step

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "expressions.md").read_text(encoding="utf-8")
BUILT, MET = (
    [
        [re.sub(r"\\([|`])", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        for row in part.splitlines()
        if row.startswith("| ")
    ][1:]
    for part in PAGE.partition("## Quoting, and the usual mistakes")[2].partition(
        "These depend on the record."
    )[::2]
)
RECORDS = {
    "the record has no 'txt'": ("txt", {"text": "x"}),
    "the record has no 'response'": ("response.id", {"id": 1}),
    "'items' has 2 elements": ("items[5]", {"items": [1, 2]}),
    "'user' is null": ("user.name", {"user": None}),
    "cannot compare 3 (number)": ("count == '3'", {"count": 3}),
}


def bare(cell: str) -> str:
    """Take a cell out of its backticks."""
    return cell.strip("`").strip()


def test_there_are_as_many_as_a_newcomer_makes():
    assert len(BUILT) >= 10
    assert len(MET) == len(RECORDS)


def told(written: str, folder: Path) -> str:
    """Say what is said of a mistake, wherever it is met first: in the file, in a template, a step or an expression."""
    if written.startswith('"'):
        with pytest.raises(ConfigError) as caught:
            Template(YAML(typ="safe").load(written))
        return str(caught.value)
    if written.startswith("keep_if"):
        with pytest.raises(ConfigError) as caught:
            build_chain([parse_step(YAML(typ="safe").load(written))])
        return str(caught.value)
    if written.startswith("{") or ": &" in written:
        client = written if written.startswith("{") else "{token: x}"
        payload = "" if written.startswith("{") else f"\n    payload:\n      {written}"
        file = folder / "connectory.yaml"
        file.write_text(
            f"version: 1\nclients:\n  a: {client}\noutgoing:\n  b:\n    entity: moderations{payload}\n"
        )
        return "\n".join(problem.message for problem in lint(file))
    with pytest.raises(ConfigError) as caught:
        Expression(written)
    return str(caught.value)


@pytest.mark.parametrize(("written", "message", "right"), BUILT, ids=[row[0] for row in BUILT])
def test_a_mistake_is_told_as_the_page_says(written: str, message: str, right: str, tmp_path: Path):
    assert message in told(bare(written), tmp_path)


@pytest.mark.parametrize("message", [row[0] for row in MET])
def test_what_depends_on_the_record_is_told_as_the_page_says(message: str):
    [(text, record)] = [given for begin, given in RECORDS.items() if message.startswith(begin)]
    with pytest.raises(ExpressionError) as caught:
        Expression(text)(record, {})
    for part in message.split(" … "):
        assert part in str(caught.value)
