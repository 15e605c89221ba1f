"""The option `pack`: where it may stand, what it may say, and how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import connectory
from connected import Server, connected

from connectory.catalogue import Catalogue
from connectory.config import config_schema
from connectory.delivery.packs import Bounds, MismatchError, PackOption, pack_key
from connectory.errors import ConfigError

EMBED: dict[str, Any] = {"entity": "embeddings", "payload": {"model": "m", "input": "&{text}"}}


def resolved(outgoing: dict[str, Any]) -> PackOption | None:
    return connected(Server(), outgoing={"out": outgoing}).assembly.publication("out", run={}).pack


@pytest.mark.parametrize(
    ("written", "size", "wait"),
    [
        (True, 256, 0.05),
        ({}, 256, 0.05),
        ({"size": 10}, 10, 0.05),
        ({"size": 2048, "wait": "250ms"}, 2048, 0.25),
        ({"wait": "2 s"}, 256, 2.0),
        ({"wait": 0}, 256, 0.0),
    ],
)
def test_pack_may_be_written_short(written: Any, size: int, wait: float):
    option = resolved({**EMBED, "pack": written})
    assert option is not None
    assert (option.size, option.wait, option.property, option.results) == (size, wait, "input", "data")
    assert (option.bounds.most, option.bounds.tokens) == (2048, 300_000)


@pytest.mark.parametrize("written", [False, None])
def test_pack_may_be_switched_off(written: Any):
    assert resolved({**EMBED, "pack": written}) is None


@pytest.mark.parametrize(
    "written",
    [{"size": 0}, {"size": 50_001}, {"wait": "1h"}, {"wait": -1}, {"wait": True}, {"often": 1}, 5, "yes"],
)
def test_what_is_no_packing_is_a_configuration_error(written: Any):
    with pytest.raises(ConfigError):
        connected(Server(), outgoing={"out": {**EMBED, "pack": written}})


@pytest.mark.parametrize(
    ("outgoing", "said"),
    [
        ({"entity": "chat.completions", "pack": True}, "no property of entity 'chat.completions'"),
        ({"entity": "file", "action": "delete", "pack": True}, "no property of entity 'file'"),
        ({"request": {"method": "POST", "path": "/embeddings"}, "pack": {}}, "no property of a raw request"),
        ({**EMBED, "pack": {"size": 2049}}, "'size' is 2049, and 'embeddings' takes at most 2048"),
        ({**EMBED, "pack": True, "sequence": "id"}, "'sequence' sends records one after the other"),
        ({**EMBED, "pack": True, "save_to": "x"}, "'save_to' saves one answer a record"),
        ({"entity": "files", "action": "create", "pack": True, "upload": {}}, "'upload' sends a file"),
    ],
)
def test_pack_where_it_does_nothing_is_a_configuration_error(outgoing: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        resolved(outgoing)


def test_an_editor_knows_what_may_be_written():
    defined = config_schema(Catalogue.load())["$defs"]
    assert {"type": "boolean"} in defined["OutgoingConfig"]["properties"]["pack"]["anyOf"]
    wait = defined["PackConfig"]["properties"]["wait"]
    assert {one["type"] for one in wait["anyOf"]} == {"number", "string"}


LINTED = """\
version: 1
clients: {api: {base_uri: "http://127.0.0.1:9/v1"}}
outgoing:
  chat:
    entity: chat.completions
    payload: {model: m, messages: "&{messages}"}
    pack: {size: 10}
  embed:
    entity: embeddings
    payload: {model: m, input: "&{text}"}
    pack: {size: 5000}
  fine:
    entity: moderations
    payload: {input: "&{text}"}
    pack: true
"""


def test_lint_finds_every_pack_that_does_not_fit(tmp_path):
    (tmp_path / "connectory.yaml").write_text(LINTED)
    done = connectory("lint", folder=tmp_path)
    assert done.code == 3
    assert "connectory.yaml:7:5: 'pack' does nothing here" in done.said
    assert "connectory.yaml:11:18: 'size' is 5000" in done.said
    assert "2 errors, 0 warnings" in done.said


def test_preview_shows_the_requests_in_which_records_go(tmp_path):
    (tmp_path / "connectory.yaml").write_text(LINTED.replace("5000", "2"))
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps({"id": f"r{n}", "text": f"t{n}"}) + "\n" for n in range(3)) + '{"id": "r3"}\n'
    )
    done = connectory("preview", "outgoing", "embed", "--input", "in.jsonl", "-n", "4", folder=tmp_path)
    *records, first, second = done.lines
    assert done.code == 1  # one record has no text
    assert [("error" in one, "requests" in one) for one in records] == [(False, False)] * 3 + [(True, False)]
    assert (first["records"], first["request"]["payload"]) == (
        ["r0", "r1"],
        {"model": "m", "input": ["t0", "t1"]},
    )
    assert (second["records"], second["request"]["payload"]["input"]) == (["r2"], ["t2"])


def test_the_catalogue_says_what_packs(tmp_path):
    shown = connectory("entities", "show", "embeddings", folder=tmp_path)
    assert "pack       input: many records as a list (at most 2048 records, 300000 tokens)" in shown.out
    shown = connectory("entities", "show", "files", folder=tmp_path)
    assert "file: many records as lines of one file (at most 512000000 bytes)" in shown.out
    assert "where purpose is batch (at most 50000 records, 200000000 bytes), evals, fine-tune" in shown.out
    (found,) = connectory("entities", "show", "moderations", "--json", folder=tmp_path).lines
    assert found["actions"]["create"]["pack"]["results"] == "results"
    (found,) = connectory("entities", "show", "responses", "--json", folder=tmp_path).lines
    assert found["actions"]["create"]["pack"] is None


# -- the rules by themselves

OPTION = PackOption("input", 10, 1.0, results="data", bounds=Bounds())


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("'$.input[3]' is invalid", 3),
        ("Invalid 'input[0]': string too long", 0),
        ("input[5] is invalid", None),  # there is none
        ("my_input[1] is invalid", None),
        ("input is invalid", None),
        ("input[999999999999] is invalid", None),
    ],
)
def test_a_refusal_may_name_a_record(message: str, found: int | None):
    assert OPTION.suspect(message, 5) == found


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [5.0, 1.0, 100.0, 0.3], [0.0, 0.0], [1e-9, 1e9]])
@pytest.mark.parametrize("amount", [0, 1, 7, 1000])
def test_shares_add_up_whatever_the_weights(weights: list[float], amount: int):
    answer = {
        "data": [{"index": number} for number in range(len(weights))],
        "usage": {"total_tokens": amount, "details": {"cached": amount, "on": True}, "tier": "x"},
    }
    parts = OPTION.divide(answer, weights)
    shares = [part["usage"] for part in parts]
    assert sum(share["total_tokens"] for share in shares) == amount
    assert sum(share["details"]["cached"] for share in shares) == amount
    assert all(share["total_tokens"] >= 0 and share["tier"] == "x" for share in shares)
    assert all(share["details"]["on"] is True for share in shares)


def test_an_answer_that_is_no_object_cannot_be_divided():
    with pytest.raises(MismatchError, match="no object"):
        OPTION.divide("text", [1.0])


def test_the_key_of_a_pack_depends_on_its_members_and_their_order():
    keys = {
        pack_key(["a", "b"]),
        pack_key(["b", "a"]),
        pack_key(["a"]),
        pack_key(["ab"]),
        pack_key(["a", "b", "c"]),
    }
    assert {len(key) for key in keys} == {24}
    assert len(keys) == 5
