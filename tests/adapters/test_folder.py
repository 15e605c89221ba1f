"""Files of a folder in: which are taken, what their records say, and that a run keeps its list."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from connected import run

from connectory.adapters.folder import FolderSource
from connectory.errors import ConfigError


def items_of(source: FolderSource) -> list[Any]:
    async def main():
        return [item async for item in source]

    return run(main)


def names(items):
    return [item.position for item in items]


@pytest.fixture
def folder(tmp_path):
    for name in (
        "b.mp3",
        "a.mp3",
        "a.wav",
        "sub/c.mp3",
        "sub/deep/d.MP3",
        ".hidden.mp3",
        ".state/e.mp3",
        "sub/.f.mp3",
    ):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).write_bytes(b"x" * 5)
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["audio/*.mp3"], ["audio/a.mp3", "audio/b.mp3"]),
        (["audio/**/*.mp3"], ["audio/a.mp3", "audio/b.mp3", "audio/sub/c.mp3"]),
        (["audio/*.wav", "audio/a.*"], ["audio/a.mp3", "audio/a.wav"]),
        (
            ["audio/**/.*.mp3"],
            ["audio/.hidden.mp3", "audio/sub/.f.mp3"],
        ),
        (["audio/[ab].mp3"], ["audio/a.mp3", "audio/b.mp3"]),
        (["audio/*"], ["audio/a.mp3", "audio/a.wav", "audio/b.mp3"]),
        (["*.txt"], []),
    ],
)
def test_the_files_of_a_pattern_come_in_the_order_of_their_names(folder, patterns, expected):
    assert names(items_of(FolderSource(folder, patterns))) == expected
    assert FolderSource(folder, patterns).count() == len(expected)


def test_a_record_says_what_a_file_is(folder):
    os.utime(folder / "audio" / "sub" / "c.mp3", (1_700_000_000.5, 1_700_000_000.5))
    (item,) = items_of(FolderSource(folder, ["audio/sub/*.mp3"]))
    assert item.record == {
        "file": {
            "path": "audio/sub/c.mp3",
            "name": "c.mp3",
            "stem": "c",
            "suffix": ".mp3",
            "bytes": 5,
            "modified": 1_700_000_000,
        }
    }


def test_a_run_keeps_the_list_that_it_began_with(folder, tmp_path):
    state = tmp_path / "run"
    state.mkdir()
    source = FolderSource(folder, ["audio/*.mp3"])
    source.keep_in(state)
    first, second = items_of(source)

    (folder / "audio" / "aa.mp3").write_bytes(b"new")
    (folder / "audio" / "b.mp3").unlink()
    again = FolderSource(folder, ["audio/*.mp3"])
    again.keep_in(state)
    assert again.count() == 2
    again.resume(json.loads(json.dumps(first.mark)), 1)
    assert items_of(again) == [second]

    fresh = FolderSource(folder, ["audio/*.mp3"])
    assert names(items_of(fresh)) == ["audio/a.mp3", "audio/aa.mp3"]


def test_a_limit_ends_the_list_and_counts_what_was_given_before(folder, tmp_path):
    source = FolderSource(folder, ["audio/**/*.mp3"], limit=2)
    assert source.count() == 2
    source.keep_in(tmp_path)
    items = items_of(source)
    assert names(items) == ["audio/a.mp3", "audio/b.mp3"]
    again = FolderSource(folder, ["audio/**/*.mp3"], limit=2)
    again.keep_in(tmp_path)
    again.resume(items[0].mark, 1)
    assert items_of(again) == items[1:]


def test_a_folder_that_is_not_there_is_told_and_one_without_files_is_none(folder):
    with pytest.raises(
        ConfigError, match=r"there is no folder '.*audioo', in which 'audioo/\*.mp3' looks for files"
    ):
        FolderSource(folder, ["audioo/*.mp3"])
    (folder / "empty").mkdir()
    assert items_of(FolderSource(folder, ["empty/**/*.mp3"])) == []


def test_links_to_files_are_files_and_what_is_none_is_left_out(folder):
    (folder / "audio" / "link.mp3").symlink_to(folder / "audio" / "a.mp3")
    (folder / "audio" / "dangling.mp3").symlink_to(folder / "nowhere")
    (folder / "audio" / "dir.mp3").mkdir()
    (folder / "audio" / "round").symlink_to(folder / "audio")
    os.mkfifo(folder / "audio" / "pipe.mp3")
    found = names(items_of(FolderSource(folder, ["audio/**/*.mp3"])))
    assert found == ["audio/a.mp3", "audio/b.mp3", "audio/link.mp3", "audio/sub/c.mp3"]


def test_a_name_that_is_no_utf8_is_an_error_of_its_record(folder, tmp_path):
    (folder / "audio" / os.fsdecode(b"\xff.mp3")).write_bytes(b"")
    source = FolderSource(folder, ["audio/*.mp3"])
    source.keep_in(tmp_path)
    items = items_of(source)
    assert [str(item.error) for item in items if item.error] == [
        "the name of the file 'audio/\\xff.mp3' is not UTF-8"
    ]
    assert [item.record["file"]["path"] for item in items] == [
        "audio/a.mp3",
        "audio/b.mp3",
        "audio/\\xff.mp3",
    ]


@pytest.mark.parametrize("pattern", ["audio/**x", "audio/x**/*", "audio/***/a.mp3", ".", "./"])
def test_a_pattern_that_cannot_be_used_is_told(folder, pattern):
    with pytest.raises(ConfigError, match=f"the pattern '{re.escape(pattern)}' cannot be used"):
        FolderSource(folder, [pattern])


@pytest.mark.parametrize("pattern", ["audio/**", "audio/**/", "audio/**/*"])
def test_two_stars_at_the_end_are_every_file_below(folder, pattern):
    found = ["audio/a.mp3", "audio/b.mp3", "audio/sub/c.mp3"]
    assert [name for name in names(items_of(FolderSource(folder, [pattern]))) if name in found] == found
