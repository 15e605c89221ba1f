"""The built-in transformers: what each makes of a record, as data."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.catalogue import Catalogue
from connectory.chain import build_chain
from connectory.config import parse_step
from connectory.errors import ApiError, ConfigError, RecordError
from connectory.plugins import list_transformers, load_transformer
from connectory.reading.asking import Asking

ROOT = Path(__file__).parent.parent.parent
CASES = json.loads((Path(__file__).parent.parent / "cases" / "transformers.json").read_text("utf-8"))


class Answering(Asking):
    """A server of a case: what it answers by entity; anything else is gone."""

    def __init__(self, answers):
        super().__init__(Catalogue.load(), None)
        self.answers = answers

    async def read(self, entity, **_):
        if entity not in self.answers:
            raise ApiError(f"GET {Catalogue.load()[entity].path}: answered 404", status=404)
        return deepcopy(self.answers[entity])


def chain_of(case, folder=None):
    """Build the one step of a case, beside the files that it names."""
    for name, text in case.get("files", {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    step = parse_step({case["transformer"]: case.get("options")})
    named = {name: [parse_step(one) for one in steps] for name, steps in case.get("named", {}).items()}
    reader = Answering(case["answers"]) if "answers" in case else None
    return build_chain([step], named=named, folder=folder, reader=reader)


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


BUILT_IN = [one.name for one in list_transformers() if one.origin == "built in"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_is_typed_and_described_and_an_example_stands_on_the_page(name):
    found = load_transformer(name)
    page = (ROOT / "docs" / "reference" / "transformers.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]

    assert found.options or name == "compact"
    for option in found.options.values():
        assert option.doc, f"{name}: {option.name} is not described"
        assert option.type != "any", f"{name}: {option.name} has no type"
        assert f"| `{option.name}` | " in section
        assert option.schema()
    assert any(case.get("example") for case in CASES if case["transformer"] == name)
    assert "becomes" in section or "is refused" in section


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_error_names_the_step_inside_a_chain_of_a_record(name):
    failing = [case for case in CASES if case["transformer"] == name and "error" in case]
    for case in failing:
        inner = {name: case["options"]} if "options" in case else name
        step = parse_step({"when": {"condition": "`true`", "do": [inner]}})
        reader = Answering(case["answers"]) if "answers" in case else None
        if "files" in case or "named" in case:
            continue
        with pytest.raises(RecordError) as caught:
            list(build_chain([step], reader=reader).apply(case["input"], {}))
        assert str(caught.value).startswith(f"transformer 'when/{name}")


def test_what_split_makes_shares_nothing():
    chain = chain_of({"transformer": "split", "options": {"field": "items", "into": "item"}})
    first, second = chain.apply({"shared": {"n": []}, "items": [1, 2]}, {})
    first["shared"]["n"].append(1)
    assert second == {"shared": {"n": []}, "item": 2}


TEXTS = st.lists(
    st.sampled_from(["a", "bc", "defghijklmn", ".", "! ", "? ", "\n", " ", "\u3002"]), max_size=40
).map("".join)


@given(TEXTS, st.integers(1, 20), st.integers(0, 19), st.sampled_from(["words", "sentences"]))
def test_the_pieces_of_a_text_hold_all_of_it(text, size, overlap, by):
    options = {"field": "t", "size": size, "overlap": min(overlap, size - 1), "by": by}
    made = [
        one["chunk"] for one in chain_of({"transformer": "chunk", "options": options}).apply({"t": text}, {})
    ]
    covered = {place for one in made for place in range(one["start"], one["end"])}
    assert {place for place, sign in enumerate(text) if not sign.isspace()} <= covered
    assert all(0 < one["end"] - one["start"] <= size for one in made)
    assert [one["end"] for one in made] == sorted({one["end"] for one in made})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_written_as_json_is_read_back(value):
    chain = build_chain([parse_step({"to_json": ["v"]}), parse_step({"parse_json": ["v"]})])
    assert repr(list(chain.apply({"v": value}, {}))) == repr([{"v": value}])


ANY = st.dictionaries(st.sampled_from(["a", "b", "t", "id", "a.b"]), VALUES, max_size=4)
STEPS = [
    {case["transformer"]: case["options"]} if "options" in case else case["transformer"]
    for case in CASES
    if not {"problem", "files", "named"} & case.keys()
]


@given(ANY, st.sampled_from(STEPS))
def test_any_record_becomes_records_or_an_error_of_its_own(record, step):
    before = deepcopy(record)
    chain = build_chain([parse_step(step)])
    said = "transformer '"
    made: list[object] = []
    try:
        made = list(chain.apply(record, {}))
    except RecordError as error:
        said = str(error)
    assert said.startswith("transformer '")
    assert all(isinstance(one, dict) for one in made)
    assert record == before
