"""An input that is refused before anything is sent leaves nothing behind: mended, the same command reads it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command import connectory

CONFIG = """\
version: 1
clients: {openai: {token: "${OPENAI_API_KEY:-none}"}}
incoming:
  one-by-one: {entity: model, input: posts.jsonl, request_parameters: {path: {model: "&{model}"}}}
outgoing:
  moderate: {entity: moderations, payload: {input: "&{text}"}}
routes:
  way: [one-by-one, moderate]
"""
RECORDS = [{"text": "a", "model": "gpt-4o"}, {"text": "b", "model": "gpt-4o"}]
REFUSED = {
    "a list over several lines": json.dumps(RECORDS, indent=1),
    "a list in one line": json.dumps(RECORDS),
    "CSV": "text,model\na,gpt-4o\nb,gpt-4o\n",
}
MENDED = "".join(json.dumps(one) + "\n" for one in RECORDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectory.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def states(folder: Path) -> list[str]:
    done = connectory("runs", "list", "--json", folder=folder)
    return [one["state"] for one in done.lines]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_a_refused_input_leaves_no_run_and_is_read_when_it_is_mended(folder, name, *, piped: bool):
    posts = folder / "posts.jsonl"
    words = ("run", "outgoing", "moderate", "--input", "-" if piped else "posts.jsonl", "--sandbox")

    def go(text: str):
        posts.write_text(text, encoding="utf-8")
        return connectory(*words, folder=folder, stdin=text if piped else "")

    refused = go(REFUSED[name])
    left = states(folder)
    mended = go(MENDED)

    assert (refused.code, refused.out, left) == (3, "", [])
    assert "nothing was sent; convert it first" in refused.said
    assert refused.last.startswith("python3 -c")
    assert "pending" not in refused.said
    assert (mended.code, len(mended.lines), states(folder)) == (0, 2, ["finished"])


@pytest.mark.parametrize("words", [("incoming", "one-by-one"), ("route", "way")], ids=lambda words: words[0])
def test_so_it_is_where_an_incoming_reads_it(folder, words):
    (folder / "posts.jsonl").write_text(REFUSED["a list in one line"], encoding="utf-8")
    refused = connectory("run", *words, "--sandbox", folder=folder)

    assert (refused.code, states(folder)) == (3, [])
    assert refused.last.startswith("python3 -c")


def test_a_list_among_good_lines_is_a_dead_letter(folder):
    (folder / "posts.jsonl").write_text('[{"text": "x"}]\n' + MENDED, encoding="utf-8")
    done = connectory("run", "outgoing", "moderate", "--input", "posts.jsonl", "--sandbox", folder=folder)

    assert (done.code, [one["status"] for one in done.lines]) == (1, ["error", "ok", "ok"])


def test_a_run_that_has_sent_nothing_gives_way_to_another_file(folder):
    posts = folder / "posts.jsonl"
    words = ("run", "outgoing", "moderate", "--input", "posts.jsonl", "--sandbox")
    posts.write_bytes(gzip.compress(MENDED.encode())[:20])  # cut off before its first line is whole
    broken = connectory(*words, folder=folder)
    left = states(folder)
    posts.write_text(MENDED, encoding="utf-8")

    mended = connectory(*words, folder=folder)

    assert (broken.code, broken.out, left) == (1, "", ["unfinished"])
    assert (mended.code, len(mended.lines), states(folder)) == (0, 2, ["finished"])
