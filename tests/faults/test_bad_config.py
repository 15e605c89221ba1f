"""Whatever stands in a configuration file: every problem at once, by line and column, and nothing that it can hurt."""

from __future__ import annotations

import json
import re
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from command import connectory
from connected import POSTS, Kept, Listed, Server, connected, run

from connectory.config import load_config
from connectory.errors import ConfigError
from connectory.expressions import Expression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = "version: 1\nclients: {openai: {token: made-up}}\n"


def problems(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "connectory.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


@pytest.mark.fault("B11", "an error by line and column, with the nearest key; its value is not shown")
def test_unknown_keys_are_all_named_and_their_values_never_shown(tmp_path):
    (tmp_path / "connectory.yaml").write_text(
        "version: 1\nclients:\n  openai:\n    tokn: sk-hush-hush-hush\n    base_urll: https://x.test\n"
        "outgoing:\n  a: {entity: files, payloads: {x: 1}}\n"
    )
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    for said in (
        "4:5: unknown key 'tokn'",
        "did you mean 'token'?",
        "5:5: unknown key 'base_urll'",
        "'payloads'",
    ):
        assert said in done.said + done.out
    assert "hush" not in done.said + done.out


@pytest.mark.fault("B12", "a tag makes no value and runs no code: an error at its place")
@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!include", "!!binary"]
)
def test_tags_are_refused(tmp_path, tag):
    (found,) = problems(tmp_path, f"{BEGIN}catalogue: {tag} ['touch pwned']\n")
    assert found.startswith("3:12: a tag ('!…') makes no value here")


@pytest.mark.fault(
    "B12", "aliases cannot multiply without bound: an error within seconds and in bounded memory"
)
def test_an_alias_bomb_is_refused(tmp_path):
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    (found,) = problems(tmp_path, text)
    assert "more than 200000 values, with every alias written out" in found


@pytest.mark.fault("B12", "a key that stands twice is an error that names the first line")
def test_a_key_twice_is_an_error(tmp_path):
    text = f"{BEGIN}incoming:\n  a: {{entity: files}}\n  a: {{entity: models}}\n"
    assert problems(tmp_path, text) == ["5:3: the key 'a' stands here twice, first in line 4"]


@pytest.mark.fault(
    "B12", "plain words mean what YAML 1.2 says: no is a text, 012 is twelve, a date is a text"
)
def test_plain_words_mean_what_yaml_1_2_says(tmp_path):
    path = tmp_path / "connectory.yaml"
    path.write_text(
        f"{BEGIN}outgoing:\n  a:\n    entity: files\n    payload: [no, 012, 2024-01-01, 12:30, on, 1_0]\n"
    )
    payload: Any = load_config(path, environ={}).outgoing["a"].payload
    assert payload == ["no", 12, "2024-01-01", "12:30", "on", "1_0"]


@pytest.mark.fault("B12", "a file of more than 1 MiB, or nested without end, is refused")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BEGIN + "# " + "x" * 1024 * 1024, "the file is larger than 1 MiB"),
        ("[" * 100_000, "more than 100 levels of nesting"),
        ("{a: " * 100_000, "more than 100 levels of nesting"),
        ("- " * 100_000, "more than 100 levels of nesting"),
        (b"\xff\xfe" + BEGIN.encode("utf-16-le"), "is not UTF-8; save the file as UTF-8"),
        (BEGIN + "a: \x00", "the character U+0000 is not allowed"),
        ("", "the configuration is empty"),
        ("[1]", "the configuration must be a mapping"),
        ("a: b: c", ""),
        ("\t- x", ""),
    ],
    ids=["size", "lists", "maps", "blocks", "UTF-16", "NUL", "nothing", "a list", "two colons", "a tab"],
)  # fmt: skip
def test_what_is_too_much_or_no_yaml_is_one_problem(tmp_path, text, says):
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.fault("B15", "every wrong value is reported at once, each with its place and what is allowed")
def test_every_wrong_value_is_reported_at_once(tmp_path):
    text = "version: '1'\nclients: {openai: {timeout: {total: x}, retry: {attempts: -1}, base_uri: 5}}\nincoming: []\n"
    found = problems(tmp_path, text + "outgoing: {a: {entity: files, concurrency: many, action: update}}\n")
    assert len(found) >= 6
    assert all(not one.startswith("0:") for one in found)


# -- expressions that take long: they come from the configuration only, and no function searches with a pattern

WIDE = {"a": [{"b": [{"c": n} for n in range(30)]} for _ in range(30)]}


@pytest.mark.fault(
    "B14",
    "an expression comes from the configuration only, and none repeats itself: its time is bounded by the record's size",
)
@pytest.mark.parametrize(
    "text",
    [
        "a[].b[].c | [] | sort(@) | [0]",
        "a[*].b[*].c[] | length(@)",
        "length(a[?length(b[?c > `5`]) > `1`])",
        "sum(a[].b[].c)",
        "max_by(a[].b[], &c).c",
        "join(',', map(&to_string(@), a[].b[].c)) | length(@)",
    ],
)
def test_an_expression_over_a_wide_record_ends(text):
    began = time.monotonic()
    value = Expression(text)(WIDE, {})
    assert isinstance(value, int | float)
    assert time.monotonic() - began < 30


@pytest.mark.fault("B14", "a record's text is never an expression nor a pattern: it is inserted as it is")
@pytest.mark.parametrize(
    "text", ["&{secret}", "^(a+)+$", "${HOME}", "a" * 50_000 + "!", "[?a==`1`]", "{file_id}"]
)
def test_the_text_of_a_record_is_never_evaluated(text):
    outgoing = {**POSTS, "transformers": [{"set": {"copy": "&{text}"}}], "payload": {"x": "<&{copy}>"}}
    server, sink = Server(), Kept()

    async def main():
        async with connected(server, outgoing={"out": outgoing}) as made:
            await made.publisher("out").run(Listed([{"text": text, "secret": "s"}]), sink, Kept())

    run(main)
    assert server.bodies == [{"x": f"<{text}>"}]


@pytest.mark.fault("B14", "an expression that nests without end is an error of the configuration")
@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000 + "a",
        "!" * 20_000 + "a",
        "a" + "|a" * 300,
        "a" + " || a" * 20_000,
        "`" + "[" * 50_000 + "`",
        "{a:" * 3_000,
    ],
)
def test_an_expression_that_nests_without_end_is_an_error(text):
    with pytest.raises(ConfigError):
        Expression(text)


def patterns_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        if isinstance(value.get("patternProperties"), dict):
            yield from value["patternProperties"]
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from patterns_in(one)


@pytest.mark.fault(
    "B14", "no pattern of the catalogue's schemas takes more than linear time on a text made to hurt it"
)
def test_no_pattern_of_the_catalogue_blows_up():
    patterns = {
        pattern
        for file in (files("connectory_schemas") / "catalogue").iterdir()
        if file.name.endswith(".json")
        for pattern in patterns_in(json.loads(file.read_text(encoding="utf-8")))
    }
    assert patterns
    for pattern in patterns:
        for atom in ("a", "0", "-", "_", "a-", "A0", "é", " "):
            began = time.monotonic()
            re.search(pattern, atom * 5000 + "\n!")
            assert time.monotonic() - began < 20, pattern
