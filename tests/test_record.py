"""The identity of a delivery, and the line of a result."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import RecordError
from connectory.record import Delivery, Failure, Result


def test_a_delivery_hashes_exactly_its_run_position_and_part():
    digest = hashlib.sha256(b"run-1\n7\n2").digest()[:18]
    assert Delivery("run-1", "7", 2).key == base64.urlsafe_b64encode(digest).decode()
    assert Delivery("run-1", "7", 2, seq=9).key == Delivery("run-1", "7", 2).key
    assert [field.name for field in fields(Delivery) if field.init] == ["run", "position", "part", "seq"]


def test_a_key_is_24_characters_that_every_header_and_file_name_can_hold():
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", Delivery("run-ü", "x/y", 3).key)


line = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=5)


@given(st.lists(st.tuples(line, line, st.integers(0, 20)), unique=True, max_size=20))
def test_no_two_deliveries_share_a_key(names: list[tuple[str, str, int]]):
    assert len({Delivery(*name).key for name in names}) == len(names)


def test_a_delivery_is_known_by_what_it_names():
    assert Delivery("r", "1", 2) == Delivery("r", "1", 2)
    assert len({Delivery("r", "1", 2), Delivery("r", "1", 2), Delivery("r", "1", 3)}) == 2


def test_the_line_of_an_ok_result_has_the_response():
    result = Result(0, "a", "ok", 200, "req", 2, response={"x": 1}, usage={"total_tokens": 1})
    assert result.ok
    assert result.as_dict() == {
        "index": 0,
        "id": "a",
        "status": "ok",
        "http_status": 200,
        "request_id": "req",
        "attempts": 2,
        "in_doubt": False,
        "usage": {"total_tokens": 1},
        "response": {"x": 1},
    }


def test_the_line_of_an_error_has_the_error_in_its_place():
    failure = Failure("api", "no", "bad", retryable=True)
    made = Result(0, "a", "error", error=failure, response={"paid": True}).as_dict()
    assert made["error"] == {"class": "api", "code": "bad", "message": "no", "retryable": True}
    assert "response" not in made


@pytest.mark.parametrize(("output", "expected"), [([], []), ([1, {"a": 2}], [1, {"a": 2}])])
def test_shaped_lines_replace_the_result(output, expected):
    assert Result(0, "a", "ok", output=output).lines() == expected


def test_without_shaped_lines_the_result_is_the_line():
    result = Result(0, "a", "skipped")
    assert result.lines() == [result.as_dict()]


def test_unwrap_gives_the_result_or_raises_what_is_behind_it():
    good, cause = Result(0, "a", "ok"), RecordError("no")
    assert good.unwrap() is good
    with pytest.raises(RecordError, match="no"):
        Result(0, "a", "error", cause=cause).unwrap()


def test_the_record_and_the_output_stay_out_of_a_results_repr():
    shown = repr(Result(0, "a", "ok", record={"secret": "s3"}, output=["s3"]))
    assert "s3" not in shown
