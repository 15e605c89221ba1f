from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectory.errors import ExpressionError, RequestError, SaveError
from connectory.files.saving import SaveTo, Saving, Target, has_pictures, save_pictures
from connectory.placeholders import compile_template


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


# -- pictures


def pictures(*contents, **more):
    return {"created": 1, "data": [{"b64_json": base64.b64encode(one).decode(), **more} for one in contents]}


def save_all(value, where):
    return asyncio.run(save_pictures(value, where, "POST /x"))


@pytest.mark.parametrize(
    ("template", "count", "expected"),
    [
        ("images/&{name}.png", 1, ["p.png"]),
        ("images/&{name}.png", 2, ["p-1.png", "p-2.png"]),
        ("images/&{name}-{index}.png", 1, ["p-1.png"]),
        ("images/{index}.of.&{name}.png", 2, ["1.of.p.png", "2.of.p.png"]),
        ("images/&{name}", 2, ["p-1", "p-2"]),
    ],
)
def test_each_picture_is_a_file_and_the_answer_says_which(tmp_path, template, count, expected):
    contents = [b"one", b"two"][:count]
    made = save_all(
        {**pictures(*contents, revised_prompt="r"), "usage": {"total_tokens": 3}},
        target(tmp_path, template, "p"),
    )
    assert sorted(one.name for one in (tmp_path / "images").iterdir()) == expected
    assert [Path(one["path"]).read_bytes() for one in made["data"]] == contents
    assert [one["name"] for one in made["data"]] == expected
    assert made["usage"] == {"total_tokens": 3}
    assert all("b64_json" not in one and one["revised_prompt"] == "r" for one in made["data"])
    assert has_pictures(pictures(b"x"))
    assert not has_pictures(made)


def test_the_answer_tells_what_kind_of_picture_it_is_else_the_name(tmp_path):
    where = target(tmp_path, "&{name}", "a.png")
    assert save_all(pictures(b""), where)["data"][0]["mime_type"] == "image/png"
    assert save_all({**pictures(b""), "output_format": "webp"}, where)["data"][0]["mime_type"] == "image/webp"


def test_what_has_an_address_stays_as_it_is(tmp_path):
    value = pictures(b"x")
    value["data"].append({"url": "https://example.com/x.png"})
    made = save_all(value, target(tmp_path, "&{name}.png", "a"))
    assert [one.get("name") for one in made["data"]] == ["a-1.png", None]
    assert not any(map(has_pictures, ({"data": [{"url": "x"}]}, {"data": "x"}, {}, [], None, {"data": [1]})))


@pytest.mark.parametrize("text", ["no base64!", 7, None, "ab"])
def test_a_picture_that_is_no_base64_is_an_error_and_leaves_nothing(tmp_path, text):
    with pytest.raises(SaveError, match="picture 1 of the answer is no base64"):
        save_all({"data": [{"b64_json": text}]}, target(tmp_path, "&{name}.png", "a"))
    assert list(tmp_path.iterdir()) == []


def test_numbers_never_lead_to_the_file_of_another_record(tmp_path):
    rule = SaveTo(compile_template("&{name}.png"), tmp_path)
    target(tmp_path, "", "p-2", key="other", save=rule)
    with pytest.raises(
        SaveError, match=r"save_to gives 'p-2\.png', which is the file of record 'record other' already"
    ):
        save_all(pictures(b"1", b"2"), target(tmp_path, "", "p", key="mine", save=rule))
    with pytest.raises(RequestError, match=r"'p-1\.png', which is the file of record 'record mine' already"):
        target(tmp_path, "", "p-1", key="third", save=rule)


def test_data_that_says_index_is_a_name_like_others(tmp_path):
    made = save_all(pictures(b"1"), target(tmp_path, "&{name}.png", "{index}"))
    assert made["data"][0]["name"] == "{index}.png"


@pytest.mark.parametrize("value", ["../x", "/etc/x", "a/../../x", "a\\..\\x"])
@pytest.mark.parametrize("template", ["images/&{name}-{index}.png", "images/&{name}.png"])
def test_a_picture_cannot_leave_its_folder(tmp_path, template, value):
    with pytest.raises(RequestError, match="save_to gives"):
        target(tmp_path, template, value)


def test_a_link_does_not_lead_a_picture_out_of_its_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "images" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SaveError, match="a link in it leads out of its folder"):
        save_all(pictures(b"1", b"2"), target(tmp_path, "images/&{name}.png", "a/p"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
