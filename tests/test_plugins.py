"""Plug-ins: where a transformer is looked for, what its signature may say, and the list of all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from connectory.errors import ConfigError, UnknownNameError
from connectory.plugins import (
    Transformer,
    list_transformers,
    load_code,
    load_transformer,
    lookup,
    transformer,
    transformer_names,
)
from connectory.plugins.signatures import read_signature

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: its module on the path, its entry points beside it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    known = set(sys.modules)

    def put(distribution, entry_points, **modules):
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {code}" for name, code in entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[connectory.transformers]", *lines]))
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text)
        lookup._entry_points.cache_clear()

    lookup._entry_points.cache_clear()
    yield put
    lookup._entry_points.cache_clear()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(folder: Path, **modules: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


SHOUT = "def shout(record: dict, *, mark: str = '!') -> dict:\n    'Shout.'\n    return {'mark': mark}\n"


def test_a_built_in_is_found_by_its_name():
    found = load_transformer("keep_if")
    assert (found.name, found.origin, found.value, found.may_drop) == (
        "keep_if",
        "built in",
        "condition",
        True,
    )
    assert found.context == "context"
    assert list(found.options) == ["condition"]


def test_an_installed_entry_point_is_found_by_its_name(install):
    install("shouter", {"shout": "pl_shouter:shout"}, pl_shouter=SHOUT)
    found = load_transformer("shout")
    assert found.origin == "shouter 1.0"
    assert found.function({}) == {"mark": "!"}
    assert "shout" in transformer_names()


def test_a_name_that_is_taken_twice_is_refused(install):
    install("one", {"shout": "pl_one:shout", "set": "pl_one:shout"}, pl_one=SHOUT)
    install("two", {"shout": "pl_two:shout"}, pl_two=SHOUT)
    with pytest.raises(ConfigError, match="the transformer name 'shout' is taken twice, by pl_one:shout"):
        load_transformer("shout")
    with pytest.raises(
        ConfigError, match=r"'set' is taken twice, by connectory_transformers.set:set \(built in\)"
    ):
        load_transformer("set")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        load_transformer("keepif")
    assert str(caught.value) == (
        "no transformer 'keepif'; did you mean 'keep_if'? ('connectory transformers list' shows all)"
    )


@pytest.mark.parametrize("name", ["__init__", "_x", "set.set", "../set", "", "os:remove"])
def test_a_name_reaches_nothing_but_transformers(name):
    with pytest.raises(UnknownNameError):
        load_transformer(name)


def test_the_list_shows_names_origins_options_and_what_is_broken(install):
    install("shouter", {"shout": "pl_fine:shout", "gone": "pl_absent:f"}, pl_fine=SHOUT)
    listed = {one.name: one for one in list_transformers()}
    shout, gone, split = listed["shout"], listed["gone"], listed["split"]
    assert (shout.origin, shout.doc) == ("shouter 1.0", "Shout.")
    assert [(option.name, option.type, option.default) for option in shout.options] == [("mark", "str", "!")]
    assert "no module 'pl_absent'" in gone.problem
    assert [(option.name, option.type, option.required) for option in split.options] == [
        ("field", "Expression", True),
        ("into", "str | None", False),
        ("keep", "list[str] | None", False),
    ]


def test_code_is_imported_from_the_folder_and_its_neighbours_with_it(tmp_path):
    helper, masks = (
        "STAR = '*'\n",
        "from pl_helper import STAR\ndef mask(record: dict) -> dict:\n    return {'m': STAR}\n",
    )
    write(tmp_path, pl_helper=helper, pl_masks=masks)
    before = sys.path[:]
    found = load_code("pl_masks:mask", folder=tmp_path)
    assert (found.name, found.origin) == ("mask", "pl_masks:mask")
    assert found.function({}) == {"m": "*"}
    assert sys.path == before


def test_two_folders_may_have_a_module_of_one_name(tmp_path):
    for name in ("one", "two"):
        text = f"from pl_twin_helper import WHO\ndef who(record: dict) -> dict:\n    return {{'who': '{name}' + WHO}}\n"
        write(tmp_path / name, pl_twin=text, pl_twin_helper=f"WHO = {name!r}\n")
    made = [load_code("pl_twin:who", folder=tmp_path / name).function({}) for name in ("one", "two", "one")]
    assert made == [{"who": "oneone"}, {"who": "twotwo"}, {"who": "oneone"}]


def test_an_environment_inside_the_folder_counts_as_installed(tmp_path, monkeypatch):
    site = write(tmp_path / "venv", pl_library="VALUE = []\n")
    monkeypatch.syspath_prepend(site)
    text = "from pl_library import VALUE\ndef give(record: dict) -> dict:\n    return {'value': VALUE}\n"
    write(tmp_path, pl_user=text)
    write(tmp_path / "other", pl_user=text)
    made = [
        load_code("pl_user:give", folder=folder).function({}) for folder in (tmp_path, tmp_path / "other")
    ]
    assert made[0]["value"] is made[1]["value"]


def test_code_never_comes_from_the_current_folder(tmp_path, monkeypatch):
    here = write(tmp_path / "here", pl_stray="raise SystemExit('must not run')\n")
    config = write(tmp_path / "config")
    monkeypatch.chdir(here)
    for entry in ("", str(here)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [entry, *sys.path])
            with pytest.raises(
                ConfigError, match=r"no module 'pl_stray' in .*config and the installed packages"
            ):
                load_code("pl_stray:f", folder=config)


@pytest.mark.parametrize("use", ["..up:f", "a/b:f", "module", "module:", ":f", "../x:f", "a-b:f"])
def test_code_that_is_no_module_and_function_is_refused(use, tmp_path):
    with pytest.raises(ConfigError, match="is no 'module:function'"):
        load_code(use, folder=tmp_path)


def test_a_module_that_an_installed_one_hides_is_refused(tmp_path):
    write(tmp_path, json="def f(record): ...\n")
    with pytest.raises(ConfigError, match="is hidden by an installed module of that name; rename it"):
        load_code("json:loads", folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nimport pl_not_there\n", "cannot be imported: No module named 'pl_not_there' ({file}:2)"),
        ("\n\nraise ValueError('no')\n", "cannot be imported: ValueError: no ({file}:3)"),
        ("def f(:\n", "cannot be imported: SyntaxError"),
        ("def masc(record): ...\n", "has no 'mask'; did you mean 'masc'?"),
    ],
)
def test_an_import_that_fails_names_the_file_and_line(tmp_path, text, words, request):
    name = f"pl_failing_{request.node.callspec.indices['text']}"
    write(tmp_path, **{name: text})
    with pytest.raises(ConfigError) as caught:
        load_code(f"{name}:mask", folder=tmp_path)
    assert words.format(file=tmp_path / f"{name}.py") in str(caught.value)
    assert f"{name}.py" in str(caught.value)


def test_a_decorated_function_stays_an_ordinary_function():
    @transformer
    def plain(record: dict) -> dict:
        return {**record, "plain": True}

    @transformer(value="field")
    def marked(record: dict, *, field: str) -> dict:
        return {field: record}

    assert plain({}) == {"plain": True}
    assert marked({}, field="a") == {"a": {}}
    assert read_signature("marked", marked, origin="").value == "field"


def _without_record() -> dict:
    return {}


def _record_by_name(*, record: dict) -> dict:
    return record


class _Uncalled:
    pass


class _OptionsAtCall:
    def __call__(self, record: dict, *, field: str) -> dict:
        return record


class _PositionalClass:
    def __init__(self, field: str) -> None:
        self.field = field

    def __call__(self, record: dict) -> dict:
        return record


def _positional(record: dict, field: str) -> dict:
    return record


def _collecting(record: dict, **options: str) -> dict:
    return record


@transformer(value="other")
def _mismarked(record: dict, *, field: str) -> dict:
    return record


def _unresolved(record: dict, *, field: NotImported) -> dict:  # noqa: F821 - that is the point
    return record


def _uncheckable(record: dict, *, field: Uncheckable) -> dict:
    return record


class Uncheckable:
    pass


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (3, "is no function"),
        (_Uncalled, "is a class without '__call__(self, record)', which takes each record"),
        (
            _OptionsAtCall,
            "takes 'field' beside the record; the options of a class are parameters of '__init__'",
        ),
        (_PositionalClass, "has the option 'field' that is not keyword-only; put '*' after self"),
        (_without_record, "must take the record as its first argument"),
        (_record_by_name, "must take the record as its first argument"),
        (dict.fromkeys, "has the option 'value' that is not keyword-only; put '*' after the record"),
        (_positional, "has the option 'field' that"),
        (_collecting, "has the option 'options' that"),
        (_mismarked, "is marked with value='other', which is none of its options"),
        (_unresolved, "has the annotation 'NotImported', which cannot be resolved"),
    ],
)
def test_a_signature_that_no_step_can_have_is_refused(function, words):
    with pytest.raises(ConfigError) as caught:
        read_signature("f", function, origin="")
    assert words in str(caught.value)


def test_an_option_of_a_type_that_cannot_be_checked_is_refused():
    found = read_signature("f", _uncheckable, origin="")
    with pytest.raises(ConfigError, match="option 'field' has the type Uncheckable, which cannot be checked"):
        found.check({"field": 1})


def returns_record(record) -> dict: ...
def returns_optional(record) -> dict | None: ...
def returns_none(record) -> None: ...
def returns_text(record) -> Later | None: ...  # noqa: F821 - a name for type checkers only
def returns_later(record) -> Later: ...  # noqa: F821 - a name for type checkers only
def returns_unsaid(record): ...


def test_only_an_annotation_with_none_lets_a_transformer_drop():
    functions = [returns_record, returns_optional, returns_none, returns_text, returns_later, returns_unsaid]
    drops = [read_signature("f", function, origin="").may_drop for function in functions]
    assert drops == [False, True, True, True, False, False]


def options_of_many_kinds(
    record: dict,
    *,
    name: str,
    mode: str | None = None,
    numbers: list[int] | None = None,
    untyped=None,
) -> dict:
    return record


def test_options_are_checked_against_the_type_hints():
    found = read_signature("f", options_of_many_kinds, origin="")
    assert found.check({"name": "x", "numbers": ["1"], "untyped": {"a": 1}}) == (
        {"name": "x", "numbers": [1], "untyped": {"a": 1}},
        [],
    )
    assert found.check({"name": "x", "numbers": [1, "b"]})[1] == [
        (
            ("numbers", 1),
            "transformer 'f', option 'numbers.1': input should be a valid integer, unable to parse string as an integer, not a text",
        )
    ]
    assert found.check({})[1] == [((), "transformer 'f' needs the option 'name' (str)")]
    assert found.check(3)[1] == [
        ((), "transformer 'f' takes the options name, mode, numbers, untyped, as an object")
    ]
    assert read_signature("g", returns_record, origin="").check({"x": 1})[1] == [
        (("x",), "transformer 'g' has no option 'x'; it takes no options")
    ]


def test_the_schema_of_a_transformer_describes_its_options():
    split, keep = load_transformer("split"), load_transformer("keep")
    fields = {"type": "array", "items": {"type": "string"}, "description": "the fields that stay"}
    assert keep.schema() == {**fields, "examples": [["id", "text"]]}
    described = split.schema()
    whole, alone = described["then"], described["else"]
    assert described["if"] == {"type": "object"}
    list_ = {"type": "string", "description": "the list, as a bare expression", "examples": ["items"]}
    assert (whole["required"], whole["additionalProperties"], alone) == (["field"], False, list_)
    plain = read_signature("f", options_of_many_kinds, origin="").schema()
    assert list(plain["properties"]) == ["name", "mode", "numbers", "untyped"]


def test_a_transformer_can_be_a_callable_object(tmp_path):
    text = "class Adder:\n    def __call__(self, record: dict, *, by: int = 1) -> dict:\n        return {'n': by}\nadd = Adder()\n"
    found = load_code("pl_adder:add", folder=write(tmp_path, pl_adder=text))
    assert isinstance(found, Transformer)
    assert found.check({"by": "2"}) == ({"by": 2}, [])
