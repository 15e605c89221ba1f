"""Shell completion: real shells ask, names of the configuration come, and nothing is ever loud."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOTS

from connectory.cli.completing import block_names

CONFIG = """\
# a comment: with a colon
version: 1
clients:
    openai:
        token: "${OPENAI_API_KEY}"
    "local one": {base_uri: http://localhost:1}
incoming:
  # and here
  models: {entity: models}
  model-names:
    entity: models
    description: |
      text: with a colon
outgoing:
  moderate: {entity: moderations}
routes: # none yet
transformers:
  clean: [compact]
"""
EXPECTED = {
    "version": [],
    "clients": ["openai", "local one"],
    "incoming": ["models", "model-names"],
    "outgoing": ["moderate"],
    "routes": [],
    "transformers": ["clean"],
}
LINES = {
    "connectory run incoming mod": {"models", "model-names"},
    "connectory run outgoing ": {"moderate"},
    "connectory read fine_tuning.job.ev": {"fine_tuning.job.events"},
    "connectory runs show ": {"20260102T000000-b", "20260101T000000-a"},
    "connectory transformers try cle": {"clean"},
    "connectory run incoming models --client op": {"openai"},
    "connectory options moderations.in": {"moderations.input"},
    "connectory comple": {"completion"},
    "connectory add outgoing x --entity mod": {"model", "moderations"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectory.yaml").write_text(CONFIG)
    for run in ("20260101T000000-a", "20260102T000000-b"):
        (tmp_path / ".connectory" / "runs" / run).mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "connectory").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m connectory "$@"\n')
    (programs / "connectory").chmod(0o755)
    return tmp_path


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(ROOTS), **environ}
    return subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name.upper()} WAS NOT TRIED: it is not installed here")
    return found


def test_bash_offers_them(folder: Path):
    lines = ""
    for line in LINES:
        words = line + ('""' if line.endswith(" ") else "")
        lines += f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()\n"
        lines += '_connectory_completion connectory; echo "${COMPREPLY[*]}"\n'
    done = run(folder, shell("bash"), "-c", f'eval "$(connectory completion bash)"\n{lines}')
    assert done.stderr == ""
    found = [set(line.split()) for line in done.stdout.splitlines()]
    assert found == list(LINES.values())


def test_zsh_offers_them(folder: Path):
    script = 'autoload -Uz compinit; compinit -u -D; eval "$(connectory completion zsh)"\n'
    script += 'compadd() { print -rl -- "${(@P)@[-1]}" }\n_describe() { print -rl -- "${(@P)@[-1]}" }\n'
    for line in ("connectory run incoming mod", "connectory runs show "):
        words = f"{line}{chr(34) * 2 if line.endswith(' ') else ''}"
        script += f"words=({words}); CURRENT=$#words; _connectory_completion; print END\n"
    done = run(folder, shell("zsh"), "-f", "-c", script)
    first, second, _ = done.stdout.split("END\n")
    assert {"models", "model-names"} <= set(first.split()), done
    assert {"20260101T000000-a", "20260102T000000-b"} <= set(second.split()), done


def test_fish_offers_them(folder: Path):
    script = "connectory completion fish | source\n"
    script += "\n".join(f"complete -C '{line}'; echo END" for line in list(LINES)[:4])
    done = run(folder, shell("fish"), "--no-config", "-c", script, HOME=str(folder))
    found = [set(part.split()) for part in done.stdout.split("END\n")[:-1]]
    assert found == list(LINES.values())[:4], done


def asked(folder: Path, line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    count = len(line.split()) - (not line.endswith(" "))
    ask = {"COMP_WORDS": line, "COMP_CWORD": str(count), "_CONNECTORY_COMPLETE": "bash_complete"}
    return run(folder, "connectory", **{**ask, **environ})


def test_powershell_is_answered_in_its_own_way(folder: Path):
    environ = {"COMP_CWORD": "mod", "_CONNECTORY_COMPLETE": "powershell_complete"}
    done = asked(folder, "connectory run incoming mod", **environ)
    assert (done.stdout, done.stderr) == ("models\t\nmodel-names\t\n", "")
    script = run(folder, "connectory", "completion", "powershell").stdout
    assert "Register-ArgumentCompleter -Native -CommandName connectory" in script
    assert "%(" not in script


@pytest.mark.parametrize(
    "text",
    [
        "incoming: [\n",
        "\tincoming:\n",
        "",
        "incoming: {a: {",
        "\x00\xff",
        "- 1\n",
        "incoming:\n  - a\n b: 1\n",
    ],
)
def test_a_broken_configuration_makes_no_noise(folder: Path, text: str):
    (folder / "connectory.yaml").write_text(text, encoding="latin-1")
    done = asked(folder, "connectory run incoming ")
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_what_is_not_there_makes_no_noise(folder: Path):
    (folder / "connectory.yaml").unlink()
    for line in ("connectory runs show ", "connectory run incoming "):
        done = asked(folder, line)
        assert (done.stdout.strip(), done.stderr) == ("", "")
    assert asked(folder, "connectory run incoming x --config ").stdout.strip() == "file,"
    assert asked(folder, "connectory ", _CONNECTORY_COMPLETE="nonsense").stderr == ""


def test_names_are_found_by_the_lines_alone():
    assert block_names(CONFIG) == EXPECTED
    assert block_names("incoming: {a: {}}\n") is None
    assert block_names("incoming: &x\n  a: {}\n") is None


def test_braces_and_json_are_read_as_a_whole(folder: Path):
    (folder / "connectory.yaml").write_text("incoming: {first: {entity: files}, second: {}}\n")
    assert asked(folder, "connectory run incoming ").stdout == "plain,first\nplain,second\n"
    (folder / "c.json").write_text('{"incoming": {"third": {}}}')
    assert asked(folder, "connectory run incoming -c c.json ").stdout == "plain,third\n"


def test_nothing_heavy_is_imported_for_a_name(folder: Path):
    code = (
        "import os, sys\n"
        "from connectory.cli import main\n"
        "try: main(prog_name='connectory')\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'httpx', 'ruamel', 'jsonschema', 'rich', 'connectory.config'} & sys.modules.keys()\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    ask = {
        "COMP_WORDS": "connectory run incoming ",
        "COMP_CWORD": "3",
        "_CONNECTORY_COMPLETE": "bash_complete",
    }
    done = run(folder, sys.executable, "-c", code, **ask)
    assert (done.stdout, done.stderr) == ("plain,models\nplain,model-names\n", "[]\n")
