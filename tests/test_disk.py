from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from connectory.errors import RequestError
from connectory.files import sent
from connectory.files.sent import locate


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "rows.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "x").write_text("secret")
    return folder


def content(file):
    async def main():
        return b"".join([piece async for piece in file.pieces()])

    return asyncio.run(main())


def test_a_name_is_found_below_its_folder(root):
    file = locate("in/rows.csv", root)
    assert (file.size, file.path.name, content(file)) == (8, "rows.csv", b"a,b\n1,2\n")
    assert content(file) == b"a,b\n1,2\n"


def test_a_link_that_stays_inside_is_followed(root):
    (root / "link").symlink_to("in/rows.csv")
    assert content(locate("link", root)) == b"a,b\n1,2\n"


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "other").symlink_to(root)
    assert content(locate("in/rows.csv", tmp_path / "other")) == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    "name", ["../secret", "in/../../secret", "/etc/passwd", "", "in/..", "a\0b", "..", "/proc/self/environ"]
)
def test_a_name_that_leads_elsewhere_is_refused(root, name):
    with pytest.raises(RequestError, match="must be a path below files_root"):
        locate(name, root)


@pytest.mark.parametrize(
    "target", ["../secret", "/etc/passwd", "../root-beside/x", "/proc/self/environ", "/dev/zero"]
)
def test_a_link_that_leads_out_is_refused(root, target):
    (root / "link").symlink_to(target)
    with pytest.raises(RequestError, match="leads out of files_root"):
        locate("link", root)
    (root / "folder").symlink_to("..")
    with pytest.raises(RequestError, match="leads out of files_root"):
        locate("folder/secret", root)


def test_a_link_in_a_circle_is_refused(root):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(RequestError, match="cannot be read"):
        locate("a", root)


@pytest.mark.parametrize("name", ["in", ".", "in/"])
def test_a_folder_is_no_file(root, name):
    with pytest.raises(RequestError, match=r"no ordinary file|cannot be read"):
        locate(name, root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_refused_and_does_not_block(root):
    os.mkfifo(root / "fifo")
    for one in ("fifo", root / "fifo"):
        with pytest.raises(RequestError, match="no ordinary file"):
            locate(one, root)


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/environ"])
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_what_the_system_makes_up_is_no_file_for_anybody(path):
    with pytest.raises(RequestError, match="no ordinary file"):
        locate(Path(path), None)


def test_a_folder_of_the_systems_own_files_is_no_root():
    with pytest.raises(RequestError, match=r"no ordinary file|cannot be read"):
        locate("self/environ", Path("/proc"))


def test_a_file_that_is_missing_says_so(root):
    with pytest.raises(RequestError, match=r"file 'in/none.csv' cannot be read: no such file"):
        locate("in/none.csv", root)


def test_without_a_folder_data_names_no_file_and_hears_which_key_opens_one(tmp_path):
    with pytest.raises(RequestError, match="set `files_root`"):
        locate("rows.csv", None)


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_is_not_followed(root, tmp_path):
    file = locate("in/rows.csv", root)
    (root / "in").rename(root / "kept")
    (tmp_path / "rows.csv").write_bytes(b"a,b\n1,2\n")
    (root / "in").symlink_to(tmp_path)
    with pytest.raises(RequestError, match="cannot be read"):
        content(file)


@pytest.mark.parametrize("text", [b"a", b"a,b\n1,2\n3,4\n"])
def test_a_file_that_changed_size_is_an_error(root, text):
    file = locate("in/rows.csv", root)
    (root / "in" / "rows.csv").write_bytes(text)
    with pytest.raises(RequestError, match="changed while it was being sent"):
        content(file)


@pytest.mark.parametrize(
    "change", [lambda file: file.truncate(4), lambda file: file.write(b"more")], ids=["cut", "grown"]
)
def test_a_file_that_changes_while_it_is_read_is_an_error(root, monkeypatch, change):
    monkeypatch.setattr(sent, "PIECE", 4)
    file = locate("in/rows.csv", root)

    async def main():
        with (root / "in" / "rows.csv").open("r+b") as own:
            own.seek(0, 2)
            async for _ in file.pieces():
                change(own)
                own.flush()

    with pytest.raises(RequestError, match="changed while it was being sent"):
        asyncio.run(main())


def test_a_part_of_a_file_is_read_alone(root):
    file = locate("in/rows.csv", root)
    assert [content(file.part(start, 3)) for start in (0, 3, 6)] == [b"a,b", b"\n1,", b"2\n"]
    assert len({file.identity, file.part(0, 3).identity, file.part(3, 3).identity}) == 3


def test_leaving_in_the_middle_closes_the_file(root, monkeypatch):
    monkeypatch.setattr(sent, "PIECE", 1)
    opened = []
    real = sent._opened
    monkeypatch.setattr(sent, "_opened", lambda *given: opened.append(real(*given)) or opened[-1])
    file = locate("in/rows.csv", root)

    async def main():
        pieces = file.pieces()
        await anext(pieces)
        await pieces.aclose()

    asyncio.run(main())
    assert [one.closed for one in opened] == [True, True]
