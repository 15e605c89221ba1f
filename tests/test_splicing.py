"""Something written into a configuration: it is there, and not one other character changed."""

from __future__ import annotations

import difflib

import pytest

from connectory import ConfigError
from connectory.config.document import parse
from connectory.config.splicing import Entry, insert

NEW = Entry(
    "new", {"entity": "models", "pages": [1]}, ("new:", "  entity: models # yes", "  pages:", "    - 1")
)
BLOCK = "new:\n    entity: models # yes\n    pages:\n      - 1\n"

TEXTS = {
    "block, with another section behind it": (
        "version: 1   # odd   spacing\nincoming:\n  a: {entity: files}  # keep me\n\n# about outgoing\noutgoing:\n  b: {}\n",
        "  a: {entity: files}  # keep me\n",
    ),
    "comments that belong to the section": (
        "incoming:\n  a:\n    entity: files\n  # b:\n  #   entity: models\n\noutgoing: {}\n",
        "  #   entity: models\n",
    ),
    "no end of line at the end": ("incoming:\n  a: {entity: files}", "  a: {entity: files}\n"),
    "a block of text, and an odd indentation of lists": (
        "incoming:\n  a:\n    description: |\n      one\n      # no comment\n\n    steps:\n    - x\n    - y: 'z'\n",
        "    - y: 'z'\n",
    ),
    "a block of text at the end": (
        "incoming:\n  a:\n    description: |\n      one\n      # no comment\n\noutgoing: {}\n",
        "      # no comment\n",
    ),
    "a mapping in braces over several lines": (
        "incoming:\n  a: {\n    entity: files\n  }\n\nroutes: {}\n",
        "  }\n",
    ),
    "an anchor and an alias": (
        "transformers:\n  x: &x [compact]\nincoming:\n  a:\n    transformers: *x\nroutes: {}\n",
        "    transformers: *x\n",
    ),
}


def added(before: str, after: str) -> str:
    """The lines that are new; that a line is gone or another one fails."""
    found = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in found if line.startswith("- ")], found
    return "".join(line[2:] + "\n" for line in found if line.startswith("+ "))


@pytest.mark.parametrize("case", TEXTS)
def test_an_entry_goes_behind_the_last_one_and_nothing_else_changes(case: str):
    before, behind = TEXTS[case]
    after = insert(before, ("incoming",), NEW)
    assert added(before, after).lstrip() == BLOCK
    assert behind + "  new:" in after
    assert parse(after).data["incoming"]["new"] == NEW.data


def test_an_empty_line_between_entries_is_kept_up():
    before = "incoming:\n  a: {}\n\n  b: {}\n"
    assert insert(before, ("incoming",), NEW) == before + "\n  " + BLOCK


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("version: 1\n", "version: 1\n\nincoming:\n  " + BLOCK),
        ("", "incoming:\n  " + BLOCK),
        ("# only words\n", "# only words\n\nincoming:\n  " + BLOCK),
        ("incoming:\nversion: 1\n", "incoming:\n  " + BLOCK + "version: 1\n"),
        ("incoming: {} # none\nversion: 1\n", "incoming: # none\n  " + BLOCK + "version: 1\n"),
        ("incoming: ~\n", "incoming:\n  " + BLOCK),
        (
            "incoming:\n  # nothing yet\n\nversion: 1\n",
            "incoming:\n  # nothing yet\n  " + BLOCK + "\nversion: 1\n",
        ),
    ],
)
def test_a_section_that_is_missing_or_empty_is_made(before: str, expected: str):
    assert insert(before, ("incoming",), NEW) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("incoming: {a: {}}\n", 'incoming: {a: {}, new: {"entity": "models", "pages": [1]}}\n'),
        ('{"version": 1}', '{"version": 1, "incoming": {"new": {"entity": "models", "pages": [1]}}}'),
        (
            '{\n\t"incoming": {\n\t\t"a": {}\n\t}\n}\n',
            '{\n\t"incoming": {\n\t\t"a": {},\n\t\t"new": {\n\t\t\t"entity": "models",\n\t\t\t"pages": [\n\t\t\t\t1\n\t\t\t]\n\t\t}\n\t}\n}\n',
        ),
    ],
)
def test_braces_and_json_stay_what_they_are(before: str, expected: str):
    assert insert(before, ("incoming",), NEW, file="x.json") == (
        expected.replace("new:", '"new":') if expected.startswith("incoming") else expected
    )


def test_lines_end_as_they_did():
    before = "incoming:\r\n  a: {}\r\nroutes: {}\r\n"
    after = insert(before, ("incoming",), NEW)
    assert after.count("\n") == after.count("\r\n") == 7


@pytest.mark.parametrize("before", ["x: &x {a: {}}\nincoming: *x\n", "incoming: [1]\n", "- 1\n"])
def test_what_cannot_be_done_without_touching_the_rest_is_said_with_the_lines_to_write(before: str):
    with pytest.raises(ConfigError, match=r"write it there by hand:\n\s*new:"):
        insert(before, ("incoming",), NEW)
