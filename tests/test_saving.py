from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectory.errors import ExpressionError, RequestError, SaveError
from connectory.placeholders import compile_template
from connectory.saving import SaveTo, Saving, Target


def target(folder, template, value, *, key="k", save=None):
    save = save or SaveTo(compile_template(template), folder)
    return save.target({"name": value}, {}, key=key, owner=f"record {key}")


def save(where, *chunks, content_type="audio/mpeg"):
    async def main():
        async with Saving(where, "GET /x") as saving:
            for chunk in chunks:
                await saving.write(chunk)
            return await saving.commit(content_type)

    return asyncio.run(main())


def test_an_answer_becomes_a_file_that_says_what_it_is(tmp_path):
    info = save(target(tmp_path, "speech/&{name}.mp3", "post 1"), b"ab", b"c")
    file = tmp_path / "speech" / "post 1.mp3"
    assert file.read_bytes() == b"abc"
    assert info == {
        "name": "post 1.mp3",
        "path": str(file),
        "url": file.as_uri(),
        "mime_type": "audio/mpeg",
        "bytes": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    assert [one.name for one in file.parent.iterdir()] == ["post 1.mp3"]


def test_a_content_type_that_is_missing_is_guessed_from_the_name(tmp_path):
    assert save(target(tmp_path, "&{name}", "a.png"), b"", content_type="")["mime_type"] == "image/png"
    assert (
        save(target(tmp_path, "&{name}", "a"), b"", content_type="")["mime_type"]
        == "application/octet-stream"
    )


@pytest.mark.parametrize(
    "value",
    ["../x", "a/../../x", "..", ".", "", "/etc/x", "a//b", "a/", "a\\..\\x", "C:/x", "a\0b", "a\nb", "con", "NUL.txt",
     "com1.mp3", "x.", "x ", "a/aux/b", "x" * 300],
)  # fmt: skip
def test_a_name_that_data_made_cannot_leave_its_folder(tmp_path, value):
    with pytest.raises(RequestError, match="save_to gives"):
        target(tmp_path, "&{name}", value)


@pytest.mark.parametrize(
    "value", ["a", "a/b", "é/日本.mp3", ".hidden", "a b", "..a", "console.txt", "2024-01-01T10:00"]
)
def test_an_ordinary_name_is_kept(tmp_path, value):
    assert target(tmp_path, "out/&{name}", value).path == tmp_path / "out" / value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12))
def test_whatever_the_name_the_file_stays_below_the_constant_folder(tmp_path, value):
    try:
        path = target(tmp_path, "a/b/&{name}", value).path
    except RequestError:
        return
    assert (tmp_path / "a" / "b").resolve() in path.resolve().parents


def test_what_the_user_wrote_may_lie_anywhere(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    assert target(tmp_path / "c", f"{elsewhere}/&{{name}}", "x").path == elsewhere / "x"
    assert target(tmp_path / "c", "../up/&{name}", "x").path.resolve() == tmp_path / "up" / "x"


def test_a_field_that_is_absent_or_no_text_is_an_error(tmp_path):
    with pytest.raises(ExpressionError):
        target(tmp_path, "&{other}.mp3", "x")
    with pytest.raises(RequestError, match="which is no text"):
        target(tmp_path, "&{name}", 7)


def test_a_second_record_with_the_same_name_hears_of_the_first(tmp_path):
    one = SaveTo(compile_template("&{name}"), tmp_path)
    assert target(tmp_path, "", "x", key="1", save=one) == target(tmp_path, "", "x", key="1", save=one)
    with pytest.raises(RequestError, match="is the file of record 'record 1' already"):
        target(tmp_path, "", "x", key="2", save=one)


def test_a_link_below_the_folder_that_leads_out_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(SaveError, match="leads out of its folder"):
        save(target(tmp_path, "out/&{name}", "link/x"), b"abc")
    assert [*(tmp_path / "secret").iterdir()] == []


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "x").symlink_to("kept")
    save(target(tmp_path, "&{name}", "x"), b"new")
    assert ((tmp_path / "kept").read_text(), (tmp_path / "x").read_text()) == ("kept", "new")


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(SaveError, match="no ordinary file"):
        save(target(tmp_path, "&{name}", "x"), b"abc")


def test_what_is_not_committed_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "x").write_text("old")

    async def main():
        async with Saving(Target.at(tmp_path / "x"), "GET /x") as saving:
            await saving.write(b"half" * 1_000_000)
            assert len([*tmp_path.iterdir()]) == 2
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x", "old")]


def test_a_disk_that_takes_no_more_is_an_error_of_the_record(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SaveError, match=r"cannot save the answer as .*: no space left on device"):
        save(Target.at(tmp_path / "x"), b"abc")
    assert [*tmp_path.iterdir()] == []
