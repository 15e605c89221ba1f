"""The built-in transformers: what each makes of a record, as data."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest

from connectory.chain import build_chain
from connectory.config import parse_step
from connectory.errors import ConfigError, RecordError
from connectory.plugins import list_transformers

CASES = json.loads((Path(__file__).parent.parent / "cases" / "transformers.json").read_text("utf-8"))


def chain_of(case, folder=None):
    """Build the one step of a case, beside the files that it names."""
    for name, text in case.get("files", {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    step = parse_step({case["transformer"]: case.get("options")})
    named = {name: [parse_step(one) for one in steps] for name, steps in case.get("named", {}).items()}
    return build_chain([step], named=named, folder=folder)


@pytest.mark.parametrize("case", CASES, ids=[f"{case['transformer']} {case['name']}" for case in CASES])
def test_a_transformer_does_what_its_case_says(case, tmp_path):
    if "problem" in case:
        with pytest.raises(ConfigError) as caught:
            chain_of(case, tmp_path)
        assert case["problem"] in str(caught.value)
        return
    before = deepcopy(case["input"])
    chain = chain_of(case, tmp_path)
    if "error" in case:
        with pytest.raises(RecordError) as caught:
            list(chain.apply(case["input"], {}))
        assert case["error"] in str(caught.value)
        assert str(caught.value).startswith(f"transformer '{case['transformer']}")
    else:
        output = list(chain.apply(case["input"], {}))
        assert [json.dumps(one) for one in output] == [json.dumps(one) for one in case["output"]]
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
