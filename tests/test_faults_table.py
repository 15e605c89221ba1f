"""The table of faults is what the tests say, and every row of it has a test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parent / "faults" / "table.py"
SPEC = importlib.util.spec_from_file_location("faults_table", PATH)
assert SPEC is not None
assert SPEC.loader is not None
table = sys.modules.setdefault("faults_table", importlib.util.module_from_spec(SPEC))
SPEC.loader.exec_module(table)

MARKED = """
import pytest

@pytest.mark.fault("{row}", "{answer}")
@pytest.mark.parametrize("x", [1])
async def test_it(x): ...
"""


def rows(folder, *marks):
    tests = folder / "tests"
    tests.mkdir()
    for number, (row, answer) in enumerate(marks):
        (tests / f"test_{number}.py").write_text(MARKED.format(row=row, answer=answer))
    return list(table.marked(tests))


def test_the_page_is_what_the_tests_say(capsys):
    code = table.main(check=True)
    assert capsys.readouterr().err == ""
    assert code == 0


def test_every_row_has_a_test_or_a_reason():
    tested = {one.row for one in table.marked()}
    every = {row for section in table.FAULTS.values() for row in section}
    assert every == tested | table.WITHOUT.keys()
    assert not tested & table.WITHOUT.keys()


def test_every_marked_test_exists_once():
    names = [(one.row, one.test, one.answer) for one in table.marked()]
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        (("Q1", "It ends."), "there is no row 'Q1'"),
        (("N3", "It ends."), "row N4 has no test"),
    ],
)
def test_what_the_table_lacks_is_said(tmp_path, mark, says):
    assert says in "\n".join(table.problems(rows(tmp_path, mark)))


def test_a_row_with_several_tests_is_one_line(tmp_path):
    made = rows(tmp_path, ("N3", "It ends."), ("N3", "it goes on"), ("N3", "It ends."))
    (line,) = [line for line in table.page(made).splitlines() if line.startswith("| N3")]
    assert line.split(" | ")[2:] == [
        "It ends. It goes on.",
        "`tests/test_0.py::test_it`<br>`tests/test_1.py::test_it`<br>`tests/test_2.py::test_it` |",
    ]


def test_a_row_without_a_test_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "WITHOUT", {"N11": "HTTP/2 is not spoken."})
    assert "| N11 | the server speaks HTTP/2 | HTTP/2 is not spoken. | none |" in table.page(rows(tmp_path))


def test_a_mark_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "test_x.py").write_text("@pytest.mark.fault('N3')\ndef test_x(): ...\n")
    with pytest.raises(SystemExit, match="two texts"):
        list(table.marked(tmp_path))
