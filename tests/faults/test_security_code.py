"""What a configuration may make this program do (rows S2, S5): no value in an error, no code by accident."""

from __future__ import annotations

import json
import sys

import pytest
from canary import canary, plant
from command import connectory

from connectory.config import config_from_dict, load_config
from connectory.errors import ConfigError
from connectory.plugins import load_code

TOKEN = canary("local-token")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, FIFOs and permissions are POSIX's")


# S2


@pytest.mark.fault("S2", "A value of a wrong type is named by its kind; the value itself is in no error.")
@pytest.mark.parametrize(
    "client",
    [
        {"token": [TOKEN]},
        {"token": {"a": TOKEN}},
        {"headers": {"X": {"a": TOKEN}}},
        {"headers": TOKEN},
        {"query": {"a": [TOKEN]}},
        {"token_command": {"a": TOKEN}},
        {"tokne": TOKEN},
        {"timeout": {"total": "${CANARY}"}},
        {"limits": {"concurrency": "${CANARY}"}},
        {"allow_http": "${CANARY}"},
    ],
)
def test_what_the_models_refuse_is_told_without_its_value(client):
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"version": 1, "clients": {"a": client}}, environ={"CANARY": TOKEN})
    assert TOKEN not in repr(
        (caught.value, caught.value.problems, caught.value.__cause__, caught.value.__context__)
    )


# S5

SHOUT = "def shout(record: dict) -> dict:\n    return {}\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "config"
    made.mkdir()
    (made / "ours.py").write_text(f"import os, subprocess\nfrom os import path\n{SHOUT}")
    return made


@pytest.mark.fault("S5", "What is Python's own is no transformer, by whatever name it is called.")
@pytest.mark.parametrize(
    "use",
    [
        "os:system",
        "subprocess:run",
        "subprocess:Popen",
        "builtins:exec",
        "shutil:rmtree",
        "posixpath:join",
        "ours:os.system",
        "ours:subprocess.run",
        "ours:path.join",
        "pickle:loads",
        "os:_exit",
    ],
)
def test_pythons_own_functions_are_no_transformers(folder, use):
    with pytest.raises(ConfigError, match="is a function of Python's own; wrap it"):
        load_code(use, folder=folder)


@pytest.mark.fault("S5", "A name leads to a module and a function in it, and nowhere else.")
@pytest.mark.parametrize(
    "use",
    ["../evil:shout", "..evil:shout", "/etc/evil:shout", "ours:__builtins__.exec", "ours:shout.__globals__", "__main__:x",
     "ours:", ":x", "ours", "ours:shout()", "ours;import os:x", "http://evil.test/x:y", "ours:__import__"],
)  # fmt: skip
def test_a_name_is_a_module_and_a_function(folder, use):
    (folder.parent / "evil.py").write_text("raise SystemExit('it ran')\n" + SHOUT)
    with pytest.raises(ConfigError, match="is no 'module:function'"):
        load_code(use, folder=folder)


@POSIX
@pytest.mark.fault("S5", "A module that a link takes from outside the configuration's folder does not run.")
@pytest.mark.parametrize("how", ["module", "package", "inside a package", "namespace"])
def test_a_link_out_of_the_folder_is_not_imported(folder, how):
    ran = folder.parent / "ran"
    evil = folder.parent / "elsewhere" / "evilpkg"
    evil.mkdir(parents=True)
    code = f"open({str(ran)!r}, 'w').close()\n{SHOUT}"
    (evil / "mod.py").write_text(code)
    if how == "module":
        (folder / "evil_module.py").symlink_to(evil / "mod.py")
        use = "evil_module:shout"
    elif how == "inside a package":
        (folder / "evil_inner").mkdir()
        (folder / "evil_inner" / "__init__.py").write_text("")
        (folder / "evil_inner" / "mod.py").symlink_to(evil / "mod.py")
        use = "evil_inner.mod:shout"
    else:
        if how == "package":
            (evil / "__init__.py").write_text(code)
        name = f"evil_{how}"
        (folder / name).symlink_to(evil)
        use = f"{name}.mod:shout"
    with pytest.raises(ConfigError, match="is a link out of the configuration's folder"):
        load_code(use, folder=folder)
    assert not ran.exists()


@pytest.mark.fault(
    "S5", "Code in the folder in which the command is typed does not run: only the configuration's does."
)
def test_the_current_folder_is_no_place_for_code(folder, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "stranger.py").write_text(f"open('ran', 'w').close()\n{SHOUT}")
    steps = "transformers: [{use: 'stranger:shout'}]"
    plant(
        folder / "connectory.yaml",
        f"version: 1\nclients: {{a: {{token: {TOKEN}}}}}\nincoming: {{i: {{entity: files, {steps}}}}}\n",
    )
    done = connectory("lint", str(folder / "connectory.yaml"), folder=here)
    assert done.code == 3
    assert "no module 'stranger'" in done.said
    assert not (here / "ran").exists()


@pytest.mark.fault("S5", "A command for the token runs only where the environment allows it.")
def test_a_configuration_alone_runs_no_command(tmp_path):
    ran = tmp_path / "ran"
    command = json.dumps([sys.executable, "-c", f"open({str(ran)!r}, 'w')"])
    plant(tmp_path / "connectory.yaml", f"version: 1\nclients: {{a: {{token_command: {command}}}}}\n")
    done = connectory("check", folder=tmp_path)
    assert (done.code, ran.exists()) == (3, False)
    assert "CONNECTORY_ALLOW_COMMANDS=1" in done.said


BOMBS = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
    "merges": "a: &a {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*{'a' if not n else f'm{n - 1}'}, *{'a' if not n else f'm{n - 1}'}], k{n}: 1}}\n" for n in range(2000)),
    "depth": "a: " + "[" * 100_000,
    "size": "a: '" + "x" * 5_000_000 + "'\n",
    "values": "a: [" + "1," * 300_000 + "]\n",
    "itself": "a: &a [*a]\n",
    "python": "a: !!python/object/apply:os.system ['touch ran']\n",
    "number": "a: " + "9" * 500_000 + "\n",
}  # fmt: skip


@pytest.mark.fault(
    "S5", "A configuration that unfolds without end, or asks for Python objects, is refused within bounds."
)
@pytest.mark.parametrize("name", BOMBS)
def test_a_configuration_that_is_a_bomb_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "connectory.yaml").write_text(BOMBS[name])
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "connectory.yaml")
    assert len(str(caught.value)) < 10_000
    assert not (tmp_path / "ran").exists()
