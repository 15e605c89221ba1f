"""The built-in transformers: what each makes of a record, as data."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectory.chain import build_chain
from connectory.errors import ConfigError, RecordError
from connectory.plugins import list_transformers

CASES = json.loads((Path(__file__).parent.parent / "cases" / "transformers.json").read_text("utf-8"))


def chain_of(case):
    step = SimpleNamespace(
        name=case["transformer"], use=None, options=case.get("options"), path=(), options_path=()
    )
    return build_chain([step])


@pytest.mark.parametrize("case", CASES, ids=[f"{case['transformer']} {case['name']}" for case in CASES])
def test_a_transformer_does_what_its_case_says(case):
    if "problem" in case:
        with pytest.raises(ConfigError) as caught:
            chain_of(case)
        assert case["problem"] in str(caught.value)
        return
    before = deepcopy(case["input"])
    if "error" in case:
        with pytest.raises(RecordError) as caught:
            list(chain_of(case).apply(case["input"], {}))
        assert case["error"] in str(caught.value)
    else:
        output = list(chain_of(case).apply(case["input"], {}))
        assert [list(record.items()) for record in output] == [list(one.items()) for one in case["output"]]
    assert case["input"] == before


def test_every_built_in_has_cases_and_a_documented_function():
    built_in = [one for one in list_transformers() if one.origin == "built in"]
    assert {one.name for one in built_in} == {case["transformer"] for case in CASES}
    assert all(one.doc and not one.problem for one in built_in)


def test_what_split_makes_shares_nothing():
    chain = chain_of({"transformer": "split", "options": {"field": "items", "into": "item"}})
    first, second = chain.apply({"shared": {"n": []}, "items": [1, 2]}, {})
    first["shared"]["n"].append(1)
    assert second == {"shared": {"n": []}, "item": 2}
