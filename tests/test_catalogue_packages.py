"""Catalogue files that installed packages bring."""

from __future__ import annotations

import importlib
import json

import pytest

from connectory.catalogue import Catalogue
from connectory.catalogue.source import installed_files
from connectory.errors import ConfigError

ENTITY = {
    "path": "/parcels",
    "actions": {"read": {"kind": "list", "response": {"kind": "json", "items": "data"}}},
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay packages down as an installer does."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, content: dict[str, object]) -> None:
        package, info = (
            tmp_path / f"{name.replace('-', '_')}_files",
            tmp_path / f"{name.replace('-', '_')}-1.0.dist-info",
        )
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").touch()
        (package / "catalogue.json").write_text(json.dumps({"format": 1, **content}))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[connectory.catalogues]\n{name} = {name.replace('-', '_')}_files:catalogue.json\n"
        )
        importlib.invalidate_caches()
        installed_files.cache_clear()

    yield put
    installed_files.cache_clear()


def test_two_packages_with_an_entity_of_one_name_are_refused_by_their_names(install):
    install("parcels-north", {"entities": {"parcels": ENTITY, "north": {**ENTITY, "path": "/north"}}})
    install("parcels-south", {"entities": {"parcels": ENTITY, "south": {**ENTITY, "path": "/south"}}})

    with pytest.raises(ConfigError) as caught:
        Catalogue.load()

    assert str(caught.value) == (
        "the entity 'parcels' is brought twice, by parcels-north 1.0 and by parcels-south 1.0; uninstall one of them"
    )


def test_two_packages_with_a_prototype_of_one_name_are_refused(install):
    prototype = {"base_uri": "https://parcels.example"}
    install("parcels-north", {"prototypes": {"parcels": prototype}})
    install("parcels-south", {"prototypes": {"parcels": prototype}})

    with pytest.raises(
        ConfigError, match=r"the prototype .parcels. is brought twice, by parcels-north 1\.0 and by"
    ):
        Catalogue.load()


def test_packages_beside_each_other_are_all_there_and_a_file_of_ones_own_wins(install, tmp_path):
    install("parcels-north", {"entities": {"parcels": ENTITY}})
    install("parcels-south", {"entities": {"south": {**ENTITY, "path": "/south"}}})
    (tmp_path / "mine.json").write_text(
        json.dumps({"format": 1, "entities": {"parcels": {**ENTITY, "path": "/mine"}}})
    )

    assert Catalogue.load()["parcels"].path == "/parcels"
    assert Catalogue.load(tmp_path / "mine.json")["parcels"].path == "/mine"
    assert "south" in Catalogue.load()
