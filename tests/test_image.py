"""The container's image, as far as it can be tried without an engine: its pieces, and what a linter says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {RECIPE.splitlines()[0]} is NOT checked by it")
    return found


def said(*words: str) -> tuple[int, str]:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_linter_finds_nothing_wrong_with_the_recipe():
    assert said(program("hadolint"), "Dockerfile") == (0, "")


def test_a_linter_finds_no_weakness_in_the_workflows():
    code, text = said(program("zizmor"), "--offline", "--no-progress", *map(str, WORKFLOWS))
    assert code == 0, text


def test_every_action_is_pinned_to_a_commit():
    used = [
        found for file in WORKFLOWS for found in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))
    ]
    assert used
    assert [one for one in used if not re.search(r"@[0-9a-f]{40}$", one)] == []


def test_every_python_that_is_claimed_is_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest, *others = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    jobs = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    (setup,) = [step["with"] for step in jobs["all"]["steps"] if "python-version" in step.get("with", {})]
    tried = {one["session"]: one["python"] for one in jobs["pythons"]["strategy"]["matrix"]["include"]}

    assert project["requires-python"] == f">={oldest}"
    assert setup["python-version"] == oldest
    assert tried == {**{f"tests-{one}": one for one in others}, "lowest": oldest}


def test_what_is_copied_is_enough_to_build_from(tmp_path: Path):
    """Only what `.dockerignore` lets in reaches the build; the wheel must not miss anything of it."""
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [
        word for line in re.findall(r"^COPY (?!--)(.+)$", RECIPE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(let_in)
    for name in copied:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    done = subprocess.run(built, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "dist").glob("connectory-*.whl"))


def test_it_runs_as_nobody_and_writes_in_one_place_alone():
    last = RECIPE[RECIPE.rindex("FROM ") :]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert re.search(r"^VOLUME /data$", last, re.MULTILINE)
    assert "HOME=/data" in last
    assert 'ENTRYPOINT ["connectory"]' in last
